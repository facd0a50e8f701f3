//! One test binary for everything that needs no other program: a module per kind of test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper is a failed test")]

mod architecture;
mod cluster_faults;
mod contract_cluster;
mod contract_journal;
mod golden_explain;
mod kubernetes_double;
mod golden_metrics;
mod records;
//! suite

mod contract_prometheus;
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper is a failed test")]

mod properties;
