//! How a write ended, and what that costs.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the write gate checks last, and what it may refuse for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "refused", rename_all = "snake_case")]
pub enum Refusal {
    /// The kill switch is engaged.
    KillSwitch {
        /// Its reason.
        reason: String,
    },
    /// A budget (service, namespace, fleet) is spent.
    Budget {
        /// Which, with its numbers.
        reason: String,
    },
    /// Another write to the same target is in flight.
    Busy,
    /// Another process may write now or soon.
    Leadership {
        /// The lease state of this process.
        reason: String,
    },
    /// The API server could not be read or reached, or said that it is too busy to act (429, 503).
    #[serde(rename = "unreachable")]
    Unavailable {
        /// Its words.
        reason: String,
        /// How far the change came.
        #[serde(flatten)]
        reach: Reach,
        /// How long the server asks clients to back off; zero if it does not say.
        #[serde(default)]
        #[serde(alias = "retry_after_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
        retry_after: Duration,
    },
    /// The journal could not be written.
    Journal {
        /// What failed.
        error: String,
    },
}

/// How far a change got on which the API server did not act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "ReachFlags", into = "ReachFlags")]
#[schemars(with = "ReachFlags")]
pub enum Reach {
    /// No connection was established: the server is away, not slow or busy.
    NoConnection,
    /// It was not sent.
    Unsent,
    /// It was sent, and the server answered so.
    Sent,
}

/// The same in record form.
#[derive(Serialize, Deserialize, JsonSchema)]
struct ReachFlags {
    #[serde(default)]
    sent: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    away: bool,
}

impl From<ReachFlags> for Reach {
    fn from(flags: ReachFlags) -> Self {
        match flags {
            ReachFlags { sent: true, .. } => Self::Sent,
            ReachFlags { away: true, .. } => Self::NoConnection,
            ReachFlags { .. } => Self::Unsent,
        }
    }
}

impl From<Reach> for ReachFlags {
    fn from(reach: Reach) -> Self {
        Self { sent: reach == Reach::Sent, away: reach == Reach::NoConnection }
    }
}

impl Refusal {
    /// Returns whether flyball itself held the change back, so that nothing failed.
    pub fn is_own(&self) -> bool {
        match self {
            Self::KillSwitch { .. } | Self::Budget { .. } | Self::Busy | Self::Leadership { .. } => true,
            Self::Unavailable { .. } | Self::Journal { .. } => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillSwitch { reason } => write!(f, "kill switch: {reason}"),
            Self::Budget { reason } => write!(f, "budget: {reason}"),
            Self::Busy => f.write_str("another write to the target is in flight"),
            Self::Leadership { reason } => write!(f, "leadership: {reason}"),
            Self::Unavailable { reason, .. } => write!(f, "API server: {reason}"),
            Self::Journal { error } => write!(f, "journal: {error}"),
        }
    }
}

/// How a change ended. Each intent gets exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum WriteOutcome {
    /// flyball changed the object.
    Applied,
    /// The object had the wanted value already.
    AlreadyThere,
    /// The object changed after the decision; decide again.
    Superseded {
        /// What was found, by a read before the write or by its answer (404, 409).
        found: String,
    },
    /// The API server said no, to the write or to the read before it.
    Rejected {
        /// Its answer.
        reason: String,
        /// Whether it is known to have had no effect. Absent in records of older versions.
        #[serde(default)]
        did_nothing: bool,
    },
    /// Too old before it could be sent.
    Expired,
    /// Not sent: the data it was decided on was no longer fresh.
    Stale {
        /// How long after the decision it was.
        #[serde(alias = "fresh_for_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
        fresh_for: Duration,
        /// How long ago the decision was.
        #[serde(alias = "age_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
        age: Duration,
    },
    /// Not sent: the write gate refused.
    Refused(Refusal),
    /// Abandoned before it was sent, or sent but not applied, as a later read showed.
    Abandoned {
        /// What was known.
        reason: String,
        /// What it may have done.
        #[serde(flatten)]
        trace: WriteTrace,
    },
    /// No adapter can change this knob yet.
    NoLever,
}

