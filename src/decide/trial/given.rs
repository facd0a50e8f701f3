//! What a test states as known, and the features and the outlook derived from it.
//!
//! A test names views of signals (`"p99.predicted"`), flags, facts about the target and the capacity, and parameters
//! (`"p.p99_max"`). What it does not name is unknown: a signal is absent, the target unseen. A signal with any fact is
//! fresh; if only its forecast is given, its present value is the same, and if only the present is given, there is no
//! forecast. A target with any fact has five replicas by default. Impossible facts are refused: a single one when it is
//! stated, contradictory ones at the decision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rhai::{Dynamic, Map, Position};

use super::seen::Seen;
use super::{Bench, signal};
use crate::decide::api::quantity::{ScriptResult, quantity_in, type_word};
use crate::decide::evaluate::{Decider, decide};
use crate::decide::plan::condition::TargetFlag;
use crate::decide::plan::quantity::Term;
use crate::model::{
    Bounds, Capacity, Features, Now, Outlook, Proposal, Role, ServiceId, ServiceSpec, SignalName, SignalSpec,
    TargetReading, TargetState, Timestamp, Unit,
};

/// Start of every test: an arbitrary minute.
const START: i64 = 1_700_000_040;
/// Views of a signal that can be given.
const GIVABLE: [&str; 9] =
    ["current", "mean", "predicted", "forecast_change", "upper95", "upper95_of_max", "p99_5m", "max_5m", "change_5m"];
/// Views that are relative to the signal; the others are in its unit and within its range.
const CHANGES: [&str; 2] = ["forecast_change", "change_5m"];
/// What can be given about the target.
const TARGET: [&str; 8] = [
    "replicas.current",
    "replicas.ready",
    "rollout",
    "can_scale_up",
    "at_min_replicas",
    "at_max_replicas",
    "bounds.min",
    "bounds.max",
];
/// What can be given about the capacity.
const CAPACITY: [&str; 4] = ["capacity.needed_now", "capacity.needed_ahead", "capacity.floor", "capacity.per_pod"];
/// Requests per second that one pod carries by default.
const PER_POD: f64 = 100.0;
/// Replicas of a target for which only other facts are given.
const REPLICAS: u32 = 5;
/// Most replicas that can be given, as that can be requested.
const MOST_REPLICAS: f64 = 100_000.0;

/// What is known about a service.
#[derive(Clone)]
pub(super) struct Given {
    bench: Arc<Bench>,
    /// In base units; flags are 0 or 1. Shared between copies, as a script may keep many.
    values: Arc<BTreeMap<String, f64>>,
    /// Signals that are known to be missing.
    absent: Arc<BTreeSet<String>>,
    /// The change that produced it, if any.
    change: Option<Arc<Change>>,
}

/// The result of changing what is known. Nothing changes in place, so an unused result is a mistake.
struct Change {
    bench: Arc<Bench>,
    at: Position,
    used: AtomicBool,
}

impl Drop for Change {
    fn drop(&mut self) {
        if !self.used.load(Ordering::Relaxed) {
            self.bench.unused.lock().get_or_insert(self.at);
        }
    }
}

impl Given {
    /// Returns a service about which nothing is known.
    pub(super) fn nothing(bench: &Arc<Bench>) -> Self {
        Self { bench: Arc::clone(bench), values: Arc::default(), absent: Arc::default(), change: None }
    }

    /// Records that it was used.
    pub(super) fn used(&self) {
        self.change.iter().for_each(|change| change.used.store(true, Ordering::Relaxed));
    }

    /// Marks it as changed at this place of a script.
    pub(super) fn changed(self, at: Position) -> Self {
        self.used();
        let change = Change { bench: Arc::clone(&self.bench), at, used: AtomicBool::new(false) };
        Self { change: Some(Arc::new(change)), ..self }
    }

    /// Returns a service with these facts.
    pub(super) fn of(bench: &Arc<Bench>, facts: Map) -> ScriptResult<Self> {
        let mut given = Self::nothing(bench);
        for (key, value) in facts {
            given.set(&key, &value)?;
        }
        Ok(given)
    }

    /// Adds or replaces one fact.
    pub(super) fn set(&mut self, key: &str, value: &Dynamic) -> ScriptResult<()> {
        let unit = self.unit(key)?;
        let number = match (unit, value.as_bool()) {
            (Unit::Flag, Ok(on)) => f64::from(on),
            (Unit::Flag, Err(_)) => return Err(format!("{key} is {}, expected true or false", type_word(value)).into()),
            (unit, _) => plain(value, unit, key)?,
        };
        self.check(key, unit, number)?;
        let absent = Arc::make_mut(&mut self.absent);
        if let Some((signal, _)) = key.split_once('.') {
            absent.remove(signal);
        }
        absent.remove(key);
        Arc::make_mut(&mut self.values).insert(key.to_owned(), number);
        Ok(())
    }

