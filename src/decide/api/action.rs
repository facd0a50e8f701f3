//! Actions as policies construct them: one function for each entry of the catalogue, values checked here.
//!
//! Actions are constructed even when the conditions fail. So a value that is unknown or outside its range is
//! kept in the clause and counts only if all conditions hold; only what can never be right (a text for a
//! number, an unknown option) ends the rule at once.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, Engine, FLOAT, INT, Map, NativeCallContext, Position};

use crate::decide::api::clause::Clause;
use crate::decide::api::fields::Fields;
use crate::decide::api::quantity::{Origin, Quantity, ScriptResult, quantity_in};
use crate::decide::api::span::parse_span;
use crate::model::action::saturating_replicas;
use crate::model::{Action, Unit};

/// Factors of `scale_by` and `resize`.
const FACTOR: RangeInclusive<f64> = 0.1..=10.0;
/// Replica counts; zero means that somebody switched the service off, which is not ours to do.
const REPLICAS: RangeInclusive<f64> = 1.0..=100_000.0;
/// Shares of traffic.
const SHARE: RangeInclusive<f64> = 0.01..=1.0;
/// How long a throttle may last.
const TTL: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(6);
/// Longest name of a backend or webhook.
const MAX_NAME: usize = 63;

/// The action that a rule wants.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) action: Result<Action, Refused>,
    /// Whether its size was made from the arrival rate.
    pub(crate) backed_by_arrivals: bool,
    /// Whether its size depends on anything but the policy and its parameters.
    pub(crate) measured: bool,
    pub(crate) position: Position,
}

/// Why an action cannot be taken.
#[derive(Debug, Clone)]
pub(crate) enum Refused {
    /// Its size is not known.
    Unknown(Arc<str>),
    /// Its size is outside its range.
    Invalid(String),
}

impl Wanted {
    fn fixed(action: Action) -> Clause {
        Clause::Act(Self { action: Ok(action), backed_by_arrivals: false, measured: false, position: Position::NONE })
    }

    fn sized(context: &NativeCallContext, sizes: &[&Quantity], action: Result<Action, Refused>) -> Clause {
        Clause::Act(Self {
            action,
            backed_by_arrivals: sizes.iter().any(|size| size.origin == Origin::Arrivals),
            measured: sizes.iter().any(|size| size.is_measured()),
            position: context.call_position(),
        })
    }
}

/// Returns the value of `size` if it is known and inside `range`.
fn within(what: &str, size: &Quantity, range: &RangeInclusive<f64>) -> Result<f64, Refused> {
    let value = match &size.value {
        Ok(value) => *value,
        Err(why) => return Err(Refused::Unknown(format!("{what}: {} is unknown: {why}", size.name()).into())),
    };
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (size.unit.show(*range.start()), size.unit.show(*range.end()));
    Err(Refused::Invalid(format!("{what}: {} is not between {low} and {high}", size.unit.show(value))))
}

/// Reads a replica count; what is not whole is rounded up.
fn replicas(what: &str, size: &Quantity) -> Result<u32, Refused> {
    within(what, size, &REPLICAS).map(|count| saturating_replicas(count.ceil()))
}

/// Adds the whole catalogue.
pub(crate) fn register(engine: &mut Engine) {
    register_sized(engine, "scale_by", |size| {
        within("scale_by", size, &FACTOR).map(|factor| Action::ScaleBy { factor })
    });
    register_sized(engine, "scale_to", |size| replicas("scale_to", size).map(|replicas| Action::ScaleTo { replicas }));
    register_sized(engine, "autoscaler_floor", |size| {
        replicas("autoscaler_floor", size).map(|replicas| Action::SetAutoscalerFloor { replicas })
    });
    engine.register_fn("rollback", || Wanted::fixed(Action::Rollback));
    engine.register_fn("promote", || Wanted::fixed(Action::PromoteRollout));
    engine.register_fn("abort", || Wanted::fixed(Action::AbortRollout));
    engine.register_fn("restart", || Wanted::fixed(Action::Restart));
    engine.register_fn("webhook", |name: &str| -> ScriptResult<Clause> {
        Ok(Wanted::fixed(Action::Webhook { name: named("webhook", name)? }))
    });
    engine.register_fn("shift", |context: NativeCallContext, options: Map| shift(&context, options));
    engine.register_fn("throttle", |context: NativeCallContext, options: Map| throttle(&context, options));
    engine.register_fn("resize", |context: NativeCallContext, options: Map| resize(&context, options));
}

