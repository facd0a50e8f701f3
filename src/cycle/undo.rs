//! A lowering that hurt is rolled back: once, and by a decision like any other.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Action, ChangeId, ChangeSet, Choice, Effect, Intent, Knob, Measured, Moment, Now, Proposal, TargetReading,
    TargetRef, TargetState, WriteOutcome,
};
use crate::verify::advise_undo;

/// How long an undo is requested again while guards hold it or its write fails. After that the policies judge better.
const OWED_FOR: Duration = Duration::from_mins(5);

/// An undo that is owed until it is applied or no longer makes sense.
#[derive(Debug, Clone)]
pub(super) struct Undo {
    change: ChangeSet,
    why: Arc<str>,
    since: Moment,
    /// The write in flight that rolls the change back.
    write: Option<ChangeId>,
}

impl Undo {
    /// Returns the undo of a change that was measured; `None` unless it hurt.
    pub(super) fn owed(change: &ChangeSet, effect: &Effect, now: Now) -> Option<Self> {
        Self::owed_since(change, effect, Moment::now(now))
    }

    /// Returns the undo that an earlier run, or another process, left: that of the last of `intents` (ended ones,
    /// oldest first, then open ones) applied to `target`, if it is known to have hurt.
    pub(super) fn left(intents: &[Intent], target: &TargetRef, now: Now) -> Option<Self> {
        let last = Intent::last_applied(intents, target)?;
        let Measured { at, effect } = last.measured.as_ref().filter(|_| last.reverted.is_none())?;
        Self::owed_since(&last.change, effect, Moment::persisted(*at, now))
    }

    fn owed_since(change: &ChangeSet, effect: &Effect, since: Moment) -> Option<Self> {
        let undo = || Self { change: change.clone(), why: effect.why.as_str().into(), since, write: None };
        advise_undo(effect, change).then(undo)
    }

    /// Returns the undo waiting for the end of the write of `change`. Any write while it is owed rolls the change back
    /// ([`Undo::over`]).
    pub(super) fn written_by(self, change: &ChangeSet) -> Self {
        Self { write: Some(change.id.clone()), ..self }
    }

    /// Returns what is owed after `change` has ended: nothing if another write was applied, the same as before if its
    /// own write failed.
    pub(super) fn after(self, change: &ChangeSet, outcome: &WriteOutcome) -> Option<Self> {
        if *outcome == WriteOutcome::Applied {
            return (self.change.id == change.id).then_some(self);
        }
        let write = self.write.filter(|write| *write != change.id);
        Some(Self { write, ..self })
    }

    /// Returns whether it still makes sense: soon after it was measured, with the target as the change left it.
    pub(super) fn stands(&self, target: &TargetReading, now: Now) -> bool {
        let as_left = |target: &TargetState| {
            let lever = target.lever();
            (lever.knob, lever.uid, lever.value) == (self.change.knob, &self.change.uid, self.change.to)
        };
        self.since.age(now) < OWED_FOR && target.last().is_none_or(as_left)
    }

    /// Returns `asked` with the undo replacing the policies' choice, unless its write is in flight, or the policies
    /// themselves raise `target` as far.
    pub(super) fn over(&self, asked: Proposal, target: &TargetReading) -> Proposal {
        if self.write.is_some() || asked.choice.asked().is_some_and(|(action, _)| self.is_met_by(action, target)) {
            return asked;
        }
        let replicas = self.change.from;
        let action = match self.change.knob {
            Knob::AutoscalerFloor => Action::SetAutoscalerFloor { replicas },
            _ => Action::ScaleTo { replicas },
        };
        let choice =
            Choice::Undo { of: self.change.decision.clone(), trace: self.change.trace, action, why: self.why.clone() };
        Proposal { choice, ..asked }
    }

