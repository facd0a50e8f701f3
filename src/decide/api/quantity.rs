//! Numbers as policies see them: with a unit, and possibly unknown.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, Engine, EvalAltResult, FLOAT, INT};

use crate::decide::api::condition::Condition;
use crate::decide::vocabulary::unit_word;
use crate::model::proposal::Comparison;
use crate::model::{ConditionTrace, Timestamp, Truth, Unit};

/// Result of a function that scripts call; the error ends the rule and carries its position.
pub(crate) type ScriptResult<T> = Result<T, Box<EvalAltResult>>;

/// When the newest sample behind a value was taken, and how often its source takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    pub(crate) interval: Duration,
}

impl Stamp {
    /// Returns what stands for two values together: the older sample, the slower source.
    pub(crate) fn older(left: Option<Self>, right: Option<Self>) -> Option<Self> {
        match (left, right) {
            (Some(left), Some(right)) => {
                Some(Self { at: left.at.min(right.at), interval: left.interval.max(right.interval) })
            }
            (one, other) => one.or(other),
        }
    }
}

/// Where a number comes from.
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

/// A number with a unit, or why it is not known. Always finite.
#[derive(Debug, Clone)]
pub(crate) struct Quantity {
    /// How the policy calls it; `None` for a number written there.
    pub(crate) label: Option<Arc<str>>,
    pub(crate) unit: Unit,
    pub(crate) value: Result<f64, Arc<str>>,
    /// What a reader should know of a known value.
    pub(crate) note: Option<Arc<str>>,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) origin: Origin,
}

impl Quantity {
    /// Returns a number written in the policy.
    pub(crate) fn set(value: f64, unit: Unit) -> ScriptResult<Self> {
        if !value.is_finite() {
            return Err(format!("{value} is not a number to compare with").into());
        }
        Ok(Self { label: None, unit, value: Ok(value), note: None, stamp: None, origin: Origin::Set })
    }

    /// Returns a number written without a unit.
    pub(crate) fn bare(value: f64) -> ScriptResult<Self> {
        Ok(Self { origin: Origin::Bare, ..Self::set(value, Unit::Count)? })
    }

    /// Returns an unknown measured value.
    pub(crate) fn unknown(label: Arc<str>, unit: Unit, why: Arc<str>) -> Self {
        Self { label: Some(label), unit, value: Err(why), note: None, stamp: None, origin: Origin::Measured }
    }

    /// Returns the value as people read it.
    pub(crate) fn shown(&self) -> String {
        match &self.value {
            Ok(value) => self.unit.show(*value),
            Err(_) => "unknown".to_owned(),
        }
    }

    /// Returns how messages call it.
    pub(crate) fn name(&self) -> String {
        self.label.as_deref().map_or_else(|| self.shown(), str::to_owned)
    }

    /// Tells whether it depends on anything but the policy and its parameters.
    pub(crate) fn is_measured(&self) -> bool {
        self.origin >= Origin::Measured
    }

    /// Fails unless both are in the same unit.
    fn agree(&self, other: &Self) -> ScriptResult<()> {
        if self.unit == other.unit {
            return Ok(());
        }
        for (bare, unit, name) in [(self, other.unit, other.name()), (other, self.unit, self.name())] {
            if bare.origin == Origin::Bare {
                let number = bare.shown();
                return Err(format!("{name} is {}: write {}, not {number}", unit_word(unit), constructor(unit)).into());
            }
        }
        let (left, right) = (unit_word(self.unit), unit_word(other.unit));
        Err(format!("{} is {left}, {} is {right}: they cannot be combined", self.name(), other.name()).into())
    }

    fn combine(self, other: Self, text: String, value: impl FnOnce(f64, f64) -> f64, unit: Unit) -> Self {
        let value = match (&self.value, &other.value) {
            (Ok(left), Ok(right)) => finite(value(*left, *right)),
            (Err(why), _) | (_, Err(why)) => Err(Arc::clone(why)),
        };
        let literal = self.label.is_none() && other.label.is_none();
        Self {
            label: (!literal).then(|| text.into()),
            unit,
            value,
            note: self.note.or(other.note),
            stamp: Stamp::older(self.stamp, other.stamp),
            origin: self.origin.max(other.origin),
        }
    }
}

