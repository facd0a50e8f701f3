//! The kill switch: shared state that is read at the last moment, never a message in a queue.

use futures::future::BoxFuture;

use super::Awaited;
use crate::model::KillState;

/// A switch that people operate and flyball reads.
pub trait KillSwitch: Send + Sync + 'static {
    /// Returns the state as last seen; no I/O. A state older than its source vouches for counts as unreadable.
    fn seen(&self) -> KillState;

    /// Returns why a change of the switch may go unseen now, if it may. No I/O.
    fn waiting_for(&self) -> Option<Awaited> {
        None
    }

    /// Reads the state from its source now; for the write gate, right before a write. A source that does not
    /// answer within half a second counts as unreadable.
    fn read(&self) -> BoxFuture<'_, KillState>;
}
