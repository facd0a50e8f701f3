//! The body of a refused request: what is wrong, and what to do.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::ports::JournalError;

/// An error.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ApiError {
    #[serde(skip)]
    status: StatusCode,
    /// What is wrong.
    error: String,
    /// The remedy.
    remedy: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status, error: error.into(), remedy: remedy.into() }
    }

    pub(super) fn bad_request(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, remedy)
    }

    pub(super) fn not_found(what: &str, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("no such {what}"), remedy)
    }

    pub(super) fn read_only() -> Self {
        let remedy = "use GET; to stop or resume writes, `flyball kill` and `flyball resume`";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this API is read-only", remedy)
    }

    /// A failure of this process, not of the request.
    pub(super) fn internal(error: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error, "retry; if it persists, see the log of this process")
    }
}

impl From<JournalError> for ApiError {
    fn from(error: JournalError) -> Self {
        let remedy = "see /api/v1/status and the log; the loop writes nothing while the journal is failing";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string(), remedy)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}
