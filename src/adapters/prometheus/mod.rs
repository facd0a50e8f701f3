//! Prometheus, and anything else that speaks its HTTP API (Mimir, Thanos, `VictoriaMetrics`).
//!
//! A round sends one instant query per template and one for the sample times of each distinct `samples` selector,
//! sequentially: a source never has two queries in flight. A missing result is a typed missing value for exactly the
//! services it was meant for. If the server answers another query of the round but does not finish this one, the fault
//! is the query's. If a source is down or overloaded, or finishes neither of the first two queries, the rest of the
//! round is not sent.
//!
//! | file | duty |
//! |---|---|
//! | [`settings`] | where, how long and as whom, validated |
//! | `http` | one exchange: deadline, size limit, no redirects, errors without secrets |
//! | `parse` | walks an answer series by series, without holding it twice |
//! | `vector` | instant answers: one slot per service |
//! | `history` | range answers on the minute grid, split into stretches a server accepts |
//! | `selector` | label matchers for some services, quoted |

mod history;
mod http;
mod parse;
mod selector;
pub mod settings;
mod vector;

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;

pub use settings::{Access, PrometheusSettings, SetupError};

use crate::model::{Arrival, Finite, Missing, Sample, Timestamp};
use crate::ports::telemetry::Members;
use crate::ports::{Answer, Round, SourceError, TelemetrySource, Template};
use http::{Http, Refusal};
use vector::{Slot, Vector};

/// A server with the Prometheus HTTP API.
#[derive(Debug)]
pub struct Prometheus {
    http: Http,
}

impl Prometheus {
    /// Returns the source; nothing is sent yet.
    ///
    /// # Errors
    /// [`SetupError::NoTlsProvider`] when the process has not installed one, [`SetupError::Certificates`] when the
    /// trusted certificates cannot be read, [`SetupError::Client`] when the HTTP client cannot be built.
    pub fn new(settings: PrometheusSettings) -> Result<Self, SetupError> {
        Ok(Self { http: Http::new(settings)? })
    }
}

impl TelemetrySource for Prometheus {
    fn read<'a>(&'a self, round: &'a Round) -> BoxFuture<'a, Answer> {
        Box::pin(Reader::new(&self.http, round).run())
    }

    fn history<'a>(
        &'a self,
        template: &'a Template,
        places: &'a [usize],
        from: Timestamp,
        to: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Vec<Option<Finite>>>, SourceError>> {
        Box::pin(history::read(&self.http, template, places, from, to))
    }
}

/// The answer to a query for sample times.
struct Times {
    question: String,
    members: Arc<Members>,
    slots: Result<Arc<[Slot]>, SourceError>,
}

/// One round in progress.
struct Reader<'a> {
    http: &'a Http,
    round: &'a Round,
    started: Instant,
    /// Sample times by query, so that templates over the same series share one.
    times: Vec<Times>,
    /// Whether the server has answered a query of this round, even with a refusal.
    answers: bool,
    /// Queries that the server did not finish.
    unfinished: u32,
    answer: Answer,
}

impl<'a> Reader<'a> {
    fn new(http: &'a Http, round: &'a Round) -> Self {
        let answer = Answer {
            arrivals: Vec::with_capacity(round.templates.len()),
            faults: Vec::with_capacity(round.templates.len()),
            ..Answer::default()
        };
        Self { http, round, started: Instant::now(), times: Vec::new(), answers: false, unfinished: 0, answer }
    }

    async fn run(mut self) -> Answer {
        for template in &self.round.templates {
            let (row, fault) = match self.template(template).await {
                Ok(row) => (row, None),
                Err(error) => {
                    let missing = Missing::SourceDown { error: error.to_string() };
                    let own = self.answer.error.is_none().then_some(error);
                    (vec![Arrival::Missing(missing); template.width], own)
                }
            };
            self.answer.arrivals.push(row);
            self.answer.faults.push(fault);
        }
        if !self.answers && self.answer.error.is_none() {
            // The only query was not finished, and nothing shows that others would have been.
            let mut own = self.answer.faults.iter_mut();
            self.answer.error = own.find_map(|fault| fault.take_if(|error| error.is_unfinished()));
        }
        self.answer
    }

