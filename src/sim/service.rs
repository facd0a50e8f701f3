//! One service of the plant: requests, pods, backlog, and its telemetry.
//!
//! A step is internally stationary: latency is that of the queue at the step's utilisation. Above capacity a backlog
//! grows that clients wait for at most [`CLIENT_TIMEOUT`] seconds; requests that wait longer fail.

use std::collections::VecDeque;
use std::sync::Arc;

use super::history;
use super::noise::Noise;
use super::pod::{Pod, Pods};
use super::queue::QueueTable;
use super::scenario::ServicePlan;
use super::score::Score;
use super::workload::Load;
use super::{SCRAPE_SECONDS, TICK_SECONDS};

/// Seconds a client waits for an answer.
pub const CLIENT_TIMEOUT: f64 = 2.0;

/// Ticks in a minute, the window of the telemetry.
const MINUTE_TICKS: usize = (60 / TICK_SECONDS) as usize;

/// Scrapes kept: one day. Older ones are answered from the history before the start.
const SCRAPES_KEPT: usize = (86_400 / SCRAPE_SECONDS) as usize;

/// Where the stationary queue stops describing a step of 5 s: beyond it, the backlog determines the delay.
const STATIONARY_UP_TO: f64 = 0.97;

/// What telemetry shows of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Requests that arrive per second.
    Rps,
    /// 99th percentile of the latency, seconds.
    P99,
    /// Median latency, seconds.
    P50,
    /// Share of failed requests, 0 to 1.
    Errors,
    /// CPU used by ready pods against their request, 0 to 1.
    Cpu,
}

/// One scrape: each signal over the minute before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scrape {
    /// Requests that arrive per second.
    pub rps: f64,
    /// 99th percentile of the latency, seconds: that of the worst step, since 1 % of a minute is less than a
    /// twelfth of it.
    pub p99: f64,
    /// Median latency, seconds.
    pub p50: f64,
    /// Share of failed requests.
    pub errors: f64,
    /// CPU use against request.
    pub cpu: f64,
}

impl Scrape {
    /// Returns one signal.
    pub fn get(&self, signal: Signal) -> f64 {
        match signal {
            Signal::Rps => self.rps,
            Signal::P99 => self.p99,
            Signal::P50 => self.p50,
            Signal::Errors => self.errors,
            Signal::Cpu => self.cpu,
        }
    }
}

/// Pods as the cluster reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodCounts {
    /// Pods that exist and are not being deleted.
    pub replicas: u32,
    /// Pods that serve.
    pub ready: u32,
}

/// Requests since the start; `arrived` is the sum of the others plus the backlog.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counters {
    /// Requests that arrived.
    pub arrived: f64,
    /// Requests answered.
    pub served: f64,
    /// Requests that failed.
    pub failed: f64,
}

#[derive(Debug, Clone, Copy)]
struct Tick {
    arrived: f64,
    served: f64,
    failed: f64,
    capacity: f64,
    p50: f64,
    p99: f64,
}

/// The score in whole ticks, so that rounding errors do not accumulate.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    bad_ticks: u64,
    pod_ticks: u64,
    actions: u32,
}

/// One service under load.
#[derive(Debug, Clone)]
pub struct SimService {
    plan: Arc<ServicePlan>,
    load: Load,
    pods: Pods,
    wanted: u32,
    backlog: f64,
    counters: Counters,
    recent: VecDeque<Tick>,
    scrapes: VecDeque<Scrape>,
    newest_scrape: i64,
    tally: Tally,
}

impl SimService {
    /// Returns the service as a steady controller would have left it at second `start`: as many pods as the load before
    /// that needs, all ready.
    pub fn new(plan: &Arc<ServicePlan>, seed: u64, start: i64) -> Self {
        let name = plan.id.as_str();
        let load = Load::new(plan.workload.clone(), seed, name);
        let wanted = history::rested_replicas(plan, load.minute_before(start));
        let noise = Noise::new(seed, &format!("{name} pods"));
        Self {
            pods: Pods::running(wanted, plan.start, noise, start.saturating_mul(1000)),
            plan: Arc::clone(plan),
            load,
            wanted,
            backlog: 0.0,
            counters: Counters::default(),
            recent: VecDeque::with_capacity(MINUTE_TICKS),
            scrapes: VecDeque::new(),
            newest_scrape: start.div_euclid(SCRAPE_SECONDS) * SCRAPE_SECONDS,
            tally: Tally::default(),
        }
    }

    /// Returns its plan.
    pub fn plan(&self) -> &ServicePlan {
        &self.plan
    }

    /// Sets the wanted replicas; counts as an action if it changes them.
    pub fn set_wanted(&mut self, wanted: u32) {
        if wanted != self.wanted {
            self.wanted = wanted;
            self.tally.actions = self.tally.actions.saturating_add(1);
        }
    }

    /// Returns the wanted replicas.
    pub fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Returns its pods at second `now`.
    pub fn counts(&self, now: i64) -> PodCounts {
        PodCounts { replicas: self.pods.living().len() as u32, ready: self.pods.ready(now.saturating_mul(1000)) }
    }

    /// Returns the pods that are not being deleted.
    pub fn pods(&self) -> &[Pod] {
        self.pods.living()
    }

    /// Returns the request counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the number of waiting requests.
    pub fn backlog(&self) -> f64 {
        self.backlog
    }

