//! Others who act on a supervised target: a person, a tool that applies its manifest again, a rollout, whoever deletes
//! and makes it anew. flyball yields or holds, and says so. Judged by etcd's history, the audit log and what the API
//! shows of the loop.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::witness::{Move, moves_since, requests, revision};
use super::{Cluster, PATIENCE, account, directory, rig};
use crate::eventually;
use crate::support::flyball::{Flyball, Installation};
use crate::support::kills::Rates;

const NAME: &str = "checkout";
/// Requests a second that a pod is declared to carry.
const PER_POD: f64 = 10.0;
/// A raise that the arrival rate asks for may follow another after 15 s; two such chances.
const TWO_COOLDOWNS: Duration = Duration::from_secs(35);

/// Longer than flyball takes to see what it wrote: what is set back before that it notices half a minute later.
const A_LOOK: Duration = Duration::from_secs(3);

/// A loop in `auto` over a Deployment, sized by the rate that the test tells.
struct Governed {
    cluster: Cluster,
    namespace: String,
    rates: Rates,
    installation: Installation,
    flyball: Flyball,
    since: (u64, Timestamp),
}

impl Governed {
    /// Starts with `replicas` asked for and needed.
    async fn start(namespace: &str, replicas: u32, policy: &str, capacity: &str) -> Self {
        let cluster = Cluster::open().await;
        cluster.namespaces(&[namespace.to_owned()]).await;
        custom_resources();
        let deployment = rig::idle(&cluster, namespace, NAME, replicas).await;
        assert_eq!(deployment["spec"]["replicas"], replicas);
        let since = (revision(&cluster).await, Timestamp::now());
        let rates = Rates::start().await;
        rates.set(namespace, NAME, f64::from(replicas) * PER_POD - 5.0);
        let installation = Installation::new(
            Path::new(env!("CARGO_BIN_EXE_flyball")),
            &settings(&rates.url, capacity),
            &[("p.rhai", policy)],
        );
        let installation = installation.with_environment(vec![account()]);
        let flyball = installation.start(None);
        let metadata = json!({ "namespace": namespace, "name": NAME });
        let spec = json!({ "mode": "auto", "bounds": { "min": 1, "max": 100 }, "allowLowering": true });
        let (version, kind) = ("flyball.dev/v1alpha1", "ServiceLoop");
        cluster.create(json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec })).await;
        Self { cluster, namespace: namespace.to_owned(), rates, installation, flyball, since }
    }

    async fn status(&self) -> Value {
        let path = format!("/apis/flyball.dev/v1alpha1/namespaces/{}/serviceloops/{NAME}", self.namespace);
        self.cluster.get(&path).await["status"].clone()
    }

    /// Waits until the loop shows `text` in its status.
    async fn shows(&self, text: &str) {
        eventually(&format!("the status says `{text}`"), PATIENCE, async || {
            self.status().await.to_string().contains(text).then_some(())
        })
        .await;
    }

    /// Waits for an Event with this reason and text.
    async fn tells(&self, reason: &str, text: &str) {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.namespace);
        eventually(&format!("an Event {reason} that says `{text}`"), PATIENCE, async || {
            let events = self.cluster.get(&path).await;
            let told =
                |event: &&Value| event["reason"] == reason && event["note"].as_str().unwrap_or("").contains(text);
            events["items"].as_array()?.iter().find(told).map(drop)
        })
        .await;
    }

    async fn wants(&self, replicas: u32) {
        eventually(&format!("{replicas} replicas"), PATIENCE, async || {
            (self.cluster.deployment(&self.namespace, NAME).await["spec"]["replicas"] == replicas).then_some(())
        })
        .await;
    }

    fn needs(&self, replicas: u32) {
        self.rates.set(&self.namespace, NAME, f64::from(replicas) * PER_POD - 5.0);
    }

    /// Returns every write of the replicas by flyball, as etcd has them.
    async fn written(&self) -> Vec<Move> {
        moves_since(self.since.0).await.into_iter().filter(|it| it.manager == "flyball").collect()
    }

    /// Asserts that flyball asked for no write that the server refused.
    fn nothing_refused(&self) {
        let patches = requests().into_iter().filter(|it| it.verb == "patch" && it.arrived > self.since.1);
        let refused: Vec<_> = patches.filter(|it| it.uri.contains("/scale") && it.status != 200).collect();
        assert!(refused.is_empty(), "{refused:?}");
    }

    fn stop(self) {
        assert!(self.flyball.stop().success());
        let why = self.installation.ask(&["explain", &format!("{}/{NAME}", self.namespace)]);
        assert!(why.status.success(), "{}", String::from_utf8_lossy(&why.stderr));
    }
}

const CAPACITY: &str = include_str!("../../../deploy/policies/capacity.rhai");
const DECLARED: &str = "  capacity: { per_pod_rate: 10, utilisation: 1.0, start_time: 1s }\n";

