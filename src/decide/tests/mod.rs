//! Fixtures of the decide tests: one service in a known state, changed by each case.

use std::sync::Arc;
use std::time::Duration;

use super::{Deadline, Decider, PolicyFault, PolicySet, Spent, TestReport, Vocabulary, compile, decide, run_tests};
use crate::model::outlook::HorizonPoint;
use crate::model::record::SignalLabel;
use crate::model::{
    Action, Authority, Bounds, Capacity, Choice, ConditionTrace, DecisionId, DecisionRecord, Features, Finite,
    HORIZONS, Minute, Missing, Mode, Now, Outlook, Proposal, Readiness, Reading, Role, RuleOutcome, RuleTrace, Sample,
    ServiceId, ServiceSpec, SignalFeatures, SignalName, SignalOutlook, SignalSpec, TargetReading, TargetState,
    Timestamp, TraceId, Truth, Unit, Verdict,
};

mod documents;
mod faults;
mod forbidding;
mod given;
mod held;
mod holes;
mod language;
mod library;
mod limits;
mod lint;
mod load;
mod mask;
mod messages;
mod parts;
mod policies;
mod properties;
mod reference;
mod selection;
mod trial;

/// Names and units of the service's signals, in order.
const SIGNALS: [(&str, Unit); 7] = [
    ("rps", Unit::PerSecond),
    ("p99", Unit::Seconds),
    ("cpu", Unit::Ratio),
    ("errors", Unit::Ratio),
    ("queue", Unit::Count),
    ("maintenance", Unit::Flag),
    ("cost_optimization", Unit::Flag),
];

/// A service and its inputs.
#[derive(Debug, Clone)]
struct Case {
    spec: ServiceSpec,
    features: Features,
    outlook: Outlook,
    now: Now,
}

fn spec() -> ServiceSpec {
    let signals = SIGNALS.map(|(name, unit)| SignalSpec {
        name: SignalName::new(name).unwrap(),
        unit,
        role: (name == "rps").then_some(Role::ArrivalRate),
        range: (0.0, 1e9),
        forecast: unit != Unit::Flag,
        scrape_interval: Duration::from_secs(15),
        window: Duration::ZERO,
    });
    ServiceSpec {
        signals: signals.to_vec(),
        bounds: Bounds { min: 2, max: 20 },
        allow_lowering: true,
        ..ServiceSpec::blank(ServiceId::new("shop", "checkout").unwrap())
    }
}

impl Case {
    /// Everything known and calm: every signal 0, forecast 0, five replicas.
    fn new() -> Self {
        let spec = spec();
        let target = TargetState::calm("u", 5);
        let mut case = Self {
            features: Features { signals: Vec::new(), target: TargetReading::Known { target } },
            outlook: Outlook { signals: vec![None; spec.signals.len()], capacity: None },
            now: Now { wall: Timestamp::from_second(1_700_000_000).unwrap(), mono: Duration::from_secs(1000) },
            spec,
        };
        for _ in SIGNALS {
            case.features.signals.push(features(fresh(0.0, case.now.wall)));
        }
        for (name, unit) in SIGNALS {
            if unit != Unit::Flag {
                case = case.forecast(name, 0.0);
            }
        }
        case
    }

    fn index(&self, name: &str) -> usize {
        self.spec.signal(&SignalName::new(name).unwrap()).unwrap()
    }

    fn at(mut self, seconds: u64) -> Self {
        let start = Case::new().now;
        self.now = start.plus(Duration::from_secs(seconds));
        let wall = self.now.wall;
        for signal in &mut self.features.signals {
            if let Reading::Fresh { sample, .. } = &mut signal.reading {
                sample.at = wall;
            }
        }
        self
    }

    fn set(mut self, name: &str, value: f64) -> Self {
        let index = self.index(name);
        self.features.signals[index] = features(fresh(value, self.now.wall));
        self
    }

    fn without(mut self, name: &str) -> Self {
        let index = self.index(name);
        self.features.signals[index] = features(Reading::Absent { missing: Missing::NoSeries });
        self
    }

    fn forecast(mut self, name: &str, value: f64) -> Self {
        let index = self.index(name);
        self.outlook.signals[index] = Some(flat(value));
        self
    }

    fn replicas(mut self, count: u32) -> Self {
        if let TargetReading::Known { target } = &mut self.features.target {
            target.replicas = count;
            target.ready = count;
        }
        self
    }

