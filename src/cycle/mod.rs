//! The turn of the loop: one pure core per actor, each a state machine around a stage.
//!
//! ```text
//! Round -> ObserverCore -> Observed -> ForecasterCore -> Assessed -> DeciderCore -> Decided -> ActuatorCore -> Write
//!                                                                        ^                        ^            |
//!                                                                        +------- WriteEnded -----+------------+
//!                                                                        +------- Measured -------+
//! ```
//!
//! A core knows no actor, no port and no clock: everything comes in with its event, everything goes out as a value. The
//! actor tree delivers the events by messages, [`inline::ServiceLine`] by calls: tests compare the two, and benchmarks
//! time the cores alone.

pub mod actuator;
pub mod decider;
pub mod forecaster;
pub mod inline;
pub mod losses;
pub mod observer;
pub mod staging;
mod undo;
pub mod withdrawal;

pub use actuator::{ActuatorCore, ActuatorEffect, ActuatorEvent};
pub use decider::{Decided, DeciderCore, DeciderEvent, Inputs};
pub use forecaster::{Assessed, ForecasterCore, ForecasterEffect, ForecasterEvent};
pub use inline::ServiceLine;
pub use losses::{Came, Losses};
pub use observer::{Observed, ObserverCore, RoundArrived};
