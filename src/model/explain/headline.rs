//! A decision at a glance, for lists and live views: what, and the first reason with its numbers.

use crate::model::controls::escape_controls;
use crate::model::outlook::{Capacity, Parts};
use crate::model::{
    Action, ChangeSet, DecisionRecord, Idle, Knob, Role, RuleOutcome, RuleTrace, TargetState, Truth, WriteOutcome,
};

use super::course::{Course, Wanted, verb};
use super::sentence::{cut, nearest, trouble, undo};
use super::text::part;
use super::{clause, floor_of, lever, span};

/// A decision at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// What was done, or not: `scaled 7 -> 14`, `held by cooldown`. Equal for decisions of the same kind.
    pub what: String,
    /// The first reason, with its numbers.
    pub why: String,
}

/// Returns a decision at a glance.
pub fn headline(record: &DecisionRecord) -> Headline {
    let (what, why) = match Course::of(record) {
        Course::Written(change) => written(record, change),
        Course::Stopped(wanted, stop) => {
            (format!("held by {}", stop.guard.as_str()), format!("{}; wanted {}", stop.why, step(record, wanted)))
        }
        Course::Shown(wanted) => {
            (format!("would {} {}", verb_of(record), step(record, wanted)), because(record, wanted.rule))
        }
        Course::Refused(Wanted { action, .. }, outcome) => {
            ("did nothing".to_owned(), format!("to {action}: {outcome}"))
        }
        Course::Unneeded(Wanted { action, .. }) => ("no action".to_owned(), unneeded(record, action)),
        Course::Idle(why) => ("no action".to_owned(), idle(record, why)),
    };
    Headline { what: escape_controls(&what).into_owned(), why: escape_controls(&why).into_owned() }
}

fn written(record: &DecisionRecord, change: &ChangeSet) -> (String, String) {
    let thing = match change.knob {
        Knob::Replicas => String::new(),
        Knob::AutoscalerFloor => format!("{} ", floor_of(change)),
        other => format!("{} ", other.as_str()),
    };
    let verb = verb(change, record.outcome.as_ref());
    let why = match &record.outcome {
        None | Some(WriteOutcome::Applied) => format!("{}{}", because(record, change.cause.as_str()), cut(record)),
        Some(outcome) => outcome.to_string(),
    };
    (format!("{verb} {thing}{} -> {}", change.from, change.to), why)
}

/// Returns what was wanted: `7 -> 14`, or the words of the action.
fn step(record: &DecisionRecord, wanted: Wanted<'_>) -> String {
    match (record.features.target.last(), record.verdict.permitted.or(record.verdict.wanted)) {
        (Some(target), Some(to)) => format!("{}{} -> {to}", lever(target), target.lever().value),
        _ => wanted.action.to_string(),
    }
}

fn verb_of(record: &DecisionRecord) -> &'static str {
    let autoscaler = record.features.target.last().and_then(TargetState::autoscaler);
    if autoscaler.is_some() { "move" } else { "scale" }
}

/// Returns why a rule requested its action: the rates if it was sized by the arrival rate, else its first numbers.
fn because(record: &DecisionRecord, rule: &str) -> String {
    if let Some(undo) = undo(record) {
        return undo;
    }
    let trace = record.proposal.rules.iter().find(|trace| &*trace.rule == rule);
    let sized = trace.is_some_and(|trace| trace.backed_by_arrivals);
    if sized && let Some(rates) = rates(record) {
        return format!("{rates}{}", not_below(record));
    }
    let conditions = trace.map(|trace| trace.conditions.as_slice()).unwrap_or_default();
    let first = conditions.iter().find(|condition| condition.comparison.is_some()).or(conditions.first());
    first.map_or_else(|| format!("rule {rule}"), |first| format!("rule {rule}: {}", clause(first)))
}

/// Returns what keeps a lowering from going as far as the rates alone would: `, not below 12 yet`.
fn not_below(record: &DecisionRecord) -> String {
    let lowers = record.change.as_ref().is_some_and(|change| change.to < change.from);
    let floor = record.outlook.capacity.as_ref().and_then(Capacity::floor_above_need).filter(|_| lowers);
    floor.map_or_else(String::new, until_later)
}

/// Returns how a floor above the need is shown.
fn until_later(floor: u32) -> String {
    format!(", not below {floor} yet")
}

