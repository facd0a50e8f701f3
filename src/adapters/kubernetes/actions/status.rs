//! How the end of an intent, and what is learned later, get into the status of its object.

use std::time::Duration;

use serde_json::{Value, json};

use super::intent_cache::Held;
use super::object::{self, ActionObject};
use super::{Failure, Shared, held, path};
use crate::model::{Intent, Timestamp, WriteOutcome};

/// Pause before an end that could not be written is retried.
const PAUSE: Duration = Duration::from_secs(2);

/// What is merged into a status.
pub(super) enum Part {
    /// The end. Until it is written no other write starts.
    End(Value),
    /// Later facts, which nothing waits for.
    Addition(Value),
}

/// The result of writing a status.
enum Written {
    /// It is written.
    There,
    /// The object does not exist.
    Gone,
    /// The object had changed.
    Again,
}

impl Shared {
    /// Writes the end of an intent until it succeeds or the object is gone; the first end wins. Returns whether there
    /// was one to end.
    pub(super) async fn end(&self, intent: &Intent, at: Timestamp, outcome: &WriteOutcome) -> bool {
        let is_there = self
            .write_status(intent, Part::End(object::ended(at, outcome)), |held| {
                held.ended.get_or_insert((at, outcome.clone()));
            })
            .await;
        self.unended.lock().remove(&intent.change.id);
        is_there
    }

    /// Ends an intent whose object may not have been created. A missing object may still appear until the server has
    /// given up creating it: it is checked once more after that, so that it is never left open.
    pub(super) async fn end_unrecorded(&self, intent: &Intent) {
        let (at, outcome) = (Timestamp::now(), WriteOutcome::unsent("its intent was not recorded"));
        if !self.end(intent, at, &outcome).await {
            tokio::time::sleep(self.server.timeouts.lands_within()).await;
            self.end(intent, at, &outcome).await;
        }
    }

    /// Merges a part into the status of the object until that succeeds; `note` applies the same to the cached intent.
    /// If the object shows that another process was first, its value wins. Returns whether the object exists.
    pub(super) async fn write_status(&self, intent: &Intent, part: Part, note: impl Fn(&mut Intent)) -> bool {
        let id = &intent.change.id;
        loop {
            let reason = match self.try_status(intent, &part, &note).await {
                Ok(Written::There) => return true,
                Ok(Written::Gone) => return false,
                Ok(Written::Again) => continue,
                Err(reason) => reason,
            };
            tracing::warn!(change = %id, reason, "status of a LoopAction not written; retrying");
            if matches!(part, Part::End(_)) {
                self.unended.lock().insert(id.clone(), reason);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Merges a part into the status of the object once.
    async fn try_status(
        &self,
        intent: &Intent,
        (Part::End(status) | Part::Addition(status)): &Part,
        note: impl Fn(&mut Intent),
    ) -> Result<Written, String> {
        let (id, service) = (&intent.change.id, intent.change.service());
        let path = path(service.namespace(), &object::name(service, id));
        let version = self.cache.lock().get(id).map(|held| held.version.clone());
        let patch = json!({ "metadata": { "resourceVersion": version }, "status": status });
        let failure = match self.server.merge::<ActionObject>(&format!("{path}/status"), &patch).await {
            Ok(object) => {
                let mut held = held(&object);
                note(&mut held.intent);
                self.cache.lock().put(held);
                return Ok(Written::There);
            }
            Err(failure) if failure.is_refusal() => failure,
            Err(failure) => return Err(failure.to_string()),
        };
        let Some(found) = self.look(&path).await? else {
            tracing::warn!(change = %id, "the LoopAction of an intent no longer exists");
            self.cache.lock().remove(id);
            return Ok(Written::Gone);
        };
        let mut noted = found.intent.clone();
        note(&mut noted);
        let is_known = noted == found.intent;
        self.cache.lock().put(found);
        if is_known {
            tracing::info!(change = %id, "another process already recorded this outcome of the intent");
            return Ok(Written::There);
        }
        match failure {
            Failure::Status { code: 409, .. } => Ok(Written::Again),
            // A custom resource without the status subresource has the object, but no place for the end.
            failure => Err(failure.to_string()),
        }
    }

    async fn look(&self, path: &str) -> Result<Option<Held>, String> {
        match self.server.get(path).await {
            Ok(object) => Ok(Some(held(&object))),
            Err(Failure::Status { code: 404, .. }) => Ok(None),
            Err(failure) => Err(failure.to_string()),
        }
    }
}
