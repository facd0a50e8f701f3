//! The bounded pool for fits and other work that would hold up the threads of the loop.

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tracing::error;

use crate::ports::Executor;
use crate::ports::executor::Job;

/// Runs at most so many jobs at a time, on threads of tokio's blocking pool; the others wait in order.
#[derive(Debug, Clone)]
pub struct Pool {
    permits: Arc<Semaphore>,
}

impl Pool {
    /// Returns a pool that leaves one core to the loop (and has one thread at least).
    pub fn for_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::of(NonZeroUsize::new(cores.saturating_sub(1)).unwrap_or(NonZeroUsize::MIN))
    }

    /// Returns a pool of `threads`.
    pub fn of(threads: NonZeroUsize) -> Self {
        Self { permits: Arc::new(Semaphore::new(threads.get().min(Semaphore::MAX_PERMITS))) }
    }
}

impl Executor for Pool {
    fn run(&self, job: Job) -> BoxFuture<'static, ()> {
        let permits = Arc::clone(&self.permits);
        // A task of its own, so that it takes and gives back its permit whether or not anybody polls what is returned.
        let task = tokio::spawn(async move {
            // Never closed; without a permit the job would only run unbounded, which is worse than late.
            let permit = permits.acquire_owned().await;
            let running = tokio::task::spawn_blocking(move || {
                // Held until the job ends, also if nobody waits for that any more.
                let _permit = permit;
                job();
            });
            if let Err(failure) = running.await
                && failure.is_panic()
            {
                error!("a job of the pool panicked");
            }
        });
        Box::pin(async move { drop(task.await) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn pool(threads: usize) -> Pool {
        Pool::of(NonZeroUsize::new(threads).unwrap())
    }

    #[tokio::test]
    async fn a_job_runs_and_its_end_is_told() {
        let (sender, receiver) = mpsc::channel();
        Pool::for_this_machine().run(Box::new(move || sender.send(7).unwrap())).await;
        assert_eq!(receiver.try_recv(), Ok(7));
    }

    #[tokio::test]
    async fn a_panic_ends_its_job_alone_and_gives_its_thread_back() {
        let pool = pool(1);
        for _ in 0..3 {
            pool.run(Box::new(|| panic!("on purpose"))).await;
        }
        let (sender, receiver) = mpsc::channel();
        pool.run(Box::new(move || sender.send(()).unwrap())).await;
        assert_eq!(receiver.try_recv(), Ok(()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_jobs_run_at_a_time_than_there_are_threads() {
        let pool = pool(2);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs = (0..16).map(|_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            tokio::spawn(pool.run(Box::new(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
            })))
        });
        futures::future::join_all(jobs).await;
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn a_job_nobody_waits_for_keeps_its_place_until_it_ends() {
        let pool = pool(1);
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let first = tokio::spawn(pool.run(Box::new(move || {
            started.send(()).unwrap();
            let _ = released.recv();
        })));
        tokio::task::spawn_blocking(move || has_started.recv().unwrap()).await.unwrap();
        first.abort();
        let second = pool.run(Box::new(|| {}));
        let mut second = tokio::spawn(second);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut second).await.is_err());
        release.send(()).unwrap();
        second.await.unwrap();
    }

    /// What holds a run and awaits another one meanwhile would wait for itself.
    #[tokio::test]
    async fn a_run_that_is_not_awaited_yet_keeps_no_other_one_waiting() {
        let pool = pool(1);
        let (release, released) = mpsc::channel::<()>();
        let mut busy = pool.run(Box::new(move || released.recv().unwrap()));
        assert!(futures::poll!(&mut busy).is_pending(), "it runs");
        let mut load = pool.run(Box::new(|| {}));
        assert!(futures::poll!(&mut load).is_pending(), "it waits in line");
        release.send(()).unwrap();
        busy.await;
        tokio::time::timeout(Duration::from_secs(10), pool.run(Box::new(|| {}))).await.unwrap();
        load.await;
    }
}