/// Returns `value` unless it is NaN or infinite.
pub(crate) fn finite(value: f64) -> Result<f64, Arc<str>> {
    if value.is_finite() { Ok(value) } else { Err("not a finite number".into()) }
}

fn constructor(unit: Unit) -> &'static str {
    match unit {
        Unit::Ratio => "pct(..)",
        Unit::Seconds => "ms(..) or secs(..)",
        Unit::PerSecond => "rps(..)",
        Unit::Count => "a plain number",
        Unit::Flag => "when(..) around the flag alone",
    }
}

/// Compares two quantities; the measured one stands on the left of the condition.
pub(crate) fn compare(left: Quantity, comparison: Comparison, right: Quantity) -> ScriptResult<Condition> {
    left.agree(&right)?;
    let (value, comparison, bound) = if right.is_measured() && !left.is_measured() {
        (right, mirrored(comparison), left)
    } else {
        (left, comparison, right)
    };
    let known = value.value.as_ref().ok().copied().zip(bound.value.as_ref().ok().copied());
    let note = match (&value.value, &bound.value) {
        (Err(why), _) => Some(Arc::clone(why)),
        (_, Err(why)) => Some(format!("{}: {why}", bound.name()).into()),
        (Ok(_), Ok(_)) => value.note.clone(),
    };
    let text = value.label.clone().unwrap_or_else(|| value.shown().into());
    let against = if bound.is_measured() { bound.label } else { None };
    Ok(Condition {
        trace: ConditionTrace {
            text,
            unit: value.unit,
            value: value.value.ok(),
            comparison: Some(comparison),
            bound: bound.value.ok(),
            margin: known.map(|(value, bound)| margin(value, comparison, bound)),
            note,
            negated: false,
            held_for: None,
            holds: known.map_or(Truth::Unknown, |(value, bound)| Truth::of(holds(value, comparison, bound))),
        },
        against,
        stamp: Stamp::older(value.stamp, bound.stamp),
        held: None,
    })
}

fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Above => Comparison::Below,
        Comparison::AtLeast => Comparison::AtMost,
        Comparison::Below => Comparison::Above,
        Comparison::AtMost => Comparison::AtLeast,
    }
}

fn holds(value: f64, comparison: Comparison, bound: f64) -> bool {
    match comparison {
        Comparison::Above => value > bound,
        Comparison::AtLeast => value >= bound,
        Comparison::Below => value < bound,
        Comparison::AtMost => value <= bound,
    }
}

fn margin(value: f64, comparison: Comparison, bound: f64) -> f64 {
    match comparison {
        Comparison::Above | Comparison::AtLeast => value - bound,
        Comparison::Below | Comparison::AtMost => bound - value,
    }
}

/// Reads a script value as a quantity.
///
/// # Errors
/// When it is neither a quantity nor a number.
pub(crate) fn quantity(value: &Dynamic, what: &str) -> ScriptResult<Quantity> {
    if let Ok(number) = value.as_float() {
        return Quantity::bare(number);
    }
    if let Ok(number) = value.as_int() {
        return Quantity::bare(number as f64);
    }
    value.read_lock::<Quantity>().map(|quantity| quantity.clone()).ok_or_else(|| {
        format!("{what} is {}, expected a number or a quantity such as ms(200)", type_word(value)).into()
    })
}

/// Reads a script value as a quantity of one unit.
///
/// # Errors
/// When it is no quantity, or of another unit.
pub(crate) fn quantity_in(value: &Dynamic, unit: Unit, what: &str) -> ScriptResult<Quantity> {
    let quantity = quantity(value, what)?;
    if quantity.unit == unit {
        return Ok(quantity);
    }
    Err(format!("{what} is {}, expected {}: write {}", unit_word(quantity.unit), unit_word(unit), constructor(unit))
        .into())
}

/// Returns what a script value is, for messages.
pub(crate) fn type_word(value: &Dynamic) -> &'static str {
    match value.type_name() {
        "i64" | "f64" => "a number",
        "bool" => "a bool",
        "()" => "nothing",
        name if name.ends_with("tring") => "a text",
        name if name.ends_with("Condition") => "a condition",
        name if name.ends_with("Quantity") => "a quantity",
        name if name.ends_with("Signal") => "a signal without a view (.current, .mean, .predicted)",
        name if name.ends_with("Clause") => "a clause",
        _ => "something else",
    }
}

