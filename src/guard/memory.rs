//! What one service remembers between cycles: its writes, the needs of the last minutes, who changed the target.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::HOUR;
use super::case::{Context, Motion, needed_now};
use super::denials::Denials;
use super::freshness;
use super::owner::Owner;
use super::ownership;
use super::window::Window;
use crate::model::guards::UNDONE_COUNTS;
use crate::model::{
    CONVERGE_WITHIN, Cause, ChangeId, ChangeSet, Direction, Intent, Knob, Moment, Now, Refusal, Revert, ServiceSpec,
    TargetReading, TargetState, Timestamp, WriteEnd, WriteOutcome,
};

/// A write that is charged to the budgets of the service.
#[derive(Debug, Clone)]
struct Write {
    id: ChangeId,
    at: Moment,
}

/// A write in flight.
#[derive(Debug, Clone)]
pub struct InFlight {
    /// Which change.
    pub id: ChangeId,
    /// What it sets.
    pub knob: Knob,
    /// The new value.
    pub to: u32,
}

/// The past of one service, to the extent that guards need it.
///
/// Times are monotonic; the past of earlier runs is restored from the journal by [`Memory::restore`].
#[derive(Debug, Clone, Default)]
pub struct Memory {
    writes: VecDeque<Write>,
    last: BTreeMap<(Knob, Direction), Moment>,
    in_flight: Option<InFlight>,
    /// The last write that ended in this process.
    ended: Option<Arc<WriteEnd>>,
    /// What was proposed, or what ran if nothing was.
    window: Window,
    /// What the arrival rate needed, or a raise requested.
    arrivals: Window,
    owner: Owner,
    /// When lowerings were undone, oldest first.
    undone: VecDeque<Moment>,
    /// When and why a namespace or fleet budget last refused a lowering.
    refused: Option<(Moment, String)>,
    /// The recent writes that failed at the API server.
    denials: Option<Denials>,
    /// While replicas are missing: how many were ready, and since when that has not increased (monotonic).
    coming: Option<(u32, Duration)>,
    /// Newest sample when a raise was first proposed, in the current run of such proposals.
    raise_since: Option<Timestamp>,
}

impl Memory {
    /// Returns the memory restored from the journal: intents of this service, oldest first, ended or open.
    ///
    /// Persisted wall times are clamped: one in the future counts as just now. An open intent is in flight until
    /// [`Memory::write_ended`] reports how it was settled.
    ///
    /// **Invariants**: INV-23. For a lowering the downtime does not count, so that no jump of the wall clock brings it
    /// forward; a raise trusts the wall clock, because waiting too long does more harm.
    pub fn restore(intents: &[Intent], now: Now) -> Self {
        let mut memory = Self::default();
        for intent in intents {
            let change = &intent.change;
            match &intent.ended {
                None => {
                    memory.in_flight = Some(InFlight { id: change.id.clone(), knob: change.knob, to: change.to });
                    memory.charge(change, Moment::persisted(intent.prepared, now));
                }
                Some((at, outcome)) if outcome.is_remembered() => {
                    let at = Moment::persisted(*at, now);
                    memory.denials = Denials::after(memory.denials.take(), &change.uid, outcome, at, now);
                    if outcome.is_charged() {
                        memory.charge(change, at);
                    }
                    if *outcome == WriteOutcome::Applied {
                        memory.remember(change, at, now);
                        if change.knob.sets_count() && (intent.reverted.is_some() || at.age(now) < HOUR) {
                            memory.owner.wrote_before(change, intent.reverted.as_ref(), now);
                        }
                    }
                }
                Some(_) => {}
            }
        }
        memory.forget_old_writes(now);
        memory
    }

    /// Takes over from another process: writes come from the journal, observations are kept. If a write of this process
    /// ended after the journal was read, that end is kept.
    ///
    /// **Invariants**: INV-23, as in [`Memory::restore`].
    pub fn take_over(&mut self, intents: &[Intent], now: Now) {
        let seen = std::mem::replace(self, Self::restore(intents, now));
        (self.window, self.arrivals) = (seen.window, seen.arrivals);
        (self.coming, self.raise_since) = (seen.coming, seen.raise_since);
        let is_open = |end: &Arc<WriteEnd>| {
            intents.iter().any(|intent| intent.ended.is_none() && intent.change.id == end.change.id)
        };
        if let Some(end) = seen.ended.filter(is_open) {
            self.write_ended(&end);
        }
    }

    /// Remembers that a write was passed to the write gate. It is charged now, not when it ends.
    pub fn write_started(&mut self, change: &ChangeSet, now: Now) {
        self.in_flight = Some(InFlight { id: change.id.clone(), knob: change.knob, to: change.to });
        self.charge(change, Moment::now(now));
        self.forget_old_writes(now);
    }

