//! Time. Loop timers and time come from here; deadlines of HTTP requests are real time.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::model::Now;

/// A source of time and of timers that agree with it.
pub trait Clock: Send + Sync + 'static {
    /// Returns wall and monotonic time.
    fn now(&self) -> Now;

    /// Completes when `mono` has been reached.
    fn sleep_until(&self, mono: Duration) -> BoxFuture<'static, ()>;
}