/// Returns what the arrival rate needs, now and ahead: `forecast up to 701/s within 90 s needs 14 (now 404/s needs 9)`.
fn rates(record: &DecisionRecord) -> Option<String> {
    let capacity = record.outlook.capacity.as_ref()?;
    let position = record.signals.iter().position(|signal| signal.role == Some(Role::ArrivalRate))?;
    let show = |rate: f64| format!("{rate:.0}/s");
    // Capacity is sized by what two samples confirm; the newest one alone may be higher.
    let arrivals = record.features.signals.get(position);
    let confirmed = arrivals.and_then(|signal| signal.confirmed).map(f64::from);
    let climbs = arrivals.is_some_and(|signal| signal.slope.is_some());
    // Older records lack the rate itself.
    let now = capacity.needed_now.map(|needed| match capacity.rate_now.or(confirmed) {
        Some(rate) if confirmed.is_some_and(|confirmed| rate > confirmed) => {
            format!("now {}, rising, needs {needed}", show(rate))
        }
        Some(rate) => format!("now {} needs {needed}", show(rate)),
        None => format!("now needs {needed}"),
    });
    let lasts = span(capacity.lasts);
    let made_of = record.outlook.signals.get(position).and_then(Option::as_ref).and_then(|signal| signal.parts_10);
    let made_of = made_of.map(|made_of| format!("in 10 min {}: {}", show(made_of.sum()), large(&made_of)));
    let ahead = capacity.needed_ahead.map(|needed| match capacity.rate_ahead {
        Some(rate) if climbs => format!("up to {} within {lasts} as it rises needs {needed}", show(rate)),
        Some(rate) => format!("forecast up to {} within {lasts} needs {needed}", show(rate)),
        None => format!("ahead needs {needed}"),
    });
    match (capacity.needed_ahead > capacity.needed_now, ahead, now) {
        (true, Some(ahead), now) => {
            let told: Vec<String> = now.into_iter().chain(made_of).collect();
            Some(if told.is_empty() { ahead } else { format!("{ahead} ({})", told.join("; ")) })
        }
        (_, _, now) => now,
    }
}

/// Returns the parts of a rate that do not round to zero: `level 380, day +220, AR -12`.
fn large(parts: &Parts) -> String {
    let told = parts.named().into_iter().filter(|(name, part)| *name == "level" || part.abs() >= 0.5);
    let told = told.map(|(name, value)| part(name, value, |value| format!("{value:.0}")));
    told.collect::<Vec<_>>().join(", ")
}

/// Returns why a write would change nothing: a service at its bounds may still be far short.
fn unneeded(record: &DecisionRecord, action: &Action) -> String {
    let lacks = balance(record).filter(|balance| !balance.suffices);
    let lacks = lacks.map_or_else(String::new, |lacks| format!("; {}", lacks.words));
    format!("{action} has no effect{lacks}")
}

fn idle(record: &DecisionRecord, why: &Idle) -> String {
    let rules = &record.proposal.rules;
    let failed = |outcome: &RuleOutcome| matches!(outcome, RuleOutcome::Error { .. } | RuleOutcome::Muted { .. });
    let failure = rules.iter().find(|rule| failed(&rule.outcome)).and_then(trouble);
    if rules.is_empty() || failure.is_some() {
        return failure.unwrap_or_else(|| why.to_string());
    }
    let balance = balance(record);
    if why.conflict {
        return balance.map_or_else(|| why.to_string(), |Balance { words, .. }| format!("{why}; {words}"));
    }
    if record.features.target.last().is_some_and(|target| target.replicas == 0) {
        return "the target has 0 replicas: switched off by someone".to_owned();
    }
    let unknown = || rules.iter().filter(|rule| rule.limit.is_none()).find_map(untold);
    let why = || unknown().or_else(|| nearest(rules)).unwrap_or_else(|| why.to_string());
    match balance {
        Some(Balance { suffices: true, words }) => words,
        Some(Balance { suffices: false, words }) => format!("{words}; {}", why()),
        None => why(),
    }
}

/// Returns why a rule could not be told, by its first condition that is unknown.
pub(super) fn untold(rule: &RuleTrace) -> Option<String> {
    let doubt = rule.conditions.iter().find(|condition| condition.holds == Truth::Unknown)?;
    let why = doubt.note.as_ref().map_or_else(|| clause(doubt), ToString::to_string);
    (rule.outcome == RuleOutcome::Unknown).then(|| format!("{} could not be evaluated: {why}", rule.rule))
}

/// What is needed against what is running.
struct Balance {
    suffices: bool,
    /// `9 needed, 9 running`.
    words: String,
}

fn balance(record: &DecisionRecord) -> Option<Balance> {
    let capacity = record.outlook.capacity.as_ref()?;
    let needed = capacity.needed()?;
    let there = record.features.target.last()?.asked();
    let floor = capacity.floor_above_need().map_or_else(String::new, until_later);
    Some(Balance { suffices: needed <= there, words: format!("{needed} needed{floor}, {there} running") })
}
