//! Faults that a test injects into the API double, each for the next requests of one verb.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use super::resource::Resource;
use super::status;

/// The verb of a request, as in RBAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// One object, or its scale.
    Get,
    /// A collection.
    List,
    /// Changes of a collection.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Handled after a delay, even if the client has left by then.
    DelayBefore(Duration),
    /// Handled at once, answered after a delay.
    DelayAnswer(Duration),
    /// Handled, but not answered until [`Faults::release`].
    HoldAnswer,
    /// Handled, but the connection is closed instead of an answer.
    Cut,
    /// Not handled; answered with this status and body.
    Answer {
        /// HTTP status.
        code: u16,
        /// Body.
        body: Value,
    },
}

impl Fault {
    /// Returns an answer with the API's own error object for `code`.
    pub fn status(code: u16) -> Self {
        Self::Answer { code, body: status::failure(code, "ordered by a test") }
    }
}

/// Injected faults and counters, shared by the server and the test.
#[derive(Debug, Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

/// The affected requests: of one kind, or of any.
type Meant = (Verb, Option<Resource>);

#[derive(Debug)]
struct Shared {
    orders: Mutex<BTreeMap<Meant, VecDeque<Fault>>>,
    held: watch::Sender<bool>,
    frozen: watch::Sender<bool>,
    counts: watch::Sender<BTreeMap<(Verb, Resource), Counts>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    received: u64,
    handled: u64,
}

impl Default for Faults {
    fn default() -> Self {
        let shared = Shared {
            orders: Mutex::default(),
            held: watch::Sender::new(true),
            frozen: watch::Sender::new(false),
            counts: watch::Sender::default(),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Faults {
    /// Injects `fault` into the next `times` requests of `verb`, after those injected before.
    pub fn order(&self, verb: Verb, times: usize, fault: Fault) {
        self.order_for((verb, None), times, fault);
    }

    /// Injects `fault` into the next `times` requests of `verb` for one kind; it takes precedence over those for any.
    pub fn order_of(&self, resource: Resource, verb: Verb, times: usize, fault: Fault) {
        self.order_for((verb, Some(resource)), times, fault);
    }

    fn order_for(&self, meant: Meant, times: usize, fault: Fault) {
        self.shared.orders.lock().entry(meant).or_default().extend(std::iter::repeat_n(fault, times));
        self.shared.held.send_replace(true);
    }

    /// Withdraws the pending faults and releases held answers.
    pub fn clear(&self) {
        self.shared.orders.lock().clear();
        self.release();
        self.freeze_watches(false);
    }

    /// Releases held answers.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Freezes (or resumes) everything that open watches send; the connections stay open.
    pub fn freeze_watches(&self, frozen: bool) {
        self.shared.frozen.send_replace(frozen);
    }

    /// Returns the number of `verb` requests received so far.
    pub fn requests(&self, verb: Verb) -> u64 {
        total(&self.shared.counts.borrow(), verb).received
    }

    /// Returns the number of `verb` requests for one kind received so far.
    pub fn requests_of(&self, resource: Resource, verb: Verb) -> u64 {
        self.shared.counts.borrow().get(&(verb, resource)).map_or(0, |counts| counts.received)
    }

    /// Waits until `count` requests of `verb` have been received.
    pub async fn wait_for_requests(&self, verb: Verb, count: u64) {
        self.wait_for(verb, |counts| counts.received >= count).await;
    }

    /// Waits until `count` requests of `verb` have been handled, answered or not.
    pub async fn wait_for_handled(&self, verb: Verb, count: u64) {
        self.wait_for(verb, |counts| counts.handled >= count).await;
    }

    async fn wait_for(&self, verb: Verb, wanted: impl Fn(Counts) -> bool) {
        let mut counts = self.shared.counts.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = counts.wait_for(|counts| wanted(total(counts, verb))).await;
    }

    /// Counts a request and returns the fault that applies to it.
    pub(super) fn meet(&self, verb: Verb, resource: Resource) -> Option<Fault> {
        self.shared.counts.send_modify(|counts| counts.entry((verb, resource)).or_default().received += 1);
        let mut orders = self.shared.orders.lock();
        let mut next = |key| orders.get_mut(&key).and_then(VecDeque::pop_front);
        next((verb, Some(resource))).or_else(|| next((verb, None)))
    }

    /// Counts a request as handled.
    pub(super) fn handled(&self, verb: Verb, resource: Resource) {
        self.shared.counts.send_modify(|counts| counts.entry((verb, resource)).or_default().handled += 1);
    }

    /// Waits until held answers are released.
    pub(super) async fn released(&self) {
        let mut held = self.shared.held.subscribe();
        let _ = held.wait_for(|held| !held).await;
    }

    /// Returns a receiver that says whether watches are frozen.
    pub(super) fn frozen(&self) -> watch::Receiver<bool> {
        self.shared.frozen.subscribe()
    }
}

/// Returns the sum over all kinds.
fn total(counts: &BTreeMap<(Verb, Resource), Counts>, verb: Verb) -> Counts {
    counts.iter().filter(|((of, _), _)| *of == verb).fold(Counts::default(), |sum, (_, one)| Counts {
        received: sum.received + one.received,
        handled: sum.handled + one.handled,
    })
}
