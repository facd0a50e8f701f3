//! suite

mod console;
mod contract_journal;
mod golden_explain;
mod golden_metrics;
mod records;