    /// Remembers how a write ended.
    pub fn write_ended(&mut self, end: &Arc<WriteEnd>) {
        let WriteEnd { change, outcome, now, .. } = &**end;
        let now = *now;
        self.ended = Some(end.clone());
        if *outcome == WriteOutcome::Applied {
            self.wait_anew(change, now);
        }
        self.let_go(end);
        if let (WriteOutcome::Refused(Refusal::Budget { reason }), Direction::Lower) = (outcome, change.direction()) {
            self.refused = Some((Moment::now(now), reason.clone()));
        }
        if *outcome == WriteOutcome::Applied && change.knob.sets_count() {
            self.owner.wrote(end);
        }
    }

    /// Remembers of a write that ended only what budgets and cooldowns need, and nothing about who changed the target.
    /// A write known to have had no effect is no longer charged.
    pub fn let_go(&mut self, end: &WriteEnd) {
        let WriteEnd { change, outcome, now, .. } = end;
        self.in_flight.take_if(|in_flight| in_flight.id == change.id);
        self.denials = Denials::after(self.denials.take(), &change.uid, outcome, Moment::now(*now), *now);
        if outcome.is_charged() {
            self.charge(change, Moment::now(*now));
        } else {
            self.writes.retain(|write| write.id != change.id);
        }
        if *outcome == WriteOutcome::Applied {
            self.remember(change, Moment::now(*now), *now);
        }
    }

    /// Restarts the wait for pods with the first of several raises: what was missing long before says nothing about the
    /// pods requested now.
    fn wait_anew(&mut self, change: &ChangeSet, now: Now) {
        let raised = self.since_move(Direction::Raise, |raised| raised.age(now));
        let is_first = raised.is_none_or(|age| age >= CONVERGE_WITHIN);
        if change.knob.sets_count() && change.direction() == Direction::Raise && is_first {
            self.coming = None;
        }
    }

    /// Records one cycle, whatever was proposed in it.
    pub(super) fn observe(&mut self, ctx: &Context<'_>) {
        let in_flight = self.in_flight.as_ref().filter(|write| write.knob.sets_count()).map(|write| write.to);
        if let Some(target) = ctx.features.target.known() {
            self.coming = self.still_coming(target, ctx.now);
            self.denials.take_if(|denials| !denials.is_of(target.lever().uid));
            self.owner.observe(target, in_flight, ctx.lead.speaks(), ctx.spec.guards.human_hold, ctx.now);
        }
        self.observe_need(ctx);
        self.raise_since = match proposed(ctx) {
            Some((Motion::Raise { .. }, _)) => self.raise_since.or_else(|| freshness::newest_sample(ctx)),
            _ => None,
        };
    }

    fn still_coming(&self, target: &TargetState, now: Now) -> Option<(u32, Duration)> {
        let since = self.coming.filter(|(ready, _)| target.ready <= *ready).map_or(now.mono, |(_, since)| since);
        (target.ready < target.asked()).then_some((target.ready, since))
    }

    /// Records the need of a cycle: what was proposed, or what runs if nothing was, and at least what the arrival rate
    /// needs. A cycle that could not see enough to lower breaks the window.
    ///
    /// For a lowering to what the arrival rate needs, what runs says nothing: known are the rate of each cycle, what a
    /// raise requested beyond it, and what somebody else set. A rule that waits for the forecast floor to come down
    /// proposes nothing meanwhile, and the two waits would add up.
    fn observe_need(&mut self, ctx: &Context<'_>) {
        let Some(target) = ctx.features.target.known().filter(|_| freshness::can_lower(ctx)) else {
            self.window.reset();
            self.arrivals.reset();
            return;
        };
        let params = &ctx.spec.guards;
        let (proposed, needed) = (proposed(ctx), needed_now(ctx.outlook));
        let asked = proposed.and_then(|(_, wanted)| wanted).unwrap_or(target.asked());
        self.window.push(ctx.now, asked.max(needed.unwrap_or(0)), params.stabilisation, params.window_gap);
        let Some(needed) = needed else {
            self.arrivals.reset();
            return;
        };
        let raised = match proposed {
            Some((Motion::Raise { .. }, wanted)) => wanted.unwrap_or(target.asked()),
            _ => 0,
        };
        let theirs = self.owner.foreign().map_or(0, |edit| edit.to);
        self.arrivals.push(ctx.now, needed.max(raised).max(theirs), params.stabilisation, params.window_gap);
    }

    fn charge(&mut self, change: &ChangeSet, at: Moment) {
        if self.writes.iter().all(|write| write.id != change.id) {
            self.writes.push_back(Write { id: change.id.clone(), at });
        }
    }

