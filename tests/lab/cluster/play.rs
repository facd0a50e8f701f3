//! One trace through the lab, under flyball or the stock autoscaler: a record of each second, and a picture. What
//! `scripts/lab/play` runs; without its settings, one minute of the trace stored here.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flyball::model::outlook::Outlook;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::compare::{self, Controller, NAME, Outcome};
use super::picture::{Second, draw};
use super::rig::{self, SLO};
use super::trace::Trace;
use super::{Cluster, directory};
use crate::load::minute_now;
use crate::prometheus::Prometheus;

const NAMESPACE: &str = "play";
/// The highest rate played: six pods carry it.
const PEAK: f64 = 48.0;
/// The target of the stock autoscaler, percent.
const TARGET: u32 = 60;
const DAYS: u32 = 4;
/// Minutes before the play: time to start everything, and for flyball to look ahead.
const AHEAD: i64 = 3;
/// How long before a point in time its forecast is taken: about the duration of a raise.
const FORESEEN: i64 = 2;

/// The forecast for a second of the play.
type Foreseen = Arc<Mutex<BTreeMap<i64, [f64; 3]>>>;

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_leaves_a_record_and_a_picture() {
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/traces/evening.csv");
    let path = env::var("FLYBALL_LAB_TRACE").map_or(PathBuf::from(kept), PathBuf::from);
    let minutes: u32 = env::var("FLYBALL_LAB_MINUTES").map_or(1, |minutes| minutes.parse().unwrap());
    let by_flyball = env::var("FLYBALL_LAB_CONTROLLER").is_ok_and(|name| name == "flyball");
    let trace = Trace::read(&path, minutes, PEAK);
    let controller = if by_flyball { Controller::Flyball } else { Controller::Stock(TARGET) };
    let (summary, seconds) = play(&trace, controller, minutes).await;

    let stem = path.file_stem().unwrap().to_string_lossy();
    let name = format!("{stem}-{}", if by_flyball { "flyball" } else { "stock" });
    let [record, picture] = ["jsonl", "svg"].map(|kind| directory().with_file_name(format!("{name}.{kind}")));
    let title = format!("{stem} under {}", if by_flyball { "flyball" } else { "the stock autoscaler" });
    let mut lines = vec![summary.to_string()];
    lines.extend(seconds.iter().map(|second| serde_json::to_string(second).unwrap()));
    std::fs::write(&record, lines.join("\n") + "\n").unwrap();
    std::fs::write(&picture, draw(&title, &seconds)).unwrap();
    println!("{summary}\nrecord {}\npicture {}", record.display(), picture.display());

    assert_eq!(seconds.len(), minutes as usize * 60);
    assert!(seconds.iter().all(|second| second.pods >= 2), "{seconds:?}");
    let played: usize = seconds.iter().map(|second| second.requests).sum();
    let planned: f64 = seconds.iter().map(|second| second.planned).sum();
    assert!((played as f64 / planned - 1.0).abs() < 0.15, "{played} requests of {planned} planned");
    let foreseen = seconds.iter().filter(|second| second.foreseen.is_some()).count();
    assert_eq!(foreseen > 0, by_flyball && trace.has_past(), "{foreseen} seconds were foreseen");
}

