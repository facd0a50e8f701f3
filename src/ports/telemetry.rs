//! Telemetry sources. Queries of all services that share a template go out as one grouped query.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::model::{Arrival, Finite, MinuteValue, ServiceId, SignalName, Timestamp};

/// A grouped query: one series for each service, told apart by labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The signal it yields.
    pub signal: SignalName,
    /// The query; `$selector` stands for label matchers, which narrow it to some services.
    pub query: Arc<str>,
    /// The raw series that the query reads, as one selector with `$selector`: the time of its newest
    /// sample is the time of the value. Templates with equal text share one question.
    pub samples: Arc<str>,
    /// Labels that name a service, in the order of the members' values.
    pub labels: Vec<Arc<str>>,
    /// Values of the labels of each member, and its place in the answer.
    pub members: Arc<BTreeMap<Vec<Arc<str>>, usize>>,
    /// Services in the answer; places that no member names stay missing.
    pub width: usize,
}

/// Everything that is asked of a source in one tick.
#[derive(Debug, Clone)]
pub struct Round {
    /// One for each signal template.
    pub templates: Vec<Template>,
    /// How long the whole round may take.
    pub deadline: Duration,
}

/// The answer to a round: for each template one arrival for each service, in the order of the round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `arrivals[template][service]`.
    pub arrivals: Vec<Vec<Arrival>>,
    /// Queries sent.
    pub queries: u32,
    /// Series that belong to no service.
    pub strangers: u64,
    /// How long to stay away, if the source asked for it (429, 503), already capped.
    pub back_off: Option<Duration>,
    /// The error that broke the round off, if one did.
    pub error: Option<SourceError>,
}

/// Why a source gave no answer. Texts are cut and carry no body and no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Refused, reset, unknown host.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// Where, without credentials.
        url: String,
        /// Why.
        reason: String,
    },
    /// Not within the deadline.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// An HTTP status other than success.
    #[error("answered with status {status}: {message}")]
    Status {
        /// The status.
        status: u16,
        /// The server's error text, cut.
        message: String,
    },
    /// More than is read of an answer.
    #[error("answer larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Not of the documented form.
    #[error("malformed answer: {0}")]
    Malformed(String),
}

/// A stretch of the past of one signal of one service on the minute grid, oldest first, gaps explicit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Whose.
    pub service: ServiceId,
    /// Which signal.
    pub signal: SignalName,
    /// The minutes.
    pub minutes: Vec<MinuteValue>,
}

/// A source of samples.
pub trait TelemetrySource: Send + Sync + 'static {
    /// Asks one round. Never fails as a whole: what did not arrive is a typed missing value.
    fn read<'a>(&'a self, round: &'a Round) -> BoxFuture<'a, Answer>;

    /// Reads the past of some members of a template, `from` to `to` in one-minute steps: for each place in
    /// `places` one row of values, oldest first, one for each minute. The caller chooses stretches that a
    /// server accepts (at most 11,000 points a series).
    fn history<'a>(
        &'a self,
        template: &'a Template,
        places: &'a [usize],
        from: Timestamp,
        to: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Vec<Option<Finite>>>, SourceError>>;
}
