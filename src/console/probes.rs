//! Probes and the metrics page.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::instrument::metrics::CONTENT_TYPE;

use super::Console;
use super::error::ApiError;

/// Tells that the process serves; a loop that is held is alive, one that stands still for good is not.
pub(super) async fn live(State(console): State<Console>) -> Response {
    let waiting = console.control.status().waiting_for;
    match waiting.iter().find(|what| what.is_standstill()) {
        None => "ok\n".into_response(),
        Some(standstill) => (StatusCode::SERVICE_UNAVAILABLE, format!("{standstill}\n")).into_response(),
    }
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    /// In words: a probe's answer is read by people.
    waiting_for: Vec<String>,
}

/// Tells whether the process is able to work; what single services lack is no part of it.
pub(super) async fn ready(State(console): State<Console>) -> Response {
    let status = console.control.status();
    let code = if status.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (
        code,
        Json(Ready { ready: status.ready, waiting_for: status.waiting_for.iter().map(ToString::to_string).collect() }),
    )
        .into_response()
}

/// Returns the metrics page; made on a thread of its own, as a large fleet has many series.
pub(super) async fn metrics(State(console): State<Console>) -> Result<Response, ApiError> {
    let page = tokio::task::spawn_blocking(move || {
        // Takes stock: whether the process is ready is measured by being asked.
        console.control.status();
        console.metrics.encode()
    })
    .await;
    match page {
        Ok(Ok(page)) => Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response()),
        Ok(Err(_)) | Err(_) => Err(ApiError::internal("the metrics page could not be made")),
    }
}
