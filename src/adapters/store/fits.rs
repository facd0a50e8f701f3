//! Fitted model parameters, kept across restarts.

use redb::{ReadTransaction, ReadableTable, TableDefinition};

use crate::model::{Fitted, ServiceId};

use super::tables::{Fault, RedbTables};

/// Fitted parameters, by service and signal.
pub(super) const FITS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("fits");

/// Minutes for which a fit is kept: each signal that is still declared has a newer one by then.
const FITTED_FOR: i64 = 30 * 24 * 60;

/// Returns the fits of a service.
pub(super) fn of(txn: &ReadTransaction, service: &ServiceId) -> Result<Vec<Fitted>, Fault> {
    let table = txn.open_table(FITS)?;
    let mut found = Vec::new();
    for row in table.range((service.as_str(), "")..)? {
        let (key, bytes) = row?;
        if key.value().0 != service.as_str() {
            break;
        }
        found.extend(readable(bytes.value()));
    }
    Ok(found)
}

/// Returns a fit, if it can be used. Without one the signal starts with the defaults.
pub(super) fn readable(bytes: &[u8]) -> Option<Fitted> {
    let fit = serde_json::from_slice::<Fitted>(bytes);
    let fit = fit.inspect_err(|error| tracing::warn!(%error, "a stored model fit cannot be read"));
    fit.ok().filter(|fit| fit.smoothing.is_sound())
}

/// Removes the fits of signals that no longer exist, judged by age against the newest fit. Run at each start.
pub(super) fn forget(tables: &mut RedbTables<'_>) -> Result<(), Fault> {
    let mut found = Vec::new();
    for row in tables.fits.iter()? {
        let (key, bytes) = row?;
        let (service, signal) = key.value();
        // An unreadable fit is useless.
        let issued = readable(bytes.value()).map_or(i64::MIN, |fit| fit.issued.0);
        found.push((service.to_owned(), signal.to_owned(), issued));
    }
    let newest = found.iter().map(|(.., issued)| *issued).max().unwrap_or_default();
    for (service, signal, _) in found.iter().filter(|(.., issued)| newest.saturating_sub(*issued) > FITTED_FOR) {
        tables.fits.remove((service.as_str(), signal.as_str()))?;
    }
    Ok(())
}
