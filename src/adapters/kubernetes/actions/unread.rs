//! Open intents that cannot be read, created by hand or by an unknown version. What they changed is unknown, so their
//! services are not touched until somebody has deleted or ended them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use crate::ports::journal::Unreadable;

use super::object::SERVICE_LABEL;
use super::{Failure, Shared, path};

/// Pause before unreadable intents are checked again.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

impl Shared {
    /// Records which services must not be touched, and checks again until the unreadable intents are deleted or ended.
    pub(super) fn leave_alone(self: &Arc<Self>, unreadable: &[Unreadable]) {
        for one in unreadable {
            tracing::error!(
                namespace = one.namespace,
                object = one.object,
                why = one.why,
                "open LoopAction is unreadable"
            );
        }
        *self.unreadable.lock() = unreadable.to_vec();
        let watching = (!unreadable.is_empty()).then(|| {
            let shared = Arc::downgrade(self);
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    tokio::time::sleep(LOOK_PAUSE).await;
                    let Some(shared) = shared.upgrade() else { return };
                    let all = shared.unreadable.lock().clone();
                    if all.is_empty() {
                        return;
                    }
                    for one in all {
                        if shared.is_settled(&one).await {
                            tracing::info!(
                                namespace = one.namespace,
                                object = one.object,
                                "unreadable LoopAction settled"
                            );
                            shared.unreadable.lock().retain(|other| *other != one);
                        }
                    }
                }
            }))
        });
        *self.looking.lock() = watching;
    }

    /// Returns whether an object is known to be gone or to have ended.
    async fn is_settled(&self, one: &Unreadable) -> bool {
        match self.server.get::<Value>(&path(&one.namespace, &one.object)).await {
            Ok(object) => !is_open(&object),
            Err(failure) => matches!(failure, Failure::Status { code: 404, .. }),
        }
    }
}

/// Returns whether an object, whatever else it holds, represents an intent that has not ended.
pub(super) fn is_open(object: &Value) -> bool {
    object.pointer("/status/endedAt").is_none_or(Value::is_null)
}

/// Returns what is known of an object that cannot be read.
pub(super) fn unreadable(object: &Value, error: &serde_json::Error) -> Unreadable {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let label = SERVICE_LABEL.replace('/', "~1");
    Unreadable {
        namespace: text("/metadata/namespace"),
        object: text("/metadata/name"),
        service: Some(text(&format!("/metadata/labels/{label}"))).filter(|name| !name.is_empty()),
        why: error.to_string(),
    }
}
