//! forecast
pub mod history;
pub mod models;
pub mod params;