/// Adds the constructors of units: usable at the top level and in rules.
pub(crate) fn register_units(engine: &mut Engine) {
    engine.register_type_with_name::<Quantity>("quantity");
    for (name, unit, factor) in [
        ("pct", Unit::Ratio, 0.01),
        ("ms", Unit::Seconds, 0.001),
        ("secs", Unit::Seconds, 1.0),
        ("rps", Unit::PerSecond, 1.0),
    ] {
        engine.register_fn(name, move |value: FLOAT| Quantity::set(value * factor, unit));
        engine.register_fn(name, move |value: INT| Quantity::set(value as f64 * factor, unit));
    }
}

/// Adds comparison and arithmetic.
pub(crate) fn register_operators(engine: &mut Engine) {
    for comparison in [Comparison::Above, Comparison::AtLeast, Comparison::Below, Comparison::AtMost] {
        let symbol = comparison.as_str();
        engine.register_fn(symbol, move |left: Quantity, right: Quantity| compare(left, comparison, right));
        engine
            .register_fn(symbol, move |left: Quantity, right: FLOAT| compare(left, comparison, Quantity::bare(right)?));
        engine
            .register_fn(symbol, move |left: FLOAT, right: Quantity| compare(Quantity::bare(left)?, comparison, right));
        engine.register_fn(symbol, move |left: Quantity, right: INT| {
            compare(left, comparison, Quantity::bare(right as f64)?)
        });
        engine.register_fn(symbol, move |left: INT, right: Quantity| {
            compare(Quantity::bare(left as f64)?, comparison, right)
        });
    }
    for name in ["max", "min", "+", "-", "*"] {
        engine.register_fn(name, move |left: Quantity, right: Quantity| arithmetic(name, left, right));
        engine.register_fn(name, move |left: Quantity, right: FLOAT| arithmetic(name, left, Quantity::bare(right)?));
        engine.register_fn(name, move |left: FLOAT, right: Quantity| arithmetic(name, Quantity::bare(left)?, right));
        engine
            .register_fn(name, move |left: Quantity, right: INT| arithmetic(name, left, Quantity::bare(right as f64)?));
        engine
            .register_fn(name, move |left: INT, right: Quantity| arithmetic(name, Quantity::bare(left as f64)?, right));
    }
    engine.register_fn("or", |value: Quantity, other: Quantity| instead(value, other));
    engine.register_fn("or", |value: Quantity, other: FLOAT| instead(value, Quantity::bare(other)?));
    engine.register_fn("or", |value: Quantity, other: INT| instead(value, Quantity::bare(other as f64)?));
}

fn arithmetic(name: &str, left: Quantity, right: Quantity) -> ScriptResult<Quantity> {
    let text = match name {
        "max" | "min" => format!("{name}({}, {})", left.name(), right.name()),
        _ => format!("{} {name} {}", left.name(), right.name()),
    };
    if name == "*" {
        let ((unit, Unit::Count) | (Unit::Count, unit)) = (left.unit, right.unit) else {
            return Err(format!("{} and {}: one factor has to be a plain number", left.name(), right.name()).into());
        };
        return Ok(left.combine(right, text, |left, right| left * right, unit));
    }
    left.agree(&right)?;
    let unit = left.unit;
    Ok(match name {
        "max" => left.combine(right, text, f64::max, unit),
        "min" => left.combine(right, text, f64::min, unit),
        "+" => left.combine(right, text, |left, right| left + right, unit),
        _ => left.combine(right, text, |left, right| left - right, unit),
    })
}

/// Returns `value`, or `other` while it is unknown.
fn instead(value: Quantity, other: Quantity) -> ScriptResult<Quantity> {
    value.agree(&other)?;
    let label = Some(format!("{}.or({})", value.name(), other.name()).into());
    let Err(why) = &value.value else { return Ok(Quantity { label, ..value }) };
    let note = Some(format!("{} taken, {why}", other.shown()).into());
    let origin = value.origin.max(other.origin);
    Ok(Quantity { label, note, origin, ..other })
}
