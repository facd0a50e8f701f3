//! The durable memory: decision records, intents and their ends.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{
    ChangeId, DecisionId, DecisionRecord, Fitted, Intent, Measured, Revert, ServiceId, Timestamp, WriteOutcome,
};

/// Why the journal failed. After a failed write it refuses all further ones until it has reopened its file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Disk full, read-only, I/O error.
    #[error("journal {path} cannot be written: {reason}; no target is changed until this is fixed")]
    Unwritable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The API server does not record or list intents.
    #[error("journal (LoopActions) cannot be written: {reason}; no target is changed until this is fixed")]
    IntentsUnwritable {
        /// Why.
        reason: String,
    },
    /// Not readable now: no permission, a disk error.
    #[error(
        "journal {path} cannot be read: {reason}; run as the user that flyball runs as, or check the disk; the journal \
         itself may be intact"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Damaged beyond its own repair.
    #[error("journal {path} is damaged: {reason}; move it away to start from scratch, or restore a copy")]
    Damaged {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Written by another version.
    #[error("journal {path} has format {found}, this flyball reads {expected}")]
    WrongVersion {
        /// The file.
        path: String,
        /// Format found.
        found: u64,
        /// Format expected.
        expected: u64,
    },
    /// A journal to be read does not exist.
    #[error("journal {path} does not exist; the first `flyball run` with this path creates it")]
    Missing {
        /// The file.
        path: String,
    },
    /// Open in another process.
    #[error("journal {path} is in use by {}; see `flyball status`, or stop it", holder_in_words(*holder))]
    InUse {
        /// The file.
        path: String,
        /// The process that has it, if the system reports it.
        holder: Option<u32>,
    },
    /// Contradicts what is recorded (an intent prepared or ended twice).
    #[error("journal refused an entry: {0}")]
    Contradiction(String),
    /// The writer is gone.
    #[error("journal is closed")]
    Closed,
}

/// Returns in words which process has a journal in use.
pub fn holder_in_words(process: Option<u32>) -> String {
    process.map_or_else(|| "another process".to_owned(), |process| format!("process {process}"))
}

/// An open intent that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unreadable {
    /// Namespace of its object.
    pub namespace: String,
    /// Name of its object.
    pub object: String,
    /// Name of its service; `None` if unknown: then it may be any service of the namespace.
    pub service: Option<String>,
    /// What is wrong with it.
    pub why: String,
}

impl Unreadable {
    /// Returns whether it may be about `service`.
    pub fn concerns(&self, service: &ServiceId) -> bool {
        self.namespace == service.namespace() && self.service.as_ref().is_none_or(|name| name == service.name())
    }
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { namespace, object, why, .. } = self;
        write!(formatter, "LoopAction {namespace}/{object} is open and cannot be read ({why}); delete it")
    }
}

/// One thing to remember.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A decision.
    Decision(Arc<DecisionRecord>),
    /// A write is about to be sent. Durable before the write is sent.
    Prepared(Intent),
    /// A write ended; exactly once for each intent.
    Ended {
        /// Which.
        change: ChangeId,
        /// When.
        at: Timestamp,
        /// How.
        outcome: WriteOutcome,
    },
    /// Another client reverted an applied write.
    Reverted {
        /// Which.
        change: ChangeId,
        /// When, to what, and by whom.
        revert: Revert,
    },
    /// A decision without an intent ended (no lever, refused before the intent).
    Outcome {
        /// Which decision.
        decision: DecisionId,
        /// How.
        outcome: WriteOutcome,
    },
    /// An applied write was measured.
    Measured {
        /// Which.
        change: ChangeId,
        /// What it did, and when that was known.
        measured: Measured,
    },
    /// A fit found parameters for a signal; they replace the stored ones unless those were requested later.
    Fitted(Fitted),
}

impl Entry {
    /// Returns whether it ends an intent: without it the outcome of a write stays open.
    pub fn ends_intent(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

/// The journal. Writes are grouped into one commit; a call returns when its entry is durable.
pub trait Journal: Send + Sync + 'static {
    /// Appends one entry and waits until it is durable.
    fn append(&self, entry: Entry) -> BoxFuture<'_, Result<(), JournalError>>;

    /// Queues one entry; a failure to write shows in [`Journal::health`] and in the next append, a contradiction only
    /// in the log.
    fn submit(&self, entry: Entry);

    /// Returns why nothing can be written, if that is so. No I/O.
    fn health(&self) -> Result<(), JournalError>;

    /// Returns whether other processes write to it, too: then its knowledge of intents is complete only after
    /// [`Journal::refresh`].
    fn is_shared(&self) -> bool {
        false
    }

    /// Reads what other processes have written. For a process that starts to lead, before it writes.
    fn refresh(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Returns the number of this start of the process (1 for the first).
    fn run(&self) -> u32;

    /// Returns intents without an end, oldest first.
    fn open_intents(&self) -> Result<Vec<Intent>, JournalError>;

    /// Returns open intents that cannot be read: their services are held until an operator has checked. No I/O.
    fn unreadable(&self) -> Vec<Unreadable> {
        Vec::new()
    }

    /// Returns intents that ended within `span` before `now` and that may have had an effect, or failed at the API
    /// server, oldest first: cooldowns (from the applied ones), budgets and pauses are rebuilt from them.
    fn remembered_since(&self, now: Timestamp, span: Duration) -> Result<Vec<Intent>, JournalError>;

    /// Returns records, newest first: the newest, or those before a decision; of one service, or of all in order of
    /// arrival. Of all, none if that decision is not recorded, or no longer.
    fn decisions(
        &self,
        service: Option<&ServiceId>,
        before: Option<&DecisionId>,
        limit: usize,
    ) -> Result<Vec<DecisionRecord>, JournalError>;

    /// Returns the fitted parameters for the signals of a service.
    fn fits(&self, service: &ServiceId) -> Result<Vec<Fitted>, JournalError>;

    /// Returns one record.
    fn decision(&self, id: &DecisionId) -> Result<Option<DecisionRecord>, JournalError>;
}
