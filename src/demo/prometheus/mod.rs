//! A Prometheus double: the HTTP API, to the extent flyball uses it, over any source of series.
//!
//! | file | what |
//! |---|---|
//! | [`http`] | the server: instant and range queries, readiness |
//! | [`queries`] | the supported queries: one table for the server and for the demo's settings |
//! | [`selector`] | label matchers inside those queries |
//! | [`answer`] | the JSON of the answers |
//! | [`telemetry`] | the source in the demo: the plant |
//! | [`fleet`] | the source in benchmarks: thousands of services at next to no cost |

pub mod answer;
pub mod fleet;
pub mod http;
pub mod queries;
pub mod selector;
pub mod telemetry;

pub use fleet::Fleet;
pub use http::PrometheusDouble;
