//! CPU of one decision with the four original rules, every condition traced.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use cpu_time::ThreadTime;
use flyball::cycle::{Assessed, DeciderCore, Inputs, Observed};
use flyball::decide::{Deadline, Decider, Spent, Vocabulary, compile, decide};
use flyball::model::outlook::HorizonPoint;
use flyball::model::{
    Authority, Bounds, CycleId, Features, Finite, HORIZONS, KillState, Lead, Minute, Mode, Now, Outlook, Readiness,
    Reading, RecordMask, Sample, ServiceId, ServiceSpec, SignalFeatures, SignalName, SignalOutlook, SignalSpec,
    TargetReading, TargetState, Timestamp, TraceId, Unit,
};

use crate::Figures;
use crate::measure::median;

/// The figures.
pub const IDS: &[&str] = &["policy_decision_us"];

const SIGNALS: [(&str, Unit); 11] = [
    ("rps", Unit::PerSecond),
    ("p99", Unit::Seconds),
    ("cpu", Unit::Ratio),
    ("errors", Unit::Ratio),
    ("maintenance", Unit::Flag),
    ("cost_optimization", Unit::Flag),
    ("p99_region_a", Unit::Seconds),
    ("capacity_available_region_b", Unit::Flag),
    ("maintenance_region_a", Unit::Flag),
    ("emergency", Unit::Flag),
    ("throttle_available", Unit::Flag),
];

/// Inputs used in turn.
const INPUTS: usize = 64;
const DECISIONS: usize = 20_000;
const RUNS: usize = 5;
/// As in the running loop.
const EVALUATION: Duration = Duration::from_millis(50);

/// Decides over inputs in which the conditions hold occasionally; thread CPU, median of five runs.
pub fn run() -> anyhow::Result<Figures> {
    let files = [
        ("traffic.rhai", include_str!("../../deploy/policies/traffic.rhai")),
        ("overload.rhai", include_str!("../../deploy/policies/overload.rhai")),
    ];
    Ok(vec![("policy_decision_us", proposal_us(files)?)])
}

/// Returns the thread CPU of one decision with a set, up to the proposal with every condition, us: median of five runs
/// over inputs near its bounds.
fn proposal_us<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> anyhow::Result<f64> {
    let spec = spec()?;
    let set = compile(files, &Vocabulary::of([&spec])?, &deadline()).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
    let now = Now { wall: Timestamp::from_second(1_700_000_000)?, mono: Duration::from_secs(1000) };
    let inputs: Vec<_> = (0..INPUTS).map(|input| self::input(&spec, input as u64, now)).collect();
    let mut decider = Decider::new();
    let proposal = decide(&mut decider, &set, &spec, &inputs[0].0, &inputs[0].1, now);
    let conditions: usize = proposal.rules.iter().map(|rule| rule.conditions.len()).sum();
    eprintln!("score:   {} rules, {conditions} conditions traced", proposal.rules.len());
    each_us(|decision| {
        let (features, outlook) = inputs.get(decision % INPUTS).context("an input")?;
        black_box(decide(&mut decider, &set, &spec, features, outlook, now));
        Ok(())
    })
}

/// Returns the thread CPU of one of many calls, us: median of five runs.
fn each_us(mut one: impl FnMut(usize) -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let started = ThreadTime::now();
        (0..DECISIONS).try_for_each(&mut one)?;
        runs.push(started.elapsed().as_secs_f64() * 1e6 / DECISIONS as f64);
    }
    Ok(median(&mut runs))
}

