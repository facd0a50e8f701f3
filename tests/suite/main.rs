//! One test binary for everything that needs no other program: a module per kind of test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper is a failed test")]

mod contract_prometheus;
