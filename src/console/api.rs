//! The handlers under `/api/v1`.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::model::{CycleId, DecisionId, ServiceId, explain};
use crate::ports::{Control, JournalError, ServiceSnapshot, Status};

use super::Console;
use super::answers::{DecisionSummary, Forecast, ServiceSummary};
use super::error::ApiError;

/// Decisions in one answer, unless told.
const DEFAULT_LIMIT: usize = 50;
/// Most decisions in one answer: a record takes about 10 kB to read.
const MAX_LIMIT: usize = 500;

type Parameters<T> = Result<Query<T>, QueryRejection>;

pub(super) async fn status(State(console): State<Console>) -> Json<Status> {
    Json(console.control.status())
}

#[derive(Serialize)]
pub(super) struct Services {
    services: Vec<ServiceSummary>,
}

pub(super) async fn services(State(console): State<Console>) -> Json<Services> {
    Json(Services { services: console.control.services().into_iter().map(ServiceSummary::from).collect() })
}

pub(super) async fn service(
    State(console): State<Console>,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<ServiceSnapshot>, ApiError> {
    let id = service_id(&format!("{namespace}/{name}"))?;
    known(&console, &id).map(Json)
}

fn service_id(text: &str) -> Result<ServiceId, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request(format!("{error}"), "give it as /api/v1/services lists it"))
}

fn known(console: &Console, id: &ServiceId) -> Result<ServiceSnapshot, ApiError> {
    let missing = || ApiError::not_found(&format!("service as {id}"), "see /api/v1/services for those that are");
    console.control.service(id).ok_or_else(missing)
}

fn parameters<T>(parameters: Parameters<T>, expected: &str) -> Result<T, ApiError> {
    match parameters {
        Ok(Query(parameters)) => Ok(parameters),
        Err(rejection) => Err(ApiError::bad_request(rejection.body_text(), format!("expected {expected}"))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    service: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct Decisions {
    decisions: Vec<DecisionSummary>,
}

pub(super) async fn decisions(
    State(console): State<Console>,
    query: Parameters<Which>,
) -> Result<Json<Decisions>, ApiError> {
    let which = parameters(query, "?service=namespace/name&limit=number, both optional")?;
    let limit = which.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let error = format!("limit {limit} is out of range");
        return Err(ApiError::bad_request(error, format!("expected 1 to {MAX_LIMIT}")));
    }
    let service = which.service.as_deref().map(service_id).transpose()?;
    let records = read(&console, move |control| control.decisions(service.as_ref(), limit)).await?;
    Ok(Json(Decisions { decisions: records.iter().map(DecisionSummary::from).collect() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
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
    let cycle: CycleId = cycle
        .parse()
        .map_err(|error| ApiError::bad_request(format!("{error}"), "give it as /api/v1/decisions lists it"))?;
    let id = DecisionId { service, cycle };
    let asked = id.clone();
    let Some(record) = read(&console, move |control| control.decision(&asked)).await? else {
        let remedy = "see /api/v1/decisions; records are made on change, at each write and hourly, and the oldest go";
        return Err(ApiError::not_found(&format!("decision as {id}"), remedy));
    };
    Ok(match form.format {
        Format::Json => Json(record).into_response(),
        Format::Text => explain::text(&record).into_response(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    service: String,
}

pub(super) async fn forecast(
    State(console): State<Console>,
    query: Parameters<Whose>,
) -> Result<Json<Forecast>, ApiError> {
    let whose = parameters(query, "?service=namespace/name")?;
    let id = service_id(&whose.service)?;
    let snapshot = known(&console, &id)?;
    Forecast::of(&snapshot).map(Json).ok_or_else(|| {
        let error = format!("{id} has no forecast before its first cycle");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error, "ask again after the next tick; see /readyz")
    })
}

/// Runs a read of the journal off the threads of the loop, a few at a time.
async fn read<T: Send + 'static>(
    console: &Console,
    read: impl FnOnce(&dyn Control) -> Result<T, JournalError> + Send + 'static,
) -> Result<T, ApiError> {
    let permit = console.reads.clone().acquire_owned().await;
    let control = console.control.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        read(control.as_ref())
    });
    match reading.await {
        Ok(found) => Ok(found?),
        Err(_) => Err(ApiError::internal("the journal could not be read")),
    }
}
