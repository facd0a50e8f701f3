//! The task that writes statuses and Events: one at a time, each with a deadline, never repeated at once.

use std::sync::Arc;
use std::time::Duration;

use axum::http;
use kube::Client;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::Request;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::adapters::kubernetes::client::Timeouts;
use crate::adapters::kubernetes::failure::explain;
use crate::adapters::kubernetes::scale::FIELD_MANAGER;
use crate::model::{ServiceId, Timestamp};
use crate::ports::Leadership;

use super::event::Draft;
use super::object::LoopObject;
use super::outbox::{Outbox, Writing};
use super::status::{cut, reference};

/// Pause between two writes: at most ten in a second, however much happens.
const PACE: Duration = Duration::from_millis(100);
/// Pause after a write that failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause without news.
const LONGEST_REST: Duration = Duration::from_mins(10);
/// Who reports.
const CONTROLLER: &str = "flyball.dev/flyball";

/// Writes what the outbox holds due.
pub(super) struct Writer {
    /// The connection.
    pub(super) client: Client,
    /// Deadlines.
    pub(super) timeouts: Timeouts,
    /// What is to be written.
    pub(super) outbox: Arc<Outbox>,
    /// Whether this process speaks for all.
    pub(super) leadership: Arc<dyn Leadership>,
    /// This process.
    pub(super) instance: String,
}

impl Writer {
    /// Runs until dropped.
    pub(super) async fn run(self) {
        let (mut count, mut terms) = (0_u64, self.leadership.terms());
        loop {
            // Asked before each write: a thousand take minutes, in which the lease can be lost, and who speaks then
            // says something newer.
            let speaks = self.leadership.lead().speaks();
            let later = match self.outbox.next(speaks, Instant::now(), Timestamp::now()) {
                Ok(writing) => {
                    count = count.wrapping_add(1);
                    let written = self.write(writing, count).await;
                    tokio::time::sleep(if written { PACE } else { FAILURE_PAUSE }).await;
                    continue;
                }
                Err(later) => later.unwrap_or_else(|| Instant::now() + LONGEST_REST),
            };
            // Each is a reason to look again: who begins to lead says how the loops stand.
            tokio::select! {
                () = self.outbox.stirred() => {}
                _ = terms.changed() => {}
                () = tokio::time::sleep_until(later) => {}
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Writes once and tells whether the server answered. An object that is gone, or that somebody changed in
    /// between, is judged anew when its change arrives.
    async fn write(&self, writing: Writing, count: u64) -> bool {
        let (id, status, request) = match writing {
            Writing::Status { id, uid, status } => {
                let request = status_request(&id, &uid, &status);
                (id, Some((uid, status)), request)
            }
            Writing::Event { id, uid, draft, at } => {
                let request = self.event_request(&id, &uid, &draft, (at, count));
                (id, None, request)
            }
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                tracing::error!(service = %id, error, "cannot be told");
                return true;
            }
        };
        let answer = tokio::time::timeout(self.timeouts.answer, self.client.request_text(request)).await;
        let error = match answer {
            Ok(Ok(text)) => {
                if let Some((uid, status)) = status {
                    self.outbox.wrote(&id, &uid, status, version(&text));
                }
                return true;
            }
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                tracing::debug!(service = %id, code = status.code, "the loop changed meanwhile");
                return true;
            }
            Ok(Err(error)) => explain(&error),
            Err(_) => format!("no answer within {:?}", self.timeouts.answer),
        };
        tracing::warn!(service = %id, error, "status or event not written");
        if status.is_some() {
            self.outbox.not_written(&id);
        }
        false
    }

    fn event_request(
        &self,
        id: &ServiceId,
        uid: &str,
        draft: &Draft,
        (at, count): (Timestamp, u64),
    ) -> Result<http::Request<Vec<u8>>, String> {
        let event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {
                "name": format!("{}.{:x}.{count:x}", id.name(), at.as_microsecond()),
                "namespace": id.namespace(),
            },
            "eventTime": at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
            "reportingController": CONTROLLER,
            "reportingInstance": self.instance,
            "action": "Govern",
            "reason": draft.reason,
            "type": if draft.warning { "Warning" } else { "Normal" },
            "regarding": reference(id, uid),
            "note": cut(&draft.note),
        });
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", id.namespace());
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        Request::new(path).create(&parameters, event.to_string().into_bytes()).map_err(|error| error.to_string())
    }
}

/// Returns the version that an answer shows. Where it shows none, nothing that is seen counts as newer.
fn version(answer: &str) -> u64 {
    serde_json::from_str(answer).ok().and_then(|object: LoopObject| object.metadata.version()).unwrap_or(u64::MAX)
}

/// The object must still be the one that was judged.
fn status_request(id: &ServiceId, uid: &str, status: &Value) -> Result<http::Request<Vec<u8>>, String> {
    let path = format!("/apis/flyball.dev/v1alpha1/namespaces/{}/serviceloops", id.namespace());
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "metadata": { "uid": uid }, "status": status }));
    let request = Request::new(path).patch_subresource("status", id.name(), &parameters, &patch);
    request.map_err(|error| error.to_string())
}