    fn forget_old_writes(&mut self, now: Now) {
        self.writes.retain(|write| write.at.age(now) < HOUR);
        self.undone.retain(|at| at.certain_age(now) < UNDONE_COUNTS);
    }

    fn remember(&mut self, change: &ChangeSet, at: Moment, now: Now) {
        let last = self.last.entry((change.knob, change.direction())).or_insert(at);
        if at.age(now) <= last.age(now) {
            *last = at;
        }
        if change.cause == Cause::Undo {
            self.undone.push_back(at);
        }
    }

    /// Returns the write in flight.
    pub(super) fn in_flight(&self) -> Option<&InFlight> {
        self.in_flight.as_ref()
    }

    /// Returns how long ago a namespace or fleet budget refused a lowering, and why.
    pub(super) fn refused(&self, now: Now) -> Option<(Duration, &str)> {
        self.refused.as_ref().map(|(at, why)| (at.age(now), why.as_str()))
    }

    /// Returns the recent writes that failed at the API server.
    pub fn denials(&self, now: Now) -> Option<&Denials> {
        self.denials.as_ref().filter(|denials| denials.is_recent(now))
    }

    /// Returns when `knob` was last moved in `direction`.
    pub(super) fn last(&self, knob: Knob, direction: Direction) -> Option<Moment> {
        self.last.get(&(knob, direction)).copied()
    }

    /// Returns how many lowerings were undone recently enough to delay the next one.
    pub(super) fn undone(&self, now: Now) -> usize {
        self.undone.iter().filter(|at| at.certain_age(now) < UNDONE_COUNTS).count()
    }

    /// Returns how long ago the replica count was last moved in `direction`, by any knob: the smaller age by `age`,
    /// since the two clocks age a write of an earlier run differently.
    pub(super) fn since_move(&self, direction: Direction, age: impl Fn(Moment) -> Duration) -> Option<Duration> {
        let moves = [Knob::Replicas, Knob::AutoscalerFloor].into_iter().filter_map(|knob| self.last(knob, direction));
        moves.map(age).min()
    }

    /// Returns how many writes were charged in the last `span`.
    pub(super) fn writes_within(&self, span: Duration, now: Now) -> usize {
        self.writes.iter().filter(|write| write.at.age(now) < span).count()
    }

    /// Returns how long replicas have been missing without another one becoming ready.
    pub(super) fn stalled_for(&self, now: Now) -> Duration {
        self.coming.map_or(Duration::ZERO, |(_, since)| now.since(since))
    }

    /// Returns the needs of the last minutes: those of the arrival rate if the count follows from it.
    pub(super) fn window(&self, backed_by_arrivals: bool) -> &Window {
        if backed_by_arrivals { &self.arrivals } else { &self.window }
    }

    /// Returns the write of ours that this cycle found reverted, and by whom.
    pub fn reverted(&self) -> Option<&(ChangeId, Revert)> {
        self.owner.reverted()
    }

    /// Returns who set the target in this cycle, and from what to what, if it was somebody else.
    pub fn foreign_edit(&self, spec: &ServiceSpec, target: &TargetReading) -> Option<String> {
        let edit = self.owner.foreign()?;
        Some(format!("{}{} was changed from {edit}", ownership::floor_of(target), spec.target))
    }

    /// Returns since when the loop stands down, and why.
    pub(super) fn stand_down(&self, spec: &ServiceSpec, target: &TargetReading) -> Option<(Moment, String)> {
        let (since, edit) = self.owner.stood_down()?;
        let (floor, target) = (ownership::floor_of(target), &spec.target);
        let why = format!("two writes were reverted within an hour, last {edit}: {floor}{target} has another owner");
        Some((*since, why))
    }

    /// Returns why the loop stands down, as a text that stays the same while it does.
    pub fn stood_down(&self, spec: &ServiceSpec, target: &TargetReading, now: Now) -> Option<String> {
        let hold = spec.guards.human_hold;
        let (_, why) = self.stand_down(spec, target).filter(|(since, _)| since.age(now) < hold)?;
        Some(format!("{why}; standing down for {} s", hold.as_secs()))
    }

    /// Returns the newest sample when a raise was first proposed.
    pub(super) fn raise_since(&self) -> Option<Timestamp> {
        self.raise_since
    }
}

/// Returns what the proposed action does to the replicas, and how many it wants.
fn proposed(ctx: &Context<'_>) -> Option<(Motion, Option<u32>)> {
    let (action, _) = ctx.proposal.choice.asked()?;
    let target = ctx.features.target.last()?;
    Some((Motion::of(action, Some(target)), action.wanted_replicas(target.asked())))
}
