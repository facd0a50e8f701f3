//! API answers that are not model types.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::outlook::{Authority, QuantileRow, quantile_index};
use crate::model::{
    Capacity, DecisionId, DecisionRecord, Finite, GuardName, Impact, Mode, QUANTILES, Role, ServiceId, SignalName,
    SignalOutlook, TargetState, Timestamp, TraceId, Unit, VerdictKind, WriteOutcome, explain,
};
use crate::ports::ServiceSnapshot;

/// Summary of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSummary {
    /// Which service.
    pub service: ServiceId,
    /// Its mode.
    pub mode: Mode,
    /// Requested replicas, as last seen.
    pub replicas: Option<u32>,
    /// Ready replicas, as last seen.
    pub ready: Option<u32>,
    /// Signals that can be acted on now, of all that are declared.
    pub fresh_signals: (usize, usize),
    /// Signals whose source did not answer the last round.
    #[serde(default)]
    pub unanswered_signals: usize,
    /// The last decision.
    pub last: Option<DecisionId>,
    /// The last decision in one sentence.
    pub sentence: Option<String>,
    /// Restarts of its actors so far.
    pub restarts: u64,
    /// Why it is quarantined, if it is.
    pub quarantined: Option<String>,
    /// The API server's last error for its writes, if they failed.
    #[serde(default)]
    pub denied: Option<String>,
    /// Why it stands down, if it does: its target was set back by someone else.
    #[serde(default)]
    pub stood_down: Option<String>,
    /// Why its target cannot be scaled, if so: who else scales it.
    #[serde(default)]
    pub no_lever: Option<String>,
    /// The objective that it misses in mode `auto` while no rule that would raise can be evaluated, and why.
    #[serde(default)]
    pub undecided: Option<String>,
    /// Problem of its policies: a rule that fails, or one whose action no adapter supports.
    #[serde(default)]
    pub policy_trouble: Option<String>,
    /// Replicas needed now beyond its maximum.
    #[serde(default)]
    pub beyond_max: Option<String>,
    /// Why the current state of its target is unknown, if it is.
    #[serde(default)]
    pub target_unknown: Option<String>,
    /// Its arrival rate, if it can be acted on.
    #[serde(default)]
    pub load: Option<Finite>,
    /// The forecast maximum of the arrival rate; `None` without a forecast.
    #[serde(default)]
    pub peak: Option<Peak>,
    /// What the forecast of its arrival rate may be used for; `None` without one.
    #[serde(default)]
    pub authority: Option<Authority>,
    /// The last decision at a glance.
    #[serde(default)]
    pub decision: Option<Glance>,
}

/// The maximum of the arrival rate over the next half hour, requests a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peak {
    /// How far ahead.
    pub within_seconds: u32,
    /// Its median.
    pub median: f64,
    /// 2.5 % quantile.
    pub lower: f64,
    /// 97.5 % quantile.
    pub upper: f64,
}

/// A decision at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Glance {
    /// When it was made.
    pub at: Timestamp,
    /// What was done, or not.
    pub what: String,
    /// The first reason, with its numbers.
    pub why: String,
    /// The guard that held it, if one did.
    pub held_by: Option<GuardName>,
}

impl Glance {
    /// Returns a decision at a glance.
    pub fn of(record: &DecisionRecord) -> Self {
        let explain::Headline { what, why } = explain::headline(record);
        let held = matches!(record.verdict.kind, VerdictKind::Hold | VerdictKind::Reject);
        Self { at: record.at, what, why, held_by: record.verdict.decided_by.filter(|_| held) }
    }
}

/// Minutes of the longest window whose maximum is forecast.
const PEAK_MINUTES: u32 = 30;

impl Peak {
    fn of(outlook: &SignalOutlook) -> Option<Self> {
        let row = outlook.max_30?;
        let at = |level| row[quantile_index(level)];
        Some(Self { within_seconds: PEAK_MINUTES * 60, median: at(0.5), lower: at(0.025), upper: at(0.975) })
    }
}

