//! What is known about a service in one cycle, and why the rest is not.

use std::sync::Arc;
use std::time::Duration;

use crate::decide::plan::parameter::Parameter;
use crate::decide::plan::quantity::{Count, Need, Quantity, View};
use crate::decide::plan::view::{longest_run, look};
use crate::model::{
    Bounds, Capacity, Features, Now, Outlook, Reading, Role, ServiceSpec, SignalFeatures, SignalName, SignalOutlook,
    SignalSpec, TargetReading, TargetState, Timestamp, UNDECLARED, Unit,
};

/// Horizon of `.predicted` if no lead time is known.
const DEFAULT_LEAD: Duration = Duration::from_mins(10);
/// Interval of values reported by the cluster, if a service declares no signal.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);
/// Ages below this many seconds are shown from a table.
const AGES: u64 = 180;

/// Target reading if there is no service.
static NO_TARGET: TargetReading = TargetReading::Unknown { reason: String::new() };

/// When the newest sample behind a value was taken, and how often its source takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    pub(crate) interval: Duration,
}

impl Stamp {
    /// Returns the stamp of two values combined: the older sample, the slower source.
    pub(crate) fn older(left: Option<Self>, right: Option<Self>) -> Option<Self> {
        match (left, right) {
            (Some(left), Some(right)) => {
                Some(Self { at: left.at.min(right.at), interval: left.interval.max(right.interval) })
            }
            (one, other) => one.or(other),
        }
    }
}

/// A finite number, or why it is not known.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) number: Result<f64, Arc<str>>,
    /// What a reader should know about a known number.
    pub(crate) note: Option<Arc<str>>,
    pub(crate) stamp: Option<Stamp>,
}

impl Value {
    /// Returns a number that was not measured.
    pub(crate) fn set(number: f64) -> Self {
        Self { number: finite(number), note: None, stamp: None }
    }

    pub(crate) fn unknown(why: Arc<str>) -> Self {
        Self { number: Err(why), note: None, stamp: None }
    }
}

/// Returns `value` unless it is NaN or infinite.
pub(crate) fn finite(value: f64) -> Result<f64, Arc<str>> {
    if value.is_finite() { Ok(value) } else { Err("not a finite number".into()) }
}

/// Texts that are the same in every decision, built once per policy set.
#[derive(Debug)]
pub(crate) struct Texts(Vec<Arc<str>>);

impl Texts {
    /// Makes the texts.
    pub(crate) fn new() -> Self {
        Self((0..AGES).map(|seconds| format!("{seconds} s old").into()).collect())
    }

    fn age(&self, age: Duration) -> Arc<str> {
        let seconds = age.as_secs();
        let known = usize::try_from(seconds).ok().and_then(|seconds| self.0.get(seconds));
        known.map_or_else(|| format!("{seconds} s old").into(), Arc::clone)
    }
}

/// A signal that may be acted on.
pub(crate) struct Fresh<'a> {
    pub(crate) features: &'a SignalFeatures,
    pub(crate) outlook: Option<&'a SignalOutlook>,
    pub(crate) value: f64,
    pub(crate) stamp: Stamp,
    pub(crate) age: Arc<str>,
}

/// One service in one cycle.
pub(crate) struct Inputs<'a> {
    signals: &'a [SignalSpec],
    readings: &'a [SignalFeatures],
    outlooks: &'a [Option<SignalOutlook>],
    target: &'a TargetReading,
    capacity: Option<&'a Capacity>,
    /// Whether values are masked, as in a record that is evaluated again.
    pub(crate) has_masked: bool,
    pub(crate) bounds: Bounds,
    now: Timestamp,
    parameters: &'a [Parameter],
    values: &'a [Result<f64, Arc<str>>],
    texts: &'a Texts,
}

impl<'a> Inputs<'a> {
    /// Returns what is known about a service; `values` are those of `parameters`, in order.
    pub(crate) fn new(
        service: (&'a ServiceSpec, &'a Features, &'a Outlook),
        now: Now,
        (parameters, values): (&'a [Parameter], &'a [Result<f64, Arc<str>>]),
        texts: &'a Texts,
    ) -> Self {
        let (spec, features, outlook) = service;
        Self {
            signals: &spec.signals,
            readings: &features.signals,
            outlooks: &outlook.signals,
            target: &features.target,
            capacity: outlook.capacity.as_ref(),
            has_masked: features.signals.iter().any(|signal| signal.reading.is_masked()),
            bounds: spec.bounds,
            now: now.wall,
            parameters,
            values,
            texts,
        }
    }

    /// Returns inputs without a service: parameters only.
    pub(crate) fn none((parameters, values): (&'a [Parameter], &'a [Result<f64, Arc<str>>]), texts: &'a Texts) -> Self {
        Self {
            signals: &[],
            readings: &[],
            outlooks: &[],
            target: &NO_TARGET,
            capacity: None,
            has_masked: false,
            bounds: Bounds { min: 1, max: 1 },
            now: Timestamp::UNIX_EPOCH,
            parameters,
            values,
            texts,
        }
    }

    /// Returns the value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Value {
        let position = self.parameters.iter().position(|parameter| &*parameter.name == name);
        match position.and_then(|position| self.values.get(position)) {
            Some(Ok(value)) => Value::set(*value),
            Some(Err(fault)) => Value::unknown(Arc::clone(fault)),
            None => Value::unknown("no such parameter".into()),
        }
    }

