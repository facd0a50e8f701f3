//! Time from a decision to the API server's answer that it is done: intent durable, live read, conditional write. The
//! end comes from the server's audit log.

use std::path::Path;
use std::time::Duration;

use flyball::adapters::store::JournalReader;
use flyball::model::{DecisionRecord, WriteOutcome};
use jiff::Timestamp;
use serde_json::json;

use super::kills::Real;
use super::witness::{Request, requests};
use super::{PATIENCE, account};
use crate::eventually;
use crate::support::flyball::Installation;
use crate::support::kills::{POLICY, Rates, Server, settings_of};

const NAMESPACES: usize = 5;
const SERVICES: usize = 40;
/// Time between raises: below what a fleet may write per minute.
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
    // The shipped build is not a debug build.
    let program = std::env::var("FLYBALL_LAB_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_flyball").to_owned());
    let installation = Installation::new(Path::new(&program), &settings, &[("capacity.rhai", POLICY)]);
    let installation = installation.with_environment(vec![account()]);
    let mut flyball = installation.start(None);
    flyball.ready().await;
    for (namespace, name) in places() {
        telemetry.set(&namespace, &name, 15.0);
        tokio::time::sleep(APART).await;
    }
    eventually("all are raised", PATIENCE, async || {
        (server.writes().await.len() == NAMESPACES * SERVICES).then_some(())
    })
    .await;
    assert!(flyball.stop().success());

    let requests = requests();
    // From the decision to the arrival of the live read, to that of the write, to the end of its answer; milliseconds.
    let took = |record: &DecisionRecord| {
        let change = record.change.as_ref().filter(|_| record.outcome == Some(WriteOutcome::Applied))?;
        let path = format!("/namespaces/{}/deployments/{}/scale", change.target.namespace, change.target.name);
        let ours = |verb: &str| {
            let ours = |it: &&Request| it.verb == verb && it.status == 200 && it.uri.contains(&path);
            requests.iter().filter(ours).find(|it| it.arrived >= change.decided.wall).expect("the server saw it")
        };
        let since = |at: Timestamp| (at.as_microsecond() - change.decided.wall.as_microsecond()) as f64 / 1e3;
        Some([since(ours("get").arrived), since(ours("patch").arrived), since(ours("patch").answered)])
    };
    let records = JournalReader::open(&installation.journal()).unwrap().decisions(None, None, usize::MAX).unwrap();
    let took: Vec<[f64; 3]> = records.iter().filter_map(took).collect();
    assert_eq!(took.len(), NAMESPACES * SERVICES);
    let quantile = |part: usize, percent: usize| {
        let mut part: Vec<f64> = took.iter().map(|it| it[part]).collect();
        part.sort_by(f64::total_cmp);
        part[(part.len() * percent).div_ceil(100) - 1]
    };
    println!(
        "{}",
        json!({
            "decision_to_accepted_p99_ms": quantile(2, 99), "p50_ms": quantile(2, 50), "writes": took.len(),
            "read_p50_ms": quantile(0, 50), "write_p50_ms": quantile(1, 50),
        })
    );
}
