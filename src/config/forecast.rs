//! When a forecast may be used: the few parameters of the stage that an operator has a reason to set.
//!
//! How the models learn is not among them: their parameters are measured and the same for every series, and what
//! differs between series is fitted.

use super::SourceSettings;
use super::events::events;
use super::faults::Faults;
use super::sources::Declared;
use super::tree::Table;
use crate::forecast::params::{ForecastParams, Zone};

const KEYS: &[&str] =
    &["skill_to_add", "skill_to_remove", "coverage_slack", "promotion_minutes", "history_days", "timezone", "events"];

/// Reads `forecast`. The longest interval of a source is the tick that counts towards the lead time.
pub fn params(top: &Table<'_>, sources: &Declared<SourceSettings>, faults: &mut Faults) -> Option<ForecastParams> {
    let mut params = ForecastParams::default();
    if let Some(tick) = sources.valid.iter().map(|source| source.interval).max() {
        params.tick_seconds = tick.as_secs_f64();
    }
    let read = top.read("forecast", faults, |node, faults| {
        let table = node.table(KEYS, faults)?;
        let mut whole = true;
        let mut number = |key: &str, into: &mut f64| {
            let given = table.read(key, faults, |node, faults| node.number(f64::MIN, f64::MAX, faults));
            given.or_default(*into).map_or_else(|| whole = false, |number| *into = number);
        };
        number("skill_to_add", &mut params.skill_to_add);
        number("skill_to_remove", &mut params.skill_to_remove);
        number("coverage_slack", &mut params.coverage_slack);
        let mut count = |key: &str, into: &mut u32| {
            let given = table.read(key, faults, |node, faults| node.count(0, faults));
            given.or_default(*into).map_or_else(|| whole = false, |count| *into = count);
        };
        count("promotion_minutes", &mut params.promotion_minutes);
        count("history_days", &mut params.history_days);
        let zone = table.read("timezone", faults, |node, faults| {
            let name = node.text(faults)?;
            Zone::named(name).map_err(|fault| faults.add(node.path.clone(), fault.to_string())).ok()
        });
        zone.or_default(Zone::UTC).map_or_else(|| whole = false, |zone| params.zone = zone);
        let events = table.read("events", faults, |node, faults| events(node, &params.zone, faults));
        events.or_default(Vec::new()).map_or_else(|| whole = false, |events| params.events = events);
        match params.clone().validated() {
            Ok(params) if whole => Some(params),
            Ok(_) => None,
            Err(found) => {
                for fault in found {
                    let message = format!("{} is not between {} and {}", fault.value, fault.low, fault.high);
                    faults.add(table.at(fault.key), message);
                }
                None
            }
        }
    });
    read.or_default(params)
}
