//! The bounded pool for fits and other work that would block the threads of the loop.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tracing::error;

use crate::ports::executor::Job;
use crate::ports::{Executor, Urgency};

/// Runs a bounded number of jobs at a time on threads of tokio's blocking pool; the most urgent waiting job goes next.
#[derive(Clone)]
pub struct Pool {
    permits: Arc<Semaphore>,
    waiting: Arc<Mutex<Line>>,
}

/// The waiting jobs.
#[derive(Default)]
struct Line {
    jobs: BinaryHeap<Waiting>,
    /// Number of jobs received so far.
    came: u64,
}

struct Waiting {
    place: (Urgency, Reverse<u64>),
    job: Job,
    /// Dropped when the job has finished.
    ended: oneshot::Sender<()>,
}

impl Pool {
    /// Returns a pool that leaves one core to the loop and has at least one thread.
    pub fn for_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::of(NonZeroUsize::new(cores.saturating_sub(1)).unwrap_or(NonZeroUsize::MIN))
    }

    /// Returns a pool with `threads` threads.
    pub fn of(threads: NonZeroUsize) -> Self {
        let permits = Semaphore::new(threads.get().min(Semaphore::MAX_PERMITS));
        Self { permits: Arc::new(permits), waiting: Arc::default() }
    }
}

impl Executor for Pool {
    fn run(&self, urgency: Urgency, job: Job) -> BoxFuture<'static, ()> {
        let (ended, end) = oneshot::channel();
        {
            let mut line = self.waiting.lock();
            let place = (urgency, Reverse(line.came));
            line.came = line.came.saturating_add(1);
            line.jobs.push(Waiting { place, job, ended });
        }
        let pool = self.clone();
        // A separate task, so that it takes and returns its permit whether or not the returned future is polled. There
        // are as many tasks as jobs; each runs the most urgent job when its turn comes.
        tokio::spawn(async move {
            // Never closed; without a permit the job would only run unbounded, which is worse than late.
            let permit = pool.permits.acquire_owned().await;
            let Some(Waiting { job, ended, .. }) = pool.waiting.lock().jobs.pop() else { return };
            let running = tokio::task::spawn_blocking(move || {
                // Held until the job finishes, even if its result is no longer awaited.
                let _held = (permit, ended);
                job();
            });
            if let Err(failure) = running.await
                && failure.is_panic()
            {
                error!("a job of the pool panicked");
            }
        });
        Box::pin(async move { drop(end.await) })
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place.cmp(&other.place)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::model::Authority;

    fn pool(threads: usize) -> Pool {
        Pool::of(NonZeroUsize::new(threads).unwrap())
    }

    #[tokio::test]
    async fn a_job_runs_and_its_end_is_told() {
        let (sender, receiver) = mpsc::channel();
        Pool::for_this_machine().run(Urgency::Awaited, Box::new(move || sender.send(7).unwrap())).await;
        assert_eq!(receiver.try_recv(), Ok(7));
    }

    #[tokio::test]
    async fn a_panic_ends_its_job_alone_and_gives_its_thread_back() {
        let pool = pool(1);
        for _ in 0..3 {
            pool.run(Urgency::Awaited, Box::new(|| panic!("on purpose"))).await;
        }
        let (sender, receiver) = mpsc::channel();
        pool.run(Urgency::Awaited, Box::new(move || sender.send(()).unwrap())).await;
        assert_eq!(receiver.try_recv(), Ok(()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_jobs_run_at_a_time_than_there_are_threads() {
        let pool = pool(2);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs = (0..16).map(|_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            tokio::spawn(pool.run(
                Urgency::Awaited,
                Box::new(move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                }),
            ))
        });
        futures::future::join_all(jobs).await;
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn a_job_nobody_waits_for_keeps_its_place_until_it_ends() {
        let pool = pool(1);
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let first = tokio::spawn(pool.run(
            Urgency::Awaited,
            Box::new(move || {
                started.send(()).unwrap();
                let _ = released.recv();
            }),
        ));
        tokio::task::spawn_blocking(move || has_started.recv().unwrap()).await.unwrap();
        first.abort();
        let second = pool.run(Urgency::Awaited, Box::new(|| {}));
        let mut second = tokio::spawn(second);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut second).await.is_err());
        release.send(()).unwrap();
        second.await.unwrap();
    }

    /// A caller that holds one run while it awaits another would deadlock on itself.
    #[tokio::test]
    async fn a_run_that_is_not_awaited_yet_keeps_no_other_one_waiting() {
        let pool = pool(1);
        let (release, released) = mpsc::channel::<()>();
        let mut busy = pool.run(Urgency::Awaited, Box::new(move || released.recv().unwrap()));
        assert!(futures::poll!(&mut busy).is_pending(), "it runs");
        let mut load = pool.run(Urgency::Awaited, Box::new(|| {}));
        assert!(futures::poll!(&mut load).is_pending(), "it waits in line");
        release.send(()).unwrap();
        busy.await;
        tokio::time::timeout(Duration::from_secs(10), pool.run(Urgency::Awaited, Box::new(|| {}))).await.unwrap();
        load.await;
    }

    #[tokio::test]
    async fn policies_go_first_then_what_a_service_awaits_then_fits_of_the_forecasts_that_may_do_most() {
        let (pool, done) = (pool(1), Arc::new(Mutex::new(Vec::new())));
        let (release, released) = mpsc::channel::<()>();
        let mut ends = vec![pool.run(Urgency::Awaited, Box::new(move || released.recv().unwrap()))];
        let urgencies = [
            Urgency::Fit(Authority::ReactiveOnly),
            Urgency::Fit(Authority::MayRemove),
            Urgency::Fit(Authority::MayAdd),
            Urgency::Awaited,
            Urgency::Fit(Authority::MayRemove),
            Urgency::Fleet,
        ];
        // The first job has its thread before the others arrive.
        tokio::task::yield_now().await;
        ends.extend(urgencies.into_iter().enumerate().map(|(index, urgency)| {
            let done = done.clone();
            pool.run(urgency, Box::new(move || done.lock().push(index)))
        }));
        release.send(()).unwrap();
        futures::future::join_all(ends).await;
        assert_eq!(*done.lock(), [5, 3, 1, 4, 2, 0]);
    }
}
