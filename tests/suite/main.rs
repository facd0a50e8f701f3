//! suite

mod contract_journal;
mod golden_explain;
mod records;
