//! Intents as `LoopAction` objects: state that must outlive a process, visible to all of them.
//!
//! An intent is created as an object in the namespace of its service before its write is sent; its end is written once
//! to the status of that object. Decision records stay in the journal of the process that made them, with a copy of its
//! own intents, so that its history is complete.
//!
//! | file | what |
//! |---|---|
//! | `object` | a `LoopAction` as the API has it |
//! | `status` | how ends and later facts get into its status |
//! | `unread` | open intents that cannot be read |
//! | `intent_cache` | the known intents, and which of them are kept |

mod intent_cache;
mod object;
mod status;
mod unread;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use kube::api::ListParams;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use crate::model::{
    ChangeId, DecisionId, DecisionRecord, Fitted, Intent, Measured, ServiceId, Timestamp, WriteOutcome, WriteTrace,
};
use crate::ports::journal::{Entry, Journal, JournalError, Unreadable};

use super::api_server::ApiServer;
use super::failure::Failure;
use super::pages;
use intent_cache::{Held, IntentCache};
use object::ActionObject;
use status::Part;

/// All `LoopAction` objects.
const ALL: &str = "/apis/flyball.dev/v1alpha1/loopactions";

/// A journal whose intents are API objects. A clone is the same journal.
#[derive(Clone)]
pub struct LoopActions {
    shared: Arc<Shared>,
}

