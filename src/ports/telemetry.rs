//! Telemetry sources. Queries of all services that share a template go out as one grouped query.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::model::{Arrival, Finite, SignalName, Timestamp};

/// A grouped query: one series per service, distinguished by labels.
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
    /// The services queried, and their places in the answer. Templates of one source share it if they can.
    pub members: Arc<Members>,
    /// Services in the answer; places that no member names stay missing.
    pub width: usize,
}

/// The services of a template by the values of its labels. Lookup does not allocate, since it happens for each series
/// of each answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    places: HashMap<Box<[u8]>, usize>,
    values: BTreeMap<usize, Vec<Arc<str>>>,
}

impl Members {
    /// Returns the place of the service with these label values, in the order of the template's labels. `scratch` is
    /// overwritten; pass the same one each time.
    pub fn place<'a>(&self, values: impl IntoIterator<Item = &'a str>, scratch: &mut Vec<u8>) -> Option<usize> {
        join(values, scratch);
        self.places.get(scratch.as_slice()).copied()
    }

    /// Returns the label values of the service in a place.
    pub fn values(&self, place: usize) -> Option<&[Arc<str>]> {
        self.values.get(&place).map(Vec::as_slice)
    }
}

impl FromIterator<(Vec<Arc<str>>, usize)> for Members {
    /// Of two services with equal label values the last wins.
    fn from_iter<I: IntoIterator<Item = (Vec<Arc<str>>, usize)>>(members: I) -> Self {
        let mut all = Self::default();
        for (values, place) in members {
            let mut key = Vec::new();
            join(values.iter().map(AsRef::as_ref), &mut key);
            if let Some(before) = all.places.insert(key.into(), place) {
                all.values.remove(&before);
            }
            all.values.insert(place, values);
        }
        all
    }
}

/// Writes label values as one key; the separator is a byte that no text contains.
fn join<'a>(values: impl IntoIterator<Item = &'a str>, key: &mut Vec<u8>) {
    key.clear();
    for value in values {
        key.extend_from_slice(value.as_bytes());
        key.push(0xff);
    }
}

/// Everything that is queried from a source in one tick.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// One per signal template.
    pub templates: Vec<Template>,
    /// How long the whole round may take.
    pub deadline: Duration,
}

impl Round {
    /// Returns the same with only the templates at `positions`.
    #[must_use]
    pub fn only(&self, positions: &[usize]) -> Self {
        let templates = positions.iter().filter_map(|at| self.templates.get(*at)).cloned().collect();
        Self { templates, deadline: self.deadline }
    }
}

/// The answer to a round: for each template one arrival per service, in the order of the round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// `arrivals[template][service]`.
    pub arrivals: Vec<Vec<Arrival>>,
    /// Queries sent.
    pub queries: u32,
    /// Series that belong to no service.
    pub unmatched: u64,
    /// The server's remarks on queries with complete answers, truncated. One series of one service may cause them.
    pub annotations: Vec<String>,
    /// How long to back off, if the source requested it (429, 503), already capped.
    pub back_off: Option<Duration>,
    /// The error that aborted the round, if any.
    pub error: Option<SourceError>,
    /// Why single templates got no answer, in the order of the round: faults of their own queries or answers.
    pub faults: Vec<Option<SourceError>>,
}

/// Why a source gave no answer. Texts are truncated and contain no body and no credentials.
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
    /// Not queried: the credentials cannot be used.
    #[error("not queried: {0}")]
    Unauthorized(String),
    /// Not within the deadline.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// Not queried: earlier queries used up the time of the round, which is this.
    #[error("not queried: other queries used up the round's {0:?}")]
    NotReached(Duration),
    /// An HTTP status other than success.
    #[error("answered with status {status}: {message}")]
    Status {
        /// The status.
        status: u16,
        /// The server's error text, truncated.
        message: String,
    },
    /// The answer exceeds the read limit.
    #[error("answer larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Not in the documented format.
    #[error("malformed answer: {0}")]
    Malformed(String),
}

impl SourceError {
    /// Returns whether the server did not finish the query: no answer in time, or a status that servers and proxies
    /// also use for that (Prometheus answers a query that times out with 503). On its own it says nothing about other
    /// queries.
    pub fn is_unfinished(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::Status { status: 500..=599, .. })
    }
}

/// A source of samples.
pub trait TelemetrySource: Send + Sync + 'static {
    /// Queries one round. Never fails as a whole: what did not arrive is a typed missing value.
    fn read<'a>(&'a self, round: &'a Round) -> BoxFuture<'a, Answer>;

    /// Reads the past of some members of a template: one row per place in `places`, oldest first, with one value per
    /// minute from the minute of `from` up to, but not including, the minute of `to`. The value of a minute is the
    /// query's at its end. The source splits ranges that a server would refuse.
    fn history<'a>(
        &'a self,
        template: &'a Template,
        places: &'a [usize],
        from: Timestamp,
        to: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Vec<Option<Finite>>>, SourceError>>;
}
