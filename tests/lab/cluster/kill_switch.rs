//! The kill switch under a stream of writes: the API server's own log tells when the last one arrived.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::kills::Real;
use super::witness::{Request, requests};
use crate::eventually;
use crate::support::flyball::Installation;
use crate::support::kills::{POLICY, Rates, Server, places, settings};

/// One more service is asked to grow at this pace.
const PACE: Duration = Duration::from_millis(250);
/// So many before the switch is engaged, and so many after.
const ASKED: usize = 24;
/// The longest time from the switch to the last write that starts.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn no_write_arrives_later_than_a_second_after_the_kill_switch() {
    let server = Real::start().await;
    let telemetry = Rates::start().await;
    let installation = Installation::new(
        Path::new(env!("CARGO_BIN_EXE_flyball")),
        &settings(&telemetry.url, ""),
        &[("capacity.rhai", POLICY)],
    );
    let installation = installation.with_environment(server.environment());
    for (namespace, name) in places() {
        server.add(&namespace, &name, 1).await;
        telemetry.set(&namespace, &name, 5.0);
    }
    let begin = Timestamp::now();
    let mut flyball = installation.start(None);
    let url = flyball.url();
    eventually("flyball is ready", Duration::from_secs(30), async || {
        reqwest::get(format!("{url}/readyz")).await.ok()?.error_for_status().ok()
    })
    .await;

    let mut places = places();
    let mut ask = async |count: usize| {
        for (namespace, name) in places.by_ref().take(count) {
            telemetry.set(&namespace, &name, 15.0);
            sleep(PACE).await;
        }
    };
    ask(ASKED).await;
    assert!(installation.ask(&["kill", "--reason", "drill"]).status.success());
    let engaged = Timestamp::now();
    ask(ASKED).await;
    let before = written(begin);
    assert!(before.len() > ASKED / 2, "too few writes before the switch: {before:?}");
    let last = before.iter().map(|request| request.arrived).max().unwrap();
    println!("{{\"kill_switch_ms\": {}}}", last.duration_since(engaged).as_millis().max(0));
    assert!(last < engaged + SECOND, "a write arrived {:#} after the switch", last.duration_since(engaged));

    assert!(installation.ask(&["resume", "--reason", "drill over"]).status.success());
    eventually("writes go on", Duration::from_secs(30), async || (written(begin).len() > before.len()).then_some(()))
        .await;
    assert!(flyball.stop().success());
}

/// Returns the accepted writes since `begin`.
fn written(begin: Timestamp) -> Vec<Request> {
    requests().into_iter().filter(|it| it.verb == "patch" && it.status == 200 && it.arrived > begin).collect()
}
