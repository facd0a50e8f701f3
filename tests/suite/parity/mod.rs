//! The four original rules twice: in Rego by a real interpreter, and as shipped by ours, over the same inputs.
//!
//! The shipped files are compared with Rego semantics, which policies express in two words: `conflicts("error")`, and
//! `.or(false)` after each flag of an `unless(..)`, since Rego treats what is absent as off. Everything else is as
//! shipped. Used by the tests and by the figures.

#![allow(dead_code, reason = "the tests use one part of it, the figures another")]
#![allow(clippy::expect_used, reason = "a fixture that cannot be made is a failure of whoever uses it")]

mod inputs;
pub mod opa;

pub use inputs::{Facts, Source};

use std::sync::Arc;

use anyhow::Context;
use flyball::decide::{Deadline, Decider, PolicySet, Vocabulary, compile, decide};
use flyball::model::{Action, Choice, Features, Now, Outlook, ServiceSpec};
use regorus::{Engine, Value};

/// The rules in Rego.
pub const REGO: &str = include_str!("four_rules.rego");
/// The same rules as they are shipped.
pub const SHIPPED: [(&str, &str); 2] = [
    ("overload.rhai", include_str!("../../../deploy/policies/overload.rhai")),
    ("traffic.rhai", include_str!("../../../deploy/policies/traffic.rhai")),
];

/// The outcome of one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// More replicas.
    ScaleUp,
    /// Traffic to region B.
    Shift,
    /// Fewer replicas.
    ScaleDown,
    /// Less load admitted.
    Throttle,
    /// No rule matched.
    Nothing,
    /// More than one rule matched.
    Conflict,
    /// What neither side may do.
    Other,
}

/// The four outcomes that act.
pub const ACTIONS: [Outcome; 4] = [Outcome::ScaleUp, Outcome::Shift, Outcome::ScaleDown, Outcome::Throttle];

/// The interpreter of Rego with the four rules.
pub struct Rego(Engine);

impl Rego {
    /// Loads the rules.
    pub fn new() -> anyhow::Result<Self> {
        let mut engine = Engine::new();
        engine.set_rego_v0(true);
        engine.add_policy("four_rules.rego".to_owned(), REGO.to_owned())?;
        Ok(Self(engine))
    }

    /// Evaluates the rules; an error other than two simultaneous results is ours.
    pub fn decide(&mut self, input: Value) -> anyhow::Result<Outcome> {
        match self.evaluate(input) {
            Ok(action) => read(&action),
            Err(error) if format!("{error:#}").contains("rule conflicts with rule") => Ok(Outcome::Conflict),
            Err(error) => Err(error),
        }
    }

    /// Evaluates the rules without reading the result: what the figures compare.
    pub fn evaluate(&mut self, input: Value) -> anyhow::Result<Value> {
        self.0.set_input(input);
        self.0.eval_rule("data.flyball.parity.action".to_owned())
    }
}

fn read(action: &Value) -> anyhow::Result<Outcome> {
    let kind = action["type"].as_string().context("an action without a type")?;
    self::kind(kind)
}

fn kind(kind: &str) -> anyhow::Result<Outcome> {
    Ok(match kind {
        "SCALE_UP" => Outcome::ScaleUp,
        "SHIFT_TRAFFIC" => Outcome::Shift,
        "SCALE_DOWN" => Outcome::ScaleDown,
        "APPLY_THROTTLING" => Outcome::Throttle,
        "NO_ACTION" => Outcome::Nothing,
        other => anyhow::bail!("unknown action {other}"),
    })
}

/// Returns the shipped rules with Rego semantics.
pub fn in_rego_reading() -> anyhow::Result<PolicySet> {
    let mut files: Vec<_> = SHIPPED.map(|(path, text)| (path, absent_is_off(text))).into();
    files.push(("mode.rhai", "conflicts(\"error\");".to_owned()));
    load(files.iter().map(|(path, text)| (*path, text.as_str())))
}

/// Appends `.or(false)` to the flag of every `unless(..)`.
fn absent_is_off(text: &str) -> String {
    let line = |line: &str| match line.trim_start().strip_prefix("unless(").and_then(|rest| rest.strip_suffix("),")) {
        Some(flag) => format!("    unless({flag}.or(false)),\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Compiles a set.
pub fn load<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> anyhow::Result<PolicySet> {
    let never: Deadline = Arc::new(|| None);
    compile(files, &Vocabulary::of([])?, &never).map_err(|faults| anyhow::anyhow!("{faults:?}"))
}

/// Decides with a set, without history.
pub fn ours(set: &PolicySet, spec: &ServiceSpec, features: &Features, outlook: &Outlook, now: Now) -> Outcome {
    match decide(&mut Decider::new(), set, spec, features, outlook, now).choice {
        Choice::Act { action: Action::ScaleBy { factor: 1.5 }, .. } => Outcome::ScaleUp,
        Choice::Act { action: Action::ScaleBy { factor: 0.7 }, .. } => Outcome::ScaleDown,
        Choice::Act { action: Action::ShiftTraffic { ref from, ref to, .. }, .. } if (&**from, &**to) == ("A", "B") => {
            Outcome::Shift
        }
        Choice::Act { action: Action::Throttle { to: 0.8, .. }, .. } => Outcome::Throttle,
        Choice::Nothing(idle) if idle.reason.starts_with("conflict: ") => Outcome::Conflict,
        Choice::Nothing(_) => Outcome::Nothing,
        Choice::Act { .. } | Choice::Undo { .. } => Outcome::Other,
    }
}

/// The result of a comparison over many inputs.
#[derive(Debug, Default)]
pub struct Tally {
    /// Inputs compared.
    pub inputs: usize,
    /// Inputs in which a field was missing.
    pub with_missing: usize,
    /// Inputs with a value exactly on a bound.
    pub on_a_bound: usize,
    /// How often each outcome came from Rego.
    pub outcomes: std::collections::BTreeMap<Outcome, usize>,
    /// The first inputs on which the two differ.
    pub differences: Vec<String>,
    /// Number of differences.
    pub differing: usize,
}

/// Compares both over generated inputs.
pub fn compare(seed: u64, inputs: usize) -> anyhow::Result<Tally> {
    /// Differences kept for display.
    const KEPT: usize = 5;
    let (mut rego, set) = (Rego::new()?, in_rego_reading()?);
    let mut source = Source::new(seed);
    let mut tally = Tally { inputs, ..Tally::default() };
    for _ in 0..inputs {
        let facts = source.next();
        let expected = rego.decide(facts.rego())?;
        let (spec, features, outlook) = facts.flyball();
        let found = ours(&set, &spec, &features, &outlook, Facts::now());
        tally.with_missing += usize::from(facts.lacks_something());
        tally.on_a_bound += usize::from(facts.stands_on_a_bound());
        *tally.outcomes.entry(expected).or_default() += 1;
        if found != expected {
            tally.differing += 1;
            if tally.differences.len() < KEPT {
                tally.differences.push(format!("{facts:?}: Rego {expected:?}, flyball {found:?}"));
            }
        }
    }
    Ok(tally)
}
