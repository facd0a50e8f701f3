//! One plain sentence: what was done and why, or why nothing was.

use crate::model::condition::ConditionTrace;
use crate::model::controls::escape_controls;
use crate::model::proposal::{RuleOutcome, RuleTrace};
use crate::model::record::SignalLabel;
use crate::model::{
    Action, ChangeSet, Choice, Convergence, DecisionRecord, Effect, Finding, Goal, GuardFinding, GuardName, Idle, Knob,
    Mode, SignalFeatures, Slo, Truth, WriteOutcome,
};

use super::course::{Course, Wanted, verb};
use super::headline::untold;
use super::{clause, counted, floor_of, lever, span};

/// Returns what was done and why, or why nothing was done, in one sentence without a final stop.
pub fn sentence(record: &DecisionRecord) -> String {
    let service = &record.id.service;
    let words = match Course::of(record) {
        Course::Written(change) => written(record, change),
        Course::Stopped(wanted, stop) => stopped(record, wanted, stop),
        Course::Shown(Wanted { rule, action }) => {
            let (would, why) = (would(record, action), why(record, rule));
            format!("would have {would}: {why}{}; shadow writes nothing", cut(record))
        }
        Course::Refused(Wanted { rule, action }, outcome) => {
            format!("did not {action} for {service}: {}; {outcome}", why(record, rule))
        }
        Course::Unneeded(Wanted { rule, action }) => {
            format!("nothing to do: {action} has no effect on {service}: {}{}", why(record, rule), cut(record))
        }
        Course::Idle(why) => idle(&record.proposal.rules, why),
    };
    // Names of owners and server errors are not ours, and earlier versions kept notes as they were.
    escape_controls(&words).into_owned()
}

fn written(record: &DecisionRecord, change: &ChangeSet) -> String {
    let (service, from, to) = (&record.id.service, change.from, change.to);
    let service = match change.knob {
        Knob::AutoscalerFloor => format!("{} of {service}", floor_of(change)),
        _ => service.to_string(),
    };
    let verb = verb(change, record.outcome.as_ref());
    let outcome = record.outcome.as_ref().map_or("the write is in flight".to_owned(), ToString::to_string);
    let effect = record.effect.as_ref().map(effect).unwrap_or_default();
    format!(
        "{verb} {service} from {from} to {to}: {}{}; {outcome}{effect}",
        why(record, change.cause.as_str()),
        cut(record)
    )
}

fn effect(effect: &Effect) -> String {
    let convergence = match effect.convergence {
        Convergence::Converged { after } => format!("converged after {}", span(after)),
        Convergence::NotConverged { ready } => format!("did not converge ({ready} ready at the deadline)"),
        Convergence::Overtaken => "superseded by another change".to_owned(),
    };
    format!(", {convergence}, {}", effect.impact.as_str())
}

fn stopped(record: &DecisionRecord, Wanted { rule, action }: Wanted<'_>, stop: &GuardFinding) -> String {
    let (service, why) = (&record.id.service, why(record, rule));
    let verb = if stop.finding == Finding::Reject { "rejected" } else { "held" };
    let shadow = if record.mode == Mode::Shadow { " (in shadow: nothing would have been written anyway)" } else { "" };
    format!("{verb} by {}: {}; wanted to {action} for {service}: {why}{shadow}", stop.guard.as_str(), stop.why)
}

/// Returns what shadow mode would have done, in the past tense that follows "would have".
fn would(record: &DecisionRecord, action: &Action) -> String {
    let service = &record.id.service;
    match (
        record.features.target.last(),
        last_clamp(record).map(|clamp| clamp.2).or(record.verdict.permitted).or(record.verdict.wanted),
    ) {
        (Some(target), Some(to)) if target.autoscaler().is_some() => {
            format!("moved {}of {service} from {} to {to}", lever(target), target.lever().value)
        }
        (Some(target), Some(to)) => format!("scaled {service} from {} to {to}", target.replicas),
        _ => format!("acted on {service} ({action})"),
    }
}

pub(super) fn cut(record: &DecisionRecord) -> String {
    last_clamp(record)
        .map(|(guard, from, to)| format!(", limited from {from} to {to} by {}", guard.as_str()))
        .unwrap_or_default()
}

/// Returns the last guard that clamped, with what the policy wanted and what remained.
fn last_clamp(record: &DecisionRecord) -> Option<(GuardName, u32, u32)> {
    record.verdict.findings.iter().rev().find_map(|found| match found.finding {
        Finding::Clamp { from, to } => Some((found.guard, record.verdict.wanted.unwrap_or(from), to)),
        Finding::Pass | Finding::Hold | Finding::Reject => None,
    })
}

/// Returns the rule with the first of its conditions that compares numbers.
fn why(record: &DecisionRecord, rule: &str) -> String {
    if let Some(undo) = undo(record) {
        return undo;
    }
    let Some(trace) = record.proposal.rules.iter().find(|trace| &*trace.rule == rule) else {
        return format!("rule {rule}");
    };
    let numbers = |condition: &&ConditionTrace| condition.comparison.is_some();
    match trace.conditions.iter().find(numbers).or(trace.conditions.first()) {
        Some(first) => format!("rule {rule}, {}{}", clause(first), more(trace.conditions.len())),
        None => format!("rule {rule}, which has no conditions"),
    }
}

