//! The bounded pool for work that needs a CPU for longer than a message may.

use futures::future::BoxFuture;

use crate::model::Authority;

/// A job; what it yields it hands over itself.
pub type Job = Box<dyn FnOnce() + Send>;

/// Which of the jobs that wait goes first: the greatest, and of equal ones the first that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A fit: the loop does without. Forecasts that may do more go first.
    Fit(Authority),
    /// A service stands still until it is done.
    Awaited,
    /// All services may wait for it: policies, the list of services, taking over what another flyball has begun. Such
    /// jobs are few, and a saved policy is to be in force within a second, also where thousands of histories are being
    /// read.
    Fleet,
}

/// Runs jobs off the threads of the loop.
pub trait Executor: Send + Sync + 'static {
    /// Runs `job`, whether or not what is returned is awaited; that completes when the job has ended (also by a panic,
    /// which costs nobody else anything).
    fn run(&self, urgency: Urgency, job: Job) -> BoxFuture<'static, ()>;
}