    /// Returns a signal, or why it may not be acted on. `unit` is what the policies were checked with.
    pub(crate) fn fresh(&self, name: &SignalName, unit: Unit) -> Result<Fresh<'a>, Arc<str>> {
        let position = self.signals.iter().position(|signal| signal.name == *name);
        self.fresh_at(position, unit)
    }

    fn fresh_at(&self, position: Option<usize>, unit: Unit) -> Result<Fresh<'a>, Arc<str>> {
        let find = |position| Some((self.signals.get(position)?, self.readings.get(position)?, position));
        let Some((spec, features, position)) = position.and_then(find) else {
            return Err(UNDECLARED.into());
        };
        if spec.unit != unit {
            return Err("declared in a different unit than the policies were checked with".into());
        }
        match &features.reading {
            Reading::Fresh { sample, staleness } => Ok(Fresh {
                features,
                outlook: self.outlooks.get(position).and_then(Option::as_ref),
                value: sample.value.get(),
                stamp: Stamp { at: sample.at, interval: spec.scrape_interval },
                age: self.texts.age(*staleness),
            }),
            other => Err(other.to_string().into()),
        }
    }

    /// Returns whether a signal had a value that was used in the decision but is masked.
    pub(crate) fn is_masked(&self, name: &SignalName) -> bool {
        self.is_masked_where(|signal| signal.name == *name)
    }

    /// Returns the same for the arrival rate.
    pub(crate) fn is_load_masked(&self) -> bool {
        self.is_masked_where(|signal| signal.role == Some(Role::ArrivalRate))
    }

    fn is_masked_where(&self, is: impl Fn(&SignalSpec) -> bool) -> bool {
        let mut seen = self.signals.iter().zip(self.readings).filter(|(signal, _)| is(signal));
        self.has_masked && seen.any(|(_, seen)| seen.reading.is_masked())
    }

    /// Returns a view of a signal: unknown if the signal is not fresh, including its forecast.
    pub(crate) fn view(&self, name: &SignalName, unit: Unit, view: View) -> Value {
        let fresh = match self.fresh(name, unit) {
            Ok(fresh) => fresh,
            Err(why) => return Value::unknown(why),
        };
        match look(&fresh, view, self.lead()).and_then(finite) {
            Ok(number) => Value { number: Ok(number), note: Some(fresh.age), stamp: Some(fresh.stamp) },
            Err(why) => Value::unknown(why),
        }
    }

    /// Returns the longest time, seconds, that the path from the present value through the forecast stays above a bound
    /// without interruption.
    pub(crate) fn longest_run(&self, name: &SignalName, unit: Unit, bound: &Quantity) -> Value {
        let limit = bound.value(self);
        let run = self.fresh(name, unit).and_then(|fresh| {
            let limit = limit.number.map_err(|why| -> Arc<str> { format!("{}: {why}", bound.label).into() })?;
            let run = longest_run(&fresh, limit)?;
            Ok((finite(run * 60.0)?, fresh))
        });
        match run {
            Ok((seconds, fresh)) => Value {
                number: Ok(seconds),
                note: Some(fresh.age),
                stamp: Stamp::older(Some(fresh.stamp), limit.stamp),
            },
            Err(why) => Value::unknown(why),
        }
    }

    /// Returns the rate that one pod can carry, as declared by the service.
    pub(crate) fn per_pod(&self) -> Value {
        match self.capacity {
            Some(capacity) => Value::set(capacity.per_pod),
            None => Value::unknown("the service declares no capacity".into()),
        }
    }

    /// Returns how far ahead `.predicted` looks.
    fn lead(&self) -> Duration {
        self.capacity.map_or(DEFAULT_LEAD, |capacity| capacity.lead_time)
    }

    /// Returns what the cluster says about the target, or why it may not be acted on.
    pub(crate) fn target(&self) -> Result<&'a TargetState, Arc<str>> {
        match self.target {
            TargetReading::Known { target } => Ok(target),
            TargetReading::Outdated { silence, .. } => {
                Err(format!("no update from the cluster for {} s", silence.as_secs()).into())
            }
            TargetReading::Unknown { reason } => Err(reason.as_str().into()),
        }
    }

    /// Returns the stamp of what the cluster reports.
    pub(crate) fn target_stamp(&self) -> Stamp {
        let interval = self.signals.iter().map(|signal| signal.scrape_interval).max();
        Stamp { at: self.now, interval: interval.unwrap_or(DEFAULT_INTERVAL) }
    }

    /// Returns a count of replicas.
    pub(crate) fn replicas(&self, count: Count) -> Value {
        match self.target() {
            Ok(target) => {
                let replicas = match count {
                    Count::Current => target.asked(),
                    Count::Ready => target.ready,
                };
                Value { number: Ok(f64::from(replicas)), note: None, stamp: Some(self.target_stamp()) }
            }
            Err(why) => Value::unknown(why),
        }
    }

    /// Returns a replica count derived from the arrival rate. Unknown without a fresh arrival rate: a raise needs fresh
    /// data of its own.
    pub(crate) fn needed(&self, need: Need) -> Value {
        let Some(capacity) = self.capacity else { return Value::unknown("the service declares no capacity".into()) };
        let position = self.signals.iter().position(|signal| signal.role == Some(Role::ArrivalRate));
        let unit =
            position.and_then(|position| self.signals.get(position)).map_or(Unit::PerSecond, |signal| signal.unit);
        let fresh = match self.fresh_at(position, unit) {
            Ok(fresh) => fresh,
            Err(why) => return Value::unknown(why),
        };
        let (replicas, absent) = match need {
            Need::Now => (capacity.needed_now, "the arrival rate is not known"),
            Need::Ahead => (capacity.needed_ahead, "the forecast has no authority to add capacity yet"),
            Need::Floor => (capacity.floor, "no forecast has authority to remove capacity"),
        };
        match replicas {
            Some(replicas) => {
                Value { number: Ok(f64::from(replicas)), note: Some(fresh.age), stamp: Some(fresh.stamp) }
            }
            None => Value::unknown(absent.into()),
        }
    }
}
