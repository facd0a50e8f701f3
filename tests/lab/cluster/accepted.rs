//! How long it takes from a decision to the API server's answer that it is done: intent durable, live read, conditional
//! write. The end is told by the audit log of the server.

use std::path::Path;
use std::time::Duration;

use flyball::adapters::store::JournalReader;
use flyball::model::WriteOutcome;
use serde_json::json;

use super::kills::Real;
use super::witness::requests;
use super::{PATIENCE, account};
use crate::eventually;
use crate::support::flyball::Installation;
use crate::support::kills::{POLICY, Rates, Server, settings_of};

const NAMESPACES: usize = 5;
const SERVICES: usize = 40;
/// From one raise to the next: below what a fleet may write in a minute.
const APART: Duration = Duration::from_millis(1250);

fn places() -> impl Iterator<Item = (String, String)> + Clone {
    let place = |index: usize| (format!("n{}", index % NAMESPACES), format!("s{}", index / NAMESPACES));
    (0..NAMESPACES * SERVICES).map(place)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "5 minutes; scripts/lab/score runs it"]
async fn decisions_one_after_the_other() {
    let server = Real::start().await;
    let telemetry = Rates::start().await;
    for (namespace, name) in places() {
        server.add(&namespace, &name, 1).await;
        telemetry.set(&namespace, &name, 5.0);
    }
    let settings = settings_of(places(), &telemetry.url, "");
    let installation =
        Installation::new(Path::new(env!("CARGO_BIN_EXE_flyball")), &settings, &[("capacity.rhai", POLICY)]);
    let installation = installation.with_environment(vec![account()]);
    let mut flyball = installation.start(None);
    let url = flyball.url();
    eventually("flyball is ready", PATIENCE, async || {
        reqwest::get(format!("{url}/readyz")).await.is_ok_and(|answer| answer.status().is_success()).then_some(())
    })
    .await;
    for (namespace, name) in places() {
        telemetry.set(&namespace, &name, 15.0);
        tokio::time::sleep(APART).await;
    }
    eventually("all are raised", PATIENCE, async || {
        (server.writes().await.len() == NAMESPACES * SERVICES).then_some(())
    })
    .await;
    assert!(flyball.stop().success());

    let answers: Vec<_> = requests().into_iter().filter(|it| it.verb == "patch" && it.status == 200).collect();
    let took = |record: &flyball::model::DecisionRecord| {
        let change = record.change.as_ref().filter(|_| record.outcome == Some(WriteOutcome::Applied))?;
        let path = format!("/namespaces/{}/deployments/{}/scale?", change.target.namespace, change.target.name);
        let answer = answers.iter().rfind(|answer| answer.uri.contains(&path)).expect("the server saw it");
        Some(answer.answered.as_microsecond() - change.decided.wall.as_microsecond())
    };
    let records = JournalReader::open(&installation.journal()).unwrap().recent(None, usize::MAX).unwrap();
    let mut took: Vec<f64> = records.iter().filter_map(took).map(|microseconds| microseconds as f64 / 1e3).collect();
    took.sort_by(f64::total_cmp);
    assert_eq!(took.len(), NAMESPACES * SERVICES);
    let quantile = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
    println!(
        "{}",
        json!({ "decision_to_accepted_p99_ms": quantile(99), "p50_ms": quantile(50), "writes": took.len() })
    );
}
