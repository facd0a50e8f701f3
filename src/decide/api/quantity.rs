//! Numbers as policies write them, and the operations on them.

use std::sync::Arc;

use rhai::{Dynamic, Engine, EvalAltResult, FLOAT, INT};

use crate::decide::api::clause::Written;
use crate::decide::api::signal::{Service, Signal, Window};
use crate::decide::api::span::parse_span;
use crate::decide::plan::condition::{Condition, Statement};
use crate::decide::plan::quantity::{MAX_PARTS, Operator, Origin, Quantity, Term};
use crate::model::Unit;
use crate::model::condition::Comparison;

/// Result of a function that scripts call; the error fails the rule and carries its position.
pub(crate) type ScriptResult<T> = Result<T, Box<EvalAltResult>>;

/// Returns a number written in the policy.
fn written(value: f64, unit: Unit, origin: Origin) -> ScriptResult<Quantity> {
    if !value.is_finite() {
        return Err(format!("{value} is not a finite number").into());
    }
    Ok(Quantity { label: unit.show(value).into(), unit, origin, term: Term::Number(value) })
}

fn bare(value: f64) -> ScriptResult<Quantity> {
    written(value, Unit::Count, Origin::Bare)
}

fn constructor(unit: Unit) -> &'static str {
    match unit {
        Unit::Ratio => "pct(..)",
        Unit::Seconds => "ms(..), secs(..), mins(..) or \"2m\"",
        Unit::PerSecond => "rps(..)",
        Unit::Count => "a plain number",
        Unit::UsdPerHour => "usd_per_hour(..)",
        Unit::Flag => "when(..) around the flag alone",
    }
}

/// Fails unless both have the same unit.
fn agree(left: &Quantity, right: &Quantity) -> ScriptResult<()> {
    if left.unit == right.unit {
        return Ok(());
    }
    for (number, other) in [(left, right), (right, left)] {
        let is_written = matches!(number.term, Term::Number(_));
        if number.origin == Origin::Bare || (is_written && other.unit != Unit::Count) {
            let (name, unit, number) = (&other.label, other.unit, &number.label);
            return Err(format!("{name} is {}: write {}, not {number}", unit.word(), constructor(unit)).into());
        }
    }
    let (left_unit, right_unit) = (left.unit.word(), right.unit.word());
    Err(format!("{} is {left_unit}, {} is {right_unit}: they cannot be combined", left.label, right.label).into())
}

/// Compares two quantities; the measured one becomes the left side of the condition.
fn compare(left: Quantity, comparison: Comparison, right: Quantity) -> ScriptResult<Condition> {
    agree(&left, &right)?;
    bounded([left.parts(), right.parts()])?;
    let (left, comparison, right) = if right.is_measured() && !left.is_measured() {
        (right, mirrored(comparison), left)
    } else {
        (left, comparison, right)
    };
    Ok(Condition::new(Arc::clone(&left.label), Statement::Compare { left, comparison, right }))
}

/// Fails when the parts of a tree would be too many.
pub(crate) fn bounded(parts: impl IntoIterator<Item = usize>) -> ScriptResult<()> {
    let sum = parts.into_iter().fold(1, usize::saturating_add);
    if sum <= MAX_PARTS {
        Ok(())
    } else {
        Err(format!("limit: {sum} parts in one expression, the limit is {MAX_PARTS}").into())
    }
}

fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Above => Comparison::Below,
        Comparison::AtLeast => Comparison::AtMost,
        Comparison::Below => Comparison::Above,
        Comparison::AtMost => Comparison::AtLeast,
    }
}

/// Reads a script value as a quantity.
///
/// # Errors
/// When it is neither a quantity nor a number.
pub(crate) fn quantity(value: &Dynamic, what: &str) -> ScriptResult<Quantity> {
    if let Ok(number) = value.as_float() {
        return bare(number);
    }
    if let Ok(number) = value.as_int() {
        return bare(number as f64);
    }
    value.read_lock::<Quantity>().map(|quantity| quantity.clone()).ok_or_else(|| {
        format!("{what} is {}, expected a number or a quantity such as ms(200)", type_word(value)).into()
    })
}

/// Reads a script value as a quantity of one unit.
///
/// # Errors
/// When it is not a quantity, or of another unit.
pub(crate) fn quantity_in(value: &Dynamic, unit: Unit, what: &str) -> ScriptResult<Quantity> {
    let quantity = quantity(value, what)?;
    if quantity.unit == unit {
        return Ok(quantity);
    }
    let (found, expected) = (quantity.unit.word(), unit.word());
    let remedy = match (quantity.unit, unit) {
        (Unit::PerSecond, Unit::Count) => ": convert it with .needs_replicas()".to_owned(),
        (_, Unit::Count) => String::new(),
        _ => format!(": write {}", constructor(unit)),
    };
    Err(format!("{what} is {found}, expected {expected}{remedy}").into())
}

/// Returns the type name of a script value, for messages.
pub(crate) fn type_word(value: &Dynamic) -> &'static str {
    let words = [
        (value.is_int() || value.is_float(), "a number"),
        (value.is_bool(), "a bool"),
        (value.is_unit(), "nothing"),
        (value.is_string(), "a text"),
        (value.is::<Condition>(), "a condition"),
        (value.is::<Quantity>(), "a quantity"),
        (value.is::<Signal>(), "a signal without a view (.current, .mean, .predicted)"),
        (value.is::<Window>(), "a window without a view (.mean, .p99, .max, .change)"),
        (value.is::<Written>(), "a clause"),
        (value.is::<Service>(), "the service"),
        (value.is_map(), "a map"),
        (value.is_array(), "a list"),
    ];
    words.into_iter().find_map(|(is, word)| is.then_some(word)).unwrap_or("something else")
}

