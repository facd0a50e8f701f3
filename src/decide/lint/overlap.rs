//! Pairs of rules that can match together, and rules that can never match: a search over intervals.
//!
//! A rule demands an interval of each quantity and a state of each flag. What the policy alone does not determine
//! (`any([..])`, the value of a measured bound within its range) demands nothing, so a pair that is not reported cannot
//! match together; a reported one possibly cannot either.

use std::collections::BTreeMap;

use super::{Lint, at};
use crate::decide::compile::{PolicySet, Rule};
use crate::decide::fault::PolicyFault;
use crate::decide::plan::condition::{Condition, Statement, TargetFlag};
use crate::decide::plan::quantity::{Operator, Quantity, Term, View};
use crate::decide::vocabulary::LONGEST_HORIZON;
use crate::model::condition::Comparison;

/// What a rule demands of one quantity or flag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    /// Lowest value, and whether it is part of the interval.
    pub(super) low: (f64, bool),
    /// Highest value, and whether it is part of the interval.
    pub(super) high: (f64, bool),
}

impl Interval {
    const ALL: Self = Self { low: (f64::NEG_INFINITY, true), high: (f64::INFINITY, true) };

    fn exactly(value: f64) -> Self {
        Self { low: (value, true), high: (value, true) }
    }

    /// Returns the intersection, if it is not empty.
    fn and(self, other: Self) -> Option<Self> {
        let tighter = |left: (f64, bool), right: (f64, bool), left_is_tighter: bool| match left.0 == right.0 {
            true => (left.0, left.1 && right.1),
            false if left_is_tighter => left,
            false => right,
        };
        let low = tighter(self.low, other.low, self.low.0 > other.low.0);
        let high = tighter(self.high, other.high, self.high.0 < other.high.0);
        let empty = low.0 > high.0 || (low.0 == high.0 && !(low.1 && high.1));
        (!empty).then_some(Self { low, high })
    }
}

/// Most pairs listed.
const MOST_PAIRS: usize = 100;

/// All demands of a rule, by quantity or flag; `None` if they contradict each other.
type Demands = Option<BTreeMap<String, Interval>>;

/// Returns the findings in a set.
pub(super) fn find(set: &PolicySet) -> Vec<Lint> {
    let demands: Vec<Demands> = set.rules.iter().map(|rule| demands(rule, set)).collect();
    let mut found = Vec::new();
    let mut pairs: usize = 0;
    for (position, (rule, asked)) in set.rules.iter().zip(&demands).enumerate() {
        found.extend(idle(rule, set));
        let Some(asked) = asked else {
            found.push(at(rule, "never-matches", contradiction(rule, set)));
            continue;
        };
        for (other, others) in set.rules.iter().zip(&demands).take(position) {
            let rivals = !rule.is_limit()
                && !other.is_limit()
                && (set.conflict_is_error || (rule.priority, rule.goal) == (other.priority, other.goal));
            if rivals && others.as_ref().is_some_and(|others| meet(asked, others)) {
                pairs = pairs.saturating_add(1);
                if pairs <= MOST_PAIRS {
                    found.push(at(rule, "conflicting-rules", conflict(other, set.conflict_is_error)));
                }
            }
        }
    }
    if let Some(more) = pairs.checked_sub(MOST_PAIRS).filter(|more| *more > 0) {
        let message =
            format!("{more} more pairs of rules can match together; they are listed once the first ones are fixed");
        found.push(Lint { fault: PolicyFault::of("", message), id: "conflicting-rules" });
    }
    found
}

fn conflict(other: &Rule, error: bool) -> String {
    let name = &other.name;
    if error {
        return format!(
            "it can match together with {name}, and then nothing is done unless both want the same: add a condition to \
             one"
        );
    }
    format!("it can match together with {name} at equal priority and goal: raise the priority of one")
}

fn meet(left: &BTreeMap<String, Interval>, right: &BTreeMap<String, Interval>) -> bool {
    left.iter().all(|(key, asked)| right.get(key).is_none_or(|other| asked.and(*other).is_some()))
}

/// Returns which conditions of a rule contradict each other: if any do, one does alone, or two do.
fn contradiction(rule: &Rule, set: &PolicySet) -> String {
    let conditions = &rule.body.conditions;
    let is_possible = |chosen: &[&(Condition, bool)]| {
        let mut all = BTreeMap::new();
        chosen.iter().all(|(condition, negated)| ask(&mut all, condition, !negated, set))
    };
    if let Some(alone) = conditions.iter().find(|one| !is_possible(&[one])) {
        return format!("no input satisfies {}: change it, or the declared range of its signal", clause(alone));
    }
    let against = |(at, one)| {
        let earlier = conditions.iter().take(at).find(|other| !is_possible(&[other, one]))?;
        Some(format!("{} and {}", clause(earlier), clause(one)))
    };
    let both = conditions.iter().enumerate().find_map(against);
    format!("no input satisfies {}: change or delete one", both.as_deref().unwrap_or("all its conditions"))
}

