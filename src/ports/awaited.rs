//! What the loop waits for before it can decide, or what is wrong with it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::journal::Unreadable;
use crate::model::PolicyRevision;
use crate::model::explain::counted;

/// Seconds after which a stalled loop is no longer waited for.
const STANDSTILL: u64 = 300;

/// One thing that the loop waits for. Programs compare kinds; its text (`Display`) is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Awaited {
    /// The declarations of services.
    Declarations,
    /// Declared services that are not started yet.
    Services,
    /// The history of services, queried from their sources at startup.
    History {
        /// Services without it.
        services: usize,
        /// Services whose history was queried.
        asked: usize,
        /// Services whose history is to be queried.
        of: usize,
    },
    /// A first round of telemetry.
    FirstRound {
        /// Services without one.
        services: usize,
    },
    /// Telemetry from a source that fails.
    Telemetry {
        /// Services without telemetry because of it.
        services: usize,
        /// How it fails.
        error: String,
    },
    /// The loop itself, which is stalled: no round of a source has started for a long time.
    Rounds {
        /// The source.
        source: String,
        /// For how long.
        silent_seconds: u64,
    },
    /// A watch that is not current.
    Watch {
        /// What is watched.
        of: String,
        /// Why its view is not trusted.
        #[serde(flatten)]
        why: StaleWatch,
    },
    /// Writes of an earlier process whose outcome is not known yet.
    EarlierWrites {
        /// How many.
        writes: usize,
    },
    /// An open intent that cannot be read: needs an operator.
    UnreadableIntent(Unreadable),
    /// A declaration that is refused or ignored: needs an operator.
    Unheeded {
        /// What it is, and why.
        declaration: String,
    },
    /// The `PlatformBound`, which the platform owner has to create.
    Bound {
        /// Why it is not known.
        why: String,
    },
    /// The lease.
    Lease {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Reading the state of the previous leader.
    FormerLeader,
    /// A first policy set.
    PolicySet,
    /// A policy set to replace one that was rolled back.
    PolicySetAfterRollback {
        /// The one that was.
        revision: PolicyRevision,
    },
    /// The journal.
    Journal {
        /// How it fails.
        error: String,
    },
}

/// Why the view of a watch is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StaleWatch {
    /// Time since its last event; `None` if its view is incomplete, as before its first list.
    pub silent_seconds: Option<u64>,
    /// The last failure.
    pub trouble: Option<String>,
}

impl Awaited {
    /// Returns whether it is the same thing as `other`, whatever the counts.
    pub fn is_same(&self, other: &Self) -> bool {
        self.without_counts() == other.without_counts()
    }

    /// Returns whether the loop has been stalled for so long that it will not recover: the process is to be restarted.
    pub fn is_standstill(&self) -> bool {
        matches!(self, Self::Rounds { silent_seconds, .. } if *silent_seconds >= STANDSTILL)
    }

    fn without_counts(&self) -> Self {
        let mut bare = self.clone();
        match &mut bare {
            Self::History { services, asked, of } => (*services, *asked, *of) = (0, 0, 0),
            Self::FirstRound { services } | Self::Telemetry { services, .. } => *services = 0,
            Self::EarlierWrites { writes } => *writes = 0,
            Self::Rounds { silent_seconds, .. } => *silent_seconds = 0,
            Self::Watch { why, .. } => why.silent_seconds = why.silent_seconds.map(|_| 0),
            Self::Declarations
            | Self::Services
            | Self::Unheeded { .. }
            | Self::Bound { .. }
            | Self::UnreadableIntent(_)
            | Self::Lease { .. }
            | Self::FormerLeader
            | Self::PolicySet
            | Self::PolicySetAfterRollback { .. }
            | Self::Journal { .. } => {}
        }
        bare
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declarations => f.write_str("the declarations of services"),
            Self::Services => f.write_str("declared services to be started"),
            Self::History { services, asked, of } => {
                write!(f, "history of {} (queried {asked} of {of})", counted(*services, "service"))
            }
            Self::FirstRound { services } => write!(f, "a first round for {}", counted(*services, "service")),
            Self::Telemetry { services, error } => write!(f, "telemetry of {}: {error}", counted(*services, "service")),
            Self::Rounds { source, silent_seconds } => write!(
                f,
                "the loop is stalled: source {source} was not queried for {silent_seconds} s; if this persists, \
                 restart flyball"
            ),
            Self::Watch { of, why } => write!(f, "watch of {of}: {why}"),
            Self::EarlierWrites { writes } => write!(f, "{} to be settled", counted(*writes, "earlier write")),
            Self::UnreadableIntent(intent) => intent.fmt(f),
            Self::Unheeded { declaration } => f.write_str(declaration),
            Self::Bound { why } => write!(f, "{why}; nothing is written until this is fixed"),
            Self::Lease { name, why } => write!(f, "lease {name}: {why}"),
            Self::FormerLeader => f.write_str("the state of the previous leader"),
            Self::PolicySet => f.write_str("a policy set"),
            Self::PolicySetAfterRollback { revision } => write!(
                f,
                "a policy set: release {revision} was rolled back, and the previous one is not known here; nothing is \
                 decided until the policies are fixed or that release is promoted"
            ),
            Self::Journal { error } => f.write_str(error),
        }
    }
}

impl fmt::Display for StaleWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.silent_seconds {
            Some(seconds) => write!(f, "silent for {seconds} s")?,
            None => f.write_str("not synced")?,
        }
        self.trouble.iter().try_for_each(|trouble| write!(f, ": {trouble}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn silent(of: &str, silent_seconds: u64) -> Awaited {
        let why = StaleWatch { silent_seconds: Some(silent_seconds), trouble: None };
        Awaited::Watch { of: of.to_owned(), why }
    }

    #[test]
    fn a_count_that_goes_on_is_the_same_wait_and_another_subject_is_not() {
        let history = |services, asked| Awaited::History { services, asked, of: 9 };
        assert!(history(5, 4).is_same(&history(3, 6)));
        assert!(silent("Deployments in shop-1", 121).is_same(&silent("Deployments in shop-1", 180)));
        assert!(!silent("Deployments in shop-1", 121).is_same(&silent("Deployments in shop-2", 121)));
        let fails = |services, error: &str| Awaited::Telemetry { services, error: error.to_owned() };
        assert!(fails(1, "status 503").is_same(&fails(2, "status 503")));
        assert!(!fails(1, "status 503").is_same(&fails(1, "status 401")));
        assert!(!Awaited::FormerLeader.is_same(&Awaited::PolicySet));
        let still = |silent_seconds| Awaited::Rounds { source: "main".to_owned(), silent_seconds };
        assert!(still(70).is_same(&still(400)) && !still(70).is_standstill() && still(400).is_standstill());
    }

    #[test]
    fn programs_read_its_kind_and_what_it_is_about() {
        let unreadable = Unreadable {
            namespace: "shop".to_owned(),
            object: "cart-1".to_owned(),
            service: None,
            why: "odd".to_owned(),
        };
        for (awaited, told) in [
            (Awaited::PolicySet, json!({ "kind": "policy_set" })),
            (
                silent("policies", 121),
                json!({ "kind": "watch", "of": "policies", "silent_seconds": 121, "trouble": null }),
            ),
            (
                Awaited::UnreadableIntent(unreadable),
                json!({ "kind": "unreadable_intent", "namespace": "shop", "object": "cart-1", "service": null, "why": "odd" }),
            ),
        ] {
            assert_eq!(serde_json::to_value(&awaited).unwrap(), told);
            assert_eq!(serde_json::from_value::<Awaited>(told).unwrap(), awaited);
        }
    }
}