/// Returns what is rolled back, and its effect; `None` for a decision requested by a rule.
pub(super) fn undo(record: &DecisionRecord) -> Option<String> {
    match &record.proposal.choice {
        Choice::Undo { of, why, .. } => Some(format!("reverts decision {of}, which made things worse ({why})")),
        Choice::Act { .. } | Choice::Nothing(_) => None,
    }
}

fn more(count: usize) -> String {
    if count > 1 { format!(" and {} more", count - 1) } else { String::new() }
}

/// No rule won: what made rules unknown, and the one that came closest.
fn idle(rules: &[RuleTrace], why: &Idle) -> String {
    let mut troubles = rules.iter().filter_map(trouble);
    let first = troubles.next();
    // A source that is down makes every rule unknown, each at length; all are listed below the sentence.
    let others = troubles.count();
    let others = (others > 0).then(|| format!("{} unknown or failed", counted(others, "more rule")));
    let follows: Vec<String> = first.into_iter().chain(others).chain(nearest(rules)).collect();
    // The rule that caused the words follows with its numbers; one that matched and was vetoed does not.
    let matched = |name: &str| rules.iter().any(|rule| &*rule.rule == name && rule.outcome == RuleOutcome::Matched);
    let whole = follows.is_empty() || why.obstacle.as_ref().is_some_and(|obstacle| matched(&obstacle.rule));
    let words = if whole { why.to_string() } else { why.reason.to_string() };
    [vec![format!("did nothing: {words}")], follows].concat().join("; ")
}

/// Returns the rule that came closest to acting, and what it lacked. A limit never acts.
pub(super) fn nearest(rules: &[RuleTrace]) -> Option<String> {
    let asking = rules.iter().filter(|rule| rule.limit.is_none());
    let short = asking.filter_map(Short::of).min_by(|left, right| left.distance().total_cmp(&right.distance()))?;
    Some(format!("nearest was {}, {}{}", short.rule, clause(short.worst), more(short.failing)))
}

/// Returns what makes a rule unknown. An unknown limit is active, which is no trouble; nor is a rule on signals that
/// the service does not declare.
pub(super) fn trouble(rule: &RuleTrace) -> Option<String> {
    let what = if rule.limit.is_some() { "limit" } else { "rule" };
    match &rule.outcome {
        RuleOutcome::Error { message } => Some(format!("{what} {} failed: {message}", rule.rule)),
        RuleOutcome::Muted { failure } => {
            let last = failure.as_ref().map_or(String::new(), |failure| format!(", the last: {failure}"));
            Some(format!("{what} {} is muted after repeated failures{last}", rule.rule))
        }
        RuleOutcome::Unknown if rule.limit.is_none() && !rule.is_about_others() => {
            Some(format!("rule {} could not be evaluated: {}", rule.rule, doubts(rule)))
        }
        RuleOutcome::Matched | RuleOutcome::NotMatched | RuleOutcome::Unknown => None,
    }
}

/// Returns the policy trouble that needs a person: a rule that fails, rules that contradict each other, or one whose
/// action nothing can carry out.
pub fn policy_trouble(record: &DecisionRecord) -> Option<String> {
    let fails = |rule: &&RuleTrace| matches!(rule.outcome, RuleOutcome::Error { .. } | RuleOutcome::Muted { .. });
    let failure = record.proposal.rules.iter().filter(fails).find_map(trouble);
    let words = failure.or_else(|| match (&record.proposal.choice, &record.outcome) {
        (Choice::Act { rule, action, .. }, Some(WriteOutcome::NoLever)) => {
            Some(format!("rule {rule} asks to {action}, which no adapter supports"))
        }
        (Choice::Nothing(why), _) if why.conflict => Some(why.to_string()),
        _ => None,
    })?;
    Some(escape_controls(&words).into_owned())
}

/// Returns why nothing is done in `auto` though the service misses its objective, where a rule that would protect it
/// cannot be told: a person has to see to what it lacks.
pub fn undecided(record: &DecisionRecord, slo: &Slo) -> Option<String> {
    let misses = |(label, signal): (&SignalLabel, &SignalFeatures)| {
        let (Some(value), Some(limit)) = (signal.reading.fresh(), label.role.and_then(|role| slo.limit(role))) else {
            return false;
        };
        f64::from(value) > limit
    };
    let is_idle = record.mode == Mode::Auto && matches!(record.proposal.choice, Choice::Nothing(_));
    if !is_idle || !record.signals.iter().zip(&record.features.signals).any(misses) {
        return None;
    }
    let protects = |rule: &&RuleTrace| rule.goal == Goal::Protect && rule.limit.is_none() && !rule.is_about_others();
    let why = record.proposal.rules.iter().filter(protects).find_map(untold)?;
    Some(escape_controls(&format!("misses its objective and nothing is done: {why}")).into_owned())
}

