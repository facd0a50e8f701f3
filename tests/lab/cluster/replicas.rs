//! Two flyballs on one Lease of the real API server, with the account and the roles that are shipped; etcd's history is
//! the witness of what was written.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::kills::Real;
use super::{Cluster, directory};
use crate::replicas::{Outside, assert_kept, replicas, stops};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

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
}

fn administer(arguments: &str) {
    let mut command = Command::new("kubectl");
    command.env("KUBECONFIG", directory().join("admin.kubeconfig")).args(arguments.split_whitespace());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_r10_l2_two_replicas_on_a_real_server_hand_over_and_fail_over_and_write_once() {
    let server = prepared().await;
    let report = replicas(Path::new(env!("CARGO_BIN_EXE_flyball")), &server).await;
    clean_up();
    println!("{}", serde_json::to_string(&report).unwrap());
    assert_kept(&report);
}

/// Between the last check and the sending of a write is the worst place to be stopped at; `FLYBALL_LAB_STOPS` names others,
/// with commas in between.
const STOPS: &str = "gate_checked";

#[tokio::test(flavor = "multi_thread")]
async fn l2_t2_a_leader_that_is_stopped_inside_a_write_for_longer_than_its_lease_doubles_and_loses_nothing() {
    let server = prepared().await;
    let steps = std::env::var("FLYBALL_LAB_STOPS").unwrap_or_else(|_| STOPS.to_owned());
    let steps: Vec<&str> = steps.split(',').collect();
    let report = stops(Path::new(env!("CARGO_BIN_EXE_flyball")), &server, &steps).await;
    clean_up();
    println!("{}", serde_json::to_string(&report).unwrap());
    assert_kept(&report);
}

async fn prepared() -> Real {
    let server = Real::start().await;
    administer(&format!("apply --server-side --force-conflicts -f {DEPLOY}/base/crds.yaml"));
    administer("wait --for condition=established --timeout 30s crd/loopactions.flyball.dev");
    administer(&format!("apply --server-side --force-conflicts -f {DEPLOY}/overlays/replicas/rbac.yaml"));
    server
}

fn clean_up() {
    administer("delete lease flyball --namespace flyball-system");
    administer(&format!("delete -f {DEPLOY}/base/crds.yaml"));
}
