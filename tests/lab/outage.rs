//! A Prometheus that stops, hangs and returns, and workers that report wrong values: typed, visible, harmless.

use std::time::Duration;

use crate::eventually;
use crate::governed::{Lab, PER_POD, WITHIN};
use crate::prometheus::Prometheus;
use crate::worker::Worker;

const SCRAPES: Duration = Duration::from_secs(1);
/// Longer than the cooldown between two raises, and than a value stays fresh.
const AWAY: Duration = Duration::from_secs(20);
const START: u32 = 4;

/// Returns a load that needs this many replicas.
fn load(replicas: u32) -> f64 {
    (f64::from(replicas) - 0.5) * PER_POD
}

async fn started(workers: &[Worker]) -> Prometheus {
    let mut prometheus = Prometheus::new(workers, SCRAPES);
    prometheus.start().await;
    prometheus
}

/// Waits until a service has a fresh reading of about `rate`.
async fn until_seen(lab: &Lab, service: &str, rate: f64) {
    eventually(&format!("{service} is seen at {rate}/s"), WITHIN, async || {
        let reading = lab.reading(service).await;
        let value = reading["sample"]["value"].as_f64()?;
        (reading["state"] == "fresh" && (value - rate).abs() < 0.1 * rate).then_some(())
    })
    .await;
}

