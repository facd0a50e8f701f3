//! Kinds of telemetry sources, one row each. Settings may name any of these rows.

use std::sync::Arc;
use std::time::Duration;

use crate::ports::TelemetrySource;

use super::prometheus::{Access, Prometheus, PrometheusSettings, SetupError};

/// Opens a source at a base URL with this access; the second argument is the deadline of each query.
type Open = fn(&str, Duration, &Access) -> Result<Arc<dyn TelemetrySource>, SetupError>;

const TELEMETRY: [(&str, Open); 1] = [("prometheus", |url, timeout, access| {
    let settings = PrometheusSettings::new(url, timeout)?.with_access(access)?;
    Ok(Arc::new(Prometheus::new(settings)?))
})];

/// Returns the source of this kind; `None` if the kind does not exist.
pub fn telemetry_source(
    kind: &str,
    url: &str,
    timeout: Duration,
    access: &Access,
) -> Option<Result<Arc<dyn TelemetrySource>, SetupError>> {
    TELEMETRY.iter().find(|(known, _)| *known == kind).map(|(_, open)| open(url, timeout, access))
}