struct Shared {
    server: ApiServer,
    /// Decision records, and copies of the intents of this process.
    local: Arc<dyn Journal>,
    cache: Mutex<IntentCache>,
    /// Intents that the local journal has copies of.
    copied: Mutex<BTreeSet<ChangeId>>,
    /// Why ends could not be written yet. While there is one, no other write starts (INV-28).
    unended: Mutex<BTreeMap<ChangeId, String>>,
    /// Open intents that cannot be read. Their services are not touched.
    unreadable: Mutex<Vec<Unreadable>>,
    /// The task that checks them again.
    looking: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl LoopActions {
    /// Returns a journal that knows no intents before [`Journal::refresh`]. Everything else is kept in `local`.
    pub fn over(local: Arc<dyn Journal>, server: &ApiServer) -> Self {
        let shared = Shared {
            server: server.clone(),
            local,
            cache: Mutex::default(),
            copied: Mutex::default(),
            unended: Mutex::default(),
            unreadable: Mutex::default(),
            looking: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    async fn prepare(&self, intent: Intent) -> Result<(), JournalError> {
        let shared = &self.shared;
        let id = intent.change.id.clone();
        let made = match shared.create(&intent).await {
            Ok(version) => {
                shared.cache.lock().put(Held { intent: intent.clone(), version });
                shared.local.append(Entry::Prepared(intent.clone())).await
            }
            Err(Failure::Status { code: 409, .. }) => {
                return Err(JournalError::Contradiction(format!("intent {id} is already prepared")));
            }
            Err(failure) if failure.is_refusal() => return Err(unwritable(failure.to_string())),
            Err(failure) => Err(unwritable(failure.to_string())),
        };
        if made.is_ok() {
            shared.copied.lock().insert(id);
        } else {
            // Nothing is sent for it: the object, if it exists, has ended.
            let shared = shared.clone();
            tokio::spawn(async move { shared.end_unrecorded(&intent).await });
        }
        made
    }

    /// Adds to the status of an intent, if it is known.
    async fn add_to_status(&self, id: &ChangeId, status: Value, note: impl Fn(&mut Intent)) {
        let known = self.shared.cache.lock().get(id).map(|held| held.intent.clone());
        if let Some(intent) = known {
            self.shared.write_status(&intent, Part::Addition(status), note).await;
        }
    }

    async fn ended(&self, id: ChangeId, at: Timestamp, outcome: WriteOutcome) -> Result<(), JournalError> {
        let shared = &self.shared;
        let known = shared.cache.lock().get(&id).map(|held| held.intent.clone());
        let Some(intent) = known else {
            return Err(JournalError::Contradiction(format!("intent {id} ends ({outcome}) but was never prepared")));
        };
        shared.end(&intent, at, &outcome).await;
        let is_copied = shared.copied.lock().remove(&id);
        let copied =
            if is_copied { shared.local.append(Entry::Ended { change: id, at, outcome }).await } else { Ok(()) };
        let (shared, service) = (shared.clone(), intent.change.service().clone());
        tokio::spawn(async move { shared.prune(&service).await });
        copied
    }
}

impl Journal for LoopActions {
    fn append(&self, entry: Entry) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async {
            match entry {
                Entry::Prepared(intent) => return self.prepare(intent).await,
                Entry::Ended { change, at, outcome } => return self.ended(change, at, outcome).await,
                Entry::Reverted { change, revert } => {
                    let note = |held: &mut Intent| {
                        held.reverted.get_or_insert(revert.clone());
                    };
                    self.add_to_status(&change, object::reverted(&revert), note).await;
                }
                Entry::Measured { change, measured } => {
                    self.shared.measured_here(&change, &measured);
                    let note = |held: &mut Intent| {
                        held.measured.get_or_insert(measured.clone());
                    };
                    self.add_to_status(&change, object::measured(&measured), note).await;
                }
                Entry::Decision(_) | Entry::Outcome { .. } | Entry::Fitted(_) => {
                    return self.shared.local.append(entry).await;
                }
            }
            Ok(())
        })
    }

    fn submit(&self, entry: Entry) {
        if let Entry::Decision(_) | Entry::Outcome { .. } | Entry::Fitted(_) = entry {
            return self.shared.local.submit(entry);
        }
        let journal = self.clone();
        tokio::spawn(async move {
            if let Err(error) = journal.append(entry).await {
                tracing::error!(%error, "journal refused an entry");
            }
        });
    }

    fn health(&self) -> Result<(), JournalError> {
        if let Some((id, reason)) = self.shared.unended.lock().first_key_value() {
            return Err(unwritable(format!("the outcome of LoopAction {id} cannot be written: {reason}")));
        }
        self.shared.local.health()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn refresh(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(async {
            let shared = &self.shared;
            shared.cache.lock().begin_list();
            let listed = shared.list().await.inspect_err(|_| shared.cache.lock().list_failed());
            let (all, unreadable) = listed.map_err(unwritable)?;
            shared.cache.lock().listed(all);
            shared.leave_alone(&unreadable);
            shared.complete_copies().await?;
            let (shared, services) = (shared.clone(), shared.cache.lock().services());
            tokio::spawn(async move {
                for service in services {
                    shared.prune(&service).await;
                }
            });
            Ok(())
        })
    }

    fn run(&self) -> u32 {
        self.shared.local.run()
    }

    fn unreadable(&self) -> Vec<Unreadable> {
        self.shared.unreadable.lock().clone()
    }

    fn open_intents(&self) -> Result<Vec<Intent>, JournalError> {
        Ok(self.shared.cache.lock().open())
    }

    fn remembered_since(&self, now: Timestamp, span: Duration) -> Result<Vec<Intent>, JournalError> {
        Ok(self.shared.cache.lock().remembered_since(now, span))
    }

    fn decisions(
        &self,
        service: Option<&ServiceId>,
        before: Option<&DecisionId>,
        limit: usize,
    ) -> Result<Vec<DecisionRecord>, JournalError> {
        self.shared.local.decisions(service, before, limit)
    }

    fn fits(&self, service: &ServiceId) -> Result<Vec<Fitted>, JournalError> {
        self.shared.local.fits(service)
    }

    fn decision(&self, id: &DecisionId) -> Result<Option<DecisionRecord>, JournalError> {
        self.shared.local.decision(id)
    }
}

impl Shared {
    async fn create(&self, intent: &Intent) -> Result<String, Failure> {
        let collection = collection(intent.change.service().namespace());
        let made: ActionObject = self.server.create(&collection, &object::manifest(intent)).await?;
        Ok(made.metadata.resource_version)
    }

    /// Completes the local decision record, if this process made the decision.
    fn measured_here(&self, id: &ChangeId, measured: &Measured) {
        let decision = self.cache.lock().get(id).map(|held| held.intent.change.decision.clone());
        let record = decision.and_then(|decision| self.local.decision(&decision).ok().flatten());
        if record.and_then(|record| record.change).is_some_and(|change| change.id == *id) {
            self.local.submit(Entry::Measured { change: id.clone(), measured: measured.clone() });
        }
    }

    /// Ends intents that are open in the local journal but that another process has ended or never saw.
    async fn complete_copies(&self) -> Result<(), JournalError> {
        for intent in self.local.open_intents()? {
            let change = intent.change.id;
            let known = self.cache.lock().get(&change).map(|held| held.intent.ended.clone());
            let (at, outcome) = match known {
                Some(None) => {
                    self.copied.lock().insert(change);
                    continue;
                }
                Some(Some(ended)) => ended,
                None => {
                    let reason = "its LoopAction does not exist".to_owned();
                    (Timestamp::now(), WriteOutcome::Abandoned { reason, trace: WriteTrace::MayHave })
                }
            };
            self.copied.lock().remove(&change);
            self.local.append(Entry::Ended { change, at, outcome }).await?;
        }
        Ok(())
    }

    /// Returns all intents, and the open ones that cannot be read.
    async fn list(&self) -> Result<(Vec<Held>, Vec<Unreadable>), String> {
        let listed = pages::list::<Value>(&self.server, ALL, &ListParams::default(), |_| ()).await;
        let (mut all, mut unreadable) = (Vec::new(), Vec::new());
        for item in listed.map_err(|error| format!("LoopActions: {error}"))?.objects {
            match ActionObject::deserialize(&item) {
                Ok(object) => all.push(held(&object)),
                // Created by hand or by an unknown version: no open intent is ignored.
                Err(error) if unread::is_open(&item) => unreadable.push(unread::unreadable(&item, &error)),
                Err(error) => tracing::warn!(%error, "unreadable LoopAction ignored"),
            }
        }
        Ok((all, unreadable))
    }

    /// Deletes the objects of a service that need not be kept; what is not deleted now is retried at the next end.
    async fn prune(&self, service: &ServiceId) {
        let excess = self.cache.lock().excess(service, Timestamp::now());
        for id in excess {
            let path = path(service.namespace(), &object::name(service, &id));
            match self.server.delete(&path).await {
                Ok(()) | Err(Failure::Status { code: 404, .. }) => self.cache.lock().remove(&id),
                Err(failure) => return tracing::warn!(%service, %failure, "LoopAction not deleted"),
            }
        }
    }
}

fn held(object: &ActionObject) -> Held {
    Held { intent: object.intent(), version: object.metadata.resource_version.clone() }
}

fn collection(namespace: &str) -> String {
    format!("/apis/flyball.dev/v1alpha1/namespaces/{namespace}/loopactions")
}

fn path(namespace: &str, name: &str) -> String {
    format!("{}/{name}", collection(namespace))
}

fn unwritable(reason: String) -> JournalError {
    JournalError::IntentsUnwritable { reason }
}