/// What an abandoned change may have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "TraceFlags", into = "TraceFlags")]
#[schemars(with = "TraceFlags")]
pub enum WriteTrace {
    /// Nothing: it was not sent.
    NotSent,
    /// Nothing: the object was found unchanged after the last moment at which the write could land.
    Nothing,
    /// Something: the API server may have seen it.
    MayHave,
}

/// The same in record form. Records of older versions lack it; they count as sent and as having had an effect.
#[derive(Serialize, Deserialize, JsonSchema)]
struct TraceFlags {
    #[serde(default = "may_have_been_sent")]
    sent: bool,
    #[serde(default)]
    did_nothing: bool,
}

fn may_have_been_sent() -> bool {
    true
}

impl From<TraceFlags> for WriteTrace {
    fn from(flags: TraceFlags) -> Self {
        match flags {
            TraceFlags { sent: false, .. } => Self::NotSent,
            TraceFlags { did_nothing: true, .. } => Self::Nothing,
            TraceFlags { .. } => Self::MayHave,
        }
    }
}

impl From<WriteTrace> for TraceFlags {
    fn from(trace: WriteTrace) -> Self {
        Self { sent: trace != WriteTrace::NotSent, did_nothing: trace != WriteTrace::MayHave }
    }
}

impl WriteOutcome {
    /// Returns the outcome of a change that is abandoned before it was sent: it costs no budget.
    pub fn unsent(reason: &str) -> Self {
        Self::Abandoned { reason: reason.to_owned(), trace: WriteTrace::NotSent }
    }

    /// Returns the outcome of a change that is not sent for lack of an API server response.
    pub fn unavailable(reason: String) -> Self {
        Self::Refused(Refusal::Unavailable { reason, reach: Reach::Unsent, retry_after: Duration::ZERO })
    }

    /// Returns the outcome of a change that is not sent because no connection to the API server is established.
    pub fn away(reason: String) -> Self {
        Self::Refused(Refusal::Unavailable { reason, reach: Reach::NoConnection, retry_after: Duration::ZERO })
    }

    /// Returns whether no connection to the API server was established.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Refused(Refusal::Unavailable { reach: Reach::NoConnection, .. }))
    }

    /// For a change that failed at the API server: how long the server asks clients to back off, possibly zero.
    pub fn denied(&self) -> Option<Duration> {
        match self {
            Self::Abandoned { trace: WriteTrace::NotSent, .. } => None,
            Self::Superseded { .. } | Self::Rejected { .. } | Self::Abandoned { .. } => Some(Duration::ZERO),
            Self::Refused(Refusal::Unavailable { retry_after, .. }) => Some(*retry_after),
            _ => None,
        }
    }

    /// Returns whether it counts against the budgets: it had an effect, or may have had one.
    ///
    /// | answer | how it ends | budgets of service, namespace, fleet | cooldown | retried |
    /// |---|---|---|---|---|
    /// | to the PATCH: done | applied | spent | starts | after the cooldown |
    /// | an admission made another value | rejected | spent | none | after a pause |
    /// | 400, 401, 403, 422, other 4xx | rejected | refunded | none | after a pause |
    /// | 404, 409 | superseded | refunded | none | after a pause |
    /// | 429, 503 | refused | refunded | none | after a pause, or `Retry-After` if longer, at most a minute |
    /// | 408, other 5xx, none in time; found applied | applied | spent | starts | after the cooldown |
    /// | the same; found unchanged once it can no longer land | abandoned | refunded then | none | after a pause |
    /// | the same; another value, no object or another object is found | abandoned | spent | none | after a pause |
    /// | to the prior read: no, or another value | superseded, rejected, refused | not spent | none | after a pause |
    /// | never sent for another reason | as the gate says | not spent | none | immediately |
    ///
    /// The pause (`guard/denials.rs`) is 5 s and doubles with each consecutive one up to a minute, across restarts too,
    /// and up to 15 s if no connection to the server was established: retries then cost the server nothing, and a raise
    /// waits for its return. For an abandoned write the 11 s until it can no longer land are part of the pause.
    pub fn is_charged(&self) -> bool {
        match self {
            Self::Applied => true,
            Self::Rejected { did_nothing, .. } => !did_nothing,
            Self::Abandoned { trace, .. } => *trace == WriteTrace::MayHave,
            _ => false,
        }
    }

    /// Returns whether guards consider it later: it is charged, or failed at the API server.
    pub fn is_remembered(&self) -> bool {
        self.is_charged() || self.denied().is_some()
    }

    /// Returns the word used in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::AlreadyThere => "already_there",
            Self::Superseded { .. } => "superseded",
            Self::Rejected { .. } => "rejected",
            Self::Expired => "expired",
            Self::Stale { .. } => "stale",
            Self::Refused(_) => "refused",
            Self::Abandoned { .. } => "abandoned",
            Self::NoLever => "no_lever",
        }
    }
}

