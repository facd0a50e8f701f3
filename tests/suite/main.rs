//! suite

mod properties;
