//! Numbers as rules name them: with a unit, and known only when the inputs are.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::decide::plan::inputs::{Inputs, Stamp, Value, finite};
use crate::model::{SignalName, Unit};

/// Which aspect of a signal is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// The newest sample.
    Current,
    /// Mean of the last minute.
    Mean,
    /// Point forecast at the lead time.
    Predicted,
    /// Point forecast at the lead time against the newest sample, relative.
    ForecastChange,
    /// Point forecast.
    At(Duration),
    /// Point forecast against the newest sample, relative.
    ChangeAt(Duration),
    /// Forecast quantile: its position in [`QUANTILES`](crate::model::QUANTILES), and how far ahead.
    Quantile(usize, Duration),
    /// Quantile of the forecast's maximum over a span from now.
    OfMax(usize, Span),
    /// 99th percentile of the last five minutes.
    P99,
    /// Maximum of the last five minutes.
    Max,
    /// Mean of the last minute against the one five minutes before, relative.
    Change,
}

/// Spans over which the maximum is forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// Ten minutes.
    Ten,
    /// Thirty minutes.
    Thirty,
}

/// A count that the cluster reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// Desired replicas.
    Current,
    /// Replicas that serve.
    Ready,
}

/// A count derived from the arrival rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// For the measured rate.
    Now,
    /// For the upper forecast until the pods of a next raise could be ready.
    Ahead,
    /// The count below which nothing may be lowered.
    Floor,
}

/// Arithmetic between two quantities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Max,
    Min,
    Plus,
    Minus,
    Times,
}

/// Source of a number.
#[derive(Debug, Clone)]
pub(crate) enum Term {
    /// Written in the policy.
    Number(f64),
    /// `p.<name>`.
    Parameter(Arc<str>),
    /// `s.<name>.<view>`; `unit` is that of the signal.
    Signal { name: SignalName, unit: Unit, view: View },
    /// Longest uninterrupted time, seconds, that the forecast of a signal stays above a bound.
    LongestRun { name: SignalName, unit: Unit, bound: Arc<Quantity> },
    /// Replicas that carry a rate of requests.
    Pods(Arc<Pods>),
    /// `s.replicas.<count>`.
    Replicas(Count),
    /// `s.capacity.<need>`.
    Capacity(Need),
    /// Two quantities combined.
    Both(Operator, Arc<(Quantity, Quantity)>),
    /// The first, or the second while the first is unknown.
    Or(Arc<(Quantity, Quantity)>),
}

/// Factors of headroom: 1.2 is 20 % spare. Below 1, pods would exceed their capacity.
const HEADROOM: RangeInclusive<f64> = 1.0..=10.0;

/// Derives a count of pods from a rate.
#[derive(Debug, Clone)]
pub(crate) struct Pods {
    pub(crate) rate: Quantity,
    /// Rate of one pod and headroom (1.2 is 20 % spare); `None`: the declared capacity of the service.
    pub(crate) given: Option<(Quantity, Quantity)>,
}

impl Pods {
    /// Returns what is wrong with the rate of one pod, or with the headroom.
    pub(crate) fn check(per_pod: Option<f64>, headroom: Option<f64>) -> Result<(), String> {
        if let Some(per_pod) = per_pod.filter(|per_pod| *per_pod <= 0.0) {
            let per_pod = Unit::PerSecond.show(per_pod);
            return Err(format!("the rate of one pod is {per_pod}, expected above zero"));
        }
        if let Some(headroom) = headroom.filter(|headroom| !HEADROOM.contains(headroom)) {
            let [headroom, low, high] = [headroom, *HEADROOM.start(), *HEADROOM.end()].map(|one| Unit::Count.show(one));
            return Err(format!("the headroom is {headroom}, expected {low} to {high}: 1.2 is 20 % spare"));
        }
        Ok(())
    }

    fn value(&self, inputs: &Inputs<'_>) -> Value {
        let rate = self.rate.value(inputs);
        let (per_pod, headroom) = match &self.given {
            Some((per_pod, headroom)) => (per_pod.value(inputs), headroom.value(inputs)),
            None => (inputs.per_pod(), Value::set(1.0)),
        };
        let number = match (rate.number, per_pod.number, headroom.number) {
            (Ok(rate), Ok(per_pod), Ok(headroom)) => match Self::check(Some(per_pod), Some(headroom)) {
                // Whole up to rounding stays whole: 3 pods of 0.1 carry 0.3.
                Ok(()) => finite((rate * headroom / per_pod * (1.0 - 1e-9)).ceil().max(1.0)),
                Err(why) => Err(why.into()),
            },
            (Err(why), ..) | (_, Err(why), _) | (.., Err(why)) => Err(why),
        };
        Value { number, note: rate.note, stamp: Stamp::older(rate.stamp, per_pod.stamp) }
    }
}

/// What a number depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// Written in the policy without a unit.
    Bare,
    /// Written in the policy with a unit, or a parameter.
    Set,
    /// Measured or forecast.
    Measured,
    /// Sized by the arrival rate.
    Arrivals,
}

