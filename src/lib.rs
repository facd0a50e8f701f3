//! flyball: a governor for services.
//!
//! ```text
//! telemetry source -> observe -> forecast -> decide -> guard -> act -> verify -> decision record
//!      (adapter)      features    outlook    proposal   verdict  change   effect     (journal)
//!                                                                 set
//! ```
//!
//! Data flows one way. The six stages are pure functions over the nouns of [`model`]; [`cycle`] puts state around them,
//! [`actors`] puts messages around those, and [`adapters`] implement the traits of [`ports`]. [`app`] is the only place
//! where adapters meet actors.

pub mod act;
pub mod actors;
pub mod adapters;
pub mod app;
pub mod cli;
pub mod config;
pub mod console;
pub mod cycle;
pub mod decide;
pub mod demo;
pub mod forecast;
pub mod guard;
pub mod instrument;
pub mod model;
pub mod observe;
pub mod ports;
pub mod sim;
pub mod verify;
