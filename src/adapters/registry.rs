//! Kinds of telemetry sources. Settings may name any variant of [`SourceKind`].

use std::sync::Arc;
use std::time::Duration;

use crate::model::SourceKind;
use crate::ports::TelemetrySource;

use super::prometheus::{Access, Prometheus, PrometheusSettings, SetupError};

/// Returns the source of this kind at a base URL; `timeout` is the deadline of each query.
///
/// # Errors
/// What of its settings cannot be used.
pub fn telemetry_source(
    kind: SourceKind,
    url: &str,
    timeout: Duration,
    access: &Access,
) -> Result<Arc<dyn TelemetrySource>, SetupError> {
    match kind {
        SourceKind::Prometheus => {
            let settings = PrometheusSettings::new(url, timeout)?.with_access(access)?;
            Ok(Arc::new(Prometheus::new(settings)?))
        }
    }
}
