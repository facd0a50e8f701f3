//! Decision records as the loop makes them, for every suite that needs one.

use std::time::Duration;

use flyball::model::condition::{Comparison, HeldFor};
use flyball::model::outlook::{Coverage, HorizonPoint, ModelScore, Parts, QuantileRow, Skill, Transform};
use flyball::model::record::SignalLabel;
use flyball::model::{
    Action, ActionClass, AnomalyKind, Authority, Bounds, Capacity, ChangeId, ChangeSet, Choice, ConditionTrace,
    Convergence, CycleId, DecisionId, DecisionRecord, Effect, Features, Finding, Finite, Goal, GuardFinding, GuardName,
    HORIZONS, Idle, Impact, Knob, Minute, Missing, Mode, Now, Outlook, PolicyRevision, Proposal, Readiness, Reading,
    Role, RuleOutcome, RuleTrace, Sample, ServiceId, ServiceSpec, SignalFeatures, SignalName, SignalOutlook,
    SignalSpec, Slo, TargetKind, TargetReading, TargetRef, TargetState, Timestamp, TraceId, Truth, Unit, Verdict,
    VerdictKind,
};

/// The time `second` seconds after the start of these records.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub fn id(service: &str, seq: u32) -> DecisionId {
    DecisionId { service: service.parse().unwrap(), cycle: CycleId { run: 1, seq } }
}

fn finite(value: f64) -> Finite {
    Finite::new(value).unwrap()
}

pub fn effect(impact: Impact) -> Effect {
    Effect {
        convergence: Convergence::Converged { after: Duration::from_secs(62) },
        impact,
        expected_latency: Some(0.412),
        measured_latency: Some(0.1),
        why: "p99 100 ms against 412 ms expected".to_owned(),
    }
}

/// The raise from 4 to 7 of `decision`.
pub fn change(decision: &DecisionId) -> ChangeSet {
    let (cause, revision) = ("raise".into(), Some(revision()));
    let plain = replicas(decision, "uid-1", (4, 7), Now { wall: at(0), mono: Duration::from_secs(90) });
    ChangeSet { cause, revision, backed_by_arrivals: true, ..plain }
}

/// A change of the replicas of the Deployment `uid` named like its service, valid and fresh for half a minute.
pub fn replicas(decision: &DecisionId, uid: &str, (from, to): (u32, u32), decided: Now) -> ChangeSet {
    let (namespace, name) = (decision.service.namespace().to_owned(), decision.service.name().to_owned());
    ChangeSet {
        id: ChangeId::derive(uid, Knob::Replicas, decision, from, to),
        decision: decision.clone(),
        trace: TraceId::derive(&decision.service, decision.cycle, decided.wall),
        cause: "rule".into(),
        revision: None,
        target: TargetRef { kind: TargetKind::Deployment, namespace, name },
        uid: uid.to_owned(),
        knob: Knob::Replicas,
        floor: None,
        class: ActionClass::Scale,
        from,
        to,
        backed_by_arrivals: false,
        decided,
        valid_for: Duration::from_secs(30),
        fresh_for: Duration::from_secs(30),
        epoch: flyball::model::Epoch::ALONE,
    }
}

/// The service of these records.
pub fn spec(service: &str) -> ServiceSpec {
    let signal = |name, unit, role, forecast| SignalSpec {
        name: SignalName::new(name).unwrap(),
        unit,
        role: Some(role),
        range: (0.0, 1e9),
        forecast,
        scrape_interval: Duration::from_secs(15),
        window: Duration::ZERO,
    };
    let id: ServiceId = service.parse().unwrap();
    ServiceSpec {
        target: change(&DecisionId { service: id.clone(), cycle: CycleId { run: 1, seq: 1 } }).target,
        signals: vec![
            signal("rps", Unit::PerSecond, Role::ArrivalRate, true),
            signal("p99", Unit::Seconds, Role::Latency, true),
            signal("cpu", Unit::Ratio, Role::Cpu, false),
        ],
        slo: Slo { p99: 0.25, error_ratio: 0.01 },
        mode: Mode::Auto,
        bounds: Bounds { min: 2, max: 20 },
        ..ServiceSpec::blank(id)
    }
}

fn revision() -> PolicyRevision {
    PolicyRevision::of([("capacity.rhai", "rule")])
}

fn label(name: &str, unit: Unit) -> SignalLabel {
    SignalLabel { name: SignalName::new(name).unwrap(), unit, role: None }
}

fn signal(reading: Reading) -> SignalFeatures {
    let value = reading.fresh();
    SignalFeatures {
        reading,
        mean_1m: value,
        p99_5m: value,
        change_5m: value.map(|_| finite(0.1)),
        max_5m: value,
        confirmed: value,
        rising: None,
        slope: None,
        suspect: false,
        provisional: None,
        closed: Vec::new(),
    }
}

