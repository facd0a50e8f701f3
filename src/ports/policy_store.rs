//! Where policy sets come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::awaited::Awaited;
use crate::model::PROVENANCE_FILE;

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFile {
    /// Path within the set, `/` as separator.
    pub path: String,
    /// Text.
    pub text: String,
}

/// A set as it was read: whole, in path order; or why it could not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFiles {
    /// Where it comes from, for messages.
    pub origin: String,
    /// The files, or what was wrong (a file too large, not UTF-8, unreadable).
    pub files: Result<Vec<PolicyFile>, String>,
    /// Files that join them for the services of one namespace, and for no other.
    pub namespaces: BTreeMap<String, Result<Vec<PolicyFile>, String>>,
}

/// Tells whether a file of this name belongs to a set: rules, libraries and tests, data for them, recorded inputs, and
/// where all of it comes from.
pub fn is_of_a_set(name: &str) -> bool {
    let is_one = |ending: &&str| name.len() > ending.len() && name.ends_with(*ending);
    name == PROVENANCE_FILE || [".rhai", ".data.json", ".jsonl"].iter().any(is_one)
}

/// Tells whether a file of a set is there for its tests alone: a test, or inputs that were recorded for one.
pub fn is_for_tests(path: &str) -> bool {
    ["_test.rhai", ".jsonl"].iter().any(|ending| path.ends_with(ending))
}

/// Returns the path of the library that a name without a slash stands for, as keys of ConfigMaps are: `lib.slo.rhai` is
/// `lib/slo.rhai`. `None` for every other file.
pub fn library_of(name: &str) -> Option<String> {
    let library = name.strip_prefix("lib.").and_then(|rest| rest.strip_suffix(".rhai"));
    library.map(|library| format!("lib/{library}.rhai"))
}

/// A source of policy sets. What is announced was read whole: a directory twice
/// alike, an object at one version.
pub trait PolicyStore: Send + Sync + 'static {
    /// Returns the set now and every later one.
    fn watch(&self) -> watch::Receiver<Arc<PolicyFiles>>;

    /// Returns why an edit may go unseen now, if it may. No I/O.
    fn waiting_for(&self) -> Vec<Awaited> {
        Vec::new()
    }
}
