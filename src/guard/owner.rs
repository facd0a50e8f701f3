//! Who moves the target: our own writes told from everybody else's.

use std::collections::VecDeque;
use std::time::Duration;

use super::params::HOUR;
use crate::model::{Direction, Now};

/// A write of ours that the watch has not shown after this time was reverted before anybody looked.
const SHOWS_WITHIN: Duration = Duration::from_secs(30);

/// Reverts within an hour after which the loop stands down.
const REVERTS: usize = 2;

/// A change of the target that was not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignEdit {
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
}

/// The last write of ours that was applied.
#[derive(Debug, Clone, Copy)]
struct Ours {
    from: u32,
    to: u32,
    at: Duration,
    shown: bool,
}

impl Ours {
    /// Tells whether `found` goes back on this write.
    fn reverted_by(self, found: u32) -> bool {
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
    seen: Option<u32>,
    ours: Option<Ours>,
    foreign: Option<ForeignEdit>,
    reverts: VecDeque<Duration>,
    stood_down: Option<(Duration, ForeignEdit)>,
}

impl Owner {
    /// Remembers a write of ours that was applied.
    pub fn wrote(&mut self, from: u32, to: u32, now: Now) {
        self.ours = Some(Ours { from, to, at: now.mono, shown: false });
    }

    /// Remembers a write that an earlier run of the process applied.
    pub fn wrote_before(&mut self, from: u32, to: u32, now: Now) {
        self.ours = Some(Ours { from, to, at: now.mono, shown: true });
        self.seen = Some(to);
    }

    /// Looks at the replicas asked for; `in_flight` is the value of a write of ours that is under way.
    pub fn observe(&mut self, replicas: u32, in_flight: Option<u32>, human_hold: Duration, now: Now) {
        if self.stood_down.is_some_and(|(since, _)| now.since(since) >= human_hold) {
            self.stood_down = None;
        }
        self.foreign = None;
        let Some(seen) = self.seen.replace(replicas) else { return };
        if let Some(ours) = self.ours.as_mut().filter(|ours| ours.to == replicas) {
            ours.shown = true;
            return;
        }
        let swallowed = self.ours.is_some_and(|ours| !ours.shown && now.since(ours.at) >= SHOWS_WITHIN);
        if (replicas == seen && !swallowed) || in_flight == Some(replicas) {
            return;
        }
        self.edited(seen, replicas, now);
    }

    fn edited(&mut self, seen: u32, replicas: u32, now: Now) {
        let ours = self.ours.take();
        let edit = ForeignEdit { from: ours.map_or(seen, |ours| ours.to), to: replicas };
        self.foreign = Some(edit);
        if ours.is_none_or(|ours| !ours.reverted_by(replicas)) {
            return;
        }
        self.reverts.push_back(now.mono);
        self.reverts.retain(|at| now.since(*at) < HOUR);
        if self.reverts.len() >= REVERTS {
            self.reverts.clear();
            self.stood_down = Some((now.mono, edit));
        }
    }

    /// Returns the change by somebody else that this cycle met first.
    pub fn foreign(&self) -> Option<ForeignEdit> {
        self.foreign
    }

    /// Returns since when (monotonic) the loop stands down, and the revert that made it.
    pub fn stood_down(&self) -> Option<(Duration, ForeignEdit)> {
        self.stood_down
    }
}
