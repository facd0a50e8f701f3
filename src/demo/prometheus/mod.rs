//! A Prometheus double: the HTTP API, as far as flyball meets it, over whatever has series to tell.
//!
//! | file | what |
//! |---|---|
//! | [`http`] | the server: instant and range queries, readiness |
//! | [`queries`] | the queries that are understood: one table for the server and for the demo's settings |
//! | [`selector`] | label matchers inside those queries |
//! | [`answer`] | the JSON of the answers |
//! | [`telemetry`] | what it serves in the demo: the plant |
//! | [`fleet`] | what it serves in benchmarks: thousands of services at next to no cost |

pub mod answer;
pub mod fleet;
pub mod http;
pub mod queries;
pub mod selector;
pub mod telemetry;

pub use fleet::Fleet;
pub use http::PrometheusDouble;
