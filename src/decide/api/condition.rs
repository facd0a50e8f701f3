//! Conditions: statements that are true, false or unknown, and never a bool.

use std::any::Any;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rhai::{Array, Dynamic, Engine};

use crate::decide::api::quantity::{ScriptResult, Stamp, type_word};
use crate::decide::api::span::parse_span;
use crate::model::proposal::Comparison;
use crate::model::{ConditionTrace, Truth, Unit};

/// A condition. `trace.holds` is its truth before `unless` and `held_for`.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) trace: ConditionTrace,
    /// Label of a bound that is itself measured.
    pub(crate) against: Option<Arc<str>>,
    pub(crate) stamp: Option<Stamp>,
    /// Must hold for more than this.
    pub(crate) held: Option<Duration>,
}

impl Condition {
    /// Returns a flag, or a combination of conditions.
    pub(crate) fn flag(text: Arc<str>, holds: Truth, note: Option<Arc<str>>, stamp: Option<Stamp>) -> Self {
        Self {
            trace: ConditionTrace {
                text,
                unit: Unit::Flag,
                value: None,
                comparison: None,
                bound: None,
                margin: None,
                note,
                negated: false,
                held_for: None,
                holds,
            },
            against: None,
            stamp,
            held: None,
        }
    }

    /// Returns the condition in words, its bound included: what identifies it over time.
    pub(crate) fn phrase(&self) -> String {
        let trace = &self.trace;
        let Some(comparison) = trace.comparison else { return trace.text.to_string() };
        let bound = match (&self.against, trace.bound) {
            (Some(label), _) => label.to_string(),
            (None, Some(bound)) => trace.unit.show(bound),
            (None, None) => "unknown".to_owned(),
        };
        format!("{} {} {bound}", trace.text, comparison.as_str())
    }

    /// Fails if the condition carries `held_for`, which has to stand outermost.
    fn instant(self) -> ScriptResult<Self> {
        if self.held.is_none() {
            return Ok(self);
        }
        Err("held_for(..) has to come last: all([..]).held_for(..), not inside all, any, ! or or".into())
    }
}

/// Adds everything that makes conditions of conditions.
pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Condition>("condition");
    engine.register_fn("all", |parts: Array| combine("all", parts, Truth::True, Truth::and));
    engine.register_fn("any", |parts: Array| combine("any", parts, Truth::False, Truth::or));
    engine.register_fn("!", |condition: Condition| condition.instant().map(negate));
    engine.register_fn("or", |condition: Condition, assumed: bool| {
        condition.instant().map(|condition| assume(condition, assumed))
    });
    engine.register_fn("held_for", hold);
}

fn hold(condition: Condition, span: &str) -> ScriptResult<Condition> {
    let condition = condition.instant()?;
    Ok(Condition { held: Some(parse_span(span)?), ..condition })
}

fn combine(name: &str, parts: Array, start: Truth, join: impl Fn(Truth, Truth) -> Truth) -> ScriptResult<Condition> {
    if parts.is_empty() {
        return Err(format!("{name}([]) says nothing: list at least one condition").into());
    }
    let (mut text, mut note, mut holds, mut stamp) = (format!("{name}("), String::new(), start, None);
    for (position, part) in parts.into_iter().enumerate() {
        let word = type_word(&part);
        let Some(part) = part.try_cast::<Condition>() else {
            return Err(format!("element {} of {name}([..]) is {word}, expected a condition", position + 1).into());
        };
        let part = part.instant()?;
        if position > 0 {
            text.push_str(", ");
            note.push_str("; ");
        }
        text.push_str(&part.phrase());
        describe(&mut note, &part.trace);
        holds = join(holds, part.trace.holds);
        stamp = Stamp::older(stamp, part.stamp);
    }
    text.push(')');
    Ok(Condition::flag(text.into(), holds, Some(note.into()), stamp))
}

fn describe(note: &mut String, trace: &ConditionTrace) {
    note.push_str(&trace.text);
    if let Some(value) = trace.value {
        // Writing into a String does not fail.
        let _ = write!(note, " {}", trace.unit.show(value));
    }
    match trace.holds {
        Truth::True => note.push_str(" holds"),
        Truth::False => note.push_str(" does not hold"),
        Truth::Unknown => {
            let why = trace.note.as_deref().unwrap_or("no reason given");
            let _ = write!(note, " is unknown ({why})");
        }
    }
}

fn negate(mut condition: Condition) -> Condition {
    let trace = &mut condition.trace;
    trace.holds = trace.holds.negated();
    match trace.comparison {
        Some(comparison) => {
            trace.comparison = Some(opposite(comparison));
            trace.margin = trace.margin.map(|margin| 0.0 - margin);
        }
        None => trace.text = format!("not {}", trace.text).into(),
    }
    condition
}

fn opposite(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Above => Comparison::AtMost,
        Comparison::AtLeast => Comparison::Below,
        Comparison::Below => Comparison::AtLeast,
        Comparison::AtMost => Comparison::Above,
    }
}

fn assume(mut condition: Condition, assumed: bool) -> Condition {
    let trace = &mut condition.trace;
    trace.text = format!("{}.or({assumed})", trace.text).into();
    if trace.holds == Truth::Unknown {
        let why = trace.note.as_deref().unwrap_or("unknown");
        trace.note = Some(format!("taken as {assumed}, {why}").into());
        trace.holds = Truth::of(assumed);
    }
    condition
}

/// Registers errors for every comparison that Rhai would answer by itself: a value of another type makes its
/// `==` silently false and its `!=` silently true.
pub(crate) fn refuse_comparisons<T: Any + Clone + Send + Sync>(engine: &mut Engine, what: &'static str) {
    for symbol in ["==", "!="] {
        let refuse = move || -> ScriptResult<bool> {
            Err(format!("{what} cannot be compared by {symbol}: use >, >=, <, <= on a quantity, or the flag alone")
                .into())
        };
        engine.register_fn(symbol, move |_: T, _: Dynamic| refuse());
        engine.register_fn(symbol, move |_: Dynamic, _: T| refuse());
    }
    for symbol in [">", ">=", "<", "<="] {
        let refuse = move |other: &Dynamic| -> ScriptResult<bool> {
            Err(format!("{what} cannot be compared with {}", type_word(other)).into())
        };
        engine.register_fn(symbol, move |_: T, other: Dynamic| refuse(&other));
        engine.register_fn(symbol, move |other: Dynamic, _: T| refuse(&other));
    }
}