/// Registers the unit constructors: usable at the top level and in rules.
pub(crate) fn register_units(engine: &mut Engine) {
    engine.register_type_with_name::<Quantity>("quantity");
    for (name, unit, factor) in [
        ("pct", Unit::Ratio, 0.01),
        ("ms", Unit::Seconds, 0.001),
        ("secs", Unit::Seconds, 1.0),
        ("mins", Unit::Seconds, 60.0),
        ("rps", Unit::PerSecond, 1.0),
        ("usd_per_hour", Unit::UsdPerHour, 1.0),
    ] {
        engine.register_fn(name, move |value: FLOAT| written(value * factor, unit, Origin::Set));
        engine.register_fn(name, move |value: INT| written(value as f64 * factor, unit, Origin::Set));
    }
}

/// Registers comparison and arithmetic.
pub(crate) fn register_operators(engine: &mut Engine) {
    engine.register_indexer_get(|number: &mut Quantity, name: &str| -> ScriptResult<Dynamic> {
        Err(format!("{} is a number and has no `{name}`: remove `.{name}`", number.label).into())
    });
    for comparison in [Comparison::Above, Comparison::AtLeast, Comparison::Below, Comparison::AtMost] {
        between_quantities(engine, comparison.as_str(), move |left, right| compare(left, comparison, right));
    }
    for comparison in [Comparison::Above, Comparison::AtLeast, Comparison::Below, Comparison::AtMost] {
        let symbol = comparison.as_str();
        engine.register_fn(symbol, move |left: Quantity, right: &str| {
            compare(left.clone(), comparison, time(&left, right)?)
        });
        engine.register_fn(symbol, move |left: &str, right: Quantity| {
            compare(time(&right, left)?, comparison, right.clone())
        });
    }
    for (name, operator) in [
        ("max", Operator::Max),
        ("min", Operator::Min),
        ("+", Operator::Plus),
        ("-", Operator::Minus),
        ("*", Operator::Times),
    ] {
        between_quantities(engine, name, move |left, right| arithmetic(name, operator, left, right));
    }
    engine.register_fn("or", |value: Quantity, other: Quantity| instead(value, other));
    engine.register_fn("or", |value: Quantity, other: FLOAT| instead(value, bare(other)?));
    engine.register_fn("or", |value: Quantity, other: INT| instead(value, bare(other as f64)?));
}

/// Reads a text that is compared with a duration.
fn time(with: &Quantity, text: &str) -> ScriptResult<Quantity> {
    if with.unit != Unit::Seconds {
        return Err(format!("a quantity cannot be compared with a text: {} is {}", with.label, with.unit.word()).into());
    }
    let is_number = |digits: &&str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(number) = text.strip_suffix("ms").filter(is_number) {
        return Err(format!("`{text}` is not a duration: write ms({number})").into());
    }
    written(parse_span(text)?.as_secs_f64(), Unit::Seconds, Origin::Set)
}

/// Registers a function of two quantities, one of which may be a plain number.
fn between_quantities<T: Clone + Send + Sync + 'static>(
    engine: &mut Engine,
    name: &str,
    make: impl Fn(Quantity, Quantity) -> ScriptResult<T> + Clone + Send + Sync + 'static,
) {
    let with = make.clone();
    engine.register_fn(name, move |left: Quantity, right: FLOAT| with(left, bare(right)?));
    let with = make.clone();
    engine.register_fn(name, move |left: FLOAT, right: Quantity| with(bare(left)?, right));
    let with = make.clone();
    engine.register_fn(name, move |left: Quantity, right: INT| with(left, bare(right as f64)?));
    let with = make.clone();
    engine.register_fn(name, move |left: INT, right: Quantity| with(bare(left as f64)?, right));
    engine.register_fn(name, make);
}

fn arithmetic(name: &str, operator: Operator, left: Quantity, right: Quantity) -> ScriptResult<Quantity> {
    bounded([left.parts(), right.parts()])?;
    let label = match operator {
        Operator::Max | Operator::Min => format!("{name}({}, {})", left.label, right.label),
        Operator::Plus | Operator::Minus | Operator::Times => {
            format!("{} {name} {}", operand(&left), operand(&right))
        }
    };
    let unit = if operator == Operator::Times {
        let ((unit, Unit::Count) | (Unit::Count, unit)) = (left.unit, right.unit) else {
            return Err(format!("{} and {}: one factor must be a plain number", left.label, right.label).into());
        };
        unit
    } else {
        agree(&left, &right)?;
        left.unit
    };
    let origin = left.origin.max(right.origin);
    Ok(Quantity { label: label.into(), unit, origin, term: Term::Both(operator, Arc::new((left, right))) })
}

/// Returns a quantity as an operand: computed quantities are parenthesised.
fn operand(quantity: &Quantity) -> Arc<str> {
    match quantity.term {
        Term::Both(Operator::Plus | Operator::Minus | Operator::Times, _) => format!("({})", quantity.label).into(),
        _ => Arc::clone(&quantity.label),
    }
}

/// Returns `value`, or `other` while it is unknown.
fn instead(value: Quantity, other: Quantity) -> ScriptResult<Quantity> {
    agree(&value, &other)?;
    bounded([value.parts(), other.parts()])?;
    let label = format!("{}.or({})", value.label, other.label).into();
    let origin = value.origin.max(other.origin);
    Ok(Quantity { label, unit: value.unit, origin, term: Term::Or(Arc::new((value, other))) })
}
