//! Statements that are true, false or unknown.

use std::sync::Arc;
use std::time::Duration;

use crate::decide::plan::inputs::{Inputs, Stamp};
use crate::decide::plan::quantity::Quantity;
use crate::model::condition::{Comparison, ConditionId};
use crate::model::{Bounds, Combination, ConditionTrace, SignalName, TargetState, Truth, Unit};

/// A flag that follows from the target and its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetFlag {
    /// A rollout is in progress.
    Rollout,
    /// Below the upper bound.
    CanScaleUp,
    /// At the lower bound, or below.
    AtMinReplicas,
    /// At the upper bound, or above.
    AtMaxReplicas,
}

impl TargetFlag {
    /// Returns whether it is set.
    pub(crate) fn holds(self, target: &TargetState, bounds: Bounds) -> bool {
        let (lever, bounds) = (target.lever(), target.bounds(bounds));
        match self {
            Self::Rollout => target.rollout,
            Self::CanScaleUp => lever.asked < bounds.max,
            Self::AtMinReplicas => lever.value <= bounds.min,
            Self::AtMaxReplicas => lever.asked >= bounds.max,
        }
    }
}

/// Names of the flags of a target, as policies write them.
pub const TARGET_FLAGS: [&str; 4] = ["rollout", "can_scale_up", "at_min_replicas", "at_max_replicas"];

/// Returns the flags of a target with these bounds, in the order of [`TARGET_FLAGS`].
pub fn target_flags(target: &TargetState, bounds: Bounds) -> [bool; 4] {
    [TargetFlag::Rollout, TargetFlag::CanScaleUp, TargetFlag::AtMinReplicas, TargetFlag::AtMaxReplicas]
        .map(|flag| flag.holds(target, bounds))
}

/// What a condition states.
#[derive(Debug, Clone)]
pub(crate) enum Statement {
    /// The comparison of `left` with `right`. If either is measured, `left` is.
    Compare { left: Quantity, comparison: Comparison, right: Quantity },
    /// A declared flag is on.
    Signal(SignalName),
    /// A flag of the target is on.
    Target(TargetFlag),
    /// All parts hold.
    All(Arc<[Condition]>),
    /// At least one part holds.
    Any(Arc<[Condition]>),
    /// The part does not hold.
    Not(Arc<Condition>),
    /// The part holds, or this value while it is unknown.
    Or(Arc<Condition>, bool),
}

/// How long a condition must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// Must hold for more than this.
    pub(crate) needed: Duration,
    /// The condition, exactly: a different one in its place starts from scratch.
    pub(crate) written: ConditionId,
    /// Parameters that it depends on; their values are part of its id.
    pub(crate) parameters: Vec<Arc<str>>,
}

impl Held {
    /// Returns the id of the condition for one service.
    pub(crate) fn id(&self, inputs: &Inputs<'_>) -> ConditionId {
        self.parameters.iter().fold(self.written, |id, name| id.and(inputs.parameter(name).number.ok()))
    }
}

/// A condition.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    /// What is compared, as policies write it.
    pub(crate) text: Arc<str>,
    pub(crate) statement: Statement,
    pub(crate) held: Option<Held>,
}

/// A condition as it was evaluated.
pub(crate) struct Evaluated {
    /// `holds` is the truth before `unless` and `held_for`.
    pub(crate) trace: ConditionTrace,
    pub(crate) stamp: Option<Stamp>,
}

impl Condition {
    /// Returns a condition without `held_for`.
    pub(crate) fn new(text: impl Into<Arc<str>>, statement: Statement) -> Self {
        Self { text: text.into(), statement, held: None }
    }

    /// Returns the condition in words, including its bound.
    pub(crate) fn phrase(&self) -> String {
        match &self.statement {
            Statement::Compare { comparison, right, .. } => {
                format!("{} {} {}", self.text, comparison.as_str(), right.label)
            }
            _ => self.text.to_string(),
        }
    }

