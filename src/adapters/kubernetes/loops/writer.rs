//! The task that writes statuses and Events: one at a time, each with a deadline, never retried at once.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::adapters::kubernetes::api_server::ApiServer;
use crate::adapters::kubernetes::failure::Failure;
use crate::model::{ServiceId, Timestamp};
use crate::ports::Leadership;

use super::event::Draft;
use super::object::LoopObject;
use super::outbox::{Outbox, Writing};
use super::status::{cut, reference};

/// Pause between two writes: at most ten a second, whatever happens.
const PACE: Duration = Duration::from_millis(100);
/// Pause after a failure that would affect the next write too.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// Time after which a refused status is written again.
const REFUSED_PAUSE: Duration = Duration::from_mins(1);
/// Longest pause without news.
const LONGEST_REST: Duration = Duration::from_mins(10);
/// The reporting controller.
const CONTROLLER: &str = "flyball.dev/flyball";

/// Writes what is due in the outbox.
pub(super) struct Writer {
    /// Where it writes.
    pub(super) server: ApiServer,
    /// What is to be written.
    pub(super) outbox: Arc<Outbox>,
    /// Whether this process reports.
    pub(super) leadership: Arc<dyn Leadership>,
    /// This process.
    pub(super) instance: String,
}

impl Writer {
    /// Runs until dropped.
    pub(super) async fn run(self) {
        let (mut count, mut terms) = (0_u64, self.leadership.terms());
        loop {
            // Checked before each write: a thousand take minutes, in which the lease can be lost to a process with
            // newer reports.
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
            // Each is a reason to check again: a new leader reports the state of all loops.
            tokio::select! {
                () = self.outbox.stirred() => {}
                _ = terms.changed() => {}
                () = tokio::time::sleep_until(later) => {}
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Writes once and returns whether the next write may succeed. An object that was deleted or changed meanwhile is
    /// judged again when its change arrives. A refused write, such as one denied in a single namespace, blocks no other
    /// loop.
    async fn write(&self, writing: Writing, count: u64) -> bool {
        let (id, status, written) = match writing {
            Writing::Status { id, uid, status } => {
                let written = self.write_status(&id, &uid, &status).await;
                (id, Some((uid, status)), written)
            }
            Writing::Event { id, uid, draft, at } => {
                let written = self.write_event(&id, &uid, &draft, (at, count)).await;
                (id, None, written)
            }
        };
        match (written, status) {
            (Ok(object), Some((uid, status))) => self.outbox.wrote(&id, &uid, status, version(&object)),
            (Ok(_), None) => {}
            (Err(failure @ Failure::Status { code: 404 | 409, .. }), _) => {
                tracing::debug!(service = %id, %failure, "the ServiceLoop changed in the meantime");
            }
            (Err(failure @ Failure::Unbuildable(_)), _) => {
                tracing::error!(service = %id, %failure, "status cannot be reported");
            }
            (Err(failure), status) => {
                tracing::warn!(service = %id, %failure, "status or event not written");
                let is_of_this_loop = is_of_this_loop(&failure);
                if status.is_some() {
                    let pause = if is_of_this_loop { REFUSED_PAUSE } else { FAILURE_PAUSE };
                    self.outbox.not_written(&id, Instant::now() + pause);
                }
                return is_of_this_loop;
            }
        }
        true
    }

    /// The object must still be the one that was judged.
    async fn write_status(&self, id: &ServiceId, uid: &str, status: &Value) -> Result<Value, Failure> {
        let collection = format!("/apis/flyball.dev/v1alpha1/namespaces/{}/serviceloops", id.namespace());
        let patch = json!({ "metadata": { "uid": uid }, "status": status });
        self.server.merge(&format!("{collection}/{}/status", id.name()), &patch).await
    }

    async fn write_event(
        &self,
        id: &ServiceId,
        uid: &str,
        draft: &Draft,
        (at, count): (Timestamp, u64),
    ) -> Result<Value, Failure> {
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
            "reason": draft.reason.as_str(),
            "type": if draft.warning { "Warning" } else { "Normal" },
            "regarding": reference(id, uid),
            "note": cut(&draft.note),
        });
        self.server.create(&format!("/apis/events.k8s.io/v1/namespaces/{}/events", id.namespace()), &event).await
    }
}

/// Returns whether a failure says nothing about the next write, which is for another loop: it was refused, but not
/// because the server is busy (429) or does not know the account (401).
fn is_of_this_loop(failure: &Failure) -> bool {
    failure.is_refusal() && !matches!(failure, Failure::Status { code: 401 | 429, .. })
}

/// Returns the version of a written object. Without one, nothing seen counts as newer.
fn version(object: &Value) -> u64 {
    LoopObject::deserialize(object).ok().and_then(|object| object.metadata.version()).unwrap_or(u64::MAX)
}
