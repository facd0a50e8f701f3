//! Small HTTP workers: `/metrics` shows counters that grow with a load set by the test.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Upper bounds of the latency buckets, seconds.
const BUCKETS: [f64; 8] = [0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0];

#[derive(Debug)]
struct State {
    rate: f64,
    error_ratio: f64,
    latency: f64,
    factor: f64,
    served: f64,
    failed: f64,
    buckets: [f64; BUCKETS.len()],
    seconds: f64,
    counted_until: Instant,
}

impl State {
    /// Advances the counters to now.
    fn advance(&mut self) {
        let now = Instant::now();
        let requests = self.rate * (now - self.counted_until).as_secs_f64();
        self.counted_until = now;
        self.served += requests * (1.0 - self.error_ratio);
        self.failed += requests * self.error_ratio;
        self.seconds += requests * self.latency;
        for (bucket, bound) in self.buckets.iter_mut().zip(BUCKETS) {
            *bucket += if self.latency <= bound { requests } else { 0.0 };
        }
    }

    fn page(&mut self) -> String {
        self.advance();
        let shown = |count: f64| count * self.factor;
        let mut page = String::from("# TYPE http_requests_total counter\n");
        let _ = writeln!(page, "http_requests_total{{code=\"200\"}} {}", shown(self.served));
        let _ = writeln!(page, "http_requests_total{{code=\"500\"}} {}", shown(self.failed));
        page.push_str("# TYPE http_request_duration_seconds histogram\n");
        for (count, bound) in self.buckets.iter().zip(BUCKETS) {
            let _ = writeln!(page, "http_request_duration_seconds_bucket{{le=\"{bound}\"}} {}", shown(*count));
        }
        let all = shown(self.served + self.failed);
        let _ = writeln!(page, "http_request_duration_seconds_bucket{{le=\"+Inf\"}} {all}");
        let _ = writeln!(page, "http_request_duration_seconds_sum {}", shown(self.seconds));
        let _ = writeln!(page, "http_request_duration_seconds_count {all}");
        page
    }
}

/// A worker of one service. Stops on drop.
#[derive(Debug)]
pub struct Worker {
    /// Its service, `namespace/name`.
    pub service: String,
    /// Where it answers.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl Worker {
    /// Starts a worker of `service` (`namespace/name`) that serves `rate` requests per second in 50 ms each.
    pub async fn start(service: &str, rate: f64) -> Self {
        let state = Arc::new(Mutex::new(State {
            rate,
            error_ratio: 0.0,
            latency: 0.05,
            factor: 1.0,
            served: 0.0,
            failed: 0.0,
            buckets: [0.0; BUCKETS.len()],
            seconds: 0.0,
            counted_until: Instant::now(),
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let address = listener.local_addr().unwrap();
        let shown = Arc::clone(&state);
        let router = Router::new().route("/metrics", get(move || async move { shown.lock().unwrap().page() }));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("the worker serves") });
        Self { service: service.to_owned(), address, state, server }
    }

    /// Sets the load from now on: requests per second, error ratio, seconds per request.
    pub fn serve(&self, rate: f64, error_ratio: f64, latency: f64) {
        let mut state = self.state.lock().unwrap();
        state.advance();
        (state.rate, state.error_ratio, state.latency) = (rate, error_ratio, latency);
    }

    /// Multiplies what the page shows: `NAN` and 1000 are ways to report wrong values.
    pub fn lie(&self, factor: f64) {
        self.state.lock().unwrap().factor = factor;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.server.abort();
    }
}