/// Adds an action with one plain number.
fn register_sized(engine: &mut Engine, name: &'static str, make: fn(&Quantity) -> Result<Action, Refused>) {
    let build = move |context: &NativeCallContext, size: &Dynamic| -> ScriptResult<Clause> {
        let size = quantity_in(size, Unit::Count, name)?;
        Ok(Wanted::sized(context, &[&size], make(&size)))
    };
    engine.register_fn(name, move |context: NativeCallContext, size: Quantity| build(&context, &Dynamic::from(size)));
    engine.register_fn(name, move |context: NativeCallContext, size: FLOAT| build(&context, &Dynamic::from(size)));
    engine.register_fn(name, move |context: NativeCallContext, size: INT| build(&context, &Dynamic::from(size)));
}

fn named(what: &str, name: &str) -> ScriptResult<String> {
    let sound = !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(|letter| !letter.is_control());
    if sound { Ok(name.to_owned()) } else { Err(format!("{what}: a name has 1 to {MAX_NAME} letters").into()) }
}

fn shift(context: &NativeCallContext, options: Map) -> ScriptResult<Clause> {
    let mut fields = Fields::new("shift", &["from", "to", "step", "limit"], options)?;
    let from = named("shift", &fields.text("from")?)?;
    let to = named("shift", &fields.text("to")?)?;
    if from == to {
        return Err(format!("shift: `from` and `to` are both {from}").into());
    }
    let step = quantity_in(&fields.required("step")?, Unit::Ratio, "shift: step")?;
    let limit = quantity_in(&fields.required("limit")?, Unit::Ratio, "shift: limit")?;
    let sizes = [&step, &limit];
    let action = within("shift: step", &step, &SHARE)
        .and_then(|step| Ok((step, within("shift: limit", &limit, &(step..=1.0))?)))
        .map(|(step, limit)| Action::ShiftTraffic { from, to, step, limit });
    Ok(Wanted::sized(context, &sizes, action))
}

fn throttle(context: &NativeCallContext, options: Map) -> ScriptResult<Clause> {
    let mut fields = Fields::new("throttle", &["to", "ttl"], options)?;
    let to = quantity_in(&fields.required("to")?, Unit::Ratio, "throttle: to")?;
    let ttl = parse_span(&fields.text("ttl")?)?;
    if !TTL.contains(&ttl) {
        let (low, high) = (TTL.start().as_secs(), TTL.end().as_secs());
        return Err(format!("throttle: ttl is {} s, allowed are {low} s to {high} s", ttl.as_secs()).into());
    }
    let action = within("throttle: to", &to, &SHARE).map(|to| Action::Throttle { to, ttl });
    Ok(Wanted::sized(context, &[&to], action))
}

fn resize(context: &NativeCallContext, options: Map) -> ScriptResult<Clause> {
    let mut fields = Fields::new("resize", &["cpu", "memory"], options)?;
    let cpu = quantity_in(&fields.required("cpu")?, Unit::Count, "resize: cpu")?;
    let memory = quantity_in(&fields.required("memory")?, Unit::Count, "resize: memory")?;
    let sizes = [&cpu, &memory];
    let action = within("resize: cpu", &cpu, &FACTOR)
        .and_then(|cpu| Ok((cpu, within("resize: memory", &memory, &FACTOR)?)))
        .map(|(cpu, memory)| Action::Resize { cpu, memory });
    Ok(Wanted::sized(context, &sizes, action))
}
