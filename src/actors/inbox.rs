//! Where a stage's input waits. The mailbox of an actor carries wake-ups alone.
//!
//! A cycle is worth only as much as it is new: a later one replaces an earlier one that was not yet taken. Facts (a
//! write ended, a fit is done) queue, up to a bound far above what a cycle makes, and are taken first. The item in work
//! stays here until its step has committed: an actor that dies over it finds it again at its restart and leaves it out.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

/// Facts kept; a stage produces far fewer in a cycle.
const MAX_FACTS: usize = 64;

/// Input of one stage of one service.
#[derive(Debug)]
pub struct Inbox<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    latest: Option<Arc<T>>,
    facts: VecDeque<Arc<T>>,
    in_work: Option<Arc<T>>,
    awake: bool,
}

/// What follows from putting an item in.
#[derive(Debug)]
#[must_use]
pub struct Put<T> {
    /// The stage sleeps and must be woken.
    pub wake: bool,
    /// An item that was not taken and will not be.
    pub left_out: Option<Arc<T>>,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        let state = State { latest: None, facts: VecDeque::new(), in_work: None, awake: false };
        Self { state: Mutex::new(state) }
    }
}

impl<T> Inbox<T> {
    /// Puts the newest cycle in place of one that still waits.
    pub fn put_latest(&self, item: T) -> Put<T> {
        self.put_merged(item, |_, item| item)
    }

    /// Puts the newest cycle in; where one still waits, `merge` says what both make together.
    pub fn put_merged(&self, item: T, merge: impl FnOnce(&T, T) -> T) -> Put<T> {
        let mut state = self.state.lock();
        let left_out = state.latest.take();
        state.latest = Some(Arc::new(match &left_out {
            Some(waiting) => merge(waiting, item),
            None => item,
        }));
        Put { wake: !std::mem::replace(&mut state.awake, true), left_out }
    }

    /// Queues a fact; the oldest goes when there are too many.
    pub fn put_fact(&self, item: T) -> Put<T> {
        let mut state = self.state.lock();
        let left_out = if state.facts.len() < MAX_FACTS { None } else { state.facts.pop_front() };
        state.facts.push_back(Arc::new(item));
        Put { wake: !std::mem::replace(&mut state.awake, true), left_out }
    }

    /// Tells whether a fact waits that `is_one`.
    pub fn any_fact(&self, is_one: impl Fn(&T) -> bool) -> bool {
        self.state.lock().facts.iter().any(|fact| is_one(fact))
    }

    /// Takes the next item into work; `None` puts the stage to sleep.
    pub fn begin(&self) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        state.in_work = state.facts.pop_front().or_else(|| state.latest.take());
        state.awake = state.in_work.is_some();
        state.in_work.clone()
    }

    /// Ends work on the item taken last: its step has committed.
    pub fn done(&self) {
        self.state.lock().in_work = None;
    }

    /// Takes out all that waits.
    pub fn drain(&self) -> Vec<Arc<T>> {
        let mut state = self.state.lock();
        let latest = state.latest.take();
        state.facts.drain(..).chain(latest).collect()
    }

    /// Prepares for a new actor: leaves out the item over which the last one died, and hands it over, if there
    /// was one.
    pub fn reopen(&self) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        state.awake = true;
        state.in_work.take()
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
        assert_eq!(told(inbox.put_fact("write ended")), (false, None));
        let mut seen = Vec::new();
        while let Some(item) = inbox.begin() {
            seen.push(*item);
            inbox.done();
        }
        assert_eq!(seen, ["write ended", "cycle 2"]);
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
}
