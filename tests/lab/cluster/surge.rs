//! A surge that recurs each day, in real requests to real processes: the replicas are ready before it, and the clients
//! hardly notice. Optionally, the same requests under the stock autoscaler at three targets.

use std::time::Duration;

use jiff::Timestamp;

use super::compare::{self, Controller, NAME, Playing};
use super::rig::{self, CAPACITY, SLO};
use super::witness::{moves_since, revision};
use super::{Cluster, directory};
use crate::eventually;
use crate::load::{self, minute_now};
use crate::prometheus::Prometheus;
use crate::support::flyball::{Flyball, Installation};

const NAMESPACE: &str = "surge";
/// Requests per second, usually and in the surge: two pods carry the former, six the latter. Four workloads together
/// stay below what the players may send in total.
const USUAL: f64 = 12.0;
const SURGE: f64 = 48.0;
/// Duration of a surge in the history, minutes.
const LASTS: i64 = 5;
const DAYS: u32 = 4;
/// Minutes before the surge: time to start everything, and for flyball to look ahead.
const AHEAD: i64 = 3;

/// Returns the load of the past days, with a surge from `minute` of each.
fn history(minute: i64) -> load::Load {
    let first = minute_now() - i64::from(DAYS + 1) * 1440;
    let surges = |at: i64| (at - minute).rem_euclid(1440) < LASTS;
    let value = |at: i64| Some(if surges(at) { SURGE } else { USUAL });
    load::Load::Recorded { values: (first..=minute_now() + 1).map(value).collect(), first }
}

/// A running surge: flyball's workload is the first of them.
struct Scene {
    cluster: Cluster,
    /// The minute since 1970 at which the surge starts, and the second of the play.
    minute: i64,
    quiet: u32,
    playing: Playing,
    /// Revision of the store before flyball started.
    before: u64,
    flyball: Flyball,
    installation: Installation,
    _prometheus: Prometheus,
}

impl Scene {
    /// Starts it: a surge of `surge` seconds, and `after` seconds after it.
    async fn begin(surge: u32, after: u32, others: &[Controller]) -> Self {
        let cluster = Cluster::open().await;
        let stock = others.iter().enumerate().map(|(index, it)| (format!("{NAMESPACE}-{index}"), *it));
        let all: Vec<_> = [(NAMESPACE.to_owned(), Controller::Flyball)].into_iter().chain(stock).collect();
        let workloads = compare::workloads(&cluster, &all, Duration::ZERO).await;
        let minute = minute_now() + AHEAD;
        let begin = Timestamp::now().as_millisecond() + 1000;
        let quiet = u32::try_from((minute * 60_000 - begin) / 1000).unwrap();
        let (end, last) = (quiet + surge, quiet + surge + after);
        let mut plan = vec![(0, USUAL), (quiet, SURGE), (end, USUAL), (last, 0.0)];
        plan.dedup_by_key(|(second, _)| *second);
        let playing = compare::play(&cluster, workloads, begin, |_| plan.clone());
        let mut prometheus = Prometheus::scraping(&rig::discovery(NAMESPACE), Duration::from_secs(1));
        prometheus.backfill(&[(&format!("{NAMESPACE}/{NAME}"), history(minute))], DAYS);
        prometheus.start().await;
        eventually("the live load alone", Duration::from_secs(60), async || {
            let past = prometheus.query("rate(http_requests_total{instance=\"history\"}[12s])").await?;
            let live = prometheus.value("sum(rate(http_requests_total{service=\"checkout\"}[12s]))").await?;
            (past.is_empty() && live > 0.7 * USUAL).then_some(())
        })
        .await;
        let before = revision(&cluster).await;
        let installation = compare::flyball(&prometheus.url(), DAYS, &[NAMESPACE]);
        let flyball = installation.start(None);
        Self { cluster, minute, quiet, playing, before, flyball, installation, _prometheus: prometheus }
    }

    /// Waits for the surge, and asserts that the replicas are ready when it starts.
    async fn until_prepared(&mut self) {
        let needed = (SURGE / CAPACITY).ceil() as u32;
        let ahead = self.minute * 60_000 - Timestamp::now().as_millisecond();
        let ready = async || rig::ready(&self.cluster, NAMESPACE, NAME).await;
        let enough = async {
            while ready().await < needed {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let ahead = Duration::from_millis(u64::try_from(ahead).unwrap());
        if tokio::time::timeout(ahead, enough).await.is_err() {
            let ready = ready().await;
            // Its journal can be read only while it is not running.
            self.flyball.end("TERM");
            let why = explained(&self.installation, "5");
            panic!("{ready} of {needed} pods ready when the surge begins: {why}\n{}", self.flyball.log());
        }
    }
}

/// Returns flyball's explanation of its last decisions.
fn explained(installation: &Installation, last: &str) -> String {
    let why = installation.ask(&["explain", &format!("{NAMESPACE}/{NAME}"), "--last", last]);
    String::from_utf8_lossy(&why.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_ready_before_a_surge_that_recurs() {
    const PLAYED: u32 = 60;
    let mut scene = Scene::begin(PLAYED, 0, &[]).await;
    scene.until_prepared().await;
    let outcomes = scene.playing.end().await;
    outcomes.iter().for_each(|outcome| println!("{}", outcome.line()));
    let (begin, end) = (u64::from(scene.quiet), u64::from(scene.quiet + PLAYED));
    let violated = rig::violation_seconds(&outcomes[0].seen, SLO, begin, end);
    let moves = moves_since(scene.before).await;
    assert!(moves.iter().all(|it| it.manager == "flyball"), "somebody else wrote: {moves:?}");
    assert!(moves.iter().all(|it| Some(it.to) > it.from), "lowered before or in the surge: {moves:?}");
    assert!(violated <= 6, "{violated} seconds of the surge were outside the objective: {moves:?}");
    assert!(scene.flyball.stop().success());
}

/// The same requests to four workloads at once. Each is played from minutes before the surge until the autoscaler has
/// released what it added (after five minutes) and flyball some of it (in steps, ten minutes apart).
#[tokio::test(flavor = "multi_thread")]
#[ignore = "23 minutes; scripts/lab/score runs it, on more nodes"]
async fn sweep() {
    const AFTER: u32 = 15 * 60;
    let surge = u32::try_from(LASTS).unwrap() * 60;
    let scene = Scene::begin(surge, AFTER, &[50, 65, 80].map(Controller::Stock)).await;
    let outcomes = scene.playing.end().await;
    outcomes.iter().for_each(|outcome| println!("{}", outcome.line()));
    assert!(scene.flyball.stop().success());
    let file = directory().with_file_name("surge-explained.txt");
    std::fs::write(file, explained(&scene.installation, "40")).unwrap();
}
