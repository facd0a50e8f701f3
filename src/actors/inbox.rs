//! Where a stage's input waits. The mailbox of an actor carries only wake-ups.
//!
//! A newer cycle is worth more than an older one, so it replaces one that was not taken yet. Facts (a write ended, a
//! fit is done) queue, up to a bound far above what a cycle produces, and are taken first. The newest handover is never
//! pushed out: it contains everything the earlier ones did. The item being processed stays here until its step has
//! committed: a restarted actor finds the item its predecessor died on and skips it.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

/// Facts kept; a stage produces far fewer per cycle.
const MAX_FACTS: usize = 64;

/// Input of one stage of one service.
#[derive(Debug)]
pub struct Inbox<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    latest: Option<Arc<T>>,
    facts: VecDeque<Fact<T>>,
    in_work: Option<Arc<T>>,
    awake: bool,
}

#[derive(Debug)]
struct Fact<T> {
    item: Arc<T>,
    is_handover: bool,
}

/// What putting in an item leads to.
#[derive(Debug)]
#[must_use]
pub struct Put<T> {
    /// The stage sleeps and must be woken.
    pub wake: bool,
    /// An item that was dropped without being taken.
    pub left_out: Option<Arc<T>>,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        let state = State { latest: None, facts: VecDeque::new(), in_work: None, awake: false };
        Self { state: Mutex::new(state) }
    }
}

impl<T> Inbox<T> {
    /// Puts in the newest cycle, replacing one that still waits.
    pub fn put_latest(&self, item: T) -> Put<T> {
        self.put_merged(item, |_, item| item)
    }

    /// Puts in the newest cycle; if one still waits, `merge` combines the two.
    pub fn put_merged(&self, item: T, merge: impl FnOnce(&T, T) -> T) -> Put<T> {
        let mut state = self.state.lock();
        let left_out = state.latest.take();
        state.latest = Some(Arc::new(match &left_out {
            Some(waiting) => merge(waiting, item),
            None => item,
        }));
        Put { wake: !std::mem::replace(&mut state.awake, true), left_out }
    }

    /// Queues a fact; if there are too many the oldest is dropped, except a handover.
    pub fn put_fact(&self, item: T) -> Put<T> {
        self.state.lock().queue(item, false)
    }

    /// Queues what another process left, replacing an earlier handover that still waits.
    pub fn put_handover(&self, item: T) -> Put<T> {
        let mut state = self.state.lock();
        state.facts.retain(|fact| !fact.is_handover);
        state.queue(item, true)
    }

    /// Returns whether a handover waits.
    pub fn has_handover(&self) -> bool {
        self.state.lock().facts.iter().any(|fact| fact.is_handover)
    }

    /// Takes the next item for processing; `None` puts the stage to sleep.
    pub fn begin(&self) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        state.in_work = state.facts.pop_front().map(|fact| fact.item).or_else(|| state.latest.take());
        state.awake = state.in_work.is_some();
        state.in_work.clone()
    }

    /// Finishes the item taken last: its step has committed.
    pub fn done(&self) {
        self.state.lock().in_work = None;
    }

    /// Removes everything that waits.
    pub fn drain(&self) -> Vec<Arc<T>> {
        let mut state = self.state.lock();
        let latest = state.latest.take();
        state.facts.drain(..).map(|fact| fact.item).chain(latest).collect()
    }

    /// Prepares for a new actor: drops the item on which the last one died, and returns it, if there was one.
    pub fn reopen(&self) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        state.awake = true;
        state.in_work.take()
    }
}

impl<T> State<T> {
    fn queue(&mut self, item: T, is_handover: bool) -> Put<T> {
        let oldest = self.facts.iter().position(|fact| !fact.is_handover).filter(|_| self.facts.len() >= MAX_FACTS);
        let left_out = oldest.and_then(|oldest| self.facts.remove(oldest)).map(|fact| fact.item);
        self.facts.push_back(Fact { item: Arc::new(item), is_handover });
        Put { wake: !std::mem::replace(&mut self.awake, true), left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_cycle_replaces_an_older_one_and_facts_go_first() {
        let inbox = Inbox::default();
        let told = |put: Put<&'static str>| (put.wake, put.left_out.as_deref().copied());
        assert_eq!(told(inbox.put_latest("cycle 1")), (true, None));
        assert_eq!(told(inbox.put_latest("cycle 2")), (false, Some("cycle 1")));
        assert_eq!(told(inbox.put_fact("write finished")), (false, None));
        let mut seen = Vec::new();
        while let Some(item) = inbox.begin() {
            seen.push(*item);
            inbox.done();
        }
        assert_eq!(seen, ["write finished", "cycle 2"]);
        assert!(inbox.put_latest("cycle 3").wake, "asleep again");
    }

    #[test]
    fn an_item_that_killed_its_stage_is_not_taken_twice() {
        let inbox = Inbox::default();
        assert!(inbox.put_latest("poison").wake);
        assert!(inbox.begin().is_some());
        assert!(inbox.put_latest("good").left_out.is_none());
        assert_eq!(inbox.reopen().as_deref(), Some(&"poison"));
        assert_eq!(inbox.begin().as_deref(), Some(&"good"));
        inbox.done();
        assert!(inbox.reopen().is_none(), "nothing was in work");
    }

    #[test]
    fn facts_are_bounded() {
        let inbox = Inbox::default();
        let left_out: Vec<i32> =
            (0..100).filter_map(|fact| inbox.put_fact(fact).left_out.as_deref().copied()).collect();
        assert_eq!(left_out, (0..36).collect::<Vec<_>>());
        assert_eq!(inbox.begin().as_deref(), Some(&36));
    }

    #[test]
    fn a_handover_is_pushed_out_by_none_but_a_newer_one_and_keeps_its_place() {
        let inbox = Inbox::default();
        let left_out: Vec<i32> = (0..2)
            .map(|fact| inbox.put_fact(fact))
            .chain([inbox.put_handover(1000)])
            .chain((2..100).map(|fact| inbox.put_fact(fact)))
            .filter_map(|put| put.left_out.as_deref().copied())
            .collect();
        assert_eq!(left_out, (0..37).collect::<Vec<_>>());
        assert!(inbox.has_handover());
        assert_eq!(inbox.begin().as_deref(), Some(&1000));
        assert!(!inbox.has_handover());
        for handover in [2000, 3000] {
            assert!(inbox.put_handover(handover).left_out.is_none(), "what it replaces is not left out");
        }
        let taken: Vec<i32> = std::iter::from_fn(|| inbox.begin().as_deref().copied()).collect();
        assert_eq!(taken, (37..100).chain([3000]).collect::<Vec<_>>());
    }
}
