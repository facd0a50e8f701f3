//! Two flyballs on one Lease of the real API server, each with its own pod and the shipped account, roles and fence;
//! etcd's history shows what was written, the audit log what was refused.

use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kills::Real;
use super::witness::requests;
use super::{Cluster, PATIENCE, directory};
use crate::eventually;
use crate::replicas::{Outside, assert_kept, late, replicas, stops};
use crate::support::kills::Server;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
/// The pods whose tokens the processes use.
const PODS: [&str; 2] = ["flyball-0", "flyball-1"];
/// The steps of a write.
const STEPS: [&str; 5] = ["gate_admitted", "gate_prepared", "gate_checked", "gate_sent", "gate_ended"];

impl Outside for Real {
    async fn holder(&self) -> Option<String> {
        let leases = Cluster::open().await.get("/apis/coordination.k8s.io/v1/namespaces/flyball-system/leases").await;
        let lease = leases["items"].as_array()?.iter().find(|lease| lease["metadata"]["name"] == "flyball")?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    async fn actions(&self) -> Vec<Value> {
        let all = Cluster::open().await.get("/apis/flyball.dev/v1alpha1/loopactions").await;
        all["items"].as_array().cloned().unwrap_or_default()
    }

    fn environment_of(&self, process: &str) -> Vec<(&'static str, String)> {
        vec![("KUBECONFIG", directory().join(format!("{process}.kubeconfig")).display().to_string())]
    }
}

fn kubectl(account: &str, arguments: &str) -> (bool, String) {
    let mut command = Command::new("kubectl");
    command.env("KUBECONFIG", directory().join(format!("{account}.kubeconfig"))).args(arguments.split_whitespace());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (output.status.success(), text)
}

fn administer(arguments: &str) -> String {
    let (success, text) = kubectl("admin", arguments);
    assert!(success, "{arguments}: {text}");
    text
}

/// What two replicas need; removed on drop, since later tests run one.
pub struct Prepared {
    /// The server.
    pub server: Real,
}

/// Whether the fence is installed, which previous versions do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// It is.
    Stands,
    /// It is not.
    None,
}

impl Prepared {
    /// Creates resources, roles, the fence, and a pod for each process with a token bound to it.
    pub async fn start(fence: Fence) -> Self {
        let prepared = Self { server: Real::start().await };
        administer(&format!("apply --server-side --force-conflicts -f {DEPLOY}/base/crds.yaml"));
        administer(
            "wait --for condition=established --timeout 30s crd/loopactions.flyball.dev crd/loopleaders.flyball.dev",
        );
        administer(&format!("apply --server-side --force-conflicts -f {DEPLOY}/overlays/replicas/rbac.yaml"));
        for pod in PODS {
            bind(pod);
        }
        if fence == Fence::Stands {
            prepared.fence().await;
        }
        prepared
    }

    /// Installs the fence, and waits until it refuses a process that is not named.
    async fn fence(&self) {
        administer(&format!("apply --server-side --force-conflicts -f {DEPLOY}/overlays/replicas/fence.yaml"));
        let leader = json!({
            "apiVersion": "flyball.dev/v1alpha1", "kind": "LoopLeader",
            "metadata": { "name": "flyball", "namespace": "flyball-system" },
            "spec": { "holder": "nobody", "epoch": 0 },
        });
        Cluster::open().await.create(leader).await;
        self.server.add("n0", "fenced", 1).await;
        let patch = "-p {\"spec\":{\"replicas\":2}}";
        let write = format!("patch deployment fenced -n n0 --subresource scale --type merge {patch} --dry-run=server");
        eventually("the fence is in force", PATIENCE, async || {
            let (taken, words) = kubectl("flyball", &write);
            (!taken && words.contains("only the leading flyball replica may write: nobody")).then_some(())
        })
        .await;
        administer("delete loopleader flyball --namespace flyball-system");
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for rest in [
            format!("-f {DEPLOY}/overlays/replicas/fence.yaml"),
            "lease flyball --namespace flyball-system".to_owned(),
            format!("pod {} --namespace flyball-system --timeout 30s", PODS.join(" ")),
            format!("-f {DEPLOY}/base/crds.yaml"),
        ] {
            kubectl("admin", &format!("delete --ignore-not-found {rest}"));
        }
    }
}

/// Creates a pod of flyball's account, and a kubeconfig with a token bound to it, as a kubelet would.
fn bind(pod: &str) {
    let overrides = "{\"spec\":{\"serviceAccountName\":\"flyball\"}}";
    administer(&format!("run {pod} --image x --namespace flyball-system --overrides {overrides}"));
    let uid = administer(&format!("get pod {pod} --namespace flyball-system -o jsonpath={{.metadata.uid}}"));
    let bound = format!("--bound-object-kind Pod --bound-object-name {pod} --bound-object-uid {uid}");
    let token = administer(&format!("create token flyball --namespace flyball-system --duration 24h {bound}"));
    let text = std::fs::read_to_string(directory().join("flyball.kubeconfig")).unwrap();
    let (before, unbound) = text.split_once("token: \"").unwrap();
    let after = unbound.split_once('"').unwrap().1;
    let text = format!("{before}token: \"{}\"{after}", token.trim());
    std::fs::write(directory().join(format!("{pod}.kubeconfig")), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_r10_l2_two_replicas_on_a_real_server_hand_over_and_fail_over_and_write_once() {
    let prepared = Prepared::start(Fence::Stands).await;
    let report = replicas(Path::new(env!("CARGO_BIN_EXE_flyball")), &prepared.server).await;
    println!("{}", serde_json::to_string(&report).unwrap());
    assert_kept(&report);
}

/// `FLYBALL_LAB_STOPS` selects steps, separated by commas, instead of all.
#[tokio::test(flavor = "multi_thread")]
async fn l2_t2_a_leader_that_is_stopped_inside_a_write_for_longer_than_its_lease_doubles_and_loses_nothing() {
    let prepared = Prepared::start(Fence::Stands).await;
    let named = std::env::var("FLYBALL_LAB_STOPS").ok();
    let steps = named.as_ref().map_or(STEPS.to_vec(), |named| named.split(',').collect());
    let report = stops(Path::new(env!("CARGO_BIN_EXE_flyball")), &prepared.server, &steps).await;
    println!("{}", serde_json::to_string(&report).unwrap());
    assert_kept(&report);
}

/// Nothing was written meanwhile, so the version precondition of the write still holds: only the fence stops it.
#[tokio::test(flavor = "multi_thread")]
async fn inv_17_l2_t2_a_write_that_is_sent_after_another_process_leads_is_refused_by_the_server() {
    let prepared = Prepared::start(Fence::Stands).await;
    let begin = Timestamp::now();
    let late = late(Path::new(env!("CARGO_BIN_EXE_flyball")), &prepared.server).await;
    println!("{}", serde_json::to_string(&late).unwrap());
    let (namespace, name) = &late.service;
    let path = format!("/namespaces/{namespace}/deployments/{name}/scale");
    let patches = requests().into_iter().filter(|it| it.arrived > begin && it.verb == "patch");
    let answers: Vec<u64> = patches.filter(|it| it.uri.contains(&path)).map(|it| it.status).collect();
    assert_eq!(late.writes, 0, "it landed after it was settled as abandoned: {late:?}");
    assert_eq!(late.intents, ["abandoned"], "{late:?}");
    assert_eq!(answers, [403], "it was sent, and refused");
}
