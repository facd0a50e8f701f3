//! Probes and the metrics page.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::instrument::metrics::CONTENT_TYPE;
use crate::ports::{Awaited, Control};

use super::Console;
use super::error::ApiError;

/// Reports that the process serves; a held loop is alive, a permanently stalled one is not.
pub(super) async fn live(State(console): State<Console>) -> Response {
    match console.control.standstill() {
        None => "ok\n".into_response(),
        Some(standstill) => (StatusCode::SERVICE_UNAVAILABLE, format!("{standstill}\n")).into_response(),
    }
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    /// As text: people read the answer of a probe.
    waiting_for: Vec<String>,
}

/// Reports whether the process can work; missing data of single services does not count.
pub(super) async fn ready(State(console): State<Console>) -> Result<Response, ApiError> {
    let status = console.ask(<dyn Control>::status).await?;
    let code = if status.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let waiting_for = status.waiting_for.iter().map(ToString::to_string).collect();
    Ok((code, Json(Ready { ready: status.ready, waiting_for })).into_response())
}

/// Returns the metrics page. The state of the process is measured at request time.
pub(super) async fn metrics(State(console): State<Console>) -> Result<Response, ApiError> {
    let metrics = console.metrics.clone();
    let page = console.ask(move |control| {
        let (status, process) = (control.status(), metrics.process());
        process.ready(status.ready);
        process.leader(status.lead.speaks());
        process.unbounded(status.services_wait_for.iter().any(|what| matches!(what, Awaited::Bound { .. })));
        let refused = |what: &&Awaited| matches!(what, Awaited::Unheeded { .. });
        process.loops_refused(status.services_wait_for.iter().filter(refused).count());
        metrics.encode()
    });
    match page.await? {
        Ok(page) => Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response()),
        Err(_) => Err(ApiError::internal("the metrics page could not be built")),
    }
}
