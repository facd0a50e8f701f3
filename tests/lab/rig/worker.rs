//! A worker: each request holds one of a few slots for a while, and waits for a free one. It burns no CPU, so that many
//! fit on a small machine, and what it counts as busy is what a real one would use.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep};

/// Upper bounds of the latency buckets, seconds.
const BUCKETS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 5.0];
/// Requests that wait at most; more are refused, as by a real server's backlog.
const WAITING: usize = 200;

/// How a worker serves. In a pod, the environment of its container says so.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// Requests served at once.
    #[arg(long, env = "SLOTS", default_value_t = 2)]
    slots: usize,
    /// How long each takes.
    #[arg(long, env = "SERVICE_TIME", value_parser = crate::span, default_value = "100ms")]
    service_time: Duration,
    /// How long the worker needs before it listens.
    #[arg(long, env = "COLD_START", value_parser = crate::span, default_value = "3s")]
    cold_start: Duration,
}

#[derive(Debug)]
struct Worker {
    slots: Semaphore,
    count: usize,
    service_time: Duration,
    page: Mutex<Page>,
}

/// What `/metrics` shows.
#[derive(Debug, Default)]
struct Page {
    served: u64,
    refused: u64,
    /// Requests whose client did not wait for the answer.
    left: u64,
    buckets: [u64; BUCKETS.len()],
    seconds: f64,
    busy_seconds: f64,
    waiting: usize,
}

/// Serves until its input closes, which happens when the process that started it exits.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (parent, parent_ended) = oneshot::channel();
    // A separate thread: a read of the input cannot be cancelled.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        parent.send(())
    });
    tokio::select! {
        ended = serve_all(arguments) => ended,
        _ = parent_ended => Ok(()),
    }
}

async fn serve_all(arguments: Arguments) -> anyhow::Result<()> {
    sleep(arguments.cold_start).await;
    let listener = TcpListener::bind(arguments.listen).await?;
    let worker = Arc::new(Worker {
        slots: Semaphore::new(arguments.slots),
        count: arguments.slots,
        service_time: arguments.service_time,
        page: Mutex::default(),
    });
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/readyz", get(async || "ready\n"))
        .fallback(serve)
        .with_state(worker);
    Ok(axum::serve(listener, router).await?)
}

async fn serve(State(worker): State<Arc<Worker>>) -> StatusCode {
    let arrived = Instant::now();
    if !worker.page(Page::let_in) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let mut inside = Inside { worker: &worker, began: None, answered: false };
    let slot = worker.slots.acquire().await;
    if slot.is_ok() {
        inside.began = Some(Instant::now());
        sleep(worker.service_time).await;
    }
    inside.answered = true;
    worker.page(|page| page.count(arrived.elapsed()));
    StatusCode::OK
}

/// An admitted request. It ends when it is answered, or when its client stops waiting: its slot is then free, and the
/// busy time counts. Proxies log that as code 499: it was a request all the same, and a rate of answered requests alone
/// would never exceed the workers' capacity.
struct Inside<'a> {
    worker: &'a Worker,
    began: Option<Instant>,
    answered: bool,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let busy = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        let answered = self.answered;
        self.worker.page(|page| page.let_out(busy, answered));
    }
}

async fn metrics(State(worker): State<Arc<Worker>>) -> String {
    worker.page(|page| page.text(worker.count))
}

impl Worker {
    fn page<T>(&self, look: impl FnOnce(&mut Page) -> T) -> T {
        look(&mut self.page.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Page {
    fn let_in(&mut self) -> bool {
        let room = self.waiting < WAITING;
        if room {
            self.waiting += 1;
        } else {
            self.refused += 1;
        }
        room
    }

    fn let_out(&mut self, busy: Duration, answered: bool) {
        self.waiting -= 1;
        self.left += u64::from(!answered);
        self.busy_seconds += busy.as_secs_f64();
    }

    fn count(&mut self, latency: Duration) {
        let latency = latency.as_secs_f64();
        self.served += 1;
        self.seconds += latency;
        for (bucket, bound) in self.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(latency <= bound);
        }
    }

    fn text(&self, slots: usize) -> String {
        let mut text = String::from("# TYPE http_requests_total counter\n");
        let _ = writeln!(text, "http_requests_total{{code=\"200\"}} {}", self.served);
        let _ = writeln!(text, "http_requests_total{{code=\"499\"}} {}", self.left);
        let _ = writeln!(text, "http_requests_total{{code=\"503\"}} {}", self.refused);
        text.push_str("# TYPE http_request_duration_seconds histogram\n");
        for (count, bound) in self.buckets.iter().zip(BUCKETS) {
            let _ = writeln!(text, "http_request_duration_seconds_bucket{{le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(text, "http_request_duration_seconds_bucket{{le=\"+Inf\"}} {}", self.served);
        let _ = writeln!(text, "http_request_duration_seconds_sum {}", self.seconds);
        let _ = writeln!(text, "http_request_duration_seconds_count {}", self.served);
        text.push_str("# TYPE worker_busy_slot_seconds_total counter\n");
        let _ = writeln!(text, "worker_busy_slot_seconds_total {}", self.busy_seconds);
        text.push_str("# TYPE worker_slots gauge\n");
        let _ = writeln!(text, "worker_slots {slots}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_beyond_the_slots_waits_for_one() {
        let service_time = Duration::from_millis(100);
        let worker = Arc::new(Worker { slots: Semaphore::new(2), count: 2, service_time, page: Mutex::default() });
        let begin = tokio::time::Instant::now();
        let requests = (0..6).map(|_| serve(State(Arc::clone(&worker))));
        assert!(futures::future::join_all(requests).await.iter().all(|status| *status == StatusCode::OK));
        assert_eq!(begin.elapsed(), 3 * service_time);
        assert!((worker.page(|page| page.busy_seconds) - 0.6).abs() < 1e-9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_no_longer_frees_its_place() {
        let service_time = Duration::from_millis(100);
        let worker = Arc::new(Worker { slots: Semaphore::new(1), count: 1, service_time, page: Mutex::default() });
        let impatient = (0..5).map(|_| {
            let request = serve(State(Arc::clone(&worker)));
            tokio::time::timeout(Duration::from_millis(250), request)
        });
        let served = futures::future::join_all(impatient).await.iter().filter(|answer| answer.is_ok()).count();
        let (waiting, left, busy) = worker.page(|page| (page.waiting, page.left, page.busy_seconds));
        assert_eq!((served, waiting, left), (2, 0, 3));
        assert!((busy - 0.25).abs() < 1e-9, "{busy}");
    }

    #[test]
    fn a_full_queue_refuses() {
        let mut page = Page { waiting: WAITING - 1, ..Page::default() };
        assert!(page.let_in() && !page.let_in());
        assert!(page.text(2).contains("code=\"503\"} 1\n"));
    }
}
