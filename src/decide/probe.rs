//! Every rule is tried once at load: against a service of which everything is known, and one of which nothing
//! is. Since a rule's control flow cannot depend on data, what passes here cannot meet a wrong name or type later.

use std::sync::Arc;

use crate::decide::api::action::Refused;
use crate::decide::api::params::Params;
use crate::decide::api::signal::Service;
use crate::decide::api::tick::Tick;
use crate::decide::compile::{PolicySet, Rule};
use crate::decide::engine::{Deadline, MeteredEngine};
use crate::decide::evaluate::call;
use crate::decide::fault::{Failure, PolicyFault};
use crate::decide::vocabulary::Vocabulary;

/// Returns the faults of all rules. When the set is not `complete`, because a file did not load, a missing
/// parameter is no fault: it may be declared there.
pub(super) fn probe(set: &PolicySet, vocabulary: &Vocabulary, complete: bool) -> Vec<PolicyFault> {
    let never: Deadline = Arc::new(|| false);
    let params = Params::defaults(&set.parameters);
    let services = [Tick::all_known(vocabulary, &set.texts), Tick::all_unknown(&set.texts)];
    let services = services.map(|tick| Service(Arc::new(tick)));
    set.pool.with(&never, |engine| {
        let try_rule = |rule| services.iter().find_map(|service| try_once(engine, set, rule, service, &params));
        let faults = set.rules.iter().filter_map(try_rule);
        faults.filter(|fault| complete || !fault.message.starts_with("unknown parameter")).collect()
    })
}

fn try_once(
    engine: &MeteredEngine,
    set: &PolicySet,
    rule: &Rule,
    service: &Service,
    params: &Params,
) -> Option<PolicyFault> {
    let path = set.files.get(rule.file).map_or("", |file| file.path.as_str());
    let fault = |position, message: String| Some(PolicyFault::at(path, position, Some(&*rule.name), message));
    match call(engine, set, rule, service, params) {
        Err((failure, position)) => {
            fault(if position.is_none() { rule.position } else { position }, failure.to_string())
        }
        Ok(clauses) => match clauses.action {
            Some(wanted) if !wanted.measured => match wanted.action {
                Err(Refused::Invalid(why)) => fault(wanted.position, Failure::InvalidAction(why).to_string()),
                _ => None,
            },
            _ => None,
        },
    }
}
