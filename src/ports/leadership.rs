//! Which of several processes may write.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;

use super::awaited::Awaited;
use crate::model::{Epoch, Lead};

/// Leadership of one process among several. It is checked at the last moment, never sent as a message.
pub trait Leadership: Send + Sync + 'static {
    /// Returns the lease state of this process, by the clock and without I/O: a lease expires even if nothing checks
    /// it. Never [`Lead::TakesOver`], which only the loop knows.
    fn lead(&self) -> Lead;

    /// Returns the current and every later term of this process; `None` while it follows.
    fn terms(&self) -> watch::Receiver<Option<Epoch>>;

    /// Informs the server who writes from now on, so that it refuses what others still send. For a process that starts
    /// the term `epoch`, before it reads what was left.
    ///
    /// # Errors
    /// When that is not known to have succeeded: it is retried before anything is written.
    fn fence(&self, _epoch: Epoch) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Releases the lease and stops competing for it. Only at the very end: nothing of this process is in flight.
    fn release(&self) -> BoxFuture<'_, ()>;

    /// Announces a short text to followers while this process leads; a later one replaces it.
    fn announce(&self, _text: &str) {}

    /// Returns the last announcement of the current or last leader. `None` if there is none, or it is from this
    /// process.
    fn announcements(&self) -> watch::Receiver<Option<Arc<str>>> {
        watch::channel(None).1
    }

    /// Returns why this process cannot compete for the lease now, if that is so. No I/O.
    fn waiting_for(&self) -> Vec<Awaited> {
        Vec::new()
    }
}
