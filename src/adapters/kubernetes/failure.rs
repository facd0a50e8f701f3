//! What an error of a request means: above all, whether a write may have happened.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::model::TargetRef;
use crate::ports::ClusterError;

/// Longest text taken over from a server or a library.
const TEXT_LIMIT: usize = 300;

/// Returns what `error` means for a request about `target`. What is not clearly "not done" is unknown.
pub(super) fn classify(error: &kube::Error, target: &TargetRef) -> ClusterError {
    let kube::Error::Api(status) = error else {
        return if never_sent(error).is_some() {
            ClusterError::Unavailable { reason: explain(error) }
        } else {
            ClusterError::Unknown { reason: explain(error) }
        };
    };
    let reason = cut(&status.message);
    match status.code {
        401 | 403 => ClusterError::Forbidden { reason },
        404 => ClusterError::NotFound { target: target.clone() },
        409 => ClusterError::Conflict { target: target.clone() },
        429 | 503 => {
            let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
            ClusterError::Busy { reason, retry_after: Duration::from_secs(seconds.into()) }
        }
        code if is_refusal(code) => ClusterError::Denied { reason },
        _ => ClusterError::Unknown { reason },
    }
}

/// Tells whether a server that answers with `code` has done nothing. What it gave up on (408, 5xx) it may have done.
pub(super) fn is_refusal(code: u16) -> bool {
    (400..500).contains(&code) && code != 408
}

/// Returns an error with its causes in one line.
pub(super) fn explain(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return cut(&format!("status {}: {}", status.code, status.message));
    }
    if let Some(io) = never_sent(error) {
        return cut(&format!("the API server cannot be reached: {io}"));
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    cut(&text)
}

/// Returns why no connection came about, if the error shows that: then nothing can have been sent.
fn never_sent(error: &kube::Error) -> Option<&io::Error> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            let refused = matches!(
                io.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
            );
            return refused.then_some(io);
        }
        cause = inner.source();
    }
    None
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::model::TargetKind;

    #[test]
    fn every_answer_has_its_meaning() {
        let target =
            TargetRef { kind: TargetKind::Deployment, namespace: "shop".to_owned(), name: "checkout".to_owned() };
        let check = |code: u16, expected: fn(&ClusterError) -> bool| {
            let status = Status { code, message: "words".to_owned(), ..Status::default() };
            let meaning = classify(&kube::Error::Api(Box::new(status)), &target);
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
            assert!(is_refusal(code), "{code}");
        }
        for code in [408, 500, 504, 302] {
            assert!(!is_refusal(code), "{code}");
        }
        for code in [408, 500, 502, 504, 0, 302] {
            check(code, |meaning| matches!(meaning, ClusterError::Unknown { .. }));
        }
    }
}
