//! What the policies forbid, against what a rule or an undo requests.

use super::*;
use crate::model::{Goal, Limit, RuleOutcome, RuleTrace, Vetoed};

fn limit(name: &str, limit: Limit, outcome: RuleOutcome) -> RuleTrace {
    RuleTrace {
        rule: name.into(),
        priority: 0,
        goal: Goal::Protect,
        outcome,
        conditions: Vec::new(),
        action: None,
        backed_by_arrivals: false,
        notes: Vec::new(),
        limit: Some(limit),
    }
}

fn veto(what: Vetoed) -> Limit {
    Limit::Veto { what, why: "a freeze".into() }
}

fn cap(replicas: Option<u32>) -> Limit {
    Limit::Cap { replicas }
}

/// Proposes twice under limits: a raise needs a second sample.
fn under(mut world: World, limits: &[RuleTrace], choice: &Choice) -> Verdict {
    world.limits = limits.to_vec();
    world.choose(choice.clone());
    world.choose(choice.clone())
}

fn to(replicas: u32) -> Choice {
    Choice::Act { rule: "rule".into(), action: scale_to(replicas), backed_by_arrivals: false }
}

#[test]
fn inv_31_a_cap_clamps_a_raise_and_lowers_nothing() {
    let matched = |replicas| limit("cap", cap(replicas), RuleOutcome::Matched);
    for (limits, permitted) in [
        (vec![], Some(8)),
        (vec![matched(Some(6))], Some(6)),
        (vec![matched(Some(7)), matched(Some(5))], Some(5)),
        (vec![matched(Some(4))], None),
        (vec![matched(Some(2))], None),
        (vec![matched(None)], None),
        (vec![limit("cap", cap(Some(6)), RuleOutcome::NotMatched)], Some(8)),
        (vec![limit("cap", cap(None), RuleOutcome::Unknown)], None),
        (vec![limit("cap", cap(None), RuleOutcome::Muted { failure: None })], None),
    ] {
        let verdict = under(World::at(4), &limits, &to(8));
        assert_eq!(verdict.permitted, permitted, "{limits:?} {:?}", verdict.findings);
    }
    let lowered = under(World::lowering(), &[matched(Some(2))], &to(7));
    assert_eq!(sum(&lowered), (VerdictKind::Pass, None, Some(7)), "{:?}", lowered.findings);
}

#[test]
fn inv_31_a_veto_holds_against_a_rule_and_an_undo() {
    let by = |verdict: &Verdict| verdict.decided_by == Some(GuardName::PolicyLimit);
    let matched = |what| [limit("calm", veto(what), RuleOutcome::Matched)];
    let lowering = |what| under(World::lowering(), &matched(what), &to(7));
    assert!(by(&lowering(Vetoed::Lower)) && by(&lowering(Vetoed::All)) && !by(&lowering(Vetoed::Raise)));
    assert_eq!(why(&lowering(Vetoed::Lower), GuardName::PolicyLimit), "calm: no action of `lower`: a freeze");
    let undo = Choice::Undo {
        of: DecisionId { service: spec().id, cycle: CycleId { run: 1, seq: 1 } },
        trace: TraceId::derive(&spec().id, CycleId { run: 1, seq: 1 }, Timestamp::UNIX_EPOCH),
        action: scale_to(6),
        why: "it hurt".into(),
    };
    assert!(by(&under(World::at(4), &matched(Vetoed::Raise), &undo)));
    assert_eq!(under(World::at(4), &matched(Vetoed::Lower), &undo).permitted, Some(6));
}
