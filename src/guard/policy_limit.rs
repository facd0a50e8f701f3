//! Policy limits: what the fleet's policies forbid overrides every rule, and an undo (INV-31).

use super::case::{Answer, Case, Motion};
use crate::model::Limit;

/// Holds what an active veto names, and permits no raise beyond the lowest active cap. A count above the cap is not
/// lowered to it.
pub fn guard(case: &Case<'_>) -> Answer {
    let target = case.ctx.features.target.last();
    let standing = || case.ctx.proposal.rules.iter().filter_map(|rule| Some((&rule.rule, rule.standing()?)));
    if let Some((name, limit)) = standing().find(|(_, limit)| limit.vetoes(case.action, target)) {
        return Answer::Hold(format!("{name}: {limit}"));
    }
    let caps = standing().filter_map(|(name, limit)| match limit {
        Limit::Cap { replicas } => Some((replicas.unwrap_or(0), name, limit)),
        Limit::Veto { .. } => None,
    });
    match (caps.min_by_key(|(replicas, ..)| *replicas), case.motion) {
        (None, _) => Answer::Pass("no policy limit applies".to_owned()),
        (Some((high, name, limit)), Motion::Raise { .. }) => {
            Answer::Within { low: 0, high, why: format!("{name}: {limit}") }
        }
        (Some(_), Motion::Unknown) => Answer::unknown(),
        (Some(_), Motion::Lower { .. } | Motion::Still | Motion::Other) => {
            Answer::Pass("a cap applies to raises only".to_owned())
        }
    }
}