/// A person and a tool do the same in two ways: the replicas go back on flyball, which tries once more and stands down.
#[tokio::test(flavor = "multi_thread")]
async fn x1_x3_who_sets_the_replicas_back_twice_is_left_alone_and_named() {
    for (namespace, manager) in [("tool", "lab-gitops"), ("person", "kubectl")] {
        let governed = Governed::start(namespace, 2, CAPACITY, DECLARED).await;
        let set_back = || match manager {
            "kubectl" => kubectl(&format!("scale deployment/{NAME} -n {namespace} --replicas 3")),
            tool => {
                let file = manifest(namespace, 3);
                let path = file.path().display();
                kubectl(&format!("apply --server-side --force-conflicts --field-manager {tool} -f {path}"));
            }
        };
        governed.needs(5);
        governed.wants(5).await;
        sleep(A_LOOK).await;
        set_back();
        governed.tells("Conflict", manager).await;
        governed.wants(5).await;
        sleep(A_LOOK).await;
        set_back();
        governed.shows("held by ownership").await;
        let status = governed.status().await.to_string();
        assert!(status.contains("standing down") || status.contains(manager), "{status}");
        sleep(TWO_COOLDOWNS).await;
        let written = governed.written().await;
        println!("{{\"fights_writes\": {}, \"by\": \"{manager}\"}}", written.len());
        assert_eq!(written.iter().map(|it| it.to).collect::<Vec<_>>(), [5, 5], "{written:?}");
        assert_eq!(governed.cluster.deployment(namespace, NAME).await["spec"]["replicas"], 3);
        governed.nothing_refused();
        governed.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k12_a_target_made_anew_is_another_one_and_is_decided_on_anew() {
    let governed = Governed::start("anew", 2, CAPACITY, DECLARED).await;
    governed.needs(4);
    governed.wants(4).await;
    let old = governed.cluster.deployment("anew", NAME).await["metadata"]["uid"].clone();
    kubectl(&format!("delete deployment/{NAME} -n anew"));
    governed.shows("TargetUnknown").await;
    governed.needs(6);
    sleep(Duration::from_secs(5)).await;
    let anew = rig::idle(&governed.cluster, "anew", NAME, 3).await;
    assert_ne!(anew["metadata"]["uid"], old);
    governed.wants(6).await;
    governed.shows("Deciding").await;
    let written = governed.written().await;
    let steps: Vec<_> = written.iter().map(|it| (it.from, it.to)).collect();
    assert_eq!(steps, [(Some(2), 4), (Some(3), 6)], "{written:?}");
    governed.nothing_refused();
    governed.stop();
}

/// Lowers at every look; only the guards say when.
const DOWN: &str =
    "rule(\"down\", #{ priority: 1, goal: \"cost\" }, |s, p| [when(s.rps.current < rps(1000)), scale_to(2)]);\n";

#[tokio::test(flavor = "multi_thread")]
async fn inv_27_nothing_is_lowered_while_a_rollout_is_under_way() {
    let governed = Governed::start("rollout", 6, DOWN, "").await;
    // A change of the template that does not come through until somebody lets it.
    let path = format!("/apis/apps/v1/namespaces/rollout/deployments/{NAME}");
    let template = json!({ "metadata": { "annotations": { "changed": "yes" } } });
    let paused = json!({ "spec": { "paused": true, "template": template } });
    assert_eq!(governed.cluster.patch(&path, paused).await, 200);
    // Longer than the shortest window after which a lowering may pass.
    governed.shows("held by in_flight").await;
    sleep(Duration::from_secs(75)).await;
    assert_eq!(governed.written().await, []);
    governed.shows("held by in_flight").await;
    governed.tells("ActionBlocked", "a rollout is under way").await;
    assert_eq!(governed.cluster.patch(&path, json!({ "spec": { "paused": false } })).await, 200);
    eventually("it is lowered once the rollout is over", Duration::from_secs(120), async || {
        (!governed.written().await.is_empty()).then_some(())
    })
    .await;
    governed.nothing_refused();
    governed.stop();
}

fn settings(telemetry: &str, capacity: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\n\
         sources:\n  rates: {{ kind: prometheus, url: \"{telemetry}\", interval: 1s, history: 0s }}\n\
         signals:\n  rps:\n    source: rates\n    query: 'sum by (namespace, service) (x{{$selector}})'\n    \
         samples: 'x{{$selector}}'\n    labels: [namespace, service]\n    unit: per_second\n    role: arrival_rate\n    \
         range: [0, 1e6]\n    scrape_interval: 1s\n\
         defaults:\n  signals: [rps]\n  slo: {{ p99: 200ms, error_ratio: 0.01 }}\n  \
         guards: {{ stabilisation: 60s, reversal_lock: 60s, lower_cooldown: 60s }}\n{capacity}\
         services: serviceloops\n"
    )
}

/// Makes the custom resources known, and a bound that cuts nothing.
fn custom_resources() {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base");
    kubectl(&format!("apply --server-side --force-conflicts -f {base}/crds.yaml"));
    kubectl(
        "wait --for condition=established --timeout 30s crd/serviceloops.flyball.dev crd/platformbounds.flyball.dev",
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let spec = json!({ "maxReplicas": 100, "maxMode": "auto" });
    let bound = json!({ "apiVersion": "flyball.dev/v1alpha1", "kind": "PlatformBound", "metadata": { "name": "flyball" }, "spec": spec });
    std::fs::write(file.path(), bound.to_string()).unwrap();
    kubectl(&format!("apply --server-side --force-conflicts -f {}", file.path().display()));
}

/// Returns what a tool keeps of the Deployment: its replicas.
fn manifest(namespace: &str, replicas: u32) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut object = rig::idle_manifest(namespace, NAME, replicas);
    object["metadata"]["labels"] = json!({ "applied-by": "tool" });
    std::fs::write(file.path(), object.to_string()).unwrap();
    file
}

fn kubectl(arguments: &str) {
    let mut command = Command::new("kubectl");
    command.env("KUBECONFIG", directory().join("admin.kubeconfig"));
    let output = command.args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