/// Plays the trace and returns a summary, and the result by second.
async fn play(trace: &Trace, controller: Controller, minutes: u32) -> (Value, Vec<Second>) {
    let cluster = Cluster::open().await;
    let workloads = compare::workloads(&cluster, &[(NAMESPACE.to_owned(), controller)], Duration::ZERO).await;
    let begin = Timestamp::now().as_millisecond() + 1000;
    let minute = minute_now() + if controller == Controller::Flyball { AHEAD } else { 1 };
    let lead = u32::try_from((minute * 60_000 - begin).div_euclid(1000).max(0)).unwrap();
    let end = lead + minutes * 60;
    let rate = |second: u32| trace.rate(f64::from(second) - f64::from(lead));
    let mut plan: Vec<(u32, f64)> = (0..end).step_by(2).map(|second| (second, rate(second))).collect();
    plan.push((end, 0.0));
    let playing = compare::play(&cluster, workloads, begin, |_| plan.clone());
    let foreseen = Foreseen::default();
    let mut running = None;
    if controller == Controller::Flyball {
        let mut prometheus = Prometheus::scraping(&rig::discovery(NAMESPACE), Duration::from_secs(1));
        let days = if trace.has_past() { DAYS } else { 0 };
        if trace.has_past() {
            prometheus.backfill(&[(&format!("{NAMESPACE}/{NAME}"), trace.past(minute, DAYS))], DAYS);
        }
        prometheus.start().await;
        let installation = compare::flyball(&prometheus.url(), days, &[NAMESPACE]);
        let mut flyball = installation.start(None);
        let looking = look(flyball.url(), minute * 60, Arc::clone(&foreseen));
        running = Some((prometheus, installation, flyball, AbortOnDropHandle::new(tokio::spawn(looking))));
    }
    let outcome = playing.end().await.remove(0);
    if let Some((_prometheus, _installation, flyball, _looking)) = running {
        assert!(flyball.stop().success());
    }
    let seconds = (0..minutes * 60).map(|second| {
        let second = Second { at: second, planned: trace.rate(f64::from(second)), ..Second::default() };
        told(second, lead, &outcome, &foreseen.lock().unwrap())
    });
    let seconds: Vec<Second> = seconds.collect();
    let (pods, violated) =
        (seconds.iter().map(|it| it.pods).sum::<u32>(), seconds.iter().filter(|it| it.violated).count());
    let name = if controller == Controller::Flyball { "flyball" } else { "stock" };
    let requests: usize = seconds.iter().map(|second| second.requests).sum();
    let slo_ms = SLO.as_millis();
    let summary = json!({
        "controller": name, "minutes": minutes, "requests": requests, "slo_ms": slo_ms,
        "violation_seconds": violated, "pod_seconds": pods,
    });
    (summary, seconds)
}

/// Fills in what was seen of a second of the play, which started `lead` seconds after the load.
fn told(second: Second, lead: u32, outcome: &Outcome, foreseen: &BTreeMap<i64, [f64; 3]>) -> Second {
    let at = u64::from(lead + second.at);
    let of = || outcome.seen.iter().filter(|request| request.planned.as_secs() == at);
    let mut latencies: Vec<Duration> = of().map(|request| request.latency).collect();
    latencies.sort_unstable();
    let p99 = latencies.get((latencies.len() * 99).div_ceil(100).saturating_sub(1));
    let counted = outcome.counts.iter().rfind(|count| count.at <= Duration::from_secs(at + 1));
    Second {
        requests: latencies.len(),
        bad: of().filter(|request| request.status != 200 || request.latency > SLO).count(),
        p99_ms: p99.map(|latency| latency.as_secs_f64() * 1e3),
        violated: rig::violation_seconds(&outcome.seen, SLO, at, at + 1) == 1,
        pods: counted.map_or(0, |count| count.pods),
        ready: counted.map_or(0, |count| count.ready),
        foreseen: foreseen.range(..=i64::from(second.at)).next_back().map(|(_, values)| *values),
        ..second
    }
}

/// Repeatedly queries flyball's forecast; seconds count from `begin`, in seconds since 1970.
async fn look(url: String, begin: i64, foreseen: Foreseen) {
    let url = format!("{url}/api/v1/services/{NAMESPACE}/{NAME}");
    let mut turns = tokio::time::interval(Duration::from_secs(5));
    loop {
        turns.tick().await;
        let Ok(answer) = reqwest::get(&url).await else { continue };
        let Ok(mut service) = answer.json::<Value>().await else { continue };
        let Ok(outlook) = serde_json::from_value::<Outlook>(service["outlook"].take()) else { continue };
        let Some(signal) = outlook.signals.iter().flatten().next() else { continue };
        // The value of a minute is its mean, so it represents the middle.
        let minute = Timestamp::now().as_second().div_euclid(60) + FORESEEN;
        let ahead = (minute - signal.origin.start().as_second().div_euclid(60)) as f64;
        let values = [signal.point_at(ahead), signal.quantile_at(0.05, ahead), signal.quantile_at(0.95, ahead)];
        if let [Some(point), Some(lower), Some(upper)] = values {
            foreseen.lock().unwrap().insert(minute * 60 + 30 - begin, [point, lower, upper]);
        }
    }
}
