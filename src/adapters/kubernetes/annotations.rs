//! The annotations that flyball reads or writes, on objects of any kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

/// On an autoscaler: the floor before flyball's first raise.
pub(super) const FLOOR_BASELINE: &str = "flyball.dev/floor-baseline";
/// On a ConfigMap with policies: the commit it was built from.
const COMMIT: &str = "flyball.dev/commit";
/// On a ConfigMap with policies: the author of that commit.
const AUTHOR: &str = "flyball.dev/author";
/// On the Lease: what its holder reports about its policies.
pub(super) const POLICIES_IN_FORCE: &str = "flyball.dev/policies-in-force";

/// Longest annotation that names the source of policies, bytes: a legitimate one is shorter.
const LONGEST_SOURCE: usize = 1024;

/// The annotations of an object that are read; all others are dropped.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(from = "BTreeMap<String, Arc<str>>")]
pub(super) struct Annotations {
    floor_baseline: Option<Arc<str>>,
    commit: Option<Arc<str>>,
    author: Option<Arc<str>>,
    policies_in_force: Option<Arc<str>>,
}

impl From<BTreeMap<String, Arc<str>>> for Annotations {
    fn from(mut all: BTreeMap<String, Arc<str>>) -> Self {
        let is_short = |text: &Arc<str>| text.len() <= LONGEST_SOURCE;
        Self {
            floor_baseline: all.remove(FLOOR_BASELINE),
            commit: all.remove(COMMIT).filter(is_short),
            author: all.remove(AUTHOR).filter(is_short),
            policies_in_force: all.remove(POLICIES_IN_FORCE),
        }
    }
}

impl Annotations {
    /// Returns the floor before flyball's first raise, in replicas; `None` if none is recorded or it is not a number.
    pub(super) fn floor_baseline(&self) -> Option<u32> {
        self.floor_baseline.as_ref()?.parse().ok()
    }

    /// Returns the commit that the policies were built from.
    pub(super) fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// Returns the author of that commit.
    pub(super) fn author(&self) -> Option<&str> {
        self.author.as_deref()
    }

    /// Returns what the holder of a Lease reports about its policies.
    pub(super) fn policies_in_force(&self) -> Option<&str> {
        self.policies_in_force.as_deref()
    }
}
