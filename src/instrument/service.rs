//! Metrics of one service, and the quality of its forecasts.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::model::{
    Authority, Choice, Finding, Impact, Mode, Outlook, Proposal, ServiceId, ServiceSpec, SignalSpec, Verdict,
    VerdictKind, WriteOutcome,
};

use super::Labels;

/// The actors of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorRole {
    /// Makes features.
    Observer,
    /// Makes outlooks.
    Forecaster,
    /// Makes proposals and verdicts.
    Decider,
    /// Plans changes, calls the write gate, verifies.
    Actuator,
}

impl ActorRole {
    /// Returns the word used in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observer => "observer",
            Self::Forecaster => "forecaster",
            Self::Decider => "decider",
            Self::Actuator => "actuator",
        }
    }
}

/// A gauge that may be unknown: NaN.
type Number = Gauge<f64, AtomicU64>;

/// The metrics of all services.
#[derive(Debug, Clone, Default)]
pub(super) struct ServiceFamilies {
    decisions: Family<Labels<3>, Counter>,
    holds: Family<Labels<2>, Counter>,
    writes: Family<Labels<2>, Counter>,
    effects: Family<Labels<2>, Counter>,
    restarts: Family<Labels<2>, Counter>,
    mode: Family<Labels<2>, Gauge>,
    quarantined: Family<Labels<1>, Gauge>,
    denied: Family<Labels<1>, Gauge>,
    stood_down: Family<Labels<1>, Gauge>,
    conflicts: Family<Labels<1>, Counter>,
    policy_trouble: Family<Labels<1>, Gauge>,
    replicas_needed: Family<Labels<1>, Number>,
    replicas_max: Family<Labels<1>, Number>,
    authority: Family<Labels<2>, Gauge>,
    skill: Family<Labels<2>, Number>,
    coverage: Family<Labels<2>, Number>,
    anomaly: Family<Labels<2>, Number>,
}

impl ServiceFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register("decisions", "Decisions by winning rule and verdict", new.decisions.clone());
        registry.register("guard_holds", "Proposals held or rejected, by guard", new.holds.clone());
        registry.register("writes", "Finished writes, by outcome", new.writes.clone());
        registry.register("effects", "Measured writes, by impact", new.effects.clone());
        registry.register("restarts", "Actor restarts", new.restarts.clone());
        registry.register("mode", "Mode of a service", new.mode.clone());
        registry.register("quarantined", "Whether a service is quarantined", new.quarantined.clone());
        let help = "Whether writes for a service fail at the API server and need attention";
        registry.register("denied", help, new.denied.clone());
        let help = "Whether a service stands down because someone else set its target back";
        registry.register("stood_down", help, new.stood_down.clone());
        let help = "Decisions to do nothing because rules that match contradict each other";
        registry.register("rule_conflicts", help, new.conflicts.clone());
        let help = "Whether rules for a service fail, contradict each other or ask for what nothing can do";
        registry.register("policy_trouble", help, new.policy_trouble.clone());
        let help = "Replicas that the current load needs, beyond any maximum too; NaN while unknown";
        registry.register("replicas_needed", help, new.replicas_needed.clone());
        let help = "Maximum replicas of a service: the lowest of its own bound, the PlatformBound and its autoscaler's";
        registry.register("replicas_max", help, new.replicas_max.clone());
        let help = "Authority of a forecast: 0 none, 1 may add capacity, 2 may also remove it";
        registry.register("forecast_authority", help, new.authority.clone());
        let help = "Forecast skill relative to persistence; above 0 is better";
        registry.register("forecast_skill", help, new.skill.clone());
        let help = "Share of outcomes inside the 95 % interval";
        registry.register("forecast_coverage_ratio", help, new.coverage.clone());
        let help = "Anomaly score of the newest value, 0 to 1; an alarm from 0.5 up";
        registry.register("anomaly_score", help, new.anomaly.clone());
        new
    }

    pub(super) fn bundle(&self, spec: &ServiceSpec) -> ServiceMetrics {
        let service = &spec.id;
        let metrics = ServiceMetrics {
            idle: self.decisions.get_or_create_owned(&decision(service, "none", VerdictKind::Idle)),
            quarantined: self.quarantined.get_or_create_owned(&[named(service)]),
            denied: self.denied.get_or_create_owned(&[named(service)]),
            stood_down: self.stood_down.get_or_create_owned(&[named(service)]),
            conflicts: self.conflicts.get_or_create_owned(&[named(service)]),
            policy_trouble: self.policy_trouble.get_or_create_owned(&[named(service)]),
            replicas_needed: self.replicas_needed.get_or_create_owned(&[named(service)]),
            replicas_max: self.replicas_max.get_or_create_owned(&[named(service)]),
            signals: spec.signals.iter().map(|signal| signal.forecast.then(|| self.signal(service, signal))).collect(),
            used: Arc::new(Mutex::new(Some(Used { counted: self.impacts(service), ..Used::default() }))),
            service: service.clone(),
            families: self.clone(),
        };
        metrics.mode(spec.mode);
        metrics.replicas(None, spec.bounds.max);
        metrics
    }

    /// Returns the counters of effects, all created at the start: a series that appears later shows no increase.
    fn impacts(&self, service: &ServiceId) -> Vec<Counted> {
        let counted = |impact: Impact| {
            let (key, word) = ("impact", impact.as_str());
            let counter = self.effects.get_or_create_owned(&[named(service), (key, word.into())]);
            Counted { family: self.effects.clone(), key, word, counter }
        };
        Impact::ALL.into_iter().map(counted).collect()
    }

    fn signal(&self, service: &ServiceId, signal: &SignalSpec) -> SignalMetrics {
        let label = [named(service), ("signal", signal.name.to_string().into())];
        let metrics = SignalMetrics {
            authority: self.authority.get_or_create_owned(&label),
            skill: self.skill.get_or_create_owned(&label),
            coverage: self.coverage.get_or_create_owned(&label),
            anomaly: self.anomaly.get_or_create_owned(&label),
            label,
        };
        metrics.skill.set(f64::NAN);
        metrics.coverage.set(f64::NAN);
        metrics.anomaly.set(f64::NAN);
        metrics
    }
}

