//! What the API server's answers mean for a change.

use std::time::Duration;

use crate::model::{ChangeSet, Reach, Refusal, WriteOutcome};
use crate::ports::{ClusterError, Live};

/// What a failed read means.
pub(super) fn unsent(error: &ClusterError) -> WriteOutcome {
    match error {
        ClusterError::NotFound { .. } | ClusterError::Conflict { .. } => {
            WriteOutcome::Superseded { found: error.to_string() }
        }
        ClusterError::Forbidden { .. } | ClusterError::Denied { .. } => {
            WriteOutcome::Rejected { reason: error.to_string(), did_nothing: true }
        }
        ClusterError::NoLever { .. } => WriteOutcome::NoLever,
        ClusterError::Unknown { reason } => WriteOutcome::unavailable(format!("cannot be read: {reason}")),
        ClusterError::Unavailable { .. } => WriteOutcome::away(error.to_string()),
        ClusterError::Busy { retry_after, .. } => busy(error, *retry_after, Reach::Unsent),
    }
}

/// Returns the outcome of a write that was refused, or did not reach the server.
pub(super) fn declined(error: &ClusterError) -> WriteOutcome {
    match error {
        ClusterError::Busy { retry_after, .. } => busy(error, *retry_after, Reach::Sent),
        _ => unsent(error),
    }
}

fn busy(error: &ClusterError, retry_after: Duration, reach: Reach) -> WriteOutcome {
    WriteOutcome::Refused(Refusal::Unavailable { reason: error.to_string(), reach, retry_after })
}

/// What the server's answer to a write means; an admission hook may have changed our value.
pub(super) fn answered(change: &ChangeSet, after: &Live) -> WriteOutcome {
    if after.value == change.to {
        WriteOutcome::Applied
    } else {
        let reason = format!("the server stored {} instead of {}", after.value, change.to);
        WriteOutcome::Rejected { reason, did_nothing: false }
    }
}