/// Most parts that one condition or quantity may be made of. Trees share their branches, so without a limit a loop
/// could build one that takes forever to evaluate.
pub(crate) const MAX_PARTS: usize = 64;

/// A number with a unit.
#[derive(Debug, Clone)]
pub(crate) struct Quantity {
    /// Its name in the policy.
    pub(crate) label: Arc<str>,
    pub(crate) unit: Unit,
    pub(crate) origin: Origin,
    pub(crate) term: Term,
}

impl Quantity {
    /// Returns the quantities that it consists of, without their own parts.
    pub(crate) fn operands(&self) -> impl Iterator<Item = &Self> {
        let [first, second, third] = match &self.term {
            Term::Both(_, pair) | Term::Or(pair) => [Some(&pair.0), Some(&pair.1), None],
            Term::LongestRun { bound, .. } => [Some(&**bound), None, None],
            Term::Pods(pods) => {
                let given = pods.given.as_ref();
                [Some(&pods.rate), given.map(|(per_pod, _)| per_pod), given.map(|(_, headroom)| headroom)]
            }
            Term::Number(_) | Term::Parameter(_) | Term::Signal { .. } | Term::Replicas(_) | Term::Capacity(_) => {
                [None, None, None]
            }
        };
        first.into_iter().chain(second).chain(third)
    }

    /// Returns how many parts it has.
    pub(crate) fn parts(&self) -> usize {
        1 + self.operands().map(Self::parts).sum::<usize>()
    }

    /// Returns whether there are inputs for which it is unknown.
    pub(crate) fn may_be_unknown(&self) -> bool {
        match &self.term {
            Term::Number(_) | Term::Parameter(_) => false,
            Term::Or(pair) => pair.1.may_be_unknown(),
            Term::Both(_, pair) => pair.0.may_be_unknown() || pair.1.may_be_unknown(),
            Term::Signal { .. } | Term::Replicas(_) | Term::Capacity(_) | Term::LongestRun { .. } | Term::Pods(_) => {
                true
            }
        }
    }

    /// Adds the names of all signals that it reads.
    pub(crate) fn signals(&self, names: &mut Vec<SignalName>) {
        if let Term::Signal { name, .. } | Term::LongestRun { name, .. } = &self.term {
            names.push(name.clone());
        }
        self.operands().for_each(|operand| operand.signals(names));
    }

    /// Adds the names of all parameters that it depends on.
    pub(crate) fn parameters(&self, names: &mut Vec<Arc<str>>) {
        if let Term::Parameter(name) = &self.term {
            names.push(Arc::clone(name));
        }
        self.operands().for_each(|operand| operand.parameters(names));
    }

    /// Returns whether it is unknown only because a value is masked.
    pub(crate) fn is_masked(&self, inputs: &Inputs<'_>) -> bool {
        let is_own = || match &self.term {
            Term::Signal { name, .. } | Term::LongestRun { name, .. } => inputs.is_masked(name),
            Term::Capacity(_) => inputs.is_load_masked(),
            Term::Both(..) | Term::Or(_) | Term::Pods(_) | Term::Number(_) | Term::Parameter(_) | Term::Replicas(_) => {
                false
            }
        };
        inputs.has_masked && (is_own() || self.operands().any(|operand| operand.is_masked(inputs)))
    }

    /// Returns whether it depends on anything besides the policy and its parameters.
    pub(crate) fn is_measured(&self) -> bool {
        self.origin >= Origin::Measured
    }

    /// Returns its value.
    pub(crate) fn value(&self, inputs: &Inputs<'_>) -> Value {
        match &self.term {
            Term::Number(number) => Value::set(*number),
            Term::Parameter(name) => inputs.parameter(name),
            Term::Signal { name, unit, view } => inputs.view(name, *unit, *view),
            Term::LongestRun { name, unit, bound } => inputs.longest_run(name, *unit, bound),
            Term::Pods(pods) => pods.value(inputs),
            Term::Replicas(count) => inputs.replicas(*count),
            Term::Capacity(need) => inputs.needed(*need),
            Term::Both(operator, pair) => both(*operator, pair.0.value(inputs), pair.1.value(inputs)),
            Term::Or(pair) => match pair.0.value(inputs) {
                // It was known: a fallback in its place would be made up.
                Value { number: Err(why), .. } if pair.0.is_masked(inputs) => Value::unknown(why),
                Value { number: Err(why), .. } => assume(&why, &pair.1, inputs),
                known => known,
            },
        }
    }
}

fn both(operator: Operator, left: Value, right: Value) -> Value {
    let number = match (left.number, right.number) {
        (Ok(left), Ok(right)) => finite(match operator {
            Operator::Max => left.max(right),
            Operator::Min => left.min(right),
            Operator::Plus => left + right,
            Operator::Minus => left - right,
            Operator::Times => left * right,
        }),
        (Err(why), _) | (_, Err(why)) => Err(why),
    };
    Value { number, note: left.note.or(right.note), stamp: Stamp::older(left.stamp, right.stamp) }
}

fn assume(why: &str, other: &Quantity, inputs: &Inputs<'_>) -> Value {
    let value = other.value(inputs);
    Value { note: Some(format!("{} taken, {why}", other.label).into()), ..value }
}
