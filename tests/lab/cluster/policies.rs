//! A policy edited while flyball runs, in a directory and in a ConfigMap: the next decision uses the new one, a broken
//! one changes nothing and is reported in status, Event, metric and log. Judged by the API and the audit log.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::sleep;

use super::governed::{DECLARED, Governed, NAME, POLICY, kubectl};
use super::witness::requests;
use crate::eventually;

/// Never acts.
const QUIET: &str =
    "rule(\"up\", #{ priority: 1, goal: \"protect\" }, |s, p| [when(s.rps.current > rps(1000000)), scale_to(99)]);\n";
/// Would act immediately if it could be read.
const BROKEN: &str =
    "rule(\"up\", #{ priority: 1, goal: \"protect\" }, |s, p| [when(s.rsp.current > rps(0)), scale_to(99)]);\n";
/// From the edit to the active set.
const IN_FORCE: SignedDuration = SignedDuration::from_secs(1);
/// Between two decisions.
const TICK: SignedDuration = SignedDuration::from_secs(1);
/// Time for telemetry, decision and write on a busy machine.
const ROUND: SignedDuration = SignedDuration::from_millis(500);
const MAP: &str = "/api/v1/namespaces/flyball-system/configmaps/lab-policies";

/// Location of the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Directory,
    ConfigMap,
}

impl Place {
    /// Saves an edit as a person would, and returns when it started.
    async fn edit(self, governed: &Governed, policy: &str) -> Timestamp {
        let begun = Timestamp::now();
        match self {
            Self::Directory => std::fs::write(governed.installation.path("policies/p.rhai"), policy).unwrap(),
            Self::ConfigMap => {
                assert_eq!(governed.cluster.patch(MAP, json!({ "data": { "p.rhai": policy } })).await, 200);
            }
        }
        begun
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_an_edit_of_a_directory_changes_the_next_decision_and_a_broken_one_nothing() {
    let took = edited(Place::Directory, "policy-files", "").await;
    println!("{{\"policy_edit_to_write_ms\": {}}}", took.as_millis());
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_an_edit_of_a_configmap_changes_the_next_decision_and_a_broken_one_nothing() {
    // The shipped ones remain if the test of the shipped manifests ran before, and would act.
    kubectl("delete configmap -n flyball-system -l flyball.dev/policies");
    kubectl("create configmap lab-policies -n flyball-system");
    kubectl("label configmap lab-policies -n flyball-system flyball.dev/policies=yes");
    let cluster = super::Cluster::open().await;
    assert_eq!(cluster.patch(MAP, json!({ "data": { "p.rhai": QUIET } })).await, 200);
    let took = edited(Place::ConfigMap, "policy-maps", "policies: configmaps\nnamespace: flyball-system\n").await;
    println!("{{\"policy_edit_to_write_ms\": {}}}", took.as_millis());
    kubectl("delete configmap lab-policies -n flyball-system");
}

/// Returns how long after the edit its write arrived.
async fn edited(place: Place, namespace: &str, more: &str) -> SignedDuration {
    let mut governed = Governed::start_with(namespace, 2, QUIET, DECLARED, more).await;
    let url = governed.flyball.url();
    governed.needs(5);
    governed.shows("Deciding").await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(governed.written().await, [], "the first policy never acts");

    let begun = place.edit(&governed, POLICY).await;
    governed.wants(5).await;
    let scale = format!("/namespaces/{namespace}/deployments/{NAME}/scale");
    let write = requests().into_iter().find(|it| it.verb == "patch" && it.uri.contains(&scale)).unwrap();
    let took = write.arrived.duration_since(begun);
    assert!(took < IN_FORCE + TICK + ROUND, "the write by the new policy came after {took:#}");

    place.edit(&governed, BROKEN).await;
    governed.tells("PolicyRefused", "rsp").await;
    eventually("the status says so", super::PATIENCE, async || {
        let status = governed.status().await;
        let condition = status["conditions"].as_array()?.iter().find(|one| one["type"] == "PolicyAccepted")?.clone();
        let message = condition["message"].as_str()?;
        (condition["status"] == "False" && message.contains("p.rhai") && message.contains("rsp")).then_some(())
    })
    .await;
    let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("flyball_policy_reloads_total{result=\"refused\"} 1"), "{metrics}");
    let line = governed.flyball.line("policy set refused", Duration::from_secs(5));
    assert!(line.is_some_and(|line| line.contains("rsp")));
    let mut expected = vec![(Some(2), 5)];
    // Once is enough: refusals do not depend on the location.
    if place == Place::Directory {
        // The previous set stays until it is fixed.
        governed.needs(8);
        governed.wants(8).await;
        expected.push((Some(5), 8));
        place.edit(&governed, QUIET).await;
        governed.shows("the newest policies are active").await;
    }
    let written: Vec<_> = governed.written().await.iter().map(|it| (it.from, it.to)).collect();
    assert_eq!(written, expected);
    governed.nothing_refused();
    governed.stop();
    took
}
