//! What is allowed but likely a mistake. A set with such findings loads; `policy check --strict` refuses it.
//!
//! | file | finds |
//! |---|---|
//! | this one | what is suspicious about a rule, a parameter, an action |
//! | [`overlap`] | pairs of rules that can match together, rules that never can |
//! | [`names`] | names that are declared but unused; at load, those that are words of the language |
//! | [`signals`] | forecasts that do not exist |

pub(super) mod names;
mod overlap;
mod signals;

use self::overlap::possible_of;
use crate::decide::compile::{PolicySet, Rule, is_source};
use crate::decide::fault::PolicyFault;
use crate::decide::plan::action::{Refused, Wanted};
use crate::decide::plan::condition::{Condition, Statement};
use crate::decide::plan::inputs::Inputs;
use crate::decide::plan::parameter::Parameter;
use crate::decide::plan::quantity::{Operator, Origin, Quantity, Term};
use crate::model::Goal;
use crate::model::policy_path::DATA_SUFFIX;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lint {
    /// Where, what, and how to fix it.
    pub fault: PolicyFault,
    /// Which of [`LINTS`] it is.
    pub id: &'static str,
}

/// All kinds of findings, with their meanings.
pub const LINTS: [(&str, &str); 12] = [
    ("conflicting-rules", "two rules of equal priority and goal can match together"),
    ("never-matches", "no input satisfies all conditions of the rule"),
    ("always-holds", "a condition is true whenever it is known"),
    ("no-op-action", "an action changes nothing"),
    ("not-forecast", "a rule reads the forecast of a signal that has none"),
    ("cost-in-maintenance", "a cost rule, or one that lowers, does not check maintenance"),
    (
        "unbounded-action",
        "the size of an action is a measured value without a limit, or a parameter outside the action's range",
    ),
    ("undocumented-parameter", "a parameter has no description"),
    ("unbounded-parameter", "a parameter has no min or max"),
    ("unused-parameter", "no rule reads the parameter"),
    ("unused-name", "a variable, constant, function or import is not used"),
    ("no-expectation", "a test expects nothing of a decision"),
];

/// Returns every finding in a set and its source files, in the order of files and lines.
pub fn lint<'a>(set: &PolicySet, files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Lint> {
    let files: Vec<_> = files.into_iter().filter(|(path, _)| is_source(path) && !path.ends_with(DATA_SUFFIX)).collect();
    let mut found = overlap::find(set);
    found.extend(signals::find(set));
    set.rules.iter().for_each(|rule| found.extend(odd_rule(rule, set)));
    set.rules.iter().for_each(|rule| found.extend(beyond_range(rule, set)));
    for (position, parameter) in set.parameters.iter().enumerate() {
        let used = set.rules.iter().any(|rule| rule.parameters.contains(&position));
        found.extend(odd_parameter(parameter, used));
    }
    files.iter().for_each(|(path, text)| found.extend(names::unused(path, text)));
    found.sort();
    found
}

fn at(rule: &Rule, id: &'static str, message: String) -> Lint {
    Lint { fault: rule.fault(rule.position, message), id }
}

fn odd_rule(rule: &Rule, set: &PolicySet) -> Vec<Lint> {
    let mut found = Vec::new();
    let guarded = rule.body.conditions.iter().any(|(condition, negated)| ends_with_maintenance(condition, !negated));
    let saves = match rule.goal {
        Goal::Cost => Some("is a cost rule"),
        Goal::Protect => lowers(&rule.body.action, set).then_some("lowers"),
    };
    if let Some(saves) = saves.filter(|_| !guarded) {
        let message = format!(
            "it {saves} and does not check maintenance, or acts only during maintenance: add unless(s.maintenance)"
        );
        found.push(at(rule, "cost-in-maintenance", message));
    }
    if is_idle(&rule.body.action) {
        found.push(at(
            rule,
            "no-op-action",
            "its action changes nothing: change its size, or delete the rule".to_owned(),
        ));
    }
    let sizes = if rule.is_limit() { Vec::new() } else { rule.body.action.sizes() };
    for size in sizes.into_iter().filter(|size| is_unbounded(size)) {
        let message = format!("{} can have any size: limit it, as in min({0}, 20)", size.label);
        found.push(at(rule, "unbounded-action", message));
    }
    found
}

