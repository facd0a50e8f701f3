//! suite

mod contract_prometheus;
