//! The kill switch: shared state that is read at the last moment, never a message in a queue.

use crate::model::KillState;

/// A switch that people turn and flyball reads.
pub trait KillSwitch: Send + Sync + 'static {
    /// Returns the state as last seen; no I/O, at most a second old. Older counts as unreadable.
    fn seen(&self) -> KillState;

    /// Reads the state from its source now; for the write gate, right before a write.
    fn read(&self) -> KillState;
}