fn fresh(value: f64) -> Reading {
    let sample = Sample { at: at(-4), value: finite(value) };
    Reading::Fresh { sample, staleness: Duration::from_secs(4) }
}

fn features(p99: f64) -> Features {
    let source_down = Missing::SourceDown { error: "no answer within 2s".to_owned() };
    let last = Sample { at: at(-95), value: finite(0.61) };
    Features {
        signals: vec![signal(fresh(312.4)), signal(fresh(p99)), signal(Reading::Gap { last, missing: source_down })],
        target: TargetReading::Known {
            target: TargetState { resource_version: "41".to_owned(), ..TargetState::calm("uid-1", 4) },
        },
    }
}

fn quantiles(point: f64) -> QuantileRow {
    [0.7, 0.8, 0.84, 0.88, 0.94, 1.0, 1.06, 1.12, 1.16, 1.2, 1.3].map(|share| share * point)
}

fn score(model: &'static str, loss: Option<f64>, share: f64) -> ModelScore {
    ModelScore { model: model.into(), loss, share, transform: Transform::Plain }
}

fn forecast(now: f64, slope: f64, authority: Authority) -> SignalOutlook {
    let point = |minutes: &u16| {
        let point = now + slope * f64::from(*minutes);
        HorizonPoint { minutes: *minutes, point, quantiles: quantiles(point) }
    };
    SignalOutlook {
        readiness: Readiness::Ready,
        points: HORIZONS.iter().map(point).collect(),
        max_10: Some(quantiles(now + slope * 10.0)),
        max_30: Some(quantiles(now + slope * 30.0)),
        model: Some("holt_winters".into()),
        scores: vec![
            score("holt_winters", Some(11.25), 0.5),
            score("persistence", Some(19.5), 0.25),
            ModelScore { transform: Transform::RatioToDays, ..score("multiplicative", Some(12.5), 0.25) },
            score("seasonal_naive", None, 0.0),
        ],
        parts: Some(Parts { level: now, trend: slope, ..Parts::default() }),
        parts_10: Some(Parts { level: now, trend: slope, day: 6.0 * slope, ar: 3.0 * slope, ..Parts::default() }),
        skill: Some(Skill { vs_persistence: 0.42, vs_seasonal_naive: None }),
        coverage: Some(Coverage { realised: 0.948, outcomes: 812.0 }),
        anomaly: Some(0.07),
        anomaly_kind: Some(AnomalyKind::Point),
        alarm: false,
        authority,
        ..SignalOutlook::not_ready(Minute::of(at(0)), 0, 0)
    }
}

fn outlook() -> Outlook {
    let capacity = Capacity {
        per_pod: 62.5,
        lead_time: Duration::from_secs(45),
        lasts: Duration::from_secs(225),
        rate_now: None,
        needed_now: Some(5),
        rate_ahead: Some(405.0),
        needed_ahead: Some(7),
        floor: Some(5),
    };
    let signals = vec![
        Some(forecast(312.4, 9.5, Authority::MayAdd)),
        Some(SignalOutlook::not_ready(Minute::of(at(0)), 34, 120)),
        None,
    ];
    Outlook { signals, capacity: Some(capacity) }
}

fn condition(text: &str, unit: Unit, value: f64, comparison: Comparison, bound: f64) -> ConditionTrace {
    let above = matches!(comparison, Comparison::Above | Comparison::AtLeast);
    let margin = if above { value - bound } else { bound - value };
    ConditionTrace {
        text: text.into(),
        unit,
        value: Some(value),
        comparison: Some(comparison),
        bound: Some(bound),
        margin: Some(margin),
        note: None,
        negated: false,
        held_for: None,
        holds: Truth::of(margin > 0.0),
        parts: None,
    }
}

fn raise(needed: f64, outcome: RuleOutcome) -> RuleTrace {
    RuleTrace {
        rule: "raise".into(),
        priority: 400,
        goal: Goal::Protect,
        outcome,
        conditions: vec![condition("needed.ahead", Unit::Count, needed, Comparison::Above, 4.0)],
        action: Some(Action::ScaleTo { replicas: needed as u32 }),
        backed_by_arrivals: true,
        notes: vec!["ahead of the arrival rate".into()],
        limit: None,
    }
}

fn scale_up(p99: f64, outcome: RuleOutcome) -> RuleTrace {
    let mut latency = condition("p99.predicted", Unit::Seconds, p99, Comparison::Above, 0.2);
    let so_far = Duration::from_secs(if p99 > 0.2 { 150 } else { 0 });
    latency.held_for = Some(HeldFor { needed: Duration::from_secs(120), so_far, condition: None });
    let mut cpu = condition("cpu.current", Unit::Ratio, 0.0, Comparison::Above, 0.6);
    (cpu.value, cpu.margin, cpu.holds) = (None, None, Truth::Unknown);
    cpu.note = Some("gap: source down: no answer within 2s".into());
    let flag = ConditionTrace {
        text: "maintenance".into(),
        unit: Unit::Flag,
        value: None,
        comparison: None,
        bound: None,
        margin: None,
        note: None,
        negated: true,
        held_for: None,
        holds: Truth::True,
        parts: None,
    };
    RuleTrace {
        rule: "scale_up".into(),
        priority: 300,
        goal: Goal::Protect,
        outcome,
        conditions: vec![latency, cpu, flag],
        action: Some(Action::ScaleBy { factor: 1.5 }),
        backed_by_arrivals: false,
        notes: Vec::new(),
        limit: None,
    }
}