    /// Returns whether `action` moves the lever back at least as far. If more replicas run than the floor requires, an
    /// action wanting fewer than that moves nothing.
    fn is_met_by(&self, action: &Action, target: &TargetReading) -> bool {
        let lever = target.last().map(TargetState::lever);
        let (present, rest) = lever.map_or((self.change.to, None), |lever| (lever.asked, lever.rest(action)));
        let wanted = action.wanted_replicas(present);
        wanted.is_some_and(|wanted| wanted >= self.change.from && rest.is_none_or(|(_, highest)| wanted > highest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Autoscaler, Autoscaling, Convergence, CycleId, DecisionId, Foreseen, Impact, Timestamp};

    const AT: Now = Now { wall: Timestamp::UNIX_EPOCH, mono: Duration::from_secs(100) };

    fn change(from: u32, to: u32) -> ChangeSet {
        let decision = DecisionId { service: "shop/checkout".parse().unwrap(), cycle: CycleId { run: 1, seq: 7 } };
        ChangeSet { cause: "down".into(), uid: "u".to_owned(), ..ChangeSet::of_replicas(decision, from, to, AT) }
    }

    fn effect(impact: Impact) -> Effect {
        let convergence = Convergence::Converged { after: Duration::ZERO };
        Effect { convergence, impact, expected_latency: None, measured_latency: None, why: "slow".to_owned() }
    }

    fn undo() -> Undo {
        Undo::owed(&change(10, 7), &effect(Impact::Hurt), AT).unwrap()
    }

    #[test]
    fn only_a_lowering_that_hurt_is_owed_an_undo() {
        for (from, to, impact, owed) in [
            (10, 7, Impact::Hurt, true),
            (10, 7, Impact::Neutral, false),
            (10, 7, Impact::Inconclusive, false),
            (7, 10, Impact::Hurt, false),
        ] {
            assert_eq!(Undo::owed(&change(from, to), &effect(impact), AT).is_some(), owed, "{from} {to} {impact:?}");
        }
    }

    /// The service has since switched to another object.
    #[test]
    fn what_hurt_on_another_target_is_not_owed_on_this_one() {
        let lowered = Intent {
            ended: Some((AT.wall, WriteOutcome::Applied)),
            measured: Some(Measured { at: AT.wall, effect: effect(Impact::Hurt) }),
            ..Intent::open(change(10, 7), AT.wall, Foreseen::default())
        };
        let of = lowered.change.target.clone();
        let other = TargetRef { name: "other".to_owned(), ..of.clone() };
        assert!(Undo::left(std::slice::from_ref(&lowered), &of, AT).is_some());
        assert!(Undo::left(&[lowered], &other, AT).is_none());
    }

    #[test]
    fn it_stands_while_the_target_is_as_it_was_left_and_not_for_ever() {
        let known = |uid, replicas| TargetReading::Known { target: TargetState::calm(uid, replicas) };
        let outdated = TargetReading::Outdated { target: TargetState::calm("u", 7), silence: Duration::from_secs(90) };
        for (reading, seconds, stands) in [
            (known("u", 7), 0, true),
            (known("u", 7), 299, true),
            (known("u", 7), 300, false),
            (known("u", 8), 0, false),
            (known("other", 7), 0, false),
            (outdated, 0, true),
            (TargetReading::Unknown { reason: String::new() }, 0, true),
        ] {
            assert_eq!(undo().stands(&reading, AT.plus(Duration::from_secs(seconds))), stands, "{reading:?} {seconds}");
        }
    }

    fn running(replicas: u32, floor: Option<u32>) -> TargetReading {
        let autoscaler = |floor| Autoscaler {
            name: "front".into(),
            uid: "h".to_owned(),
            floor,
            baseline: 2,
            ceiling: 20,
            current: replicas,
            desired: replicas,
            owner: None,
            trouble: None,
        };
        let target = TargetState {
            autoscaling: floor.map_or(Autoscaling::Nobody, |floor| Autoscaling::Autoscaler(autoscaler(floor))),
            ..TargetState::calm("u", replicas)
        };
        TargetReading::Known { target }
    }

    #[test]
    fn of_a_floor_it_yields_to_what_raises_above_what_runs_and_to_nothing_less() {
        let act = |action| Choice::Act { rule: "rule".into(), action, backed_by_arrivals: false };
        let to = |replicas| Action::ScaleTo { replicas };
        // The floor went from 6 to 4.
        for (runs, action, replaced) in [
            (10, Action::ScaleBy { factor: 1.2 }, false),
            (7, to(6), true),
            (7, to(8), false),
            (4, to(6), false),
            (4, to(5), true),
            (7, Action::SetAutoscalerFloor { replicas: 6 }, false),
            (7, Action::SetAutoscalerFloor { replicas: 5 }, true),
        ] {
            let owed = Undo::owed(&change(6, 4), &effect(Impact::Hurt), AT).unwrap();
            let asked = Proposal { revision: None, rules: Vec::new(), choice: act(action.clone()) };
            let got = owed.over(asked, &running(runs, Some(4)));
            assert_eq!(matches!(got.choice, Choice::Undo { .. }), replaced, "{action:?} where {runs} run");
        }
    }

    #[test]
    fn it_takes_the_place_of_what_policies_chose_unless_they_raise_as_far() {
        let act = |replicas| Choice::Act {
            rule: "rule".into(),
            action: Action::ScaleTo { replicas },
            backed_by_arrivals: true,
        };
        for (choice, replaced) in
            [(Choice::Nothing("".into()), true), (act(5), true), (act(9), true), (act(10), false), (act(12), false)]
        {
            let asked = Proposal { revision: None, rules: Vec::new(), choice: choice.clone() };
            let proposal = undo().over(asked, &running(7, None));
            if !replaced {
                assert_eq!(proposal.choice, choice);
                continue;
            }
            let Choice::Undo { of, action, .. } = proposal.choice else { panic!("{choice:?} was kept") };
            assert_eq!((of, action), (change(10, 7).decision, Action::ScaleTo { replicas: 10 }));
        }
    }
}