    /// Refuses an impossible value.
    fn check(&self, key: &str, unit: Unit, number: f64) -> ScriptResult<()> {
        let is_count = unit == Unit::Count && (TARGET.contains(&key) || CAPACITY.contains(&key));
        if is_count && !(number.fract() == 0.0 && (0.0..=MOST_REPLICAS).contains(&number)) {
            return Err(format!("{key} is {number}, expected a whole number from 0 to {MOST_REPLICAS}").into());
        }
        let of_signal = key.split_once('.').filter(|(_, view)| !CHANGES.contains(view));
        let Some(name) = of_signal.and_then(|(name, _)| SignalName::new(name)) else { return Ok(()) };
        let (low, high) = self.bench.vocabulary.range(&name);
        if self.bench.vocabulary.unit(&name).is_some() && !(low..=high).contains(&number) {
            let (value, span) = (unit.show(number), unit.span((low, high)));
            let why = "any other value counts as absent and is not forecast";
            return Err(format!("{key} is {value}, {name} ranges from {span}: {why}").into());
        }
        Ok(())
    }

    /// Forgets a signal (with all its views), the target (`replicas`), or one fact.
    pub(super) fn lose(&mut self, key: &str) -> ScriptResult<()> {
        let whole = key == "replicas" || key == "capacity" || self.signal(key).is_some();
        if !whole {
            self.unit(key)?;
        }
        let prefix = format!("{key}.");
        let values = Arc::make_mut(&mut self.values);
        values.retain(|known, _| known != key && !(whole && known.starts_with(&prefix)));
        if key == "replicas" {
            values.retain(|known, _| !TARGET.contains(&known.as_str()));
        }
        Arc::make_mut(&mut self.absent).insert(key.to_owned());
        Ok(())
    }

    fn signal(&self, name: &str) -> Option<Unit> {
        SignalName::new(name).and_then(|name| self.bench.vocabulary.unit(&name))
    }

    /// Returns the unit of a key.
    fn unit(&self, key: &str) -> ScriptResult<Unit> {
        if let Some(name) = key.strip_prefix("p.") {
            let parameter = self.bench.set.parameters.iter().find(|parameter| &*parameter.name == name);
            return parameter
                .map(|parameter| parameter.unit)
                .ok_or_else(|| format!("the set has no parameter `{name}`").into());
        }
        match key {
            "replicas.current" | "replicas.ready" | "bounds.min" | "bounds.max" => return Ok(Unit::Count),
            "capacity.per_pod" => return Ok(Unit::PerSecond),
            _ if CAPACITY.contains(&key) => return Ok(Unit::Count),
            _ if TARGET.contains(&key) => return Ok(Unit::Flag),
            _ => (),
        }
        match key.split_once('.') {
            None => match self.signal(key) {
                Some(Unit::Flag) => Ok(Unit::Flag),
                Some(_) => Err(format!("{key} is a signal: name a view of it, such as \"{key}.current\"").into()),
                None => Err(unknown(key).into()),
            },
            Some((name, view)) => match self.signal(name) {
                Some(unit) if unit != Unit::Flag && GIVABLE.contains(&view) => {
                    Ok(if CHANGES.contains(&view) { Unit::Ratio } else { unit })
                }
                _ => Err(unknown(key).into()),
            },
        }
    }

    /// Decides at `now`.
    ///
    /// # Errors
    /// When what is given contradicts itself.
    pub(super) fn decide(&self, state: &mut Decider, interval: Duration, now: Now) -> ScriptResult<Proposal> {
        let (spec, features, outlook) = self.scene(interval, now);
        self.agree(&features.target, spec.bounds)?;
        Ok(decide(state, &self.bench.set, &spec, &features, &outlook, now))
    }

    /// Refuses inverted bounds, and flags that contradict the count and the bounds.
    fn agree(&self, target: &TargetReading, bounds: Bounds) -> ScriptResult<()> {
        let Bounds { min, max } = bounds;
        if min > max {
            return Err(format!("bounds.min is {min}, above bounds.max, which is {max}").into());
        }
        let Some(target) = target.known() else { return Ok(()) };
        for (key, flag) in [
            ("can_scale_up", TargetFlag::CanScaleUp),
            ("at_min_replicas", TargetFlag::AtMinReplicas),
            ("at_max_replicas", TargetFlag::AtMaxReplicas),
        ] {
            let found = flag.holds(target, bounds);
            let Some(given) = self.values.get(key).map(|flag| *flag != 0.0).filter(|given| *given != found) else {
                continue;
            };
            let replicas = target.asked();
            let by = format!("{replicas} replicas, and bounds of {min} to {max}");
            return Err(format!("{key} is given as {given}, but the other facts make it {found}: {by}").into());
        }
        Ok(())
    }