    /// Returns the conditions that it consists of, without their own parts.
    pub(crate) fn operands(&self) -> &[Self] {
        match &self.statement {
            Statement::All(parts) | Statement::Any(parts) => parts,
            Statement::Not(part) | Statement::Or(part, _) => std::slice::from_ref(&**part),
            Statement::Compare { .. } | Statement::Signal(_) | Statement::Target(_) => &[],
        }
    }

    /// Returns what it states; for an `or(..)`, what its part states.
    pub(crate) fn stated(&self) -> &Statement {
        match &self.statement {
            Statement::Or(part, _) => part.stated(),
            own => own,
        }
    }

    /// Returns the conditions whose traces are parts of its own trace: those of a combination, also if it is negated or
    /// has a fallback.
    pub(crate) fn traced(&self) -> &[Self] {
        match &self.statement {
            Statement::All(parts) | Statement::Any(parts) => parts,
            Statement::Not(part) | Statement::Or(part, _) => part.traced(),
            Statement::Compare { .. } | Statement::Signal(_) | Statement::Target(_) => &[],
        }
    }

    /// Returns the quantities that it compares itself.
    pub(crate) fn quantities(&self) -> impl Iterator<Item = &Quantity> {
        let pair = match &self.statement {
            Statement::Compare { left, right, .. } => Some([left, right]),
            _ => None,
        };
        pair.into_iter().flatten()
    }

    /// Returns how many parts it has.
    pub(crate) fn parts(&self) -> usize {
        let quantities: usize = self.quantities().map(Quantity::parts).sum();
        1 + quantities + self.operands().iter().map(Self::parts).sum::<usize>()
    }

    /// Returns whether there are inputs for which it is unknown.
    pub(crate) fn may_be_unknown(&self) -> bool {
        match &self.statement {
            Statement::Compare { left, right, .. } => left.may_be_unknown() || right.may_be_unknown(),
            Statement::Signal(_) | Statement::Target(_) => true,
            Statement::All(parts) | Statement::Any(parts) => parts.iter().any(Self::may_be_unknown),
            Statement::Not(part) => part.may_be_unknown(),
            Statement::Or(..) => false,
        }
    }

    /// Adds the names of all signals that it reads.
    pub(crate) fn signals(&self, names: &mut Vec<SignalName>) {
        if let Statement::Signal(name) = &self.statement {
            names.push(name.clone());
        }
        self.quantities().for_each(|quantity| quantity.signals(names));
        self.operands().iter().for_each(|part| part.signals(names));
    }

    /// Adds the names of all parameters that it depends on.
    pub(crate) fn parameters(&self, names: &mut Vec<Arc<str>>) {
        self.quantities().for_each(|quantity| quantity.parameters(names));
        self.operands().iter().for_each(|part| part.parameters(names));
    }

    /// Returns whether it reads a masked value.
    fn is_masked(&self, inputs: &Inputs<'_>) -> bool {
        let is_own = || matches!(&self.statement, Statement::Signal(name) if inputs.is_masked(name));
        inputs.has_masked
            && (is_own()
                || self.quantities().any(|quantity| quantity.is_masked(inputs))
                || self.operands().iter().any(|part| part.is_masked(inputs)))
    }

    /// Evaluates the condition as of now.
    pub(crate) fn evaluate(&self, inputs: &Inputs<'_>) -> Evaluated {
        let text = Arc::clone(&self.text);
        match &self.statement {
            Statement::Compare { left, comparison, right } => compare(text, left, *comparison, right, inputs),
            Statement::Signal(name) => match inputs.fresh(name, Unit::Flag) {
                Ok(fresh) => flag(text, Truth::of(fresh.value != 0.0), Some(fresh.age), Some(fresh.stamp)),
                Err(why) => flag(text, Truth::Unknown, Some(why), None),
            },
            Statement::Target(which) => match inputs.target() {
                Ok(target) => {
                    flag(text, Truth::of(which.holds(target, inputs.bounds)), None, Some(inputs.target_stamp()))
                }
                Err(why) => flag(text, Truth::Unknown, Some(why), None),
            },
            Statement::All(parts) => join(text, parts, inputs, Combination::All, (Truth::True, Truth::and)),
            Statement::Any(parts) => join(text, parts, inputs, Combination::Any, (Truth::False, Truth::or)),
            Statement::Not(part) => {
                let Evaluated { trace, stamp } = part.evaluate(inputs);
                let mut negated = flag(text, trace.holds.negated(), trace.note, stamp);
                negated.trace.parts = trace.parts.map(Combination::negated);
                negated
            }
            // Its value was masked: a fallback in its place would be made up.
            Statement::Or(part, _) if part.is_masked(inputs) => {
                let Evaluated { trace, stamp } = part.evaluate(inputs);
                Evaluated { trace: ConditionTrace { text, ..trace }, stamp }
            }
            Statement::Or(part, assumed) => assume(text, part.evaluate(inputs), *assumed),
        }
    }
}

