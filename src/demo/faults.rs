//! Faults that a test orders from the API double, each for the next requests of one verb.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use super::status;

/// What a request asks for, as RBAC calls it.
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
    /// Handled only after a while; also if the client has left by then.
    DelayBefore(Duration),
    /// Handled at once, answered after a while.
    DelayAnswer(Duration),
    /// Handled, and not answered until [`Faults::release`].
    HoldAnswer,
    /// Handled, and the connection closed instead of an answer.
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

/// Orders and counters, shared by the server and whoever tests it.
#[derive(Debug, Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    orders: Mutex<Orders>,
    held: watch::Sender<bool>,
    frozen: watch::Sender<bool>,
    seen: watch::Sender<BTreeMap<Verb, u64>>,
}

#[derive(Debug, Default)]
struct Orders {
    queued: BTreeMap<Verb, VecDeque<Fault>>,
}

impl Default for Faults {
    fn default() -> Self {
        let shared = Shared {
            orders: Mutex::default(),
            held: watch::Sender::new(true),
            frozen: watch::Sender::new(false),
            seen: watch::Sender::default(),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Faults {
    /// Orders `fault` for the next `times` requests of `verb`, after those ordered before.
    pub fn order(&self, verb: Verb, times: usize, fault: Fault) {
        let mut orders = self.shared.orders.lock();
        orders.queued.entry(verb).or_default().extend(std::iter::repeat_n(fault, times));
        if !*self.shared.held.borrow() {
            self.shared.held.send_replace(true);
        }
    }

    /// Withdraws what is ordered and not yet met; held answers go out.
    pub fn clear(&self) {
        self.shared.orders.lock().queued.clear();
        self.release();
        self.freeze_watches(false);
    }

    /// Lets held answers go out.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Stops (or lets go on) everything that open watches send, with the connections left open.
    pub fn freeze_watches(&self, frozen: bool) {
        self.shared.frozen.send_replace(frozen);
    }

    /// Returns the requests of `verb` received so far.
    pub fn requests(&self, verb: Verb) -> u64 {
        self.shared.seen.borrow().get(&verb).copied().unwrap_or(0)
    }

    /// Waits until `count` requests of `verb` have been received.
    pub async fn wait_for_requests(&self, verb: Verb, count: u64) {
        let mut seen = self.shared.seen.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = seen.wait_for(|seen| seen.get(&verb).copied().unwrap_or(0) >= count).await;
    }

    /// Counts a request and returns the fault that meets it.
    pub(super) fn meet(&self, verb: Verb) -> Option<Fault> {
        self.shared.seen.send_modify(|seen| *seen.entry(verb).or_default() += 1);
        self.shared.orders.lock().queued.get_mut(&verb)?.pop_front()
    }

    /// Waits until held answers may go out.
    pub(super) async fn released(&self) {
        let mut held = self.shared.held.subscribe();
        let _ = held.wait_for(|held| !held).await;
    }

    /// Tells watches whether they are frozen, now and later.
    pub(super) fn frozen(&self) -> watch::Receiver<bool> {
        self.shared.frozen.subscribe()
    }
}
