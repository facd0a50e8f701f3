//! Which process may write: the only one, or among several the lease holder.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A write starts only with this much of the lease left: its deadline plus a second (INV-17).
pub const WRITE_MARGIN: Duration = Duration::from_secs(6);

/// After this time a write has landed or never will. It may reach the server up to 5 s after it was sent, when its
/// sender gives up and drops the connection, and the server, which is asked to give up after 5 s too, counts from
/// arrival: 5 s + 5 s, plus a second for what neither counts (the way back through a proxy, the server's clock).
pub const LANDS_WITHIN: Duration = Duration::from_secs(11);

/// A term of leadership, numbered higher than all before it. A Lease counts terms as its transitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// The only term of a process that runs alone.
    pub const ALONE: Self = Self(0);

    /// Returns the epoch with this number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns its number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// Returns the next epoch.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The lease state of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "lead", rename_all = "snake_case")]
pub enum Lead {
    /// No other process writes.
    Alone,
    /// It holds the lease.
    Holds {
        /// Its term.
        epoch: Epoch,
        /// How long from now no other process can hold it.
        #[serde(alias = "left_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
        left: Duration,
    },
    /// It holds the lease, but has not read the state of its predecessor yet.
    TakesOver {
        /// Its term.
        epoch: Epoch,
    },
    /// It holds no lease.
    Follows {
        /// The holder, if known.
        holder: Option<String>,
    },
}

impl Lead {
    /// Returns the term of this process; `None` if it has none.
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Alone => Some(Epoch::ALONE),
            Self::Holds { epoch, .. } | Self::TakesOver { epoch } => Some(*epoch),
            Self::Follows { .. } => None,
        }
    }

    /// Returns whether this process reports for the installation: writes statuses and Events.
    pub fn speaks(&self) -> bool {
        self.epoch().is_some()
    }

    /// Returns on what grounds this process may write now (INV-17).
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_write(&self) -> Result<String, String> {
        match self {
            Self::Alone => Ok("no other process writes".to_owned()),
            Self::Holds { epoch, left } if *left >= WRITE_MARGIN => {
                Ok(format!("holds the lease (epoch {epoch}) for another {} s", left.as_secs()))
            }
            Self::Holds { epoch, left } => Err(format!(
                "{:.1} s remain of the lease of epoch {epoch}, a write needs {} s",
                left.as_secs_f64(),
                WRITE_MARGIN.as_secs()
            )),
            Self::TakesOver { epoch } => {
                Err(format!("taking over (epoch {epoch}): reading the state of the previous leader"))
            }
            Self::Follows { holder: Some(holder) } => Err(format!("follower: {holder} holds the lease")),
            Self::Follows { holder: None } => Err("follower: this process does not hold the lease".to_owned()),
        }
    }

    /// Returns why a write decided in the term `decided` may not start now; `None` if it may.
    pub fn forbids(&self, decided: Epoch) -> Option<String> {
        let other = |epoch: Epoch| {
            (epoch != decided).then(|| format!("decided in epoch {decided}, the current one is {epoch}"))
        };
        self.may_write().err().or_else(|| self.epoch().and_then(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv_17_a_write_needs_the_lease_its_own_epoch_and_six_seconds() {
        let check = |lead: Lead, decided: u64, words: Option<&str>| {
            let why = lead.forbids(Epoch::new(decided));
            assert_eq!(why.is_some(), words.is_some(), "{lead:?}: {why:?}");
            assert!(why.unwrap_or_default().contains(words.unwrap_or_default()), "{lead:?}");
        };
        let holds = |milliseconds| Lead::Holds { epoch: Epoch::new(3), left: Duration::from_millis(milliseconds) };
        check(Lead::Alone, 0, None);
        check(holds(6_000), 3, None);
        check(holds(5_999), 3, Some("a write needs 6 s"));
        check(holds(0), 3, Some("a write needs 6 s"));
        check(holds(15_000), 2, Some("decided in epoch 2, the current one is 3"));
        check(holds(15_000), 4, Some("decided in epoch 4, the current one is 3"));
        check(Lead::TakesOver { epoch: Epoch::new(3) }, 3, Some("taking over"));
        check(Lead::Follows { holder: Some("flyball-1".to_owned()) }, 3, Some("flyball-1 holds the lease"));
        check(Lead::Follows { holder: None }, 0, Some("does not hold the lease"));
    }
}