fn named(service: &ServiceId) -> (&'static str, Cow<'static, str>) {
    ("service", service.to_string().into())
}

fn decision(service: &ServiceId, rule: &str, verdict: VerdictKind) -> Labels<3> {
    [named(service), ("rule", rule.to_owned().into()), ("verdict", verdict.as_str().into())]
}

/// The handles of one service. Those used in every cycle are held; rare ones are looked up.
#[derive(Debug, Clone)]
pub struct ServiceMetrics {
    service: ServiceId,
    families: ServiceFamilies,
    idle: Counter,
    used: Arc<Mutex<Option<Used>>>,
    quarantined: Gauge,
    denied: Gauge,
    stood_down: Gauge,
    conflicts: Counter,
    policy_trouble: Gauge,
    replicas_needed: Number,
    replicas_max: Number,
    /// In the order of the spec; `None` for signals without a forecast.
    signals: Vec<Option<SignalMetrics>>,
}

/// Counters looked up so far: repeated uses need no label, and [`ServiceMetrics::forget`] finds them all. There are
/// few: the rules that won, the guards that stopped, the outcomes.
#[derive(Debug, Default)]
struct Used {
    decisions: Vec<(Box<str>, VerdictKind, Counter)>,
    counted: Vec<Counted>,
}

/// A counter of a family with one more label than the service.
#[derive(Debug)]
struct Counted {
    family: Family<Labels<2>, Counter>,
    key: &'static str,
    word: &'static str,
    counter: Counter,
}

/// The quality of the forecast of one signal; NaN while unknown.
#[derive(Debug, Clone)]
struct SignalMetrics {
    label: Labels<2>,
    authority: Gauge,
    skill: Number,
    coverage: Number,
    anomaly: Number,
}

impl ServiceMetrics {
    /// Counts a decision and every guard that stopped it.
    pub fn decided(&self, proposal: &Proposal, verdict: &Verdict) {
        match proposal.choice.rule() {
            None => drop(self.idle.inc()),
            Some(rule) => self.won(rule, verdict.kind),
        }
        if matches!(&proposal.choice, Choice::Nothing(why) if why.conflict) {
            self.conflicts.inc();
        }
        for found in &verdict.findings {
            if matches!(found.finding, Finding::Hold | Finding::Reject) {
                self.count(&self.families.holds, "guard", found.guard.as_str());
            }
        }
    }

