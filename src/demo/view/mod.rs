//! The output of a demo for people and programs: pure functions from a moment to a picture, to lines, to JSON.
//!
//! | file | what |
//! |---|---|
//! | [`model`] | a moment, as plain data |
//! | [`terminal`] | the picture in a terminal |
//! | [`lines`] | the same without a terminal, as text |
//! | [`json`] | the same for programs |

pub mod json;
pub mod lines;
pub mod model;
pub mod terminal;

pub use model::ViewModel;
