//! Loops, their namespaces, the custom resources and everything shipped are deleted while flyball runs: nothing blocks,
//! no needed capacity is lost, and a floor that flyball raised returns if that is safe. Judged by etcd's history.

use std::time::Duration;

use tokio::time::sleep;

use super::governed::{DECLARED, Governed, NAME, PER_POD, POLICY, custom_resources, declare, kubectl};
use super::witness::{Move, floors_since, moves_since};
use super::{Cluster, PATIENCE, directory, rig};
use crate::eventually;

const SETTINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
const CEILING: u32 = 10;

/// Creates workers scaled by an autoscaler, and waits until it is active.
async fn scaled(cluster: &Cluster, namespace: &str) {
    rig::workload(cluster, namespace, NAME, 2).await;
    rig::autoscaler(cluster, namespace, NAME, (2, CEILING)).await;
}

async fn floor(cluster: &Cluster, namespace: &str) -> u64 {
    cluster.get(&rig::autoscaler_path(namespace, NAME)).await["spec"]["minReplicas"].as_u64().unwrap()
}

async fn until_floor(cluster: &Cluster, namespace: &str, wanted: u64, within: Duration) {
    eventually(&format!("a floor of {wanted} in {namespace}"), within, async || {
        (floor(cluster, namespace).await == wanted).then_some(())
    })
    .await;
}

fn steps(moves: Vec<Move>, namespace: &str) -> Vec<(u32, u32)> {
    let ours = moves.into_iter().filter(|it| it.namespace == namespace);
    ours.filter_map(|it| Some((it.from?, it.to))).collect()
}

/// Raises by measured values, and declares no capacity: a lowering depends only on the last 60 s.
const BY_STEPS: &str = r#"
rule("more", #{ priority: 9, goal: "protect" }, |s, p| [when(s.rps.current > rps(50)), scale_to(9)]);
rule("some", #{ priority: 1, goal: "protect" }, |s, p| [when(s.rps.current > rps(20)), scale_to(3)]);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn x2_what_is_deleted_blocks_nothing_costs_no_capacity_and_returns_its_floor() {
    let cluster = Cluster::open().await;
    let all = ["kept", "gone", "leaves"];
    cluster.namespaces(&all.map(str::to_owned)).await;
    for namespace in all {
        scaled(&cluster, namespace).await;
    }
    let mut governed = Governed::start_over(cluster.clone(), "kept", 2, BY_STEPS, "", "").await;
    declare(&cluster, "gone").await;
    declare(&cluster, "leaves").await;
    for namespace in all {
        governed.rates.set(namespace, NAME, 25.0);
        until_floor(&cluster, namespace, 3, PATIENCE).await;
    }
    let since = governed.since.0;
    // Only a loop. Nothing there requests more any longer.
    kubectl(&format!("delete serviceloop {NAME} -n leaves --timeout 20s"));
    governed.rates.set("leaves", NAME, 95.0);
    // A namespace including its loop.
    kubectl("delete namespace gone --timeout 60s");
    until_floor(&cluster, "leaves", 2, Duration::from_secs(150)).await;
    let autoscaler = cluster.get(&rig::autoscaler_path("leaves", NAME)).await;
    assert!(autoscaler["metadata"]["annotations"]["flyball.dev/floor-baseline"].is_null(), "{autoscaler}");
    assert_eq!(steps(floors_since(since).await, "leaves"), [(2, 3), (3, 2)]);
    // Everything, while a loop is declared and flyball runs.
    kubectl(&format!("apply --server-side --force-conflicts -k {SETTINGS}/base"));
    kubectl(&format!("delete -k {SETTINGS}/base --ignore-not-found --timeout 90s"));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(governed.flyball.ended(), None, "{}", governed.flyball.log());
    assert_eq!(steps(floors_since(since).await, "kept"), [(2, 3)]);
    // Once the floor is back the autoscaler does what it would have done without flyball.
    let moves = moves_since(since).await;
    assert!(moves.iter().all(|it| it.manager != "flyball"), "{moves:?}");
    assert!(steps(moves, "kept").into_iter().all(|(from, to)| to > from), "pods went although the load needs them");
    governed.stop();
    account_again();
}

/// Restores flyball's account for the other tests.
fn account_again() {
    kubectl(&format!("apply --server-side --force-conflicts -f {SETTINGS}/base/rbac.yaml"));
    let token = kubectl("create token flyball --namespace flyball-system --duration 24h");
    let file = directory().join("flyball.kubeconfig");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, old) = text.split_once("token: \"").unwrap();
    let after = old.split_once('"').unwrap().1;
    std::fs::write(file, format!("{before}token: \"{}\"{after}", token.trim())).unwrap();
}

/// The order in which the rest is deleted after the loops are gone: what binds the account, then what bounds it.
const REST: [&str; 3] = ["rbac.yaml", "admission.yaml", "crds.yaml"];

#[tokio::test(flavor = "multi_thread")]
async fn x2_the_custom_resources_deleted_alone_and_the_rest_in_another_order_block_nothing_and_cost_no_capacity() {
    const FLOOR: &str = "floored";
    let cluster = Cluster::open().await;
    cluster.namespaces(&["bare".to_owned(), FLOOR.to_owned()]).await;
    rig::idle(&cluster, "bare", NAME, 2).await;
    scaled(&cluster, FLOOR).await;
    let mut governed = Governed::start_over(cluster.clone(), "bare", 2, POLICY, DECLARED, "").await;
    declare(&cluster, FLOOR).await;
    let needs = async |governed: &Governed, replicas: u32| {
        for namespace in ["bare", FLOOR] {
            governed.rates.set(namespace, NAME, f64::from(replicas) * PER_POD - 5.0);
        }
        governed.wants(replicas).await;
        until_floor(&cluster, FLOOR, u64::from(replicas), PATIENCE).await;
    };
    needs(&governed, 4).await;
    let since = governed.since.0;
    // Each alone, with loops declared and raised; the bound last, without which nothing is written.
    for resource in ["loopactions", "serviceloops", "platformbounds"] {
        kubectl(&format!("delete crd {resource}.flyball.dev --timeout 30s"));
    }
    // Longer than the shortest time after which a lowering may pass.
    sleep(Duration::from_secs(80)).await;
    assert_eq!(governed.flyball.ended(), None, "{}", governed.flyball.log());
    assert_eq!(steps(moves_since(since).await, "bare"), [(2, 4)]);
    assert_eq!(steps(floors_since(since).await, FLOOR), [(2, 4)]);

    // Installed again, they continue from the current state.
    custom_resources();
    for namespace in ["bare", FLOOR] {
        declare(&cluster, namespace).await;
    }
    needs(&governed, 6).await;
    kubectl(&format!("apply --server-side --force-conflicts -f {SETTINGS}/base/admission.yaml"));
    for file in REST {
        kubectl(&format!("delete -f {SETTINGS}/base/{file} --ignore-not-found --timeout 90s"));
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!(governed.flyball.ended(), None, "{}", governed.flyball.log());
    assert_eq!(steps(moves_since(since).await, "bare"), [(2, 4), (4, 6)]);
    assert_eq!(steps(floors_since(since).await, FLOOR), [(2, 4), (4, 6)]);
    assert!(governed.flyball.stop().success());
    account_again();
}