    fn capacity(mut self, now: Option<u32>, ahead: Option<u32>, floor: Option<u32>) -> Self {
        self.outlook.capacity = Some(Capacity {
            per_pod: 100.0,
            lead_time: Duration::from_mins(2),
            lasts: Duration::from_mins(5),
            rate_now: None,
            needed_now: now,
            rate_ahead: None,
            needed_ahead: ahead,
            floor,
        });
        self
    }

    fn parameter(mut self, name: &str, value: impl Into<Option<f64>>) -> Self {
        self.spec.parameters.insert(name.into(), value.into());
        self
    }

    fn decide(&self, state: &mut Decider, set: &PolicySet) -> Proposal {
        decide(state, set, &self.spec, &self.features, &self.outlook, self.now)
    }

    /// Decides with an empty state and a set of one file.
    fn ask(&self, policy: &str) -> Proposal {
        self.decide(&mut Decider::new(), &set(policy))
    }

    /// Returns the only condition of a rule with this clause.
    fn condition(&self, clause: &str) -> ConditionTrace {
        let rule = self.rule(&format!("{clause}, restart()"));
        assert_eq!(rule.conditions.len(), 1, "{clause}: {:?}", rule.outcome);
        rule.conditions[0].clone()
    }

    /// Returns the trace of a rule with these clauses.
    fn rule(&self, clauses: &str) -> RuleTrace {
        self.ask(&one(clauses)).rules.remove(0)
    }
}

fn fresh(value: f64, at: Timestamp) -> Reading {
    Reading::Fresh { sample: Sample { at, value: Finite::new(value).unwrap() }, staleness: Duration::from_secs(4) }
}

fn features(reading: Reading) -> SignalFeatures {
    let mean = reading.fresh();
    SignalFeatures { mean_1m: mean, ..SignalFeatures::of(reading) }
}

/// A constant forecast, its upper quantiles ten times as high.
fn flat(value: f64) -> SignalOutlook {
    let mut quantiles = [value; 11];
    quantiles[8] = value * 10.0;
    let points = HORIZONS.map(|minutes| HorizonPoint { minutes, point: value, quantiles });
    SignalOutlook {
        readiness: Readiness::Ready,
        points: points.to_vec(),
        max_10: Some(quantiles),
        max_30: Some(quantiles.map(|value| value * 2.0)),
        authority: Authority::MayRemove,
        ..SignalOutlook::not_ready(Minute(0), 0, 0)
    }
}

/// The line of a recording for a case.
fn recorded(case: &Case, cycle: u32) -> String {
    let id: DecisionId = format!("shop/checkout@1-{cycle}").parse().unwrap();
    let record = DecisionRecord {
        trace: TraceId::derive(&id.service, id.cycle, case.now.wall),
        id,
        at: case.now.wall,
        mode: Mode::Shadow,
        signals: SignalLabel::of(&case.spec).into(),
        features: case.features.clone().into(),
        outlook: case.outlook.clone().into(),
        proposal: Proposal::nothing("recorded"),
        provenance: None,
        candidate: None,
        verdict: Verdict::idle(),
        change: None,
        outcome: None,
        effect: None,
    };
    serde_json::to_string(&record).unwrap()
}

/// A file with one rule of these clauses, which start on its second line at the first column.
fn one(clauses: &str) -> String {
    format!("rule(\"r\", #{{ priority: 1, goal: \"protect\" }}, |s, p| [\n{clauses}\n]);")
}

/// The same, under another name.
fn named(name: &str, clauses: &str) -> String {
    one(clauses).replacen("\"r\"", &format!("\"{name}\""), 1)
}

fn vocabulary() -> Vocabulary {
    Vocabulary::of([&spec()]).unwrap()
}

fn never() -> Deadline {
    Arc::new(|| None)
}

fn load(files: &[(&str, &str)]) -> Result<PolicySet, Vec<PolicyFault>> {
    compile(files.iter().copied(), &vocabulary(), &never())
}

fn try_set(policy: &str) -> Result<PolicySet, Vec<PolicyFault>> {
    load(&[("t.rhai", policy)])
}

fn set(policy: &str) -> PolicySet {
    try_set(policy).unwrap_or_else(|faults| panic!("{faults:#?}\n{policy}"))
}

/// Asserts that a set does not load and that its first fault reads as expected.
fn refused(policy: &str, expected: &str) {
    let faults = try_set(policy).expect_err(policy);
    let text = faults[0].to_string();
    assert!(text.starts_with(expected), "{policy}\n   got: {text}\nwanted: {expected}");
}