fn doubts(rule: &RuleTrace) -> String {
    let mut unknown = rule.conditions.iter().filter(|condition| condition.holds == Truth::Unknown);
    let first = unknown.next().map(clause).unwrap_or_default();
    format!("{first}{}", more(unknown.count().saturating_add(1)))
}

/// A rule that did not match, and what it lacked.
struct Short<'a> {
    rule: &'a str,
    worst: &'a ConditionTrace,
    failing: usize,
}

impl<'a> Short<'a> {
    fn of(rule: &'a RuleTrace) -> Option<Self> {
        let failing = || rule.conditions.iter().filter(|condition| condition.holds == Truth::False);
        let worst = failing().max_by(|left, right| shortfall(left).total_cmp(&shortfall(right)))?;
        (rule.outcome == RuleOutcome::NotMatched).then(|| Self { rule: &rule.rule, worst, failing: failing().count() })
    }

    /// Orders by the number of conditions that fail, then by how far off the worst of them is.
    fn distance(&self) -> f64 {
        self.failing as f64 + shortfall(self.worst) * 0.5
    }
}

/// Returns how far a failing condition is off, 0 to 1: relative to its bound, or to the time it must hold.
fn shortfall(condition: &ConditionTrace) -> f64 {
    let short = match (condition.margin, condition.bound, condition.held_for) {
        (Some(margin), _, Some(held)) if margin > 0.0 && !condition.negated => {
            1.0 - held.so_far.as_secs_f64() / held.needed.as_secs_f64()
        }
        (Some(margin), Some(bound), _) => margin.abs() / bound.abs(),
        _ => 1.0,
    };
    if short.is_nan() { 1.0 } else { short.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::proposal::{Goal, Limit};
    use crate::model::{Obstacle, Unit};

    fn trace(outcome: RuleOutcome, limit: Option<Limit>) -> RuleTrace {
        let flag = ConditionTrace {
            text: "maintenance".into(),
            unit: Unit::Flag,
            value: None,
            comparison: None,
            bound: None,
            margin: None,
            note: None,
            negated: false,
            held_for: None,
            holds: if outcome == RuleOutcome::Unknown { Truth::Unknown } else { Truth::False },
            parts: None,
        };
        RuleTrace {
            rule: "calm".into(),
            priority: 0,
            goal: Goal::Protect,
            outcome,
            conditions: vec![flag],
            action: None,
            backed_by_arrivals: false,
            notes: Vec::new(),
            limit,
        }
    }

    /// What follows with its numbers is not repeated before them; what follows nowhere is stated.
    #[test]
    fn a_reason_is_said_once() {
        let obstacle = |rule: &str| Some(Obstacle { rule: rule.into(), why: "odd".into() });
        let said = |rule: &str, outcome| {
            let why = Idle { obstacle: obstacle(rule), .."quiet (as usual)".into() };
            idle(&[trace(outcome, None)], &why)
        };
        for (outcome, expected) in [
            (RuleOutcome::NotMatched, "did nothing: quiet (as usual); nearest was calm, maintenance"),
            (
                RuleOutcome::Muted { failure: None },
                "did nothing: quiet (as usual); rule calm is muted after repeated failures",
            ),
            (RuleOutcome::Matched, "did nothing: quiet (as usual) (calm: odd)"),
        ] {
            assert_eq!(said("calm", outcome), expected);
        }
        let limit = [trace(RuleOutcome::NotMatched, Some(Limit::Cap { replicas: Some(4) }))];
        let why = Idle { obstacle: obstacle("other"), .."quiet".into() };
        assert_eq!(idle(&limit, &why), "did nothing: quiet (other: odd)", "nothing else would say it");
    }

    #[test]
    fn a_limit_is_never_near_to_acting_and_may_be_unknown() {
        let limit = || Some(Limit::Cap { replicas: Some(4) });
        assert!(nearest(&[trace(RuleOutcome::NotMatched, None)]).is_some());
        assert_eq!(nearest(&[trace(RuleOutcome::NotMatched, limit())]), None);
        assert!(trouble(&trace(RuleOutcome::Unknown, None)).is_some());
        assert_eq!(trouble(&trace(RuleOutcome::Unknown, limit())), None);
        let mut elsewhere = trace(RuleOutcome::Unknown, None);
        elsewhere.conditions[0].note = Some(crate::model::UNDECLARED.into());
        assert_eq!(trouble(&elsewhere), None, "it can never act here");
        let muted = |failure: Option<&str>| RuleOutcome::Muted { failure: failure.map(str::to_owned) };
        for (failure, told) in [(None, ""), (Some("a.rhai:1:1: no"), ", the last: a.rhai:1:1: no")] {
            let trouble = trouble(&trace(muted(failure), limit()));
            assert_eq!(trouble, Some(format!("limit calm is muted after repeated failures{told}")));
        }
    }
}
