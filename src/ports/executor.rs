//! The bounded pool for work that needs a CPU for longer than a message may.

use futures::future::BoxFuture;

/// A job; what it yields it hands over itself.
pub type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs off the threads of the loop.
pub trait Executor: Send + Sync + 'static {
    /// Runs `job`, whether or not what is returned is awaited; that completes when the job has ended (also by a panic,
    /// which costs nobody else anything).
    fn run(&self, job: Job) -> BoxFuture<'static, ()>;
}