    /// Returns what the run has cost so far.
    pub fn score(&self) -> Score {
        let Tally { bad_ticks, pod_ticks, actions } = self.tally;
        Score {
            slo_violation_minutes: (bad_ticks * TICK_SECONDS as u64) as f64 / 60.0,
            replica_hours: (pod_ticks * TICK_SECONDS as u64) as f64 / 3600.0,
            actions,
        }
    }

    /// Returns the p99 latency of the newest tick, seconds; zero before the first.
    pub fn p99_now(&self) -> f64 {
        self.recent.back().map_or(0.0, |tick| tick.p99)
    }

    /// Returns the requests per second of the newest tick; zero before the first.
    pub fn rps_now(&self) -> f64 {
        self.recent.back().map_or(0.0, |tick| tick.arrived / TICK_SECONDS as f64)
    }

    /// Returns the telemetry of the scrape at second `at` (a whole multiple of the scrape interval): as recorded, or,
    /// before the start, from the history. `None` for a future scrape.
    pub fn scraped(&self, at: i64) -> Option<Scrape> {
        if at > self.newest_scrape {
            return None;
        }
        let back = usize::try_from((self.newest_scrape - at) / SCRAPE_SECONDS).ok()?;
        let recorded = self.scrapes.len().checked_sub(back + 1).and_then(|index| self.scrapes.get(index));
        Some(recorded.copied().unwrap_or_else(|| history::scrape(&self.plan, &self.load, at)))
    }

    /// Returns the CPU ratio of ready pods over `window` ticks that ended `lag` ticks ago; `None` if there were not
    /// that many ticks yet.
    pub fn cpu_window(&self, lag: usize, window: usize) -> Option<f64> {
        let end = self.recent.len().checked_sub(lag)?;
        let begin = end.checked_sub(window)?;
        let (served, capacity) = self
            .recent
            .range(begin..end)
            .fold((0.0, 0.0), |(served, capacity), tick| (served + tick.served, capacity + tick.capacity));
        Some(if capacity > 0.0 { served / capacity } else { 0.0 })
    }

    /// Runs the tick with this number (since the Unix epoch).
    pub(super) fn tick(&mut self, number: i64) {
        let begin = number * TICK_SECONDS;
        let now = begin.saturating_mul(1000);
        self.pods.reap(now);
        self.pods.scale(self.wanted, now);
        let arrived = self.load.arrivals(number) * TICK_SECONDS as f64;
        let tick = self.serve(arrived, self.pods.ready(now));
        self.account(&tick);
        if self.recent.len() >= MINUTE_TICKS {
            self.recent.pop_front();
        }
        self.recent.push_back(tick);
        let end = begin + TICK_SECONDS;
        if end.rem_euclid(SCRAPE_SECONDS) == 0 {
            self.record_scrape(end);
        }
    }

    fn serve(&mut self, arrived: f64, ready: u32) -> Tick {
        let per_second = f64::from(ready) * self.plan.per_pod_rate;
        let capacity = per_second * TICK_SECONDS as f64;
        let work = arrived + self.backlog;
        let served = work.min(capacity);
        self.backlog = (work - served).min(CLIENT_TIMEOUT * per_second);
        let failed = work - served - self.backlog;
        let (p50, p99) = latency(&self.plan.queue, served, capacity, self.backlog);
        Tick { arrived, served, failed, capacity, p50, p99 }
    }

    fn account(&mut self, tick: &Tick) {
        self.counters.arrived += tick.arrived;
        self.counters.served += tick.served;
        self.counters.failed += tick.failed;
        let slo = self.plan.slo;
        if tick.p99 > slo.p99 || tick.failed > slo.error_ratio * tick.arrived {
            self.tally.bad_ticks += 1;
        }
        self.tally.pod_ticks += u64::from(self.pods.billed());
    }

    fn record_scrape(&mut self, at: i64) {
        let sum = |part: fn(&Tick) -> f64| self.recent.iter().map(part).sum::<f64>();
        let (arrived, failed) = (sum(|tick| tick.arrived), sum(|tick| tick.failed));
        let (served, capacity) = (sum(|tick| tick.served), sum(|tick| tick.capacity));
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let scrape = Scrape {
            // The load before the start is known too, so the first minute needs no special case.
            rps: self.load.minute_before(at),
            p99: self.recent.iter().map(|tick| tick.p99).fold(0.0, f64::max),
            p50: ratio(sum(|tick| tick.p50 * tick.arrived), arrived),
            errors: ratio(failed, arrived),
            cpu: ratio(served, capacity),
        };
        if self.scrapes.len() >= SCRAPES_KEPT {
            self.scrapes.pop_front();
        }
        self.scrapes.push_back(scrape);
        self.newest_scrape = at;
    }
}

/// Median and p99 latency of a tick: the queue's at its utilisation, or the wait for the backlog plus a queue at 90 %
/// if that is longer. No request waits longer than the timeout.
fn latency(queue: &QueueTable, served: f64, capacity: f64, backlog: f64) -> (f64, f64) {
    if capacity <= 0.0 {
        return (CLIENT_TIMEOUT, CLIENT_TIMEOUT);
    }
    let utilisation = (served / capacity).min(STATIONARY_UP_TO);
    let wait = backlog * TICK_SECONDS as f64 / capacity;
    let with = |column: fn(&QueueTable, f64) -> f64| {
        let waiting = if wait > 0.0 { wait + column(queue, 0.9) } else { 0.0 };
        column(queue, utilisation).max(waiting).min(CLIENT_TIMEOUT)
    };
    (with(QueueTable::p50), with(QueueTable::p99))
}
