//! suite
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so")]

mod cluster_faults;
mod contract_cluster;
mod kubernetes_double;
