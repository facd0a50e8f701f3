//! Leader fence: only the process that holds the lease writes, and only with enough of it left.
//!
//! A follower decides all the same, so that its records show what it would do. The write gate checks again before it
//! sends, and that the lease is still that of the decision (INV-17).

use super::case::{Answer, Case};

/// Holds while this process may not write.
pub fn guard(case: &Case<'_>) -> Answer {
    case.ctx.lead.may_write().map_or_else(Answer::Hold, Answer::Pass)
}
