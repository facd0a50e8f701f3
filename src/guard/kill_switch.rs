//! Kill switch: a person stopped all writes, those of this service or those of this class of action.
//!
//! An unreadable switch counts as engaged (INV-09). The write gate checks again before it sends (INV-08).

use super::case::{Answer, Case};

/// Holds while the switch stops this write.
pub fn guard(case: &Case<'_>) -> Answer {
    match case.ctx.kill.stops(&case.ctx.spec.id, case.action.class()) {
        Some(reason) => Answer::Hold(reason),
        None => Answer::Pass("released".to_owned()),
    }
}
