//! Leader fence: of several processes only the one that holds the lease writes, and only with enough of it left.
//!
//! A follower decides all the same, so that its records show what it would do. The write gate asks once more before
//! it sends, and that the lease is still that of the decision (INV-17).

use super::case::{Answer, Case};
use crate::model::Lead;

/// Holds while this process may not write.
pub fn guard(case: &Case<'_>) -> Answer {
    if let Some(why) = case.ctx.lead.holds_back() {
        return Answer::Hold(why);
    }
    match case.ctx.lead {
        Lead::Holds { epoch, left } => {
            Answer::Pass(format!("holds the lease (epoch {epoch}) for another {} s", left.as_secs()))
        }
        Lead::Alone | Lead::TakesOver { .. } | Lead::Follows { .. } => {
            Answer::Pass("no other process writes".to_owned())
        }
    }
}