impl From<ServiceSnapshot> for ServiceSummary {
    fn from(snapshot: ServiceSnapshot) -> Self {
        let features = snapshot.features.as_deref();
        let target = features.and_then(|features| features.target.last());
        let fresh =
            features.map_or(0, |features| features.signals.iter().filter(|signal| signal.reading.is_known()).count());
        let unanswered = features.map_or(0, |features| {
            features.signals.iter().filter(|signal| signal.reading.source_error().is_some()).count()
        });
        let position = snapshot.signals.iter().position(|signal| signal.role == Some(Role::ArrivalRate));
        let load = position.and_then(|at| features?.signals.get(at)?.reading.fresh());
        let forecast = position.and_then(|at| snapshot.outlook.as_deref()?.signals.get(at)?.as_ref());
        let (peak, authority) = (forecast.and_then(Peak::of), forecast.map(|forecast| forecast.authority));
        let max = features.map_or(snapshot.bounds, |features| features.target.bounds(snapshot.bounds)).max;
        let needed = snapshot.outlook.as_deref().and_then(|outlook| outlook.capacity.as_ref()?.needed_now);
        let beyond = needed.filter(|needed| *needed > max);
        let decision = snapshot.last.as_deref().map(Glance::of);
        let policy_trouble = snapshot.last.as_deref().and_then(explain::policy_trouble);
        let undecided = snapshot.last.as_deref().and_then(|record| explain::undecided(record, &snapshot.slo));
        let (last, sentence) = snapshot.last.map(|record| (record.id.clone(), explain::sentence(&record))).unzip();
        Self {
            service: snapshot.service,
            mode: snapshot.mode,
            replicas: target.map(|target| target.replicas),
            ready: target.map(|target| target.ready),
            fresh_signals: (fresh, snapshot.signals.len()),
            unanswered_signals: unanswered,
            last,
            sentence,
            restarts: snapshot.restarts,
            quarantined: snapshot.quarantined,
            denied: snapshot.denied,
            stood_down: snapshot.stood_down,
            no_lever: target.and_then(TargetState::closed).map(str::to_owned),
            undecided,
            policy_trouble,
            beyond_max: beyond.map(|needed| format!("needs {needed} replicas, but its max is {max}")),
            target_unknown: features.and_then(|features| features.target.unknown()),
            load,
            peak,
            authority,
            decision,
        }
    }
}

/// A page of the services, in name order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Services {
    /// The services.
    pub services: Vec<ServiceSummary>,
    /// What `after` is on the next page; absent on the last.
    pub next: Option<ServiceId>,
}

/// A page of decisions, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct Decisions<T> {
    /// The decisions.
    pub decisions: Vec<T>,
    /// What `before` is on the next page; absent on the last.
    pub next: Option<DecisionId>,
}

/// Summary of one decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DecisionSummary {
    /// Which decision.
    pub id: DecisionId,
    /// When it was made.
    pub at: Timestamp,
    /// Mode of the service.
    pub mode: Mode,
    /// Trace from sample to effect.
    pub trace: TraceId,
    /// What was done and why, or why nothing was done.
    pub sentence: String,
    /// The same at a glance: what was done, or not.
    #[serde(default)]
    pub what: String,
    /// And the first reason, with its numbers.
    #[serde(default)]
    pub why: String,
    /// The rule that won.
    pub rule: Option<Arc<str>>,
    /// What the guards said.
    pub verdict: VerdictKind,
    /// Values written: from, to.
    pub change: Option<(u32, u32)>,
    /// How the write ended.
    pub outcome: Option<WriteOutcome>,
    /// What it did.
    pub impact: Option<Impact>,
}

impl From<DecisionRecord> for DecisionSummary {
    fn from(record: DecisionRecord) -> Self {
        Self::from(&record)
    }
}

impl From<&DecisionRecord> for DecisionSummary {
    fn from(record: &DecisionRecord) -> Self {
        let explain::Headline { what, why } = explain::headline(record);
        Self {
            id: record.id.clone(),
            at: record.at,
            mode: record.mode,
            trace: record.trace,
            sentence: explain::sentence(record),
            what,
            why,
            rule: record.proposal.choice.rule().map(Arc::from),
            verdict: record.verdict.kind,
            change: record.change.as_ref().map(|change| (change.from, change.to)),
            outcome: record.outcome.clone(),
            impact: record.effect.as_ref().map(|effect| effect.impact),
        }
    }
}

/// The forecasts of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Forecast {
    /// Which service.
    pub service: ServiceId,
    /// Probabilities of the quantiles of every point, in order.
    pub probabilities: QuantileRow,
    /// One for each signal that is forecast.
    pub signals: Vec<SignalForecast>,
    /// Replicas, where the service declares capacity and an arrival rate.
    pub capacity: Option<Capacity>,
}

/// The forecast of one signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SignalForecast {
    /// Name in policies.
    pub signal: SignalName,
    /// Unit of every value.
    pub unit: Unit,
    /// The signal now, if it can be acted on.
    pub now: Option<Finite>,
    /// Beginning of the minute that the points count from.
    pub from: Timestamp,
    /// Points, quantiles, model, skill, coverage, authority.
    #[serde(flatten)]
    pub outlook: SignalOutlook,
}

impl Forecast {
    /// Returns the forecasts of a service; `None` before its first cycle.
    pub(super) fn of(snapshot: &ServiceSnapshot) -> Option<Self> {
        let outlook = snapshot.outlook.as_deref()?;
        let signals = snapshot.signals.iter().zip(&outlook.signals).enumerate();
        let signals = signals.filter_map(|(index, (label, signal))| {
            let signal = signal.as_ref()?;
            let features = snapshot.features.as_deref().and_then(|features| features.signals.get(index));
            Some(SignalForecast {
                signal: label.name.clone(),
                unit: label.unit,
                now: features.and_then(|features| features.reading.fresh()),
                from: signal.origin.start(),
                outlook: signal.clone(),
            })
        });
        Some(Self {
            service: snapshot.service.clone(),
            probabilities: QUANTILES,
            signals: signals.collect(),
            capacity: outlook.capacity.clone(),
        })
    }
}