fn finding(guard: GuardName, finding: Finding, why: &str) -> GuardFinding {
    GuardFinding { guard, finding, why: why.to_owned() }
}

fn act() -> Choice {
    Choice::Act { rule: "raise".into(), action: Action::ScaleTo { replicas: 7 }, backed_by_arrivals: true }
}

/// A raise that passed every guard; its write is in flight.
pub fn acted(id: DecisionId) -> DecisionRecord {
    DecisionRecord {
        trace: TraceId::derive(&id.service, id.cycle, at(0)),
        at: at(i64::from(id.cycle.seq)),
        mode: Mode::Auto,
        signals: vec![label("rps", Unit::PerSecond), label("p99", Unit::Seconds), label("cpu", Unit::Ratio)].into(),
        features: features(0.186).into(),
        outlook: outlook().into(),
        proposal: Proposal {
            revision: Some(revision()),
            rules: vec![raise(7.0, RuleOutcome::Matched), scale_up(0.186, RuleOutcome::NotMatched)],
            choice: act(),
        },
        provenance: None,
        candidate: None,
        verdict: Verdict {
            kind: VerdictKind::Pass,
            decided_by: None,
            wanted: Some(7),
            permitted: Some(7),
            findings: vec![
                finding(GuardName::KillSwitch, Finding::Pass, "released"),
                finding(GuardName::Bounds, Finding::Pass, "7 is within 2 to 20"),
            ],
        },
        change: Some(change(&id)),
        outcome: None,
        effect: None,
        id,
    }
}

/// The same, held by the cooldown.
pub fn held(id: DecisionId) -> DecisionRecord {
    let mut record = acted(id);
    let why = "raised 6 s ago, cooldown 15 s, 9 s left";
    record.verdict.kind = VerdictKind::Hold;
    record.verdict.decided_by = Some(GuardName::Cooldown);
    record.verdict.permitted = None;
    record.verdict.findings.insert(1, finding(GuardName::Cooldown, Finding::Hold, why));
    record.change = None;
    record
}

/// The same, cut to what the bounds allow, in shadow mode.
pub fn shadow(id: DecisionId) -> DecisionRecord {
    let mut record = acted(id);
    record.mode = Mode::Shadow;
    let bounds = finding(GuardName::Bounds, Finding::Clamp { from: 7, to: 6 }, "at most 6 replicas");
    record.verdict = Verdict {
        kind: VerdictKind::Hold,
        decided_by: Some(GuardName::Mode),
        wanted: Some(7),
        permitted: Some(6),
        findings: vec![finding(GuardName::Mode, Finding::Hold, "mode shadow writes nothing"), bounds],
    };
    record.change = None;
    record
}

fn idle(id: DecisionId, reason: &str, rules: Vec<RuleTrace>) -> DecisionRecord {
    let mut record = acted(id);
    record.proposal = Proposal { revision: Some(revision()), rules, choice: Choice::Nothing(reason.into()) };
    record.verdict = Verdict::idle();
    record.change = None;
    record
}

/// No rule matched.
pub fn nothing(id: DecisionId) -> DecisionRecord {
    let rules = vec![raise(4.0, RuleOutcome::NotMatched), scale_up(0.186, RuleOutcome::NotMatched)];
    idle(id, "no rule matched", rules)
}

/// Two rules matched and want opposite things.
pub fn conflict(id: DecisionId) -> DecisionRecord {
    let why = Idle::conflict("conflict: raise and lower want opposite actions at equal priority".to_owned());
    let mut record = idle(id, "", vec![raise(12.0, RuleOutcome::Matched)]);
    record.proposal.choice = Choice::Nothing(why);
    record
}

/// A rule was unknown: its signal is missing.
pub fn unknown(id: DecisionId) -> DecisionRecord {
    let rules = vec![raise(4.0, RuleOutcome::NotMatched), scale_up(0.25, RuleOutcome::Unknown)];
    idle(id, "no rule matched", rules)
}

/// A rule failed while it ran.
pub fn failed(id: DecisionId) -> DecisionRecord {
    let message = "capacity.rhai:7:12: variable `p98` not found".to_owned();
    let mut broken = scale_up(0.186, RuleOutcome::Error { message });
    broken.conditions.clear();
    broken.action = None;
    idle(id, "no rule matched", vec![raise(4.0, RuleOutcome::NotMatched), broken])
}
