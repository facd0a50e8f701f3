//! The bounded pool for work that needs a CPU for longer than a message may.

use futures::future::BoxFuture;

use crate::model::Authority;

/// A job; it delivers its result itself.
pub type Job = Box<dyn FnOnce() + Send>;

/// Priority among waiting jobs: the greatest first, equal ones in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A fit: the loop can do without it. Forecasts with more authority go first.
    Fit(Authority),
    /// A service is stalled until it is done.
    Awaited,
    /// All services may wait for it: policies, the list of services, taking over from another flyball. Such jobs are
    /// few, and a saved policy is to be active within a second, even while thousands of histories are being read.
    Fleet,
}

/// Runs jobs off the loop's threads.
pub trait Executor: Send + Sync + 'static {
    /// Runs `job`, whether or not the returned future is awaited; it completes when the job has ended (also by a panic,
    /// which affects nothing else).
    fn run(&self, urgency: Urgency, job: Job) -> BoxFuture<'static, ()>;
}