    /// Notes the quality of the forecasts.
    pub fn forecast(&self, outlook: &Outlook) {
        for (metrics, signal) in self.signals.iter().zip(&outlook.signals) {
            let (Some(metrics), Some(signal)) = (metrics, signal) else { continue };
            metrics.authority.set(match signal.authority {
                Authority::ReactiveOnly => 0,
                Authority::MayAdd => 1,
                Authority::MayRemove => 2,
            });
            metrics.skill.set(signal.skill.map_or(f64::NAN, |skill| skill.vs_persistence));
            metrics.coverage.set(signal.coverage.map_or(f64::NAN, |coverage| coverage.realised));
            metrics.anomaly.set(signal.anomaly.unwrap_or(f64::NAN));
        }
    }

    /// Counts the end of a write.
    pub fn wrote(&self, outcome: &WriteOutcome) {
        self.count(&self.families.writes, "outcome", outcome.as_str());
    }

    /// Counts a measured write.
    pub fn measured(&self, impact: Impact) {
        self.count(&self.families.effects, "impact", impact.as_str());
    }

    /// Counts a restart of an actor.
    pub fn restarted(&self, actor: ActorRole) {
        self.count(&self.families.restarts, "actor", actor.as_str());
    }

    /// Notes whether the service is quarantined.
    pub fn quarantined(&self, quarantined: bool) {
        self.quarantined.set(quarantined.into());
    }

    /// Notes whether its writes fail in a way that needs a person.
    pub fn denied(&self, denied: bool) {
        self.denied.set(denied.into());
    }

    /// Notes whether it stands down.
    pub fn stood_down(&self, stood_down: bool) {
        self.stood_down.set(stood_down.into());
    }

    /// Notes whether its rules need a person.
    pub fn policy_trouble(&self, trouble: bool) {
        self.policy_trouble.set(trouble.into());
    }

    /// Notes how many replicas the current load needs, `None` if unknown, and how many there may be.
    pub fn replicas(&self, needed: Option<u32>, max: u32) {
        self.replicas_needed.set(needed.map_or(f64::NAN, f64::from));
        self.replicas_max.set(max.into());
    }

    /// Notes the mode: one series per service, for its current mode.
    pub fn mode(&self, mode: Mode) {
        for other in Mode::ALL {
            let label = [named(&self.service), ("mode", other.as_str().into())];
            if other == mode {
                self.families.mode.get_or_create(&label).set(1);
            } else {
                self.families.mode.remove(&label);
            }
        }
    }

    /// Removes all series of the service from the page.
    pub fn forget(&self) {
        let families = &self.families;
        // A step in progress may still count: the series must not come back.
        let Some(used) = self.used.lock().take() else { return };
        families.decisions.remove(&decision(&self.service, "none", VerdictKind::Idle));
        for (rule, kind, _) in &used.decisions {
            families.decisions.remove(&decision(&self.service, rule, *kind));
        }
        families.quarantined.remove(&[named(&self.service)]);
        families.denied.remove(&[named(&self.service)]);
        families.stood_down.remove(&[named(&self.service)]);
        families.conflicts.remove(&[named(&self.service)]);
        families.policy_trouble.remove(&[named(&self.service)]);
        families.replicas_needed.remove(&[named(&self.service)]);
        families.replicas_max.remove(&[named(&self.service)]);
        for mode in Mode::ALL {
            families.mode.remove(&[named(&self.service), ("mode", mode.as_str().into())]);
        }
        for Counted { family, key, word, .. } in &used.counted {
            family.remove(&[named(&self.service), (key, (*word).into())]);
        }
        for signal in self.signals.iter().flatten() {
            families.authority.remove(&signal.label);
            families.skill.remove(&signal.label);
            families.coverage.remove(&signal.label);
            families.anomaly.remove(&signal.label);
        }
    }

    fn won(&self, rule: &str, kind: VerdictKind) {
        let mut used = self.used.lock();
        let Some(Used { decisions: used, .. }) = &mut *used else { return };
        if let Some((.., counter)) = used.iter().find(|(known, of, _)| **known == *rule && *of == kind) {
            counter.inc();
            return;
        }
        let counter = self.families.decisions.get_or_create_owned(&decision(&self.service, rule, kind));
        counter.inc();
        used.push((rule.into(), kind, counter));
    }

    fn count(&self, family: &Family<Labels<2>, Counter>, key: &'static str, word: &'static str) {
        let mut used = self.used.lock();
        let Some(Used { counted: used, .. }) = &mut *used else { return };
        if let Some(known) = used.iter().find(|known| (known.key, known.word) == (key, word)) {
            known.counter.inc();
            return;
        }
        let counter = family.get_or_create_owned(&[named(&self.service), (key, word.into())]);
        counter.inc();
        used.push(Counted { family: family.clone(), key, word, counter });
    }
}
