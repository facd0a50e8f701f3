//! `test_replay(..)`: a set against recorded inputs, as `flyball explain -o json` prints them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhai::{Dynamic, Map};

use super::coverage::Truths;
use super::given::{Given, start};
use super::{Bench, INTERVAL, signal};
use crate::decide::api::quantity::ScriptResult;
use crate::decide::evaluate::{Decider, decide};
use crate::decide::fault::terminated;
use crate::model::time::elapsed;
use crate::model::{Choice, ConditionTrace, DecisionRecord, MASKED, Now, Proposal, RuleOutcome, ServiceId, Truth};

/// A recording, and what is expected of the set on it.
pub(super) struct Replay {
    path: String,
    /// Rules that must not act in any of its cycles.
    never: Vec<String>,
    /// Rules that must act in at least one cycle.
    expect: Vec<String>,
    /// What a record does not contain: bounds and parameters of the service.
    given: Given,
}

impl Replay {
    /// Reads the arguments of `test_replay`.
    ///
    /// # Errors
    /// When the recording does not exist or an option is unknown.
    pub(super) fn read(bench: &Arc<Bench>, path: &str, options: Map) -> ScriptResult<Self> {
        let path = found(bench, path)?;
        let mut replay = Self { path, never: Vec::new(), expect: Vec::new(), given: Given::nothing(bench) };
        for (key, value) in options {
            match key.as_str() {
                "never" => replay.never = rules(bench, &value)?,
                "expect" => replay.expect = rules(bench, &value)?,
                "given" => {
                    let facts = value.try_cast::<Map>().ok_or("test_replay: `given` is a map of facts")?;
                    replay.given = Given::of(bench, facts)?;
                }
                other => {
                    return Err(format!("test_replay: unknown option `{other}`; known: never, expect, given").into());
                }
            }
        }
        if replay.never.is_empty() && replay.expect.is_empty() {
            return Err("test_replay: nothing is expected: add never: [..] or expect: [..]".into());
        }
        if let Some(rule) = replay.never.iter().find(|rule| replay.expect.contains(rule)) {
            return Err(format!("test_replay: {rule} is in both `never` and `expect`: remove it from one").into());
        }
        Ok(replay)
    }

    /// Returns the name of the test.
    pub(super) fn name(&self) -> String {
        format!("replay of {}", self.path)
    }

    /// Decides on every recorded cycle, oldest first, each service with its own memory.
    ///
    /// # Errors
    /// The failed expectation.
    pub(super) fn run(&self, bench: &Bench) -> ScriptResult<()> {
        let records = records(bench, &self.path)?;
        let Some(first) = records.first().map(|record| record.at) else { return Err("it contains no decision".into()) };
        let mut missing: Vec<&String> = self.expect.iter().collect();
        let mut deciders: BTreeMap<ServiceId, Decider> = BTreeMap::new();
        let mut seen = Truths::default();
        for record in &records {
            // One call of a script makes thousands of decisions: its engine cannot check the clock meanwhile.
            if let Some(spent) = bench.spent() {
                return Err(terminated(spent).into());
            }
            let signals = record.signals.iter().map(|label| signal(&label.name, label.unit, label.role, INTERVAL));
            let spec = self.given.recorded(&record.id.service, signals.collect());
            let now = Now { wall: record.at, mono: start().mono.saturating_add(elapsed(record.at, first)) };
            let decider = deciders.entry(record.id.service.clone()).or_default();
            decider.recall(&record.proposal, now);
            let made = decide(decider, &bench.set, &spec, &record.features, &record.outlook, now);
            seen.add(&made);
            if let Some(rule) = self.never.iter().find(|never| is_masked(&made, never)) {
                return Err(format!(
                    "{rule} could not be evaluated in {} of {}: it reads a masked value",
                    record.id, record.at
                )
                .into());
            }
            if let Choice::Act { rule, action, .. } = &made.choice {
                missing.retain(|expected| ***expected != **rule);
                if self.never.iter().any(|never| **never == **rule) {
                    return Err(format!("{rule} acts in {} of {}: {action}", record.id, record.at).into());
                }
            }
        }
        bench.looked_at(&seen);
        match missing.first() {
            None => Ok(()),
            Some(rule) => Err(format!("{rule} acts in none of {} recorded cycles", records.len()).into()),
        }
    }
}

/// Returns whether a rule's outcome is unknown because the recording masks what it reads.
fn is_masked(made: &Proposal, rule: &str) -> bool {
    let masked = |condition: &ConditionTrace| {
        condition.holds == Truth::Unknown && condition.note.as_deref().is_some_and(|note| note.contains(MASKED))
    };
    let mut rules = made.rules.iter().filter(|trace| &*trace.rule == rule && trace.outcome == RuleOutcome::Unknown);
    rules.any(|trace| trace.conditions.iter().any(masked) || trace.notes.iter().any(|note| note.contains(MASKED)))
}

/// Finds a recording by its path, or by its name alone: files from a ConfigMap have other paths.
fn found(bench: &Bench, path: &str) -> ScriptResult<String> {
    if bench.recordings.contains_key(path) {
        return Ok(path.to_owned());
    }
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let named: Vec<_> = bench.recordings.keys().filter(|known| name(known) == name(path)).map(String::as_str).collect();
    match *named {
        [one] => Ok(one.to_owned()),
        [] => {
            let known: Vec<_> = bench.recordings.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(format!(
                "the set has no recording `{path}`; known: {known}; `flyball explain SERVICE -n 100 -o json` records one"
            )
            .into())
        }
        _ => Err(format!("recording `{path}` is ambiguous: {}; rename one", named.join(", ")).into()),
    }
}

/// Reads a list of names of rules in the set.
fn rules(bench: &Bench, value: &Dynamic) -> ScriptResult<Vec<String>> {
    let list = value.clone().into_typed_array::<String>();
    let list = list.map_err(|_| "test_replay: `never` and `expect` are lists of names of rules")?;
    for name in &list {
        if !bench.set.rules().any(|rule| rule == name) {
            let known: Vec<_> = bench.set.rules().collect();
            return Err(format!("the set has no rule `{name}`; known: {}", known.join(", ")).into());
        }
    }
    Ok(list)
}

fn records(bench: &Bench, path: &str) -> ScriptResult<Vec<DecisionRecord>> {
    let text = bench.recordings.get(path).map_or("", String::as_str);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut records = Vec::new();
    for (number, line) in lines {
        let record: DecisionRecord = serde_json::from_str(line)
            .map_err(|error| format!("{path}:{}: not a decision: {error}", number.saturating_add(1)))?;
        records.push(record);
    }
    records.sort_by_key(|record| record.at);
    Ok(records)
}