/// Waits until the reading of a service gives this reason for its missing value.
async fn until_missing(lab: &Lab, service: &str, why: &str) {
    eventually(&format!("{service} is {why}"), WITHIN, async || {
        let reading = lab.reading(service).await;
        (reading["state"] == "gap" && reading["missing"]["why"] == why).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_prometheus_stopped_in_a_surge_lowers_nothing_and_the_surge_is_met_after_it() {
    const SERVICE: &str = "shop/checkout";
    let workers = [Worker::start(SERVICE, load(3)).await];
    let mut prometheus = started(&workers).await;
    let mut lab = Lab::start(&[&prometheus], "0s", &[(SERVICE, "auto", 0)], START).await;
    lab.until_ready().await;
    until_seen(&lab, SERVICE, load(3)).await;

    workers[0].serve(load(30), 0.0, 0.05);
    eventually("a first raise", WITHIN, async || lab.writes(SERVICE).first().cloned()).await;
    prometheus.stop();
    until_missing(&lab, SERVICE, "source_down").await;
    assert_eq!(lab.page("/readyz").await.0, 200, "what services lack is no fault of the process");
    let waits = lab.api("status").await["services_wait_for"].to_string();
    assert!(waits.contains(r#""kind":"telemetry","services":1"#), "{waits}");
    let (written, ticks) = (lab.writes(SERVICE), lab.metric("cycles_total", "").await);
    tokio::time::sleep(AWAY).await;
    assert_eq!(lab.writes(SERVICE), written, "a write without telemetry");
    assert!(written.last().unwrap().to < Some(30), "the surge was met before the outage: {written:?}");
    assert!(lab.metric("cycles_total", "").await > ticks + 10.0, "the loop stands");
    assert!(lab.metric("source_errors_total", "fault=\"unreachable\"").await > 0.0);

    prometheus.start().await;
    lab.until_wanted_within(SERVICE, 30, WITHIN).await;
    lab.until_ready().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = lab.writes(SERVICE);
    assert!(after.iter().all(|write| write.to <= Some(30)), "a jump: {after:?}");
    lab.assert_nothing_lowered();
    assert_eq!(lab.flyball.ended(), None);
}

/// The control shows that a lowering was due: same load, same settings, another Prometheus that stays up.
#[tokio::test(flavor = "multi_thread")]
async fn p1_where_prometheus_is_gone_nothing_is_lowered_and_where_it_is_not_it_is() {
    const BLIND: &str = "shop/checkout";
    const CONTROL: &str = "blog/web";
    const DUE: Duration = Duration::from_secs(120);
    const ASKED_AGAIN: Duration = Duration::from_secs(60);
    let workers = [Worker::start(BLIND, load(3)).await];
    let others = [Worker::start(CONTROL, load(3)).await];
    let (mut prometheus, healthy) = (started(&workers).await, started(&others).await);
    let services = [(BLIND, "auto", 0), (CONTROL, "auto", 1)];
    let lab = Lab::start_impatient(&[&prometheus, &healthy], &services, 10).await;
    until_seen(&lab, BLIND, load(3)).await;
    until_seen(&lab, CONTROL, load(3)).await;

    tokio::time::sleep(Duration::from_secs(10)).await;
    prometheus.stop();
    until_missing(&lab, BLIND, "source_down").await;
    let lowered = async |service| eventually("a lowering", DUE, async || lab.writes(service).first().cloned()).await;
    let control = lowered(CONTROL).await;
    assert_eq!((control.from, control.to), (Some(10), Some(7)), "a lowering was due");
    tokio::time::sleep(AWAY).await;
    assert_eq!(lab.writes(BLIND), [], "a write without telemetry");

    // A source that has failed for long is queried once a minute; its windows refill, and the stabilisation window
    // restarts. Then the lowering is decided; the control has spent what the fleet may lose in ten minutes.
    prometheus.start().await;
    eventually("the late lowering is decided on", ASKED_AGAIN + DUE, async || {
        let page = lab.api(&format!("decisions?service={BLIND}&limit=5")).await;
        let due = |decision: &serde_json::Value| {
            decision["change"] == serde_json::json!([10, 7]) && decision["outcome"]["refused"] == "budget"
        };
        page["decisions"].as_array()?.iter().any(due).then_some(())
    })
    .await;
    assert_eq!(lab.writes(BLIND), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_hanging_prometheus_holds_its_own_services_alone() {
    const HELD: &str = "shop/checkout";
    const OTHER: &str = "blog/web";
    let workers = [Worker::start(HELD, load(3)).await];
    let others = [Worker::start(OTHER, load(3)).await];
    let (prometheus, healthy) = (started(&workers).await, started(&others).await);
    let services = [(HELD, "auto", 0), (OTHER, "auto", 1)];
    let lab = Lab::start(&[&prometheus, &healthy], "0s", &services, START).await;
    lab.until_ready().await;
    until_seen(&lab, HELD, load(3)).await;
    until_seen(&lab, OTHER, load(3)).await;

    prometheus.pause();
    workers[0].serve(load(9), 0.0, 0.05);
    others[0].serve(load(9), 0.0, 0.05);
    until_missing(&lab, HELD, "source_down").await;
    assert_eq!(lab.page("/readyz").await.0, 200, "what services lack is no fault of the process");
    let waits = lab.api("status").await["services_wait_for"].to_string();
    assert!(waits.contains("no answer within") && waits.contains(r#""kind":"telemetry","services":1"#), "{waits}");
    assert!(lab.metric("source_errors_total", "source=\"p0\",fault=\"timed_out\"").await > 0.0);
    assert_eq!(lab.metric("source_errors_total", "source=\"p1\"").await, 0.0);
    lab.until_wanted(OTHER, 9).await;
    assert!(lab.writes(HELD).is_empty(), "a write without telemetry: {:?}", lab.writes(HELD));

    prometheus.resume();
    lab.until_wanted(HELD, 9).await;
    lab.until_ready().await;
    lab.assert_nothing_lowered();
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_p7_p14_lies_of_a_worker_are_typed_and_move_nothing() {
    const NAN: &str = "shop/nan";
    const HUGE: &str = "shop/huge";
    const GONE: &str = "shop/gone";
    const HONEST: &str = "shop/honest";
    let mut workers = Vec::new();
    for service in [NAN, HUGE, GONE, HONEST] {
        workers.push(Worker::start(service, load(3)).await);
    }
    let prometheus = started(&workers).await;
    let services = [NAN, HUGE, GONE, HONEST].map(|service| (service, "auto", 0));
    let mut lab = Lab::start(&[&prometheus], "0s", &services, START).await;
    for (service, ..) in services {
        until_seen(&lab, service, load(3)).await;
    }

    workers[0].lie(f64::NAN);
    workers[1].lie(1000.0);
    let gone = workers.remove(2);
    drop(gone);
    workers[2].serve(load(9), 0.0, 0.05);
    until_missing(&lab, NAN, "not_finite").await;
    until_missing(&lab, HUGE, "out_of_range").await;
    until_missing(&lab, GONE, "no_sample_time").await;
    until_missing(&lab, GONE, "no_series").await;
    lab.until_wanted(HONEST, 9).await;
    for service in [NAN, HUGE, GONE] {
        let record = lab.api(&format!("services/{service}")).await["last"].clone();
        assert_eq!(record["features"]["signals"][0]["reading"]["state"], "gap", "{record}");
        assert_eq!(lab.writes(service), [], "{service} was written to");
    }
    lab.assert_nothing_lowered();
    assert_eq!(lab.metric("restarts_total", "").await, 0.0, "{}", lab.flyball.log());
    assert_eq!(lab.flyball.ended(), None);
}