    /// Returns the derived features and outlook, and their service.
    fn scene(&self, interval: Duration, now: Now) -> (ServiceSpec, Features, Outlook) {
        let (mut signals, mut features, mut outlooks) = (Vec::new(), Vec::new(), Vec::new());
        let sized = CAPACITY.iter().any(|key| self.values.contains_key(*key));
        for (name, unit) in self.bench.vocabulary.iter() {
            // Sizes follow from an arrival rate, so if a size is given, the rate is known.
            let rate = name.as_str() == "rps" && unit == Unit::PerSecond;
            let assumed = (sized && rate && !self.absent.contains("rps")).then_some(0.0);
            let seen = Seen::of(&self.values, name.as_str(), unit).or_assume(assumed);
            signals.push(signal(name, unit, rate.then_some(Role::ArrivalRate), interval));
            features.push(seen.features(now.wall));
            outlooks.push(seen.outlook(now.wall));
        }
        let (target, bounds) = self.target();
        let parameters =
            self.values.iter().filter_map(|(key, value)| Some((key.strip_prefix("p.")?.into(), Some(*value))));
        let spec = ServiceSpec {
            signals,
            bounds,
            parameters: parameters.collect(),
            ..ServiceSpec::blank(self.bench.service.clone())
        };
        (spec, Features { signals: features, target }, Outlook { signals: outlooks, capacity: self.capacity(sized) })
    }

    /// Returns a recorded service: these signals, with the given bounds and parameters; without bounds it has room both
    /// ways.
    pub(super) fn recorded(&self, id: &ServiceId, signals: Vec<SignalSpec>) -> ServiceSpec {
        let bound = |key: &str, open| self.values.get(key).map_or(open, |count| *count as u32);
        let bounds = Bounds { min: bound("bounds.min", 1), max: bound("bounds.max", 1_000) };
        let parameters =
            self.values.iter().filter_map(|(key, value)| Some((key.strip_prefix("p.")?.into(), Some(*value))));
        ServiceSpec { signals, bounds, parameters: parameters.collect(), ..ServiceSpec::blank(id.clone()) }
    }

    fn target(&self) -> (TargetReading, Bounds) {
        let value = |key: &str| self.values.get(key).copied();
        let count = |key: &str| value(key).map(|count| count as u32);
        let on = |key: &str| value(key).map(|flag| flag != 0.0);
        let replicas = count("replicas.current").unwrap_or(REPLICAS);
        let full = on("at_max_replicas").or(on("can_scale_up").map(|can| !can)).unwrap_or(false);
        let least = on("at_min_replicas").unwrap_or(false);
        let min = if least { replicas } else { replicas.saturating_sub(1).min(2) };
        let max = if full { replicas } else { replicas.saturating_add(15) };
        // A missing one makes room for the other.
        let bounds = match (count("bounds.min"), count("bounds.max")) {
            (None, None) => Bounds { min, max },
            (Some(given), None) => Bounds { min: given, max: max.max(given) },
            (None, Some(given)) => Bounds { min: min.min(given), max: given },
            (Some(min), Some(max)) => Bounds { min, max },
        };
        let given = TARGET.iter().any(|key| self.values.contains_key(*key));
        if !given || self.absent.contains("replicas") {
            return (TargetReading::Unknown { reason: "not given".to_owned() }, bounds);
        }
        let target = TargetState {
            ready: count("replicas.ready").unwrap_or(replicas),
            rollout: on("rollout").unwrap_or(false),
            ..TargetState::calm("test", replicas)
        };
        (TargetReading::Known { target }, bounds)
    }

    fn capacity(&self, sized: bool) -> Option<Capacity> {
        let count = |key: &str| self.values.get(key).map(|count| *count as u32);
        sized.then(|| Capacity {
            per_pod: self.values.get("capacity.per_pod").copied().unwrap_or(PER_POD),
            lead_time: Duration::from_mins(10),
            lasts: Duration::from_mins(10),
            rate_now: None,
            needed_now: count("capacity.needed_now"),
            rate_ahead: None,
            needed_ahead: count("capacity.needed_ahead"),
            floor: count("capacity.floor"),
        })
    }
}

/// Returns the time at which tests start.
pub(super) fn start() -> Now {
    let wall = Timestamp::from_second(START).unwrap_or(Timestamp::UNIX_EPOCH);
    Now { wall, mono: Duration::from_secs(1000) }
}

fn unknown(key: &str) -> String {
    let (views, target, capacity) = (GIVABLE.join(", "), TARGET.join(", "), CAPACITY.join(", "));
    format!(
        "`{key}` cannot be given, expected flags, views of signals (<signal>.{views}), {target}, {capacity}, and \
         p.<parameter>"
    )
}

/// Reads a plain number in a unit.
fn plain(value: &Dynamic, unit: Unit, key: &str) -> ScriptResult<f64> {
    match quantity_in(value, unit, key)?.term {
        Term::Number(number) => Ok(number),
        _ => Err(format!("{key}: expected a plain quantity").into()),
    }
}
