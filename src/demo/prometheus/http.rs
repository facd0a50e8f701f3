//! The HTTP API of Prometheus on loopback, to the extent flyball uses it: instant and range queries by GET and POST
//! form, readiness.
//!
//! An expression is evaluated at the newest published scrape; `timestamp(...)` returns the time of that scrape, while
//! points carry the requested time, as in Prometheus.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::{fmt, io};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Form, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::model::Timestamp;
use crate::sim::Signal;

use super::answer::{self, BadData, Form as AnswerForm, Series};
use super::queries::{Asked, Question, understand};
use super::telemetry::{Telemetry, newest_scrape};

/// Most points of one range query, as in Prometheus.
const MAX_POINTS: f64 = 11_000.0;

/// A series without a sample for this many seconds has no value, as in Prometheus.
const LOOKBACK_SECONDS: i64 = 300;

/// Samples older than this many seconds are gone, as with Prometheus' default retention of 15 days.
const RETENTION_SECONDS: i64 = 15 * 86_400;

/// A server that runs until it is dropped.
pub struct PrometheusDouble {
    address: SocketAddr,
    _stop: DropGuard,
}

impl fmt::Debug for PrometheusDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusDouble").field("address", &self.address).finish_non_exhaustive()
    }
}

impl PrometheusDouble {
    /// Starts a server over `telemetry` on a free port of the loopback interface.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(telemetry: impl Telemetry) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let api = Api { telemetry: Arc::new(telemetry) };
        let routes = Router::new()
            .route("/api/v1/query", get(instant).post(instant))
            .route("/api/v1/query_range", get(range).post(range))
            .route("/-/ready", get(|| async { "Prometheus Server is Ready.\n" }))
            .with_state(api);
        let token = CancellationToken::new();
        let stopped = token.clone().cancelled_owned();
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stopped).await {
                tracing::warn!(%error, "telemetry endpoint of the demo stopped");
            }
        });
        Ok(Self { address, _stop: token.drop_guard() })
    }

    /// Returns its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[derive(Clone)]
struct Api {
    telemetry: Arc<dyn Telemetry>,
}

#[derive(Debug, Deserialize)]
struct InstantQuery {
    #[serde(default)]
    query: String,
    time: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RangeQuery {
    #[serde(default)]
    query: String,
    #[serde(default)]
    start: String,
    #[serde(default)]
    end: String,
    #[serde(default)]
    step: String,
}

async fn instant(State(api): State<Api>, Form(asked): Form<InstantQuery>) -> Response {
    let question = match question(&asked.query) {
        Ok(question) => question,
        Err(fault) => return fault.into_response(),
    };
    let at = match asked.time.as_deref() {
        Some(text) => match time("time", text) {
            Ok(at) => at,
            Err(fault) => return fault.into_response(),
        },
        None => api.telemetry.now() as f64,
    };
    reply(api.telemetry, question, vec![at], AnswerForm::Vector).await
}

async fn range(State(api): State<Api>, Form(asked): Form<RangeQuery>) -> Response {
    let parsed = question(&asked.query).and_then(|question| Ok((question, grid(&asked)?)));
    match parsed {
        Ok((question, times)) => reply(api.telemetry, question, times, AnswerForm::Matrix).await,
        Err(fault) => fault.into_response(),
    }
}

fn question(query: &str) -> Result<Question, BadData> {
    if query.trim().is_empty() {
        let text = "invalid parameter \"query\": unknown position: parse error: no expression found in input";
        return Err(BadData(text.to_owned()));
    }
    understand(query).map_err(|fault| BadData(format!("invalid parameter \"query\": {fault}")))
}

/// Returns the times of a range query.
fn grid(asked: &RangeQuery) -> Result<Vec<f64>, BadData> {
    let (start, end) = (time("start", &asked.start)?, time("end", &asked.end)?);
    let step = span("step", &asked.step)?;
    if end < start {
        let text = "invalid parameter \"end\": end timestamp must not be before start time";
        return Err(BadData(text.to_owned()));
    }
    if step <= 0.0 {
        let text = "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. \
                    Try a positive integer";
        return Err(BadData(text.to_owned()));
    }
    let steps = ((end - start) / step).floor();
    if steps > MAX_POINTS {
        let text = "exceeded maximum resolution of 11,000 points per timeseries. \
                    Try decreasing the query resolution (?step=XX)";
        return Err(BadData(text.to_owned()));
    }
    Ok((0..=steps as u32).map(|index| start + f64::from(index) * step).collect())
}

/// Reads a time: seconds since the Unix epoch, or RFC 3339.
fn time(parameter: &str, text: &str) -> Result<f64, BadData> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && seconds.abs() < 1e12);
    let parsed = seconds.or_else(|| text.parse::<Timestamp>().ok().map(|at| at.as_millisecond() as f64 / 1000.0));
    parsed.ok_or_else(|| {
        BadData(format!("invalid parameter \"{parameter}\": cannot parse \"{text}\" to a valid timestamp"))
    })
}

/// Reads a span: seconds, or a number with one of `ms s m h d`.
fn span(parameter: &str, text: &str) -> Result<f64, BadData> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
    let with_unit = || {
        let (number, unit) =
            units.into_iter().find_map(|(suffix, seconds)| Some((text.strip_suffix(suffix)?, seconds)))?;
        Some(f64::from(number.parse::<u32>().ok()?) * unit)
    };
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite());
    seconds.or_else(with_unit).ok_or_else(|| {
        BadData(format!("invalid parameter \"{parameter}\": cannot parse \"{text}\" to a valid duration"))
    })
}

/// Answers off the runtime threads: a long range costs milliseconds of CPU.
async fn reply(telemetry: Arc<dyn Telemetry>, question: Question, times: Vec<f64>, form: AnswerForm) -> Response {
    let work = move || {
        let series = evaluate(telemetry.as_ref(), &question, &times);
        answer::success(form, &series)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(text) => answer::json(text),
        Err(_) => axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Returns the series of all selected services that have a value at one of `times`.
fn evaluate<'a>(telemetry: &'a dyn Telemetry, question: &Question, times: &[f64]) -> Vec<Series<'a>> {
    let now = telemetry.now();
    let scrapes: Vec<i64> = times.iter().map(|time| newest_scrape(time.floor() as i64, now)).collect();
    let selected = telemetry
        .services()
        .iter()
        .enumerate()
        .filter(|(_, service)| question.selector.matches(service.namespace(), service.name()));
    let series = selected.map(|(index, service)| {
        let signal = match question.asked {
            Asked::Value(signal) => signal,
            Asked::SampleTime => Signal::Rps,
        };
        let stored = telemetry.values(index, signal, &scrapes);
        let points = times
            .iter()
            .zip(scrapes.iter().zip(stored))
            .filter(|(time, (scrape, _))| alive(**time as i64, **scrape, now))
            .filter_map(|(time, (scrape, value))| match question.asked {
                Asked::Value(_) => Some((*time, value?)),
                Asked::SampleTime => value.map(|_| (*time, *scrape as f64)),
            })
            .collect();
        Series { service, points }
    });
    series.filter(|series| !series.points.is_empty()).collect()
}

fn alive(time: i64, scrape: i64, now: i64) -> bool {
    time - scrape <= LOOKBACK_SECONDS && now - scrape <= RETENTION_SECONDS
}