impl fmt::Display for WriteOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied => f.write_str("applied"),
            Self::AlreadyThere => f.write_str("already set"),
            Self::Superseded { found } => write!(f, "superseded: {found}"),
            Self::Rejected { reason, .. } => write!(f, "rejected by the API server: {reason}"),
            Self::Expired => f.write_str("expired before it could be sent"),
            Self::Stale { fresh_for, age } => write!(
                f,
                "not sent on stale data: it was fresh for {:.1} s after the decision, made {:.1} s ago",
                fresh_for.as_secs_f64(),
                age.as_secs_f64()
            ),
            Self::Refused(Refusal::Unavailable { reason, reach: Reach::Sent, .. }) => write!(f, "declined: {reason}"),
            Self::Refused(refusal) => write!(f, "refused at the write gate: {refusal}"),
            Self::Abandoned { reason, .. } => write!(f, "abandoned: {reason}"),
            Self::NoLever => f.write_str("no adapter can read or change this value yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_did_nothing_is_told_from_what_may_have_and_older_records_count_as_if_it_had() {
        let reason = || "found 4, not 6".to_owned();
        let abandoned = |trace| WriteOutcome::Abandoned { reason: reason(), trace };
        for (outcome, charged, remembered) in [
            (WriteOutcome::unsent("flyball is shutting down"), false, false),
            (abandoned(WriteTrace::Nothing), false, true),
            (abandoned(WriteTrace::MayHave), true, true),
            (WriteOutcome::Rejected { reason: reason(), did_nothing: true }, false, true),
            (WriteOutcome::Rejected { reason: reason(), did_nothing: false }, true, true),
            (WriteOutcome::unavailable(reason()), false, true),
            (WriteOutcome::Superseded { found: reason() }, false, true),
            (WriteOutcome::Refused(Refusal::Busy), false, false),
        ] {
            let packed = rmp_serde::to_vec_named(&outcome).unwrap();
            let read: WriteOutcome = rmp_serde::from_slice(&packed).unwrap();
            assert_eq!((read.is_charged(), read.is_remembered(), &read), (charged, remembered, &outcome));
        }
        // As every version writes them: journals and objects are read by other versions, too.
        let busy = Refusal::Unavailable { reason: reason(), reach: Reach::Sent, retry_after: Duration::ZERO };
        for (outcome, flags) in [
            (WriteOutcome::unsent(&reason()), json!({ "sent": false, "did_nothing": true })),
            (abandoned(WriteTrace::Nothing), json!({ "sent": true, "did_nothing": true })),
            (abandoned(WriteTrace::MayHave), json!({ "sent": true, "did_nothing": false })),
            (WriteOutcome::Refused(busy), json!({ "refused": "unreachable", "sent": true })),
            (WriteOutcome::unavailable(reason()), json!({ "refused": "unreachable", "sent": false })),
            (WriteOutcome::away(reason()), json!({ "refused": "unreachable", "sent": false, "away": true })),
        ] {
            let mut written = serde_json::to_value(&outcome).unwrap();
            let written = written.as_object_mut().unwrap();
            written.retain(|key, _| !["outcome", "reason", "retry_after"].contains(&key.as_str()));
            assert_eq!(Value::Object(written.clone()), flags, "{outcome:?}");
        }
        for (word, outcome) in [
            ("abandoned", abandoned(WriteTrace::MayHave)),
            ("rejected", WriteOutcome::Rejected { reason: reason(), did_nothing: false }),
        ] {
            let older = json!({ "outcome": word, "reason": reason() });
            assert_eq!(serde_json::from_value::<WriteOutcome>(older).unwrap(), outcome);
        }
    }
}