/// Returns the thread CPU from features and outlook to the full record, us: every condition of a set traced, the
/// verdict of every guard, the change planned; median of five runs over the same inputs.
pub fn record_us<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> anyhow::Result<f64> {
    let spec = Arc::new(ServiceSpec { mode: Mode::Auto, ..spec()? });
    let set =
        compile(files, &Vocabulary::of([&*spec])?, &deadline()).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
    let now = Now { wall: Timestamp::from_second(1_700_000_000)?, mono: Duration::from_secs(1000) };
    let cycle = CycleId { run: 1, seq: 1 };
    let trace = TraceId::derive(&spec.id, cycle, now.wall);
    let assessed = |input| {
        let (features, outlook) = self::input(&spec, input as u64, now);
        Assessed { observed: Observed { cycle, trace, now, features: features.into() }, outlook: outlook.into() }
    };
    let inputs: Vec<_> = (0..INPUTS).map(assessed).collect();
    let (kill, mask) = (KillState::released(), RecordMask::default());
    let given = Inputs {
        policy: Some(&set),
        candidate: None,
        kill: &kill,
        lead: &Lead::Alone,
        mask: &mask,
        hold: None,
        withdrawn: false,
        unbounded: None,
    };
    let mut core = DeciderCore::new(Arc::clone(&spec), &[], now);
    each_us(|decision| {
        black_box(core.decide(inputs.get(decision % INPUTS).context("an input")?, given));
        Ok(())
    })
}

/// Returns a deadline as the running loop sets it.
pub fn deadline() -> Deadline {
    let end = Instant::now() + EVALUATION;
    Arc::new(move || (Instant::now() >= end).then_some(Spent::Time))
}

/// Returns a service with every signal that the rules read.
pub fn spec() -> anyhow::Result<ServiceSpec> {
    let signal = |(name, unit)| {
        Some(SignalSpec {
            name: SignalName::new(name)?,
            unit,
            role: None,
            range: (0.0, 1e9),
            forecast: unit != Unit::Flag,
            scrape_interval: Duration::from_secs(15),
            window: Duration::ZERO,
        })
    };
    Ok(ServiceSpec {
        signals: SIGNALS.into_iter().map(signal).collect::<Option<_>>().context("names of signals")?,
        bounds: Bounds { min: 2, max: 20 },
        allow_lowering: true,
        ..ServiceSpec::blank(ServiceId::new("shop", "checkout")?)
    })
}

/// Returns one input: each signal near the bounds of the rules, flags on and off.
pub fn input(spec: &ServiceSpec, seed: u64, now: Now) -> (Features, Outlook) {
    let mut state = seed.wrapping_add(1);
    let mut chance = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(u32::MAX >> 1)
    };
    let mut features = Vec::new();
    let mut outlooks = Vec::new();
    for signal in &spec.signals {
        let top = match signal.unit {
            Unit::PerSecond => 2_000.0,
            Unit::Seconds => 0.5,
            _ => 1.0,
        };
        let draw = chance() * top;
        features.push(seen(if signal.unit == Unit::Flag { draw.round() } else { draw }, now));
        outlooks.push(signal.forecast.then(|| expected(chance() * top, now)));
    }
    let target = TargetState::calm("u", 5);
    let features = Features { signals: features, target: TargetReading::Known { target } };
    (features, Outlook { signals: outlooks, capacity: None })
}

fn seen(value: f64, now: Now) -> SignalFeatures {
    let value = Finite::new(value).unwrap_or(Finite::ZERO);
    SignalFeatures {
        reading: Reading::Fresh { sample: Sample { at: now.wall, value }, staleness: Duration::ZERO },
        mean_1m: Some(value),
        p99_5m: Some(value),
        change_5m: None,
        max_5m: Some(value),
        confirmed: Some(value),
        rising: None,
        slope: None,
        suspect: false,
        provisional: None,
        closed: Vec::new(),
    }
}

fn expected(value: f64, now: Now) -> SignalOutlook {
    let points = HORIZONS.map(|minutes| HorizonPoint { minutes, point: value, quantiles: [value; 11] });
    SignalOutlook {
        readiness: Readiness::Ready,
        points: points.to_vec(),
        max_10: Some([value; 11]),
        max_30: Some([value; 11]),
        authority: Authority::MayRemove,
        ..SignalOutlook::not_ready(Minute::of(now.wall), 0, 0)
    }
}
