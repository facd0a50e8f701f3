//! Functions that build conditions from conditions. A condition never becomes a bool.

use std::any::{Any, TypeId};
use std::sync::Arc;

use rhai::{Array, Dynamic, Engine};

use crate::decide::api::quantity::{ScriptResult, bounded, type_word};
use crate::decide::api::span::parse_span;
use crate::decide::plan::condition::{Condition, Held, Statement};
use crate::decide::plan::quantity::Quantity;
use crate::model::condition::{Comparison, ConditionId};

/// Registers everything that builds conditions from conditions.
pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Condition>("condition");
    engine.register_indexer_get(|condition: &mut Condition, name: &str| -> ScriptResult<Dynamic> {
        let text = &condition.text;
        let remedy = match &condition.statement {
            Statement::Signal(_) | Statement::Target(_) => format!("write when(s.{text})"),
            _ => "it is either true or false".to_owned(),
        };
        Err(format!("{text} is a condition and has no `{name}`: {remedy}").into())
    });
    engine.register_fn("all", |parts: Array| combine("all", parts, Statement::All));
    engine.register_fn("any", |parts: Array| combine("any", parts, Statement::Any));
    engine.register_fn("!", |condition: Condition| {
        bounded([condition.parts()])?;
        instant(condition).map(negate)
    });
    engine.register_fn("or", |condition: Condition, assumed: bool| {
        let part = instant(condition)?;
        bounded([part.parts()])?;
        Ok(Condition::new(format!("{}.or({assumed})", part.text), Statement::Or(Arc::new(part), assumed)))
            as ScriptResult<Condition>
    });
    engine.register_fn("held_for", hold);
}

/// Fails if the condition carries `held_for`, which must be outermost.
fn instant(condition: Condition) -> ScriptResult<Condition> {
    if condition.held.is_none() {
        return Ok(condition);
    }
    Err("held_for(..) must come last: all([..]).held_for(..), not inside all, any, ! or or".into())
}

fn hold(condition: Condition, span: &str) -> ScriptResult<Condition> {
    let condition = instant(condition)?;
    let needed = parse_span(span)?;
    let mut parameters = Vec::new();
    condition.parameters(&mut parameters);
    let written = ConditionId::of(&format!("{:?}", condition.statement));
    Ok(Condition { held: Some(Held { needed, written, parameters }), ..condition })
}

fn combine(name: &str, list: Array, make: fn(Arc<[Condition]>) -> Statement) -> ScriptResult<Condition> {
    if list.is_empty() {
        return Err(format!("{name}([]) is empty: list at least one condition").into());
    }
    let mut parts = Vec::new();
    for (position, part) in list.into_iter().enumerate() {
        let word = type_word(&part);
        let Some(part) = part.try_cast::<Condition>() else {
            return Err(format!("element {} of {name}([..]) is {word}, expected a condition", position + 1).into());
        };
        parts.push(instant(part)?);
    }
    bounded(parts.iter().map(Condition::parts))?;
    let phrases: Vec<_> = parts.iter().map(Condition::phrase).collect();
    Ok(Condition::new(format!("{name}({})", phrases.join(", ")), make(parts.into())))
}

fn negate(condition: Condition) -> Condition {
    match condition.statement {
        Statement::Compare { left, comparison, right } => {
            Condition::new(condition.text, Statement::Compare { left, comparison: opposite(comparison), right })
        }
        _ => Condition::new(format!("not {}", condition.text), Statement::Not(Arc::new(condition))),
    }
}

fn opposite(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Above => Comparison::AtMost,
        Comparison::AtLeast => Comparison::Below,
        Comparison::Below => Comparison::AtLeast,
        Comparison::AtMost => Comparison::Above,
    }
}

/// Registers errors for every comparison that Rhai would otherwise answer itself: a value of another type makes its
/// `==` silently false and its `!=` silently true.
pub(crate) fn refuse_comparisons<T: Any + Clone + Send + Sync>(engine: &mut Engine, what: &'static str) {
    let flag = (TypeId::of::<T>() == TypeId::of::<Condition>()).then_some("a flag stands alone, when(s.maintenance)");
    for symbol in ["==", "!="] {
        let refuse = move || -> ScriptResult<bool> {
            let remedy = flag.unwrap_or("use >, >=, <, <= on a quantity, or the flag alone");
            Err(format!("{what} cannot be compared with {symbol}: {remedy}").into())
        };
        engine.register_fn(symbol, move |_: T, _: Dynamic| refuse());
        engine.register_fn(symbol, move |_: Dynamic, _: T| refuse());
    }
    for symbol in [">", ">=", "<", "<="] {
        let refuse = move |other: &Dynamic| -> ScriptResult<bool> {
            let remedy = match flag {
                // `pct(10) < x < pct(60)` compares the first comparison with the last number.
                Some(_) if other.is::<Quantity>() => {
                    ": write two, as in when(x > pct(10)), when(x < pct(60))".to_owned()
                }
                Some(flag) if !other.is::<Condition>() => format!(": {flag}"),
                _ => String::new(),
            };
            Err(format!("{what} cannot be compared with {}{remedy}", type_word(other)).into())
        };
        engine.register_fn(symbol, move |_: T, other: Dynamic| refuse(&other));
        engine.register_fn(symbol, move |other: Dynamic, _: T| refuse(&other));
    }
}
