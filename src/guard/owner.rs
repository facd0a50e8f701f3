//! Who changes the target: tells our own writes from everybody else's.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::HOUR;
use crate::model::{ChangeId, ChangeSet, Direction, Lever, Moment, Now, Revert, TargetState, WriteEnd};

/// Reverting edits within an hour after which the loop stands down.
const REVERTS: usize = 2;

/// A change of the target that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignEdit {
    /// Replicas, or the floor of their autoscaler, before the change.
    pub from: u32,
    /// The same after the change.
    pub to: u32,
    /// The field manager that made it, if the object names one.
    pub by: Option<Arc<str>>,
}

impl fmt::Display for ForeignEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.by.as_deref().unwrap_or("an unknown field manager");
        write!(f, "{} to {} by {by}", self.from, self.to)
    }
}

/// Our last applied write.
#[derive(Debug, Clone)]
struct Ours {
    id: ChangeId,
    from: u32,
    to: u32,
    /// The object version that it created; `None` if unknown.
    version: Option<u64>,
    shown: bool,
    /// Whether somebody reverted it: later edits against it count as well, but it is reported as reverted once.
    reverted: bool,
}

impl Ours {
    fn of(change: &ChangeSet, version: Option<u64>, shown: bool) -> Self {
        Self { id: change.id.clone(), from: change.from, to: change.to, version, shown, reverted: false }
    }

    /// Returns whether a complete view up to the version `seen_to` that shows another value has passed this write: then
    /// somebody set that value after it. A view that lags or is stalled proves nothing.
    fn passed_by(&self, seen_to: Option<u64>) -> bool {
        !self.shown && self.version.zip(seen_to).is_some_and(|(version, seen_to)| seen_to >= version)
    }

    /// Returns whether `found` reverts this write.
    fn reverted_by(&self, found: u32) -> bool {
        match Direction::of(self.from, self.to) {
            Some(Direction::Raise) => found < self.to,
            Some(Direction::Lower) => found > self.to,
            Some(Direction::Lateral) | None => false,
        }
    }
}

/// What is remembered about the target's owners.
#[derive(Debug, Clone, Default)]
pub struct Owner {
    /// Identity of the object that carries the value: observations of another object do not apply to it.
    of: Option<String>,
    seen: Option<u32>,
    /// Whether `seen` is from an earlier run. Nobody saw who changed the target in between, or after which write.
    unwatched: bool,
    ours: Option<Ours>,
    foreign: Option<ForeignEdit>,
    reverted: Option<(ChangeId, Revert)>,
    /// A revert that no watch showed, to be reported in the next cycle.
    unseen: Option<(ChangeId, Revert)>,
    reverts: VecDeque<Moment>,
    stood_down: Option<(Moment, ForeignEdit)>,
}

impl Owner {
    /// Remembers a write of ours that was applied. If no watch showed the previous write and this one starts from a
    /// reverted value, somebody reverted the previous one: this write was based on a live read.
    pub fn wrote(&mut self, end: &WriteEnd) {
        let WriteEnd { change, now, version, .. } = end;
        let now = *now;
        self.turn_to(&change.uid);
        let unseen = self.ours.take().filter(|ours| !ours.shown && ours.reverted_by(change.from));
        if let Some(ours) = unseen {
            let (from, to) = (ours.to, change.from);
            self.unseen = Some((ours.id, Revert { at: now.wall, from, to, by: None }));
            self.count(ForeignEdit { from, to, by: None }, Moment::now(now), now);
        }
        self.ours = Some(Ours::of(change, *version, false));
    }

