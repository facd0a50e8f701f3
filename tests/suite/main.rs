//! One test binary for everything that needs no other program: a module per kind of test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper is a failed test")]

mod architecture;
mod cluster_faults;
mod command_line;
mod console;
mod contract_actions;
mod contract_answers;
mod contract_cluster;
mod contract_journal;
mod contract_leadership;
mod contract_maps;
mod contract_prometheus;
mod contract_services;
mod evaluations;
mod golden_explain;
mod golden_metrics;
mod hostile;
mod hostile_policies;
mod in_cluster;
mod kubernetes_double;
mod manifests;
mod newcomer;
mod oracle;
mod parity;
mod policy_cli;
mod policy_docs;
mod properties;
mod records;
mod rego;
mod scenarios;
#[allow(dead_code, reason = "each test program needs a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod version;

/// The binary's allocator: it reports how much memory a policy set holds.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
