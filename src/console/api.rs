//! The handlers under `/api/v1`.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::{CycleId, DecisionId, DecisionRecord, ServiceId, explain};
use crate::ports::{Control, Declaration, JournalError, PolicyStatus, ServiceSnapshot, Status};

use super::Console;
use super::answer::Answer;
use super::answers::{DecisionSummary, Decisions, Forecast, ServiceSummary, Services};
use super::error::ApiError;

/// Default number of decisions on a page.
const DECISIONS: usize = 50;
/// Default number of services on a page.
const SERVICES: usize = 500;
/// Most entries on a page: a decision takes about 10 kB to read, a service half a kB to send.
pub const MOST: usize = 500;
/// Most full records on a page, each about ten kB.
pub const MOST_RECORDS: usize = 100;

type Parameters<T> = Result<Query<T>, QueryRejection>;

pub(super) async fn status(State(console): State<Console>) -> Result<Answer<Status>, ApiError> {
    console.ask(<dyn Control>::status).await.map(Answer)
}

pub(super) async fn policy(State(console): State<Console>) -> Answer<PolicyStatus> {
    Answer(console.control.policies())
}

/// Parameters of the list of services.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Only services after this one (namespace/name) in name order: `next` of the previous page.
    after: Option<String>,
    /// Services on the page, 1 to 500; default 500.
    limit: Option<usize>,
}

pub(super) async fn services(
    State(console): State<Console>,
    query: Parameters<Page>,
) -> Result<Answer<Services>, ApiError> {
    let page = parameters(query, "?after=namespace/name&limit=number, both optional")?;
    let limit = within(page.limit.unwrap_or(SERVICES), MOST)?;
    let after = page.after.as_deref().map(service_id).transpose()?;
    // Includes the first of the next page, if there is one.
    let mut listed = console.ask(move |control| control.services(after.as_ref(), limit + 1)).await?.into_iter();
    let services: Vec<ServiceSummary> = listed.by_ref().take(limit).map(ServiceSummary::from).collect();
    let next = listed.next().and_then(|_| services.last().map(|last| last.service.clone()));
    Ok(Answer(Services { services, next }))
}

fn within(limit: usize, most: usize) -> Result<usize, ApiError> {
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::bad_request(format!("limit {limit} is out of range"), format!("expected 1 to {most}")))
}

pub(super) async fn service(
    State(console): State<Console>,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Answer<ServiceSnapshot>, ApiError> {
    let id = service_id(&format!("{namespace}/{name}"))?;
    known(&console, &id).map(Answer)
}

pub(super) async fn declaration(
    State(console): State<Console>,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Answer<Declaration>, ApiError> {
    let id = service_id(&format!("{namespace}/{name}"))?;
    console.control.declaration(&id).map(Answer).ok_or_else(|| unknown(&id))
}

fn service_id(text: &str) -> Result<ServiceId, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request(format!("{error}"), "use the form listed by /api/v1/services"))
}

fn known(console: &Console, id: &ServiceId) -> Result<ServiceSnapshot, ApiError> {
    console.control.service(id).ok_or_else(|| unknown(id))
}

fn unknown(id: &ServiceId) -> ApiError {
    ApiError::not_found(&format!("service as {id}"), "/api/v1/services lists the known services")
}

fn parameters<T>(parameters: Parameters<T>, expected: &str) -> Result<T, ApiError> {
    match parameters {
        Ok(Query(parameters)) => Ok(parameters),
        Err(rejection) => Err(ApiError::bad_request(rejection.body_text(), format!("expected {expected}"))),
    }
}

/// Parameters of a list of decisions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Only decisions about this service (namespace/name).
    service: Option<String>,
    /// Only decisions from before this one: `next` of the previous page. If a service is given, the cycle alone is
    /// enough.
    before: Option<String>,
    /// Decisions on the page: 1 to 500, whole records 1 to 100; default 50.
    limit: Option<usize>,
}

pub(super) async fn decisions(
    State(console): State<Console>,
    query: Parameters<Which>,
) -> Result<Answer<Decisions<DecisionSummary>>, ApiError> {
    let (records, next) = page(&console, query, MOST).await?;
    Ok(Answer(Decisions { decisions: records.iter().map(DecisionSummary::from).collect(), next }))
}

