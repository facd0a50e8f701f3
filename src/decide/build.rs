//! Turns a rule's function into its conditions and its action: the one call of the script.

use std::sync::Arc;

use rhai::{Array, Position};

use crate::decide::apart;
use crate::decide::api::clause::{Body, Book, Unsound};
use crate::decide::api::params::Params;
use crate::decide::api::signal::Service;
use crate::decide::compile::Rule;
use crate::decide::declare::Declared;
use crate::decide::engine::{MeteredEngine, RULE_OPERATIONS, guarded};
use crate::decide::fault::{Failure, PolicyFault, RuleKind, explain_with_file};
use crate::decide::plan::action::Refused;
use crate::decide::plan::inputs::{Inputs, Texts};
use crate::decide::plan::parameter::Parameter;

/// Calls a rule in the environment of its own file and keeps what it returns.
///
/// # Errors
/// Everything that is wrong with the rule, and where.
pub(super) fn build(
    declared: Declared,
    engine: &MeteredEngine,
    book: &Book,
    parameters: &[Parameter],
    texts: &Texts,
) -> Result<Rule, Vec<PolicyFault>> {
    let body = call(&declared, engine, book)?;
    let mut faults = check_kind(&declared, &body);
    let defaults: Vec<Result<f64, Arc<str>>> = parameters.iter().map(|parameter| Ok(parameter.default)).collect();
    let sizes = body.action.sizes();
    if !sizes.iter().any(|size| size.is_measured()) {
        // Its size follows from the policy alone: if it is out of range now, it always will be.
        let inputs = Inputs::none((parameters, &defaults), texts);
        if let Err(Refused::Invalid(why)) = body.action.aim(&inputs) {
            faults.push(fault(&declared, body.position, &Failure::InvalidAction(why)));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut names = Vec::new();
    for size in &sizes {
        size.parameters(&mut names);
    }
    body.conditions.iter().for_each(|(condition, _)| condition.parameters(&mut names));
    let used = (0..).zip(parameters).filter(|(_, parameter)| names.contains(&parameter.name));
    Ok(Rule {
        parameters: used.map(|(position, _)| position).collect(),
        backed_by_arrivals: body.action.backed_by_arrivals(),
        name: declared.name,
        priority: declared.priority,
        goal: declared.goal,
        file: declared.file,
        position: declared.position,
        body,
    })
}

/// Checks that a limit forbids, starting immediately, and that a rule does not.
fn check_kind(declared: &Declared, body: &Body) -> Vec<PolicyFault> {
    let mut faults = Vec::new();
    if body.action.strictest().is_some() != (declared.kind == RuleKind::Limit) {
        let message = if declared.kind == RuleKind::Limit {
            "a limit only forbids: end it with veto(\"lower\", \"why\") or cap(20); use rule(..) to act"
        } else {
            "veto(..) and cap(..) apply to every rule: they belong in limit(\"name\", |s, p| [..])"
        };
        faults.push(fault(declared, body.position, &Failure::Script(message.to_owned())));
    }
    // After every start, until it is known to have held, such a limit would let everything through. An `unless` already
    // forbids by then.
    let held = body.conditions.iter().filter(|(condition, negated)| condition.held.is_some() && !negated);
    faults.extend(held.filter(|_| declared.kind == RuleKind::Limit).map(|(condition, _)| {
        let message = format!("a limit applies immediately: remove held_for(..) from when({})", condition.phrase());
        fault(declared, body.position, &Failure::Script(message))
    }));
    faults
}

fn call(declared: &Declared, engine: &MeteredEngine, book: &Book) -> Result<Body, Vec<PolicyFault>> {
    book.clear();
    let called = guarded(|| declared.body.call::<Array>(engine.fresh(), &declared.ast, (Service, Params)));
    let wrong = match called.map(|list| Body::read(list, declared.kind == RuleKind::Limit, book)) {
        Ok(Ok(body)) => return Ok(body),
        Ok(Err(unsound)) => {
            let wrong = |Unsound { message, position, file }| (Failure::Script(message), position, file);
            unsound.into_iter().map(wrong).collect()
        }
        Err(error) => {
            let (failure, position, file) = explain_with_file(&error, RULE_OPERATIONS);
            if failure.ends_all() {
                let place = matches!(failure, Failure::Operations { .. }).then(|| apart::place_of(declared, engine));
                vec![(failure, place.flatten().unwrap_or(position), file)]
            } else {
                let mut wrong = vec![(failure, position, file)];
                wrong.extend(apart::each(declared, engine, book));
                wrong
            }
        }
    };
    let mut faults: Vec<_> = wrong.into_iter().map(|wrong| placed(declared, wrong)).collect();
    // An error before the list shows up once per clause.
    faults.sort();
    faults.dedup();
    Err(faults)
}

/// Returns the fault for an error. One that arose in a library is reported at its own place, which is more precise than
/// that of the call.
fn placed(declared: &Declared, (failure, position, file): apart::Wrong) -> PolicyFault {
    match file.filter(|file| **file != *declared.file) {
        Some(file) => PolicyFault::failed(&file, position, &failure).within(declared.kind, &declared.name),
        None => fault(declared, position, &failure),
    }
}

fn fault(declared: &Declared, position: Position, failure: &Failure) -> PolicyFault {
    let position = if position.is_none() { declared.position } else { position };
    PolicyFault::failed(&declared.file, position, failure).within(declared.kind, &declared.name)
}
