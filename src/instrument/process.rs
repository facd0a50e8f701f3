//! Metrics of the process as a whole.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::model::{KillState, PolicyRevision, build};

use super::{Labels, times};

/// The stages of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Samples to features.
    Observe,
    /// Features to outlook.
    Forecast,
    /// Outlook to verdict: policies and guards.
    Decide,
    /// Verdict to the change passed to the write gate, the outcome of a write, and measured effects.
    Act,
}

const STAGES: [&str; 4] = ["observe", "forecast", "decide", "act"];

/// Ticks, stages, kill switch, policy, readiness.
#[derive(Debug, Clone)]
pub struct ProcessMetrics {
    /// Seconds from when a tick was due to when it started.
    pub tick_lateness: Histogram,
    /// Ticks skipped because the previous one was still running.
    pub skipped_ticks: Counter,
    /// Inputs that a stage skipped: replaced by a newer one before they were taken, or the cause of a failure.
    pub skipped_inputs: Counter,
    /// Seconds from the arrival of the sample to its write on the wire.
    pub sample_to_write: Histogram,
    /// Completed cycles, all services.
    pub cycles: Counter,
    /// Log lines that could not be written.
    pub lost_log_lines: Counter,
    stages: [Histogram; STAGES.len()],
    ready: Gauge,
    leader: Gauge,
    unbounded: Gauge,
    kill_engaged: Gauge,
    kill_unreadable: Gauge,
    reloads_active: Counter,
    reloads_refused: Counter,
    policy_faults: Gauge,
    loops_refused: Gauge,
    policy: Family<Labels<1>, Gauge>,
}

impl ProcessMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let durations = Family::<Labels<1>, Histogram>::new_with_constructor(times);
        let reloads = Family::<Labels<1>, Counter>::default();
        let new = Self {
            tick_lateness: times(),
            skipped_ticks: Counter::default(),
            skipped_inputs: Counter::default(),
            sample_to_write: times(),
            cycles: Counter::default(),
            lost_log_lines: Counter::default(),
            stages: STAGES.map(|stage| durations.get_or_create_owned(&[("stage", stage.into())])),
            ready: Gauge::default(),
            leader: Gauge::default(),
            unbounded: Gauge::default(),
            kill_engaged: Gauge::default(),
            kill_unreadable: Gauge::default(),
            reloads_active: reloads.get_or_create_owned(&[("result", "active".into())]),
            reloads_refused: reloads.get_or_create_owned(&[("result", "refused".into())]),
            policy_faults: Gauge::default(),
            loops_refused: Gauge::default(),
            policy: Family::default(),
        };
        let help = "Delay between the scheduled and actual start of a tick";
        registry.register_with_unit("tick_lateness", help, Unit::Seconds, new.tick_lateness.clone());
        let help = "Ticks skipped because the previous one was still running";
        registry.register("skipped_ticks", help, new.skipped_ticks.clone());
        let help = "Stage inputs skipped: replaced by a newer input, or cause of a failure";
        registry.register("skipped_inputs", help, new.skipped_inputs.clone());
        let help = "Time from the arrival of a sample to the write sent for it";
        registry.register_with_unit("sample_to_write", help, Unit::Seconds, new.sample_to_write.clone());
        registry.register("cycles", "Completed cycles, all services", new.cycles.clone());
        let help = "Log lines that could not be written";
        registry.register("lost_log_lines", help, new.lost_log_lines.clone());
        registry.register_with_unit(
            "stage_duration",
            "Time spent in a stage per cycle, excluding waiting",
            Unit::Seconds,
            durations,
        );
        registry.register("ready", "Whether the loop can decide", new.ready.clone());
        let help = "Whether this process is the leader (the one that writes)";
        registry.register("leader", help, new.leader.clone());
        let help = "Whether the PlatformBound is missing or unreadable, so nothing is written";
        registry.register("unbounded", help, new.unbounded.clone());
        let help = "Whether the kill switch stops anything; an unreadable one stops everything";
        registry.register("kill_switch_engaged", help, new.kill_engaged.clone());
        let help = "Whether the kill switch cannot be read";
        registry.register("kill_switch_unreadable", help, new.kill_unreadable.clone());
        registry.register("policy_reloads", "Policy sets loaded, by result", reloads);
        let help = "Faults of the newest policies while they are refused";
        registry.register("policy_faults", help, new.policy_faults.clone());
        let help = "Declarations of services that are refused or ignored";
        registry.register("loops_refused", help, new.loops_refused.clone());
        registry.register("policy_info", "The active policy set", new.policy.clone());
        let built = Family::<Labels<2>, Gauge>::default();
        built.get_or_create_owned(&[("version", build::VERSION.into()), ("commit", build::COMMIT.into())]).set(1);
        registry.register("build_info", "Build information of this flyball", built);
        new
    }

    /// Notes how long one run of a stage took.
    pub fn stage(&self, stage: Stage, took: Duration) {
        let [observe, forecast, decide, act] = &self.stages;
        let histogram = match stage {
            Stage::Observe => observe,
            Stage::Forecast => forecast,
            Stage::Decide => decide,
            Stage::Act => act,
        };
        histogram.observe(took.as_secs_f64());
    }

    /// Notes whether the loop can decide.
    pub fn ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// Notes whether this process is the one that writes.
    pub fn leader(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// Notes whether the limits of services are unknown.
    pub fn unbounded(&self, unbounded: bool) {
        self.unbounded.set(unbounded.into());
    }

    /// Notes the state of the kill switch.
    pub fn kill(&self, state: &KillState) {
        let (engaged, unreadable) = match state {
            KillState::Missing { .. } | KillState::Unreadable { .. } => (true, true),
            KillState::Readable { order, .. } => {
                (order.all || !order.services.is_empty() || !order.classes.is_empty(), false)
            }
        };
        self.kill_engaged.set(engaged.into());
        self.kill_unreadable.set(unreadable.into());
    }

    /// Counts a policy set that became active.
    pub fn policy_active(&self, revision: &PolicyRevision) {
        self.reloads_active.inc();
        self.policy.clear();
        self.policy.get_or_create(&[("revision", revision.as_str().to_owned().into())]).set(1);
    }

    /// Notes the faults of the newest policies, and counts them as refused if there are any; the last good ones stay
    /// active.
    pub fn policy_faults(&self, faults: usize) {
        self.policy_faults.set(i64::try_from(faults).unwrap_or(i64::MAX));
        if faults > 0 {
            self.reloads_refused.inc();
        }
    }

    /// Notes how many declarations are refused or ignored.
    pub fn loops_refused(&self, loops: usize) {
        self.loops_refused.set(i64::try_from(loops).unwrap_or(i64::MAX));
    }
}
