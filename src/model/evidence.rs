//! Which signals vouch for an action, and for how long (INV-02, INV-27).

use std::time::Duration;

use super::action::Action;
use super::features::Features;
use super::series::Reading;
use super::signal::{Role, Unit};
use super::spec::ServiceSpec;

/// What has to be fresh for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The signals that would show that it is wrong: the arrival rate, or every declared signal if no arrival rate is
    /// declared.
    Controlling,
    /// Any signal of the service.
    Any,
}

impl Evidence {
    /// Returns what `action` needs with `present` replicas requested: the controlling signals if it may take capacity
    /// or traffic away, or if it is sized by the arrival rate; otherwise fresh data of its own.
    pub fn of(action: &Action, present: Option<u32>, backed_by_arrivals: bool) -> Self {
        let takes = match present.and_then(|present| Some((present, action.wanted_replicas(present)?))) {
            Some((present, wanted)) => wanted < present || (wanted > present && backed_by_arrivals),
            None => action.may_take(),
        };
        if takes { Self::Controlling } else { Self::Any }
    }

    /// Returns how much longer what is seen counts as fresh.
    ///
    /// # Errors
    /// Why it is not fresh now.
    pub fn fresh_for(self, spec: &ServiceSpec, features: &Features) -> Result<Duration, String> {
        let any = (0..spec.signals.len()).filter_map(|index| left(spec, features, index)).max();
        let any = any.ok_or_else(|| "no signal of the service is fresh".to_owned());
        match self {
            Self::Any => any,
            Self::Controlling => controlling(spec, features)?.map_or(any, Ok),
        }
    }
}

/// Returns how much longer all controlling signals count as fresh; `None` if there are none.
fn controlling(spec: &ServiceSpec, features: &Features) -> Result<Option<Duration>, String> {
    let indices = match spec.role(Role::ArrivalRate) {
        Some(index) => index..index.saturating_add(1),
        None => 0..spec.signals.len(),
    };
    let mut least = None;
    for index in indices {
        let Some(signal) = spec.signals.get(index).filter(|signal| signal.unit != Unit::Flag) else { continue };
        let Some(left) = left(spec, features, index) else {
            let reading = features.signals.get(index).map(|seen| seen.reading.to_string());
            let reading = reading.unwrap_or_else(|| "not observed".to_owned());
            return Err(format!("controlling signal {}: {reading}", signal.name));
        };
        least = Some(least.map_or(left, |least: Duration| least.min(left)));
    }
    Ok(least)
}

/// Returns how much longer a signal counts as fresh; `None` if it does not now.
fn left(spec: &ServiceSpec, features: &Features, index: usize) -> Option<Duration> {
    match &features.signals.get(index)?.reading {
        Reading::Fresh { staleness, .. } => Some(spec.signals.get(index)?.max_staleness().saturating_sub(*staleness)),
        Reading::Stale { .. } | Reading::Gap { .. } | Reading::Absent { .. } => None,
    }
}