pub(super) async fn records(
    State(console): State<Console>,
    query: Parameters<Which>,
) -> Result<Answer<Decisions<DecisionRecord>>, ApiError> {
    let (decisions, next) = page(&console, query, MOST_RECORDS).await?;
    Ok(Answer(Decisions { decisions, next }))
}

/// Returns a page of decisions, and its last one if the page is full.
async fn page(
    console: &Console,
    query: Parameters<Which>,
    most: usize,
) -> Result<(Vec<DecisionRecord>, Option<DecisionId>), ApiError> {
    let which = parameters(query, "?service=namespace/name&before=decision&limit=number, all optional")?;
    let limit = within(which.limit.unwrap_or(DECISIONS), most)?;
    let service = which.service.as_deref().map(service_id).transpose()?;
    let before = which.before.as_deref().map(|before| decision_id(before, service.as_ref())).transpose()?;
    let records = read(console, move |control| control.decisions(service.as_ref(), before.as_ref(), limit)).await?;
    let next = records.last().filter(|_| records.len() == limit).map(|last| last.id.clone());
    Ok((records, next))
}

/// Returns the decision with this id, or with this cycle alone if its service is given.
fn decision_id(text: &str, service: Option<&ServiceId>) -> Result<DecisionId, ApiError> {
    let id = match (text.contains('@'), service) {
        (false, Some(service)) => DecisionId { service: service.clone(), cycle: cycle_id(text)? },
        _ => text
            .parse()
            .map_err(|error| ApiError::bad_request(format!("{error}"), "use `next` from /api/v1/decisions"))?,
    };
    if service.is_some_and(|service| *service != id.service) {
        let error = format!("decision {id} is about a different service");
        return Err(ApiError::bad_request(error, "use `next` of the previous page, with the same service"));
    }
    Ok(id)
}

fn cycle_id(text: &str) -> Result<CycleId, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request(format!("{error}"), "use the form listed by /api/v1/decisions"))
}

/// Parameters of one decision.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    /// `text` explains the record in prose; default `json`.
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Json,
    Text,
}

pub(super) async fn decision(
    State(console): State<Console>,
    Path((namespace, name, cycle)): Path<(String, String, String)>,
    query: Parameters<Form>,
) -> Result<Response, ApiError> {
    let form = parameters(query, "?format=json or ?format=text")?;
    let service = service_id(&format!("{namespace}/{name}"))?;
    let id = DecisionId { service, cycle: cycle_id(&cycle)? };
    let asked = id.clone();
    let Some(record) = read(&console, move |control| control.decision(&asked)).await? else {
        let remedy = "see /api/v1/decisions; decisions are recorded on change, at each write and hourly, and the \
         oldest are deleted";
        return Err(ApiError::not_found(&format!("decision as {id}"), remedy));
    };
    Ok(match form.format {
        Format::Json => Answer(record).into_response(),
        Format::Text => explain::text(&record).into_response(),
    })
}

/// Parameters of a forecast.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    /// The service (namespace/name).
    service: String,
}

pub(super) async fn forecast(
    State(console): State<Console>,
    query: Parameters<Whose>,
) -> Result<Answer<Forecast>, ApiError> {
    let whose = parameters(query, "?service=namespace/name")?;
    let id = service_id(&whose.service)?;
    let snapshot = known(&console, &id)?;
    Forecast::of(&snapshot).map(Answer).ok_or_else(|| {
        let error = format!("{id} has no forecast before its first cycle");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error, "retry after the next tick; see /readyz")
    })
}

/// Runs a journal read off the threads of the loop, a few at a time.
async fn read<T: Send + 'static>(
    console: &Console,
    read: impl FnOnce(&dyn Control) -> Result<T, JournalError> + Send + 'static,
) -> Result<T, ApiError> {
    let permit = console.reads.clone().acquire_owned().await;
    let found = console.ask(move |control| {
        let _permit = permit;
        read(control)
    });
    Ok(found.await??)
}
