//! Where policy sets come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::awaited::Awaited;

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFile {
    /// Path within the set, `/` as separator.
    pub path: String,
    /// Text.
    pub text: Arc<str>,
}

/// A set as it was read: complete, in path order; or why it could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFiles {
    /// Where it comes from, for messages.
    pub origin: String,
    /// The files, or what was wrong (a file too large, not UTF-8, unreadable).
    pub files: Result<Vec<PolicyFile>, String>,
    /// Files that extend them for the services of one namespace only.
    pub namespaces: BTreeMap<String, Result<Vec<PolicyFile>, String>>,
}

/// A source of policy sets. Announced sets were read consistently: a directory twice with equal content, an object at
/// one version.
pub trait PolicyStore: Send + Sync + 'static {
    /// Returns the current set and every later one.
    fn watch(&self) -> watch::Receiver<Arc<PolicyFiles>>;

    /// Returns why an edit may go unseen now, if it may. No I/O.
    fn waiting_for(&self) -> Vec<Awaited> {
        Vec::new()
    }
}
