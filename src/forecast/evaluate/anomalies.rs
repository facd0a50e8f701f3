//! What the loop's anomaly detector reports for each row of a series.

use super::{Anomaly, Online, Series};

/// Runs the loop over rows (position of the step and value, in order of arrival) and returns what it reports for each
/// without knowing later rows: nothing before the detector has learned enough. The first row of a step counts; late
/// rows get no report. The values of `series` are not read. `None` only if the loop cannot be set up.
pub fn judge(series: &Series, rows: impl IntoIterator<Item = (usize, Option<f64>)>) -> Option<Vec<Option<Anomaly>>> {
    let mut online = Online::new(series)?;
    let mut next = None;
    let judged = rows.into_iter().map(|(step, value)| {
        let due = *next.get_or_insert(step);
        if step < due {
            return None;
        }
        for missing in due..step {
            online.step(series.step(missing), None);
            online.fit(series.step(missing));
        }
        next = Some(step + 1);
        let outlook = online.step(series.step(step), value);
        let judged = outlook.and_then(|outlook| {
            Some(Anomaly { score: outlook.anomaly?, kind: outlook.anomaly_kind, alarm: outlook.alarm })
        });
        online.fit(series.step(step));
        judged
    });
    Some(judged.collect())
}
