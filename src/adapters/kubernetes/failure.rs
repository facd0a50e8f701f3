//! How a request can fail, and what that means: above all, whether a write may have happened.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::response::Parts;
use kube::core::Status;

use crate::adapters::retry_after::retry_after;
use crate::model::TargetRef;
use crate::ports::ClusterError;

/// Longest text taken from a server or a library.
const TEXT_LIMIT: usize = 300;
/// Longest back-off that an API object can request.
const LONGEST_PAUSE: Duration = Duration::from_secs(u32::MAX as u64);

/// Why a request had no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// It cannot be built: nothing was sent.
    #[error("{0}")]
    Unbuildable(String),
    /// No connection: nothing was sent.
    #[error("cannot reach the API server: {0}")]
    Unreachable(String),
    /// The server answered with an error.
    #[error("status {code}: {message}")]
    Status {
        /// The HTTP status.
        code: u16,
        /// The message of the server, or of a proxy in front of it.
        message: String,
        /// Requested back-off; zero if none was requested.
        retry_after: Duration,
    },
    /// No answer, or none that can be read: the request may have taken effect.
    #[error("{0}")]
    Lost(String),
}

impl Failure {
    pub(super) fn unbuildable(error: impl std::fmt::Display) -> Self {
        Self::Unbuildable(error.to_string())
    }

    /// Returns the failure of an unsuccessful answer. A proxy in front of the server answers with objects of its own,
    /// so the code and the message of a `Status` may be missing or not belong to this answer.
    pub(super) fn answered(head: &Parts, body: &str) -> Self {
        let body = body.trim();
        let status: Status = serde_json::from_str(body).unwrap_or_default();
        let code = head.status.as_u16();
        let message = match (status.message.as_str(), body) {
            ("", "") => head.status.to_string(),
            ("", text) | (text, _) => text.to_owned(),
        };
        let retry_after = retry_after(&head.headers).map_or_else(|| pause(&status), |wait| wait.min(LONGEST_PAUSE));
        Self::Status { code, message: cut(&message), retry_after }
    }

    /// Returns an error with its causes in one line.
    pub(super) fn lost(error: &(dyn Error + 'static)) -> Self {
        let mut text = error.to_string();
        for cause in causes(error) {
            let words = cause.to_string();
            if !text.contains(&words) {
                text = format!("{text}: {words}");
            }
        }
        Self::Lost(cut(&text))
    }

    /// Returns whether the request was refused, by the server or before it was sent: nothing was done. What the server
    /// gave up on (408, 5xx) it may have done.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Unbuildable(_) => true,
            Self::Status { code, .. } => (400..500).contains(code) && *code != 408,
            Self::Unreachable(_) | Self::Lost(_) => false,
        }
    }

    /// Returns what it means for a request about `target`. Whatever is not clearly "not done" is unknown.
    pub(super) fn of(self, target: &TargetRef) -> ClusterError {
        let (is_refusal, text) = (self.is_refusal(), self.to_string());
        match self {
            Self::Unbuildable(reason) => ClusterError::Denied { reason },
            Self::Unreachable(_) => ClusterError::Unavailable { reason: text },
            Self::Lost(reason) => ClusterError::Unknown { reason },
            Self::Status { code, message: reason, retry_after } => match code {
                401 | 403 => ClusterError::Forbidden { reason },
                404 => ClusterError::NotFound { target: target.clone() },
                409 => ClusterError::Conflict { target: target.clone() },
                429 | 503 => ClusterError::Busy { reason, retry_after },
                _ if is_refusal => ClusterError::Denied { reason },
                _ => ClusterError::Unknown { reason },
            },
        }
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        let refused = |error: &&io::Error| {
            use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
            matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
        };
        match &error {
            kube::Error::Api(status) => {
                Self::Status { code: status.code, message: cut(&status.message), retry_after: pause(status) }
            }
            kube::Error::BuildRequest(error) => Self::unbuildable(error),
            _ => match causes(&error).find_map(|cause| cause.downcast_ref()).filter(refused) {
                Some(io) => Self::Unreachable(cut(&io.to_string())),
                None => Self::lost(&error),
            },
        }
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

fn pause(status: &Status) -> Duration {
    Duration::from_secs(status.details.as_ref().map_or(0, |details| details.retry_after_seconds).into())
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TargetKind;

    #[test]
    fn every_answer_has_its_meaning() {
        let target =
            TargetRef { kind: TargetKind::Deployment, namespace: "shop".to_owned(), name: "checkout".to_owned() };
        let failure = |code| {
            let status = Status { code, message: "words".to_owned(), ..Status::default() };
            Failure::from(kube::Error::Api(Box::new(status)))
        };
        let check = |code: u16, expected: fn(&ClusterError) -> bool| {
            let meaning = failure(code).of(&target);
            assert!(expected(&meaning), "{code}: {meaning}");
        };
        check(404, |meaning| matches!(meaning, ClusterError::NotFound { .. }));
        check(409, |meaning| matches!(meaning, ClusterError::Conflict { .. }));
        for code in [401, 403] {
            check(code, |meaning| matches!(meaning, ClusterError::Forbidden { reason } if reason == "words"));
        }
        for code in [400, 405, 413, 415, 422] {
            check(code, |meaning| matches!(meaning, ClusterError::Denied { .. }));
        }
        for code in [429, 503] {
            check(code, |meaning| matches!(meaning, ClusterError::Busy { retry_after: Duration::ZERO, .. }));
        }
        for code in [400, 404, 409, 429] {
            assert!(failure(code).is_refusal(), "{code}");
        }
        for code in [408, 500, 504, 302] {
            assert!(!failure(code).is_refusal(), "{code}");
        }
        for code in [408, 500, 502, 504, 0, 302] {
            check(code, |meaning| matches!(meaning, ClusterError::Unknown { .. }));
        }
    }
}
