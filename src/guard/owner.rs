//! Who moves the target: our own writes told from everybody else's.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::HOUR;
use crate::model::{ChangeId, ChangeSet, Direction, Lever, Moment, Now, Revert, TargetState, WriteEnd};

/// Reverts within an hour after which the loop stands down.
const REVERTS: usize = 2;

/// A change of the target that was not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignEdit {
    /// Replicas, or floor of their autoscaler, before.
    pub from: u32,
    /// The same after.
    pub to: u32,
    /// The field manager that made it, where the object names one.
    pub by: Option<Arc<str>>,
}

impl fmt::Display for ForeignEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.by.as_deref().unwrap_or("an unknown field manager");
        write!(f, "{} to {} by {by}", self.from, self.to)
    }
}

/// The last write of ours that was applied.
#[derive(Debug, Clone)]
struct Ours {
    id: ChangeId,
    from: u32,
    to: u32,
    /// The version of the object that it made; `None` where that is not known.
    version: Option<u64>,
    shown: bool,
}

impl Ours {
    fn of(change: &ChangeSet, version: Option<u64>, shown: bool) -> Self {
        Self { id: change.id.clone(), from: change.from, to: change.to, version, shown }
    }

    /// Tells whether a view that has missed nothing up to the version `seen_to`, and shows another value, has let it
    /// pass: then somebody set that value after it. A view that lags or stands still says nothing.
    fn passed_by(&self, seen_to: Option<u64>) -> bool {
        !self.shown && self.version.zip(seen_to).is_some_and(|(version, seen_to)| seen_to >= version)
    }

    /// Tells whether `found` goes back on this write.
    fn reverted_by(&self, found: u32) -> bool {
        match Direction::of(self.from, self.to) {
            Some(Direction::Raise) => found < self.to,
            Some(Direction::Lower) => found > self.to,
            Some(Direction::Lateral) | None => false,
        }
    }
}

/// What is remembered of the target's owners.
#[derive(Debug, Clone, Default)]
pub struct Owner {
    /// Identity of the object that carries what is turned: what was seen of another says nothing of this one.
    of: Option<String>,
    seen: Option<u32>,
    ours: Option<Ours>,
    foreign: Option<ForeignEdit>,
    reverted: Option<(ChangeId, Revert)>,
    /// A revert that no watch showed, to be told in the next cycle.
    unseen: Option<(ChangeId, Revert)>,
    reverts: VecDeque<Moment>,
    stood_down: Option<(Moment, ForeignEdit)>,
}

impl Owner {
    /// Remembers a write of ours that was applied. One that starts from where the last one, which no watch has shown,
    /// was set back to, proves that somebody did so: it was made on a live read.
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

    /// Remembers a write that an earlier run of the process applied, and whether it was reverted in that run.
    pub fn wrote_before(&mut self, change: &ChangeSet, reverted: Option<&Revert>, now: Now) {
        self.turn_to(&change.uid);
        let Some(revert) = reverted else {
            (self.ours, self.seen) = (Some(Ours::of(change, None, true)), Some(change.to));
            return;
        };
        let at = Moment::persisted(revert.at, now);
        // What an older one left there says nothing about who moved the target since.
        (self.ours, self.seen) = (None, (at.age(now) < HOUR).then_some(revert.to));
        let edit = ForeignEdit { from: revert.from, to: revert.to, by: revert.by.clone() };
        self.count(edit, at, now);
    }

    /// Looks at the target; `in_flight` is the value of a write of ours that is under way.
    pub fn observe(&mut self, target: &TargetState, in_flight: Option<u32>, human_hold: Duration, now: Now) {
        if self.stood_down.as_ref().is_some_and(|(since, _)| since.age(now) >= human_hold) {
            self.stood_down = None;
        }
        (self.foreign, self.reverted) = (None, self.unseen.take());
        let lever = target.lever();
        self.turn_to(lever.uid);
        let value = lever.value;
        let Some(seen) = self.seen.replace(value) else { return };
        if let Some(ours) = self.ours.as_mut().filter(|ours| ours.to == value) {
            ours.shown = true;
            return;
        }
        let swallowed = self.ours.as_ref().is_some_and(|ours| ours.passed_by(target.seen_to));
        if (value == seen && !swallowed) || in_flight == Some(value) {
            return;
        }
        self.edited(seen, lever, now);
    }

    /// Forgets what was seen and written of another object: the target was made anew, an autoscaler came or went.
    fn turn_to(&mut self, uid: &str) {
        if self.of.as_deref() != Some(uid) {
            (self.of, self.seen, self.ours) = (Some(uid.to_owned()), None, None);
        }
    }

    fn edited(&mut self, seen: u32, lever: Lever<'_>, now: Now) {
        let ours = self.ours.take();
        let (from, to) = (ours.as_ref().map_or(seen, |ours| ours.to), lever.value);
        let edit = ForeignEdit { from, to, by: lever.owner.cloned() };
        self.foreign = Some(edit.clone());
        if let Some(ours) = ours.filter(|ours| ours.reverted_by(to)) {
            self.reverted = Some((ours.id, Revert { at: now.wall, from, to, by: edit.by.clone() }));
            self.count(edit, Moment::now(now), now);
        }
    }

    fn count(&mut self, revert: ForeignEdit, at: Moment, now: Now) {
        self.reverts.push_back(at);
        // Within an hour of the newest, and not of now: a stand-down may last longer than that.
        self.reverts.retain(|one| one.age(now).saturating_sub(at.age(now)) < HOUR);
        if self.reverts.len() >= REVERTS {
            self.reverts.clear();
            self.stood_down = Some((at, revert));
        }
    }

    /// Returns the change by somebody else that this cycle met first.
    pub fn foreign(&self) -> Option<&ForeignEdit> {
        self.foreign.as_ref()
    }

    /// Returns the write of ours that this cycle found to be reverted.
    pub fn reverted(&self) -> Option<&(ChangeId, Revert)> {
        self.reverted.as_ref()
    }

    /// Returns since when the loop stands down, and the revert that made it.
    pub fn stood_down(&self) -> Option<&(Moment, ForeignEdit)> {
        self.stood_down.as_ref()
    }
}
