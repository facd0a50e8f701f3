//! The harness itself: a real Prometheus has the given history and the workers' present, and can be taken away.

use std::time::Duration;

use crate::eventually;
use crate::load::{Load, minute_now, unix_now};
use crate::prometheus::{Prometheus, STEP};
use crate::worker::Worker;

const WITHIN: Duration = Duration::from_secs(30);
const DAYS: u32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_answers_backfilled_and_live_samples() {
    let workers = [Worker::start("shop/checkout", 40.0).await, Worker::start("shop/search", 7.0).await];
    let load = Load::Made { seed: 1 };
    let mut prometheus = Prometheus::new(&workers, Duration::from_secs(1));
    prometheus.backfill(&[("shop/checkout", load.clone())], DAYS);
    prometheus.start().await;

    let count = format!("count_over_time(http_requests_total{{instance=\"history\"}}[{DAYS}d])");
    let samples = prometheus.value(&count).await.unwrap();
    let expected = f64::from(DAYS) * 86_400.0 / STEP as f64;
    assert!((samples - expected).abs() <= 2.0, "{samples} samples, expected {expected}");

    let past = "sum by (namespace, service) (rate(http_requests_total{service=\"checkout\"}[1m]))";
    let last = minute_now() - 60;
    let from = (last - i64::from(DAYS - 1) * 1440) as f64 * 60.0;
    let series = prometheus.query_range(past, from, last as f64 * 60.0, 60).await.unwrap();
    let [(labels, points)] = series.as_slice() else { panic!("{} series", series.len()) };
    assert_eq!(labels["service"], "checkout");
    assert_eq!(points.len(), (DAYS - 1) as usize * 1440 + 1);
    for (at, rate) in points {
        let expected = load.at((*at as i64).div_euclid(60) - 1).unwrap();
        assert!((rate - expected).abs() < 0.05 * expected, "rate {rate} at {at}, expected {expected}");
    }

    for (service, rate) in [("checkout", 40.0), ("search", 7.0)] {
        let live = format!("sum(rate(http_requests_total{{service=\"{service}\",instance!=\"history\"}}[5s]))");
        eventually(&format!("{service} is scraped at {rate}/s"), WITHIN, async || {
            prometheus.value(&live).await.filter(|seen| (seen - rate).abs() < 0.15 * rate)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_change_their_load_and_lie() {
    let workers = [Worker::start("shop/checkout", 10.0).await];
    let mut prometheus = Prometheus::new(&workers, Duration::from_millis(500));
    prometheus.start().await;
    let rate = "sum(rate(http_requests_total[3s]))";
    let near = |wanted: f64| move |seen: &f64| (seen - wanted).abs() < 0.15 * wanted;
    eventually("10/s", WITHIN, async || prometheus.value(rate).await.filter(near(10.0))).await;

    workers[0].serve(80.0, 0.25, 0.3);
    eventually("80/s", WITHIN, async || prometheus.value(rate).await.filter(near(80.0))).await;
    let errors = "sum(rate(http_requests_total{code=\"500\"}[3s])) / sum(rate(http_requests_total[3s]))";
    eventually("a quarter fails", WITHIN, async || prometheus.value(errors).await.filter(near(0.25))).await;
    let p99 = "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[3s])))";
    eventually("p99 in its bucket", WITHIN, async || {
        prometheus.value(p99).await.filter(|p99| (0.2..=0.5).contains(p99))
    })
    .await;

    workers[0].lie(f64::NAN);
    eventually("not a number", WITHIN, async || prometheus.value(rate).await.filter(|rate| rate.is_nan())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_can_be_halted_stopped_and_started_again() {
    let workers = [Worker::start("shop/checkout", 10.0).await];
    let mut prometheus = Prometheus::new(&workers, Duration::from_secs(1));
    prometheus.backfill(&[("shop/checkout", Load::of_service(1))], 1);
    prometheus.start().await;
    let past = format!("http_requests_total{{instance=\"history\"}} @ {}", unix_now() as i64 - 3600);
    assert!(prometheus.value(&past).await.is_some());

    prometheus.pause();
    assert_eq!(prometheus.query(&past).await, None, "a halted server answered");
    prometheus.resume();
    eventually("it answers again", WITHIN, async || prometheus.value(&past).await).await;

    let url = prometheus.url();
    prometheus.stop();
    assert_eq!(prometheus.query(&past).await, None, "a stopped server answered");
    prometheus.start().await;
    assert_eq!(prometheus.url(), url);
    assert!(prometheus.value(&past).await.is_some(), "the storage is lost");
}
