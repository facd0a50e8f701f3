//! suite

mod contract_journal;
mod records;