/// Returns a condition as its clause.
fn clause((condition, negated): &(Condition, bool)) -> String {
    format!("{}({})", if *negated { "unless" } else { "when" }, condition.phrase())
}

/// Finds conditions that hold for every input: the negation is unsatisfiable.
fn idle(rule: &Rule, set: &PolicySet) -> Vec<Lint> {
    let always = |(condition, negated): &&(Condition, bool)| {
        condition.held.is_none() && !ask(&mut BTreeMap::new(), condition, *negated, set)
    };
    let found = rule.body.conditions.iter().filter(always).map(|one| {
        let clause = clause(one);
        let message = if one.0.may_be_unknown() {
            format!("{clause} is true whenever it is known, so it only tests for data: fix it")
        } else {
            format!("{clause} is always true: delete or fix it")
        };
        at(rule, "always-holds", message)
    });
    found.collect()
}

fn demands(rule: &Rule, set: &PolicySet) -> Demands {
    let mut all = BTreeMap::new();
    let conditions = &rule.body.conditions;
    let possible = conditions.iter().all(|(condition, negated)| ask(&mut all, condition, !negated, set));
    possible.then_some(all)
}

/// Adds what is required for `condition` to be `truth`; false if that contradicts earlier demands.
fn ask(all: &mut BTreeMap<String, Interval>, condition: &Condition, truth: bool, set: &PolicySet) -> bool {
    let mut possible = Interval::ALL;
    let (key, interval) = match &condition.statement {
        // It holds only after a while, so its not holding says nothing about now.
        _ if condition.held.is_some() && !truth => return true,
        Statement::Compare { left, comparison, right } => {
            possible = possible_of(left, set);
            // Its label is rounded.
            (format!("{:?}", left.term), side(*comparison, truth, possible_of(right, set)))
        }
        Statement::Signal(name) => (name.to_string(), Interval::exactly(f64::from(truth))),
        Statement::Target(TargetFlag::CanScaleUp) => flag("at_max_replicas", !truth),
        Statement::Target(_) => flag(&condition.text, truth),
        Statement::Not(part) => return ask(all, part, !truth, set),
        Statement::Or(part, assumed) if *assumed != truth => return ask(all, part, truth, set),
        Statement::All(parts) if truth => return parts.iter().all(|part| ask(all, part, true, set)),
        Statement::Any(parts) if !truth => return parts.iter().all(|part| ask(all, part, false, set)),
        Statement::All(_) | Statement::Any(_) | Statement::Or(..) => return true,
    };
    let before = all.get(&key).copied().unwrap_or(possible);
    match before.and(interval) {
        Some(both) => {
            all.insert(key, both);
            true
        }
        None => false,
    }
}

/// Returns the possible values of a quantity as far as known: a measured value outside its declared range counts as
/// missing.
pub(super) fn possible_of(quantity: &Quantity, set: &PolicySet) -> Interval {
    let (low, high) = match &quantity.term {
        Term::Number(value) => (*value, *value),
        Term::Parameter(name) => {
            let parameter = set.parameters.iter().find(|parameter| parameter.name == *name);
            parameter.map_or((f64::MIN, f64::MAX), |parameter| parameter.range.clone().into_inner())
        }
        Term::Signal { name, view: View::Current | View::Mean | View::P99 | View::Max, .. } => set.words.range(name),
        Term::LongestRun { .. } => (0.0, LONGEST_HORIZON.as_secs_f64()),
        Term::Both(operator @ (Operator::Min | Operator::Max), pair) => {
            let pick = if *operator == Operator::Min { f64::min } else { f64::max };
            let (left, right) = (possible_of(&pair.0, set), possible_of(&pair.1, set));
            (pick(left.low.0, right.low.0), pick(left.high.0, right.high.0))
        }
        _ => return Interval::ALL,
    };
    Interval { low: (low, true), high: (high, true) }
}

fn flag(name: &str, on: bool) -> (String, Interval) {
    (name.to_owned(), Interval::exactly(f64::from(on)))
}

/// Returns the values for which a comparison with some value of `bound` has this truth value.
fn side(comparison: Comparison, truth: bool, bound: Interval) -> Interval {
    let ((least, _), (greatest, _)) = (bound.low, bound.high);
    match (comparison, truth) {
        (Comparison::Above, true) | (Comparison::AtMost, false) => Interval { low: (least, false), ..Interval::ALL },
        (Comparison::AtLeast, true) | (Comparison::Below, false) => Interval { low: (least, true), ..Interval::ALL },
        (Comparison::Below, true) | (Comparison::AtLeast, false) => {
            Interval { high: (greatest, false), ..Interval::ALL }
        }
        (Comparison::AtMost, true) | (Comparison::Above, false) => Interval { high: (greatest, true), ..Interval::ALL },
    }
}
