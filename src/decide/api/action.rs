//! Actions as policies write them: one function per entry of the catalogue.
//!
//! What can never be right (a text for a number, an unknown option) fails the rule here. What depends on the inputs is
//! checked when the conditions hold, see [`Wanted`].

use std::ops::RangeInclusive;
use std::time::Duration;

use rhai::{Dynamic, Engine, FLOAT, INT, Map, NativeCallContext};

use crate::decide::api::clause::{Book, Clause, Written};
use crate::decide::api::fields::Fields;
use crate::decide::api::quantity::{ScriptResult, quantity_in};
use crate::decide::api::span::parse_span;
use crate::decide::plan::action::Wanted;
use crate::decide::plan::quantity::Quantity;
use crate::model::controls::is_unprintable;
use crate::model::{Action, Unit, Vetoed};

/// How long a throttle may last.
const TTL: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(6);
/// Longest name of a backend or webhook.
const MAX_NAME: usize = 63;
/// Longest reason of a veto, bytes.
const MAX_REASON: usize = 256;

/// Registers the whole catalogue.
pub(crate) fn register(engine: &mut Engine, book: &Book) {
    register_sized(engine, book, "scale_by", Wanted::ScaleBy);
    register_sized(engine, book, "scale_to", Wanted::ScaleTo);
    register_sized(engine, book, "autoscaler_floor", Wanted::AutoscalerFloor);
    register_sized(engine, book, "cap", Wanted::Cap);
    let of = book.clone();
    engine.register_fn("veto", move |context: NativeCallContext, what: &str, why: &str| -> ScriptResult<Written> {
        Ok(act(&of, "veto", &context, veto(what, why)?))
    });
    for (name, action) in [
        ("rollback", Action::Rollback),
        ("promote", Action::PromoteRollout),
        ("abort", Action::AbortRollout),
        ("restart", Action::Restart),
    ] {
        let of = book.clone();
        engine.register_fn(name, move |context: NativeCallContext| {
            act(&of, name, &context, Wanted::Fixed(action.clone()))
        });
    }
    let of = book.clone();
    engine.register_fn("webhook", move |context: NativeCallContext, name: &str| -> ScriptResult<Written> {
        let action = Action::Webhook { name: named("webhook", name)? };
        Ok(act(&of, "webhook", &context, Wanted::Fixed(action)))
    });
    for (name, read) in
        [("shift", shift as fn(Map) -> ScriptResult<Wanted>), ("throttle", throttle), ("resize", resize)]
    {
        let of = book.clone();
        engine.register_fn(name, move |context: NativeCallContext, options: Map| -> ScriptResult<Written> {
            Ok(act(&of, name, &context, read(options)?))
        });
    }
}

/// Records an action.
fn act(book: &Book, word: &'static str, context: &NativeCallContext<'_>, wanted: Wanted) -> Written {
    book.enter(word, context, Clause::Act(wanted, context.call_position()))
}

/// Registers an action with one plain number.
fn register_sized(engine: &mut Engine, book: &Book, name: &'static str, make: fn(Quantity) -> Wanted) {
    let book = book.clone();
    let build = move |context: &NativeCallContext, size: &Dynamic| -> ScriptResult<Written> {
        Ok(act(&book, name, context, make(quantity_in(size, Unit::Count, name)?)))
    };
    let of = build.clone();
    engine.register_fn(name, move |context: NativeCallContext, size: Quantity| of(&context, &Dynamic::from(size)));
    let of = build.clone();
    engine.register_fn(name, move |context: NativeCallContext, size: FLOAT| of(&context, &Dynamic::from(size)));
    engine.register_fn(name, move |context: NativeCallContext, size: INT| build(&context, &Dynamic::from(size)));
}

fn named(what: &str, name: &str) -> ScriptResult<String> {
    let sound = !name.is_empty() && name.len() <= MAX_NAME && !name.contains(is_unprintable);
    if sound {
        Ok(name.to_owned())
    } else {
        Err(format!("{what}: its name must be one line of 1 to {MAX_NAME} bytes").into())
    }
}

fn veto(what: &str, why: &str) -> ScriptResult<Wanted> {
    let known = Vetoed::EVERY.into_iter().find(|vetoed| vetoed.as_str() == what);
    let what = known.ok_or_else(|| {
        let words: Vec<_> = Vetoed::EVERY.into_iter().map(Vetoed::as_str).collect();
        format!("veto: unknown `{what}`; known: {}", words.join(", "))
    })?;
    if why.trim().is_empty() || why.len() > MAX_REASON || why.contains(is_unprintable) {
        return Err(format!(
            "veto: its reason must be one line of 1 to {MAX_REASON} bytes, since it is written to every record"
        )
        .into());
    }
    Ok(Wanted::Veto { what, why: why.into() })
}

fn shift(options: Map) -> ScriptResult<Wanted> {
    let mut fields = Fields::new("shift", &["from", "to", "step", "limit"], options)?;
    let from = named("shift", &fields.text("from")?)?;
    let to = named("shift", &fields.text("to")?)?;
    if from == to {
        return Err(format!("shift: `from` and `to` are both {from}").into());
    }
    let step = quantity_in(&fields.required("step")?, Unit::Ratio, "shift: step")?;
    let limit = quantity_in(&fields.required("limit")?, Unit::Ratio, "shift: limit")?;
    Ok(Wanted::Shift { from, to, step, limit })
}

fn throttle(options: Map) -> ScriptResult<Wanted> {
    let mut fields = Fields::new("throttle", &["to", "ttl"], options)?;
    let to = quantity_in(&fields.required("to")?, Unit::Ratio, "throttle: to")?;
    let ttl = parse_span(&fields.text("ttl")?)?;
    if !TTL.contains(&ttl) {
        let (low, high) = (TTL.start().as_secs(), TTL.end().as_secs());
        return Err(format!("throttle: ttl is {} s, expected {low} s to {high} s", ttl.as_secs()).into());
    }
    Ok(Wanted::Throttle { to, ttl })
}

fn resize(options: Map) -> ScriptResult<Wanted> {
    let mut fields = Fields::new("resize", &["cpu", "memory"], options)?;
    let cpu = quantity_in(&fields.required("cpu")?, Unit::Count, "resize: cpu")?;
    let memory = quantity_in(&fields.required("memory")?, Unit::Count, "resize: memory")?;
    Ok(Wanted::Resize { cpu, memory })
}
