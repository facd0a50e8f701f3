//! A journal that holds as many decision records as it keeps by default, from warm services.

use std::f64::consts::TAU;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use flyball::adapters::store::{RedbJournal, StoreSettings};
use flyball::config::Settings;
use flyball::cycle::{Inputs, RoundArrived, ServiceLine};
use flyball::decide::{Deadline, PolicySet, Vocabulary, compile};
use flyball::forecast::params::ForecastParams;
use flyball::instrument::JournalMetrics;
use flyball::model::{
    Arrival, Finite, KillState, Minute, MinuteValue, Now, Sample, ServiceSpec, TargetReading, TargetState, Timestamp,
    Unit,
};
use flyball::ports::Journal;
use flyball::ports::journal::Entry;

/// History that the services have learned: all models and the season have started.
const HISTORY: i64 = 3 * 1440;
/// From one record of a service to its next.
const TICK: i64 = 15;

/// Creates the journal at `path` and fills it with decisions about the services of `settings`, in turn.
pub fn make(path: &Path, settings: &Settings) -> anyhow::Result<()> {
    let kept = StoreSettings::default();
    let journal = RedbJournal::open(path, kept, JournalMetrics::default())?;
    let policies = policies(settings)?;
    let kill = KillState::released();
    let start = Timestamp::now().as_second() - i64::from(kept.max_records()) * TICK;
    let mut lines: Vec<_> = settings.listed().iter().map(|spec| (spec, warm(spec, start))).collect();
    for record in 0..kept.max_records() as usize {
        let services = lines.len();
        let (spec, line) = lines.get_mut(record % services).context("a service")?;
        let passed = (record / services) as i64 * TICK;
        let now = Now { wall: Timestamp::from_second(start + passed)?, mono: Duration::from_secs(passed as u64) };
        let inputs = Inputs {
            policy: Some(&policies),
            candidate: None,
            kill: &kill,
            lead: &flyball::model::Lead::Alone,
            mask: &flyball::model::RecordMask::default(),
            hold: None,
            unbounded: None,
            withdrawn: false,
        };
        let decided = line.turn(&round(spec, now), inputs).decided.context("a decision")?;
        journal.submit(Entry::Decision(decided.record));
    }
    Ok(())
}

fn policies(settings: &Settings) -> anyhow::Result<PolicySet> {
    let never: Deadline = Arc::new(|| None);
    let files = [
        ("capacity.rhai", include_str!("../../deploy/policies/capacity.rhai")),
        ("traffic.rhai", include_str!("../../deploy/policies/traffic.rhai")),
    ];
    compile(files, &Vocabulary::of(settings.listed())?, &never).map_err(|faults| anyhow::anyhow!("{faults:?}"))
}

fn warm(spec: &ServiceSpec, start: i64) -> ServiceLine {
    let forecast = Arc::new(ForecastParams::default());
    let now = Now { wall: Minute(start / 60).start(), mono: Duration::ZERO };
    let mut line = ServiceLine::new(&Arc::new(spec.clone()), &forecast, 1, &[], now);
    let first = start / 60 - HISTORY;
    let minute = |signal: &Unit, minute| MinuteValue { minute: Minute(minute), value: value(*signal, minute * 60) };
    let history = spec.signals.iter().enumerate().filter(|(_, signal)| signal.forecast);
    let history = history.map(|(position, signal)| {
        (position, (first..start / 60).map(|at| minute(&signal.unit, at)).collect::<Vec<_>>())
    });
    line.warm(history.collect());
    line
}

fn round(spec: &ServiceSpec, now: Now) -> RoundArrived {
    let sample = |unit| value(unit, now.wall.as_second()).map(|value| Arrival::Value(Sample { at: now.wall, value }));
    let target = TargetState::calm("u", 5);
    let arrivals = spec.signals.iter().map(|signal| sample(signal.unit)).collect();
    RoundArrived { arrivals, target: TargetReading::Known { target }, now }
}

/// Returns the value of a signal of this unit at a second: a daily wave, and noise.
fn value(unit: Unit, second: i64) -> Option<Finite> {
    let day = (TAU * second as f64 / 86_400.0).sin();
    // The fraction of a product with an irrational number: arbitrary but deterministic digits.
    let noise = (second as f64 * 0.618_033_988_749_895).fract();
    let share = 0.5 + 0.3 * day + 0.1 * noise;
    Finite::new(if unit == Unit::PerSecond { 600.0 * share } else { 0.3 * share })
}