    /// Remembers a write that an earlier run of the process applied, and whether that run saw it reverted.
    pub fn wrote_before(&mut self, change: &ChangeSet, reverted: Option<&Revert>, now: Now) {
        self.turn_to(&change.uid);
        let Some(revert) = reverted else {
            (self.ours, self.seen, self.unwatched) = (Some(Ours::of(change, None, true)), Some(change.to), true);
            return;
        };
        let at = Moment::persisted(revert.at, now);
        // A value that an older revert left says nothing about who changed the target since.
        (self.ours, self.seen, self.unwatched) = (None, (at.age(now) < HOUR).then_some(revert.to), true);
        let edit = ForeignEdit { from: revert.from, to: revert.to, by: revert.by.clone() };
        self.count(edit, at, now);
    }

    /// Checks the target; `in_flight` is the value of our write in flight. `leads` is whether this process is the
    /// writer: a follower cannot tell the leader's writes from those of others, and counts none.
    pub fn observe(
        &mut self,
        target: &TargetState,
        in_flight: Option<u32>,
        leads: bool,
        human_hold: Duration,
        now: Now,
    ) {
        self.stood_down.take_if(|(since, _)| since.age(now) >= human_hold);
        (self.foreign, self.reverted) = (None, self.unseen.take());
        let lever = target.lever();
        self.turn_to(lever.uid);
        let value = lever.value;
        let was_watched = !std::mem::take(&mut self.unwatched);
        let Some(seen) = self.seen.replace(value) else { return };
        if let Some(ours) = self.ours.as_mut().filter(|ours| !ours.shown && ours.to == value) {
            ours.shown = true;
            return;
        }
        let swallowed = self.ours.as_ref().is_some_and(|ours| ours.passed_by(target.seen_to));
        if (value == seen && !swallowed) || in_flight == Some(value) {
            return;
        }
        self.edited(seen, lever, leads && was_watched, now);
    }

    /// Discards what was seen, written and reverted on another object: the target was recreated, or an autoscaler was
    /// added or removed.
    fn turn_to(&mut self, uid: &str) {
        if self.of.as_deref() != Some(uid) {
            let (reverted, unseen) = (self.reverted.take(), self.unseen.take());
            *self = Self { of: Some(uid.to_owned()), reverted, unseen, ..Self::default() };
        }
    }

    /// Notes a foreign edit. It counts if it goes against our latest write, regardless of edits in between.
    fn edited(&mut self, seen: u32, lever: Lever<'_>, counts: bool, now: Now) {
        // A write that was never shown preceded the edit.
        let from = self.ours.as_ref().filter(|ours| !ours.shown).map_or(seen, |ours| ours.to);
        let edit = ForeignEdit { from, to: lever.value, by: lever.owner.cloned() };
        self.foreign = Some(edit.clone());
        let Some(ours) = self.ours.as_mut().filter(|_| counts) else {
            self.ours = None;
            return;
        };
        ours.shown = true;
        if ours.reverted_by(edit.to) {
            if !std::mem::replace(&mut ours.reverted, true) {
                let revert = Revert { at: now.wall, from, to: edit.to, by: edit.by.clone() };
                self.reverted = Some((ours.id.clone(), revert));
            }
            self.count(edit, Moment::now(now), now);
        }
    }

    fn count(&mut self, revert: ForeignEdit, at: Moment, now: Now) {
        self.reverts.push_back(at);
        // Within an hour of the newest, not of now: a stand-down may last longer than that.
        self.reverts.retain(|one| one.age(now).saturating_sub(at.age(now)) < HOUR);
        if self.reverts.len() >= REVERTS {
            self.reverts.clear();
            self.stood_down = Some((at, revert));
        }
    }

    /// Returns the foreign change that this cycle saw first.
    pub fn foreign(&self) -> Option<&ForeignEdit> {
        self.foreign.as_ref()
    }

    /// Returns the write of ours that this cycle found reverted.
    pub fn reverted(&self) -> Option<&(ChangeId, Revert)> {
        self.reverted.as_ref()
    }

    /// Returns since when the loop stands down, and the edit that caused it.
    pub fn stood_down(&self) -> Option<&(Moment, ForeignEdit)> {
        self.stood_down.as_ref()
    }
}