fn flag(text: Arc<str>, holds: Truth, note: Option<Arc<str>>, stamp: Option<Stamp>) -> Evaluated {
    let trace = ConditionTrace {
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
        parts: None,
    };
    Evaluated { trace, stamp }
}

fn compare(
    text: Arc<str>,
    left: &Quantity,
    comparison: Comparison,
    right: &Quantity,
    inputs: &Inputs<'_>,
) -> Evaluated {
    let (value, bound) = (left.value(inputs), right.value(inputs));
    let (margin, holds, note) = match (&value.number, &bound.number) {
        (Ok(number), Ok(limit)) => {
            let margin = match comparison {
                Comparison::Above | Comparison::AtLeast => number - limit,
                Comparison::Below | Comparison::AtMost => limit - number,
            };
            (Some(margin).filter(|margin| margin.is_finite()), holds(*number, comparison, *limit), value.note)
        }
        (Err(why), _) => (None, Truth::Unknown, Some(Arc::clone(why))),
        (_, Err(why)) => (None, Truth::Unknown, Some(format!("{}: {why}", right.label).into())),
    };
    let trace = ConditionTrace {
        text,
        unit: left.unit,
        value: value.number.ok(),
        comparison: Some(comparison),
        bound: bound.number.ok(),
        margin,
        note,
        negated: false,
        held_for: None,
        holds,
        parts: None,
    };
    Evaluated { trace, stamp: Stamp::older(value.stamp, bound.stamp) }
}

fn holds(value: f64, comparison: Comparison, bound: f64) -> Truth {
    Truth::of(match comparison {
        Comparison::Above => value > bound,
        Comparison::AtLeast => value >= bound,
        Comparison::Below => value < bound,
        Comparison::AtMost => value <= bound,
    })
}

fn join(
    text: Arc<str>,
    parts: &[Condition],
    inputs: &Inputs<'_>,
    made: fn(Vec<ConditionTrace>) -> Combination,
    (start, join): (Truth, fn(Truth, Truth) -> Truth),
) -> Evaluated {
    let (mut traces, mut holds, mut stamp) = (Vec::with_capacity(parts.len()), start, None);
    for part in parts {
        let part = part.evaluate(inputs);
        holds = join(holds, part.trace.holds);
        stamp = Stamp::older(stamp, part.stamp);
        traces.push(part.trace);
    }
    let note = (holds == Truth::Unknown).then(|| doubts(&traces));
    let mut whole = flag(text, holds, note, stamp);
    whole.trace.parts = Some(made(traces));
    whole
}

/// Returns why a combination is unknown: its unknown parts.
fn doubts(parts: &[ConditionTrace]) -> Arc<str> {
    let unknown = parts.iter().filter(|part| part.holds == Truth::Unknown);
    let told = unknown.map(|part| {
        let why = part.note.as_deref().unwrap_or("no reason given");
        format!("{} is unknown ({why})", part.text)
    });
    told.collect::<Vec<_>>().join("; ").into()
}

fn assume(text: Arc<str>, part: Evaluated, assumed: bool) -> Evaluated {
    let Evaluated { mut trace, stamp } = part;
    trace.text = text;
    if trace.holds == Truth::Unknown {
        let why = trace.note.as_deref().unwrap_or("unknown");
        trace.note = Some(format!("taken as {assumed}, {why}").into());
        trace.holds = Truth::of(assumed);
    }
    Evaluated { trace, stamp }
}
