//! Nodes without room: raised pods stay Unschedulable. flyball stops raising, says so, and continues once there is
//! room. Judged by etcd's history and what the API shows.

use serde_json::{Value, json};

use super::governed::{DECLARED, Governed, NAME, POLICY};
use super::{PATIENCE, rig};
use crate::eventually;

const NAMESPACE: &str = "room";
/// Takes all available room.
const OTHER: &str = "other";
/// Returns how many pods of an application wait for a node.
async fn unschedulable(governed: &Governed, application: &str) -> usize {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3D{application}");
    let pods = governed.cluster.get(&path).await;
    let waits = |pod: &&Value| pod["status"]["conditions"][0]["reason"] == "Unschedulable";
    pods["items"].as_array().unwrap().iter().filter(waits).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn x5_where_no_node_has_room_flyball_stops_raising_until_one_has() {
    let governed = Governed::start(NAMESPACE, 2, POLICY, DECLARED).await;
    let (cluster, most) = (&governed.cluster, most_pods());
    governed.shows("Deciding").await;
    rig::idle(cluster, NAMESPACE, OTHER, most).await;
    eventually("all nodes are there, and full", 2 * PATIENCE, async || {
        (rig::ready(cluster, NAMESPACE, OTHER).await == most - 2 && unschedulable(&governed, OTHER).await == 2)
            .then_some(())
    })
    .await;

    governed.needs(5);
    governed.wants(5).await;
    governed.needs(9);
    governed.shows("held by convergence").await;
    // An Event per loop and reason appears at most once a minute: more raises would have had time to happen.
    governed.tells("ActionBlocked", "more pods would not start either").await;
    assert_eq!(unschedulable(&governed, NAME).await, 3);
    governed.shows("held by convergence").await;
    let steps = async || governed.written().await.iter().map(|it| (it.from, it.to)).collect::<Vec<_>>();
    assert_eq!(steps().await, [(Some(2), 5)]);

    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{OTHER}");
    assert_eq!(cluster.patch(&path, json!({ "spec": { "replicas": most - 20 } })).await, 200);
    governed.wants(9).await;
    assert_eq!(steps().await, [(Some(2), 5), (Some(5), 9)]);
    governed.nothing_refused();
    governed.stop();
}

/// Returns how many pods fit on all nodes that can be started.
fn most_pods() -> u32 {
    let nodes = std::env::var("FLYBALL_LAB_MOST_NODES").map_or(4, |nodes| nodes.parse().unwrap());
    10 * nodes
}
