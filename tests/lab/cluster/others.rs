//! Others who act on a supervised target: a person, a tool that reapplies its manifest, a rollout, a client that
//! recreates it. flyball yields or holds, and reports it. Judged by etcd's history, the audit log and what the API
//! shows of the loop.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::governed::{DECLARED, Governed, NAME, POLICY, kubectl};
use super::rig;
use crate::eventually;

/// A raise required by the arrival rate may follow another after 15 s; two such chances.
const TWO_COOLDOWNS: Duration = Duration::from_secs(35);

/// Longer than flyball takes to see its own write: a reset before that is noticed half a minute later.
const A_LOOK: Duration = Duration::from_secs(3);

/// A person and a tool in two ways: the replicas are reset, flyball tries once more and stands down.
#[tokio::test(flavor = "multi_thread")]
async fn x1_x3_who_sets_the_replicas_back_twice_is_left_alone_and_named() {
    for (namespace, manager) in [("tool", "lab-gitops"), ("person", "kubectl")] {
        let governed = Governed::start(namespace, 2, POLICY, DECLARED).await;
        let set_back = || match manager {
            "kubectl" => kubectl(&format!("scale deployment/{NAME} -n {namespace} --replicas 3")),
            tool => {
                let file = manifest(namespace, 3);
                let path = file.path().display();
                kubectl(&format!("apply --server-side --force-conflicts --field-manager {tool} -f {path}"))
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
    let governed = Governed::start("anew", 2, POLICY, DECLARED).await;
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

/// Lowers whenever possible; only the guards decide when.
const DOWN: &str =
    "rule(\"down\", #{ priority: 1, goal: \"cost\" }, |s, p| [when(s.rps.current < rps(1000)), scale_to(2)]);\n";

#[tokio::test(flavor = "multi_thread")]
async fn inv_27_nothing_is_lowered_while_a_rollout_is_under_way() {
    let governed = Governed::start("rollout", 6, DOWN, "").await;
    // A template change that does not complete until the test allows it.
    let path = format!("/apis/apps/v1/namespaces/rollout/deployments/{NAME}");
    let template = json!({ "metadata": { "annotations": { "changed": "yes" } } });
    let paused = json!({ "spec": { "paused": true, "template": template } });
    assert_eq!(governed.cluster.patch(&path, paused).await, 200);
    // Longer than the shortest window after which a lowering may pass.
    governed.shows("held by in_flight").await;
    sleep(Duration::from_secs(75)).await;
    assert_eq!(governed.written().await, []);
    governed.shows("held by in_flight").await;
    governed.tells("ActionBlocked", "a rollout is in progress").await;
    assert_eq!(governed.cluster.patch(&path, json!({ "spec": { "paused": false } })).await, 200);
    eventually("it is lowered once the rollout is over", Duration::from_secs(120), async || {
        (!governed.written().await.is_empty()).then_some(())
    })
    .await;
    governed.nothing_refused();
    governed.stop();
}

/// Returns the part of the Deployment that a tool keeps: its replicas.
fn manifest(namespace: &str, replicas: u32) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut object = rig::idle_manifest(namespace, NAME, replicas);
    object["metadata"]["labels"] = json!({ "applied-by": "tool" });
    std::fs::write(file.path(), object.to_string()).unwrap();
    file
}