/// Returns whether an action lowers, whatever its inputs: no factor is above one, and one can be below.
fn lowers(action: &Wanted, set: &PolicySet) -> bool {
    let factors = match action {
        Wanted::ScaleBy(_) | Wanted::Resize { .. } => action.sizes(),
        _ => Vec::new(),
    };
    let possible = || factors.iter().map(|factor| possible_of(factor, set));
    possible().all(|factor| factor.high.0 <= 1.0) && possible().any(|factor| factor.low.0 < 1.0)
}

/// Returns whether a condition can have this truth value only without maintenance.
fn ends_with_maintenance(condition: &Condition, truth: bool) -> bool {
    let every = |parts: &[Condition]| parts.iter().all(|part| ends_with_maintenance(part, truth));
    let one = |parts: &[Condition]| parts.iter().any(|part| ends_with_maintenance(part, truth));
    match &condition.statement {
        Statement::Signal(name) => !truth && name.as_str().contains("maintenance"),
        Statement::Not(part) => ends_with_maintenance(part, !truth),
        Statement::Or(part, _) => ends_with_maintenance(part, truth),
        Statement::All(parts) if truth => one(parts),
        Statement::All(parts) => every(parts),
        Statement::Any(parts) if truth => every(parts),
        Statement::Any(parts) => one(parts),
        // Which of its values mean maintenance is not known here.
        Statement::Compare { .. } => condition.text.contains("maintenance"),
        Statement::Target(_) => false,
    }
}

/// Finds sizes that services may set, by parameters, to values that the action does not accept.
fn beyond_range(rule: &Rule, set: &PolicySet) -> Option<Lint> {
    let sizes = rule.body.action.sizes();
    if sizes.iter().any(|size| size.is_measured()) {
        return None;
    }
    let refused = [false, true].into_iter().find_map(|highest| {
        let value = |parameter: &Parameter| {
            let end = *if highest { parameter.range.end() } else { parameter.range.start() };
            // An open end is a finding of its own.
            Ok(if end.abs() < f64::MAX { end } else { parameter.default })
        };
        let values: Vec<_> = set.parameters.iter().map(value).collect();
        match rule.body.action.aim(&Inputs::none((&set.parameters, &values), &set.texts)) {
            Err(Refused::Invalid(why)) => Some(why),
            Ok(_) | Err(Refused::Unknown(_)) => None,
        }
    })?;
    let labels: Vec<_> = sizes.iter().map(|size| &*size.label).collect();
    let message = format!(
        "{refused}, and a service may set {} to such a value: tighten the bounds of the parameters",
        labels.join(", ")
    );
    Some(at(rule, "unbounded-action", message))
}

/// Returns whether an action changes nothing: a factor of one.
fn is_idle(action: &Wanted) -> bool {
    let one = |size: &Quantity| matches!(size.term, Term::Number(factor) if (factor - 1.0).abs() < f64::EPSILON);
    match action {
        Wanted::ScaleBy(factor) => one(factor),
        Wanted::Resize { cpu, memory } => one(cpu) && one(memory),
        Wanted::Throttle { to, .. } => one(to),
        _ => false,
    }
}

/// Returns whether a size follows a measured value without bounds. What the capacity model sizes has its own limits.
fn is_unbounded(size: &Quantity) -> bool {
    size.origin == Origin::Measured && !matches!(size.term, Term::Both(Operator::Min, _))
}

fn odd_parameter(parameter: &Parameter, used: bool) -> Vec<Lint> {
    let name = &parameter.name;
    let mut found = Vec::new();
    let mut add = |id, message: String| {
        found.push(Lint { fault: PolicyFault::at(&parameter.file, parameter.position, message), id });
    };
    if !used {
        add("unused-parameter", format!("no rule reads parameter `{name}`: delete it"));
    }
    if parameter.doc.is_empty() {
        add("undocumented-parameter", format!("parameter `{name}` has no description: add doc: \"..\""));
    }
    let (low, high) = (*parameter.range.start() <= f64::MIN, *parameter.range.end() >= f64::MAX);
    if low || high {
        let missing = if low && high {
            "min and max"
        } else if low {
            "min"
        } else {
            "max"
        };
        add("unbounded-parameter", format!("parameter `{name}` accepts any value a service sets: add {missing}"));
    }
    found
}
