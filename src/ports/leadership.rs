//! Which of several processes may write.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;

use super::awaited::Awaited;
use crate::model::{Epoch, Lead};

/// Leadership of one process among several. It is asked at the last moment, never told by a message.
pub trait Leadership: Send + Sync + 'static {
    /// Returns how this process stands, by the clock and without I/O: a lease runs out also while nobody looks.
    /// Never [`Lead::TakesOver`], which is for the loop to say.
    fn lead(&self) -> Lead;

    /// Returns the term of this process now and every later one; `None` while it follows.
    fn terms(&self) -> watch::Receiver<Option<Epoch>>;

    /// Lets the server know who writes from now on, so that it refuses what others still send. For a process that
    /// begins the term `epoch`, before it reads what was left.
    ///
    /// # Errors
    /// When that is not known to have succeeded: it is tried again before anything is written.
    fn fence(&self, _epoch: Epoch) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Gives the lease up and stands for it no more. For the very end: nothing of this process is under way.
    fn release(&self) -> BoxFuture<'_, ()>;

    /// Announces a short text to those who follow while this process leads; a later one takes its place.
    fn announce(&self, _text: &str) {}

    /// Returns the last announcement of the process that leads, or led last. `None` where there is none, or it is of
    /// this process.
    fn announcements(&self) -> watch::Receiver<Option<Arc<str>>> {
        watch::channel(None).1
    }

    /// Returns why this process cannot stand for the lease now, if so. No I/O.
    fn waiting_for(&self) -> Vec<Awaited> {
        Vec::new()
    }
}
