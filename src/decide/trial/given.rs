//! What a test says is known, and the features and the outlook that follow from it.
//!
//! A test names views of signals (`"p99.predicted"`), flags, things of the target and of the capacity, and
//! parameters (`"p.p99_max"`). What it does not name is not known: a signal is absent, the target unseen. A signal
//! of which anything is named is fresh; where only its forecast is named, it is as high now, and where only the
//! present is named, nothing is forecast.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, Map};

use super::Bench;
use super::seen::Seen;
use crate::decide::api::quantity::{ScriptResult, quantity_in, type_word};
use crate::decide::evaluate::{Decider, decide};
use crate::decide::plan::quantity::Term;
use crate::model::{
    Bounds, Capacity, Features, Now, Outlook, Proposal, Role, ServiceId, ServiceSpec, SignalName, SignalSpec,
    TargetReading, TargetState, Timestamp, Unit,
};

/// Start of every test: some minute of some day.
const START: i64 = 1_700_000_040;
/// Views of a signal that can be given; all but the changes are in its own unit.
const VIEWS: [&str; 9] =
    ["current", "mean", "predicted", "forecast_change", "upper95", "upper95_of_max", "p99_5m", "max_5m", "change_5m"];
/// What can be given of the target.
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
/// What can be given of the capacity.
const CAPACITY: [&str; 4] = ["capacity.needed_now", "capacity.needed_ahead", "capacity.floor", "capacity.per_pod"];
/// Requests a second that one pod carries where that is not given.
const PER_POD: f64 = 100.0;

/// What is known of a service.
#[derive(Clone)]
pub(super) struct Given {
    bench: Arc<Bench>,
    /// In base units; flags are 0 or 1. Shared between copies, of which a script may keep many.
    values: Arc<BTreeMap<String, f64>>,
    /// Signals that are missing for certain.
    absent: Arc<BTreeSet<String>>,
}

impl Given {
    /// Returns a service of which nothing is known.
    pub(super) fn nothing(bench: &Arc<Bench>) -> Self {
        Self { bench: Arc::clone(bench), values: Arc::default(), absent: Arc::default() }
    }

    /// Returns a service of which this is known.
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
        let absent = Arc::make_mut(&mut self.absent);
        if let Some((signal, _)) = key.split_once('.') {
            absent.remove(signal);
        }
        absent.remove(key);
        Arc::make_mut(&mut self.values).insert(key.to_owned(), number);
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

    /// Returns the unit of what a key names.
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
                Some(unit) if unit != Unit::Flag && VIEWS.contains(&view) => {
                    Ok(if matches!(view, "forecast_change" | "change_5m") { Unit::Ratio } else { unit })
                }
                _ => Err(unknown(key).into()),
            },
        }
    }

    /// Decides at `now` and counts what was seen.
    pub(super) fn decide(&self, state: &mut Decider, interval: Duration, now: Now) -> Proposal {
        let (spec, features, outlook) = self.scene(interval, now);
        let proposal = decide(state, &self.bench.set, &spec, &features, &outlook, now);
        self.bench.saw(&proposal);
        proposal
    }

    /// Returns the features and the outlook that follow, and the service they are of.
    fn scene(&self, interval: Duration, now: Now) -> (ServiceSpec, Features, Outlook) {
        let (mut signals, mut features, mut outlooks) = (Vec::new(), Vec::new(), Vec::new());
        let sized = CAPACITY.iter().any(|key| self.values.contains_key(*key));
        for (name, unit) in self.bench.vocabulary.iter() {
            // Sizes follow from an arrival rate, so where one is given, the rate is known.
            let rate = name.as_str() == "rps" && unit == Unit::PerSecond;
            let assumed = (sized && rate && !self.absent.contains("rps")).then_some(0.0);
            let seen = Seen::of(&self.values, name.as_str(), unit).or_assume(assumed);
            signals.push(SignalSpec {
                name: name.clone(),
                unit,
                role: rate.then_some(Role::ArrivalRate),
                range: (f64::MIN, f64::MAX),
                forecast: unit != Unit::Flag,
                scrape_interval: interval,
            });
            features.push(seen.features(now.wall));
            outlooks.push(seen.outlook(now.wall));
        }
        let (target, bounds) = self.target();
        let parameters = self.values.iter().filter_map(|(key, value)| Some((key.strip_prefix("p.")?.into(), *value)));
        let spec = ServiceSpec {
            signals,
            bounds,
            parameters: parameters.collect(),
            ..ServiceSpec::blank(self.bench.service.clone())
        };
        (spec, Features { signals: features, target }, Outlook { signals: outlooks, capacity: self.capacity(sized) })
    }

    /// Returns a recorded service: by these signals, with the bounds and parameters that are given; without any it has
    /// room both ways.
    pub(super) fn recorded(&self, id: &ServiceId, signals: Vec<SignalSpec>) -> ServiceSpec {
        let bound = |key: &str, open| self.values.get(key).map_or(open, |count| *count as u32);
        let bounds = Bounds { min: bound("bounds.min", 1), max: bound("bounds.max", 1_000) };
        let parameters = self.values.iter().filter_map(|(key, value)| Some((key.strip_prefix("p.")?.into(), *value)));
        ServiceSpec { signals, bounds, parameters: parameters.collect(), ..ServiceSpec::blank(id.clone()) }
    }

    fn target(&self) -> (TargetReading, Bounds) {
        let value = |key: &str| self.values.get(key).copied();
        let count = |key: &str| value(key).map(|count| count as u32);
        let on = |key: &str| value(key).map(|flag| flag != 0.0);
        let replicas = count("replicas.current").unwrap_or(5);
        let full = on("at_max_replicas").or(on("can_scale_up").map(|can| !can)).unwrap_or(false);
        let least = on("at_min_replicas").unwrap_or(false);
        let bounds = Bounds {
            min: count("bounds.min").unwrap_or(if least { replicas } else { replicas.saturating_sub(1).min(2) }),
            max: count("bounds.max").unwrap_or(if full { replicas } else { replicas.saturating_add(15) }),
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

/// Returns the moment at which tests start.
pub(super) fn start() -> Now {
    let wall = Timestamp::from_second(START).unwrap_or(Timestamp::UNIX_EPOCH);
    Now { wall, mono: Duration::from_secs(1000) }
}

fn unknown(key: &str) -> String {
    let (views, target, capacity) = (VIEWS.join(", "), TARGET.join(", "), CAPACITY.join(", "));
    format!(
        "`{key}` cannot be given: there are flags, views of signals (<signal>.{views}), {target}, {capacity}, and p.<parameter>"
    )
}

/// Reads a plain number in a unit.
fn plain(value: &Dynamic, unit: Unit, key: &str) -> ScriptResult<f64> {
    match quantity_in(value, unit, key)?.term {
        Term::Number(number) => Ok(number),
        _ => Err(format!("{key}: expected a plain quantity").into()),
    }
}