    /// Queries the sample times first: a value is then never older than its time.
    async fn template(&mut self, template: &Template) -> Result<Vec<Arrival>, SourceError> {
        let times = self.times(template).await?;
        let values = self.ask(&selector::whole(&template.query), template).await?;
        self.answer.unmatched = self.answer.unmatched.saturating_add(values.unmatched);
        Ok(values.slots.iter().zip(times.iter()).map(|(value, time)| arrival(value, time)).collect())
    }

    /// Returns the sample times of a template, queried unless another template has done so.
    async fn times(&mut self, template: &Template) -> Result<Arc<[Slot]>, SourceError> {
        let samples = selector::whole(&template.samples);
        let question = format!("max by ({}) (timestamp({samples}))", template.labels.join(", "));
        let known = |times: &&Times| times.question == question && times.members == template.members;
        if let Some(times) = self.times.iter().find(known) {
            return times.slots.clone();
        }
        let slots = self.ask(&question, template).await.map(|answer| Arc::from(answer.slots));
        self.times.push(Times { question, members: Arc::clone(&template.members), slots: slots.clone() });
        slots
    }

    /// Sends one instant query, unless the round was aborted.
    async fn ask(&mut self, query: &str, template: &Template) -> Result<Vector, SourceError> {
        if let Some(error) = &self.answer.error {
            return Err(error.clone());
        }
        let left = self.round.deadline.saturating_sub(self.started.elapsed());
        if left.is_zero() {
            return Err(self.out_of_time());
        }
        self.answer.queries = self.answer.queries.saturating_add(1);
        let refusal = match self.http.post("api/v1/query", &[("query", query)], left).await {
            Ok(body) => {
                self.answers = true;
                let mut vector = vector::read(&body, template)?;
                self.answer.annotations.append(&mut vector.annotations);
                return Ok(vector);
            }
            Err(refusal) => refusal,
        };
        if self.breaks_off(&refusal) {
            self.answer.back_off = self.answer.back_off.max(refusal.back_off);
            self.answer.error = Some(refusal.error.clone());
        }
        Err(refusal.error)
    }

    /// Explains why a query is not sent: earlier queries used up the time of the round.
    fn out_of_time(&mut self) -> SourceError {
        let deadline = self.round.deadline;
        if self.answers {
            return SourceError::NotReached(deadline);
        }
        self.answer.error.insert(SourceError::TimedOut(deadline)).clone()
    }

    /// Returns whether the other queries of the round would fail the same way: all but faults of one query or its
    /// answer. An unfinished query may just be slow; if the server finishes no other one either, the rest is not sent.
    fn breaks_off(&mut self, refusal: &Refusal) -> bool {
        match &refusal.error {
            error if error.is_unfinished() && refusal.back_off.is_none() => {
                self.unfinished += 1;
                !self.answers && self.unfinished > 1
            }
            SourceError::Status { status: 400 | 422, .. } | SourceError::TooLarge { .. } => {
                self.answers = true;
                false
            }
            SourceError::Malformed(_) | SourceError::NotReached(_) => false,
            SourceError::Unreachable { .. }
            | SourceError::Unauthorized(_)
            | SourceError::TimedOut(_)
            | SourceError::Status { .. } => true,
        }
    }
}

fn arrival(value: &Slot, time: &Slot) -> Arrival {
    let missing = match (value, time) {
        (Slot::Value(value), Slot::Value(time)) => match stamp(*time) {
            Some(at) => return Arrival::Value(Sample { at, value: *value }),
            None => Missing::NoSampleTime,
        },
        (Slot::Value(_), Slot::Empty | Slot::NotFinite | Slot::NoNumber) => Missing::NoSampleTime,
        (Slot::Empty, _) => Missing::NoSeries,
        (Slot::NotFinite | Slot::NoNumber, _) => Missing::NotFinite,
        (Slot::Several(series), _) | (_, Slot::Several(series)) => Missing::Ambiguous { series: *series },
    };
    Arrival::Missing(missing)
}

/// Returns the time of `seconds` since the epoch, to the millisecond, the resolution of Prometheus.
fn stamp(seconds: Finite) -> Option<Timestamp> {
    let milliseconds = (seconds.get() * 1000.0).round();
    Timestamp::from_millisecond(milliseconds as i64).ok()
}
