//! The whole loop on real input: days of history, live samples, a rise of the load, a write.

use std::time::Duration;

use serde_json::Value;

use crate::eventually;
use crate::governed::{Lab, PER_POD, WITHIN};
use crate::load::{Load, minute_now};
use crate::prometheus::Prometheus;
use crate::worker::Worker;

const DAYS: u32 = 3;
const CHECKOUT: &str = "shop/checkout";
const SEARCH: &str = "shop/search";
const CART: &str = "shop/cart";

#[tokio::test(flavor = "multi_thread")]
async fn surges_of_the_past_and_a_rise_of_the_present_are_answered() {
    // Each day has a surge: for one service in a few minutes, for the others far beyond their lead time.
    let soon = Load::Surging { seed: 1, minute: minute_now() + 4, factor: 4.0 };
    let later = Load::Surging { seed: 1, minute: minute_now() + 22, factor: 4.0 };
    let usual = soon.at(minute_now()).unwrap();
    let mut workers = Vec::new();
    for service in [CHECKOUT, SEARCH, CART] {
        workers.push(Worker::start(service, usual).await);
    }
    let mut prometheus = Prometheus::new(&workers, Duration::from_secs(1));
    prometheus.backfill(&[(CHECKOUT, later.clone()), (SEARCH, later), (CART, soon)], DAYS);
    prometheus.start().await;
    // The last backfilled samples have left the window of the rate.
    let live = "sum(rate(http_requests_total{service=\"checkout\"}[12s]))";
    eventually("the live load alone", WITHIN, async || {
        let past = prometheus.query("rate(http_requests_total{instance=\"history\"}[12s])").await?;
        let seen = prometheus.value(live).await?;
        (past.is_empty() && (seen - usual).abs() < 0.05 * usual).then_some(())
    })
    .await;

    let enough = (usual / PER_POD).ceil() as u32 + 1;
    let services = [(CHECKOUT, "auto", 0), (SEARCH, "shadow", 0), (CART, "auto", 0)];
    let lab = Lab::start(&[&prometheus], "3d", &services, enough).await;
    lab.until_ready().await;
    let ticks = lab.metric("cycles_total", "").await;
    eventually("ticks", WITHIN, async || (lab.metric("cycles_total", "").await > ticks + 4.0).then_some(())).await;
    let forecast = lab.api(&format!("forecast?service={CHECKOUT}")).await;
    let ahead = ahead_of(&forecast, 30);
    assert!(ahead > 2.0 * usual, "the surge of the last days is not foreseen: {usual} now, {ahead} ahead: {forecast}");
    // A pod starts within seconds: the raise comes in the last minutes before the surge.
    let before = Duration::from_secs(240);
    let raise = eventually("a raise ahead of the surge", before, async || lab.writes(CART).first().cloned()).await;
    assert!(raise.to > Some(enough), "{raise:?}");

    let needed = (1.5 * usual / PER_POD).ceil() as u32 + 1;
    let risen = (f64::from(needed) - 0.5) * PER_POD;
    workers.iter().for_each(|worker| worker.serve(risen, 0.0, 0.05));
    lab.until_wanted(CHECKOUT, needed).await;
    lab.assert_nothing_lowered();

    let shadow = eventually("shadow decides as well", WITHIN, async || {
        let last = lab.api(&format!("services/{SEARCH}")).await["last"].clone();
        (last["verdict"]["decided_by"] == "mode" && last["verdict"]["wanted"] == needed).then_some(last)
    })
    .await;
    assert!(lab.writes(SEARCH).is_empty() && shadow["change"].is_null(), "a write in shadow: {shadow}");
    assert_explained(&lab, needed);
    assert!(lab.metric("writes_total", "outcome=\"applied\"").await >= 2.0);
    assert!(lab.flyball.stop().success());
}

/// Returns the forecast `minutes` ahead.
fn ahead_of(forecast: &Value, minutes: u64) -> f64 {
    let points = forecast["signals"][0]["points"].as_array().unwrap();
    let point = points.iter().find(|point| point["minutes"] == minutes).unwrap_or_else(|| panic!("{points:?}"));
    point["point"].as_f64().unwrap()
}

/// Has the program explain the write: in words, and for machines.
fn assert_explained(lab: &Lab, needed: u32) {
    let told = lab.installation.ask(&["explain", CHECKOUT, "-n", "50"]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    assert!(text.contains("raise_capacity") && text.contains(&format!(" {needed}")), "{text}");
    let told = lab.installation.ask(&["explain", CHECKOUT, "-n", "50", "--output", "json"]);
    let lines = String::from_utf8(told.stdout).unwrap();
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let written = records.iter().find(|record| record["change"]["to"] == needed).expect("the write is recorded");
    assert_eq!(written["outcome"]["outcome"], "applied");
}
