//! The HTTP interface of the process: probes, metrics, and a read-only API. Nothing here changes anything; the kill
//! switch is a file, so it works when the console does not.
//!
//! | path | answers |
//! |---|---|
//! | `/livez` | whether the process serves and its loop has not been stalled for minutes |
//! | `/readyz` | whether the loop can decide; 503 with what is missing |
//! | `/metrics` | the metrics page (OpenMetrics) |
//! | `/api/v1/status` | readiness, policy, kill switch |
//! | `/api/v1/policy` | the active policies per service, and any candidate |
//! | `/api/v1/services?after=&limit=` | a summary of every service, page by page |
//! | `/api/v1/services/{namespace}/{name}` | one service with its features and outlook |
//! | `/api/v1/decisions?service=&before=&limit=` | the newest decisions, one sentence each, page by page |
//! | `/api/v1/records?service=&before=&limit=` | the same, as full records |
//! | `/api/v1/decisions/{namespace}/{name}/{cycle}` | one decision record; `?format=text` explains it |
//! | `/api/v1/forecast?service=` | the forecasts of one service and what they mean in replicas |
//! | `/api/v1/openapi.json` | the API description (`OpenAPI` 3.1) |
//!
//! A refused request gets `{"error": "...", "remedy": "..."}`.

mod answer;
mod answers;
mod api;
mod error;
mod openapi;
mod operations;
mod probes;

pub use answers::{DecisionSummary, Decisions, Forecast, Glance, Peak, ServiceSummary, Services, SignalForecast};
pub use api::{MOST, MOST_RECORDS};

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::instrument::Metrics;
use crate::ports::Control;

use error::ApiError;

/// Longest path and query that is accepted.
const MAX_URI: usize = 2048;
/// Concurrent journal reads: they must not use up threads and disk.
const READS: usize = 4;
/// How long open connections may continue after shutdown started.
const DRAIN: Duration = Duration::from_secs(5);

/// State shared by all handlers.
#[derive(Clone)]
struct Console {
    control: Arc<dyn Control>,
    metrics: Arc<Metrics>,
    reads: Arc<Semaphore>,
}

impl Console {
    /// Queries the loop on a separate thread: with many services the answer takes too long for the runtime threads.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&dyn Control) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let control = self.control.clone();
        let asking = tokio::task::spawn_blocking(move || ask(control.as_ref()));
        asking.await.map_err(|_| ApiError::internal("the loop could not be queried"))
    }
}

/// Returns the routes over a running loop.
pub fn router(control: Arc<dyn Control>, metrics: Arc<Metrics>) -> Router {
    let console = Console { control, metrics, reads: Arc::new(Semaphore::new(READS)) };
    let api = operations::operations()
        .into_iter()
        .fold(Router::new(), |api, operation| api.route(operation.path, operation.handler))
        .route("/api/v1/openapi.json", get(openapi::document));
    api.route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/metrics", get(probes::metrics))
        .fallback(|| async { ApiError::not_found("path", "/api/v1/openapi.json lists the known paths") })
        .method_not_allowed_fallback(|| async { ApiError::read_only() })
        .layer(middleware::from_fn(bounded))
        .with_state(console)
}

/// Refuses overlong requests, and forbids caching and content sniffing.
async fn bounded(request: Request, next: Next) -> Response {
    let uri = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    let mut response = if uri > MAX_URI {
        let error = format!("path and query of {uri} bytes are too long, expected at most {MAX_URI}");
        ApiError::new(StatusCode::URI_TOO_LONG, error, "shorten the query").into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Serves until `shutdown`; then lets open requests finish, for at most five seconds.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let stopping = shutdown.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
    let too_long = async {
        stopping.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = server.into_future() => result,
        () = too_long => Ok(()),
    }
}
