//! The lab: real programs around flyball, started by the tests on loopback ports in scratch directories. One file per
//! scenario; its verdict comes from facts outside flyball. Needs the Debian package `prometheus`, which `scripts/test`
//! installs; without it the tests fail and say so.
//!
//! | file | part |
//! |---|---|
//! | `prometheus` | a Prometheus server: backfill, start, stop, pause, queries |
//! | `worker` | small HTTP workers with controllable load, scraped by it |
//! | `load` | the load of a service over days: generated, or from files that `FLYBALL_LAB_DATA` names |
//! | `support/flyball` | flyball as a separate process |
//! | `support/process` | signals to processes |
//! | `governed` | flyball over such servers, with an API double to write to |
//! | `harness` | tests of the parts above |
//! | `live` | the whole loop on history and live samples |
//! | `outage` | a Prometheus that stops, hangs, restarts; workers that lie |
//! | `alerts` | the alert rules, by promtool |
//! | `demo` | `flyball demo` as a newcomer starts it |
//! | `opa` | the four original rules by Open Policy Agent itself |
//! | `kills` | flyball killed at every step of a write |
//! | `replicas` | two flyballs on one Lease |
//! | `cluster` | the same and more on a real API server (feature `lab`; by `scripts/lab/test`) |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper is a failed test")]

mod alerts;
#[cfg(feature = "lab")]
mod cluster;
mod demo;
mod governed;
mod harness;
mod kills;
mod live;
mod load;
mod opa;
mod outage;
#[path = "../suite/parity/mod.rs"]
mod parity;
mod prometheus;
#[cfg(feature = "lab")]
#[expect(dead_code, reason = "the suite needs more of it")]
#[path = "../suite/records.rs"]
mod records;
mod replicas;
#[allow(dead_code, reason = "each test program needs a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod worker;

use std::time::{Duration, Instant};

/// Polls `probe` until it yields a value; fails with `what` after `within`.
async fn eventually<T>(what: &str, within: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(start.elapsed() < within, "{what}: not within {within:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
