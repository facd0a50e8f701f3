//! What policies may name: the signals that the settings declare, and the standard ones, which flyball declares itself.
//!
//! A set is checked against all of them, whichever services it binds: a service that lacks one has no data for it, and
//! a rule that needs it is unknown there. So one set can bind services that declare different signals.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{HORIZONS, ServiceSpec, SignalName, SignalSpec, Unit};

/// A signal that flyball itself declares.
#[derive(Debug, Clone, Copy)]
pub struct Standard {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Lowest and highest possible value, in its unit; for a flag, off and on.
    pub range: (f64, f64),
    /// What it is.
    pub meaning: &'static str,
}

const fn standard(name: &'static str, unit: Unit, highest: f64, meaning: &'static str) -> Standard {
    Standard { name, unit, range: (0.0, highest), meaning }
}

/// The standard signals: what policies may name in any installation, so that one set, such as the shipped one, serves
/// many settings. If the settings do not mention one it is declared but has no data: a rule that needs it is unknown.
/// Every other name has to be declared by the settings.
pub const STANDARD: [Standard; 11] = [
    standard("rps", Unit::PerSecond, f64::INFINITY, "arriving requests"),
    standard("p99", Unit::Seconds, f64::INFINITY, "latency, 99th percentile"),
    standard("cpu", Unit::Ratio, f64::INFINITY, "CPU usage relative to the pods' request"),
    standard("errors", Unit::Ratio, 1.0, "share of failed requests"),
    standard("maintenance", Unit::Flag, 1.0, "the service is in maintenance"),
    standard("cost_optimization", Unit::Flag, 1.0, "saving cost is wanted now"),
    standard("emergency", Unit::Flag, 1.0, "an incident is being handled"),
    standard("throttle_available", Unit::Flag, 1.0, "load can be shed in front of the service"),
    standard("p99_region_a", Unit::Seconds, f64::INFINITY, "latency of region A"),
    standard("capacity_available_region_b", Unit::Flag, 1.0, "region B has capacity available"),
    standard("maintenance_region_a", Unit::Flag, 1.0, "region A is in maintenance"),
];

/// The longest horizon of any forecast.
pub(super) const LONGEST_HORIZON: Duration = Duration::from_mins(HORIZONS[HORIZONS.len() - 1] as u64);

/// Separates the name of a signal from that of a region in a regional signal's name.
pub(super) const REGION: &str = "_region_";

/// Names on a service that flyball provides itself.
pub(super) const RESERVED: [&str; 6] =
    ["replicas", "capacity", "rollout", "can_scale_up", "at_min_replicas", "at_max_replicas"];

/// Why a declaration does not fit into the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VocabularyError {
    /// The name means something else in policies.
    #[error("signal `{name}` of {service}: the name is reserved by flyball, choose another")]
    Reserved {
        /// The signal.
        name: SignalName,
        /// The declaring service.
        service: String,
    },
    /// Two services give one name different units.
    #[error(
        "signal `{name}` of {service} is {found}, elsewhere {expected}: a name must have one unit, rename one of them"
    )]
    UnitConflict {
        /// The signal.
        name: SignalName,
        /// The second service that declares it.
        service: String,
        /// Its unit there.
        found: &'static str,
        /// Its unit in the services before.
        expected: &'static str,
    },
}

/// What is known about a signal that policies may read.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    unit: Unit,
    /// Lowest and highest plausible value declared, in the unit.
    range: (f64, f64),
    /// Whether any service has it forecast.
    forecast: bool,
    /// Whether the settings give its source.
    measured: bool,
}

impl Known {
    fn of(signal: &SignalSpec) -> Self {
        Self { unit: signal.unit, range: signal.range, forecast: signal.forecast, measured: true }
    }

    /// Combines two declarations.
    fn or(self, other: Self) -> Self {
        let range = (self.range.0.min(other.range.0), self.range.1.max(other.range.1));
        Self { range, forecast: self.forecast || other.forecast, ..self }
    }
}

/// Names, units and possible values of all signals that policies may read.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    known: BTreeMap<SignalName, Known>,
}

impl Vocabulary {
    /// Returns the standard signals and all that `services` declare; a declaration beats a standard unit.
    ///
    /// # Errors
    /// When a name is reserved by flyball, or has two units.
    pub fn of<'a>(services: impl IntoIterator<Item = &'a ServiceSpec>) -> Result<Self, VocabularyError> {
        let mut all: BTreeMap<SignalName, Known> = BTreeMap::new();
        for service in services {
            for signal in &service.signals {
                let name = &signal.name;
                if RESERVED.contains(&name.as_str()) {
                    return Err(VocabularyError::Reserved { name: name.clone(), service: service.id.to_string() });
                }
                let here = Known::of(signal);
                let known = all.entry(name.clone()).or_insert(here);
                if known.unit != signal.unit {
                    return Err(VocabularyError::UnitConflict {
                        name: name.clone(),
                        service: service.id.to_string(),
                        found: signal.unit.word(),
                        expected: known.unit.word(),
                    });
                }
                *known = known.or(here);
            }
        }
        Ok(Self::with_standard(all))
    }

    /// Returns the standard signals and `signals`, whose names differ; a declaration beats a standard unit.
    ///
    /// # Errors
    /// When a name is reserved by flyball.
    pub fn of_signals<'a>(signals: impl IntoIterator<Item = &'a SignalSpec>) -> Result<Self, VocabularyError> {
        let mut all = BTreeMap::new();
        for signal in signals {
            if RESERVED.contains(&signal.name.as_str()) {
                let service = "the settings".to_owned();
                return Err(VocabularyError::Reserved { name: signal.name.clone(), service });
            }
            all.insert(signal.name.clone(), Known::of(signal));
        }
        Ok(Self::with_standard(all))
    }

    fn with_standard(mut known: BTreeMap<SignalName, Known>) -> Self {
        for Standard { name, unit, range, .. } in STANDARD {
            if let Some(name) = SignalName::new(name) {
                known.entry(name).or_insert(Known { unit, range, forecast: unit != Unit::Flag, measured: false });
            }
        }
        Self { known }
    }

    /// Returns the unit of a signal, if it is known.
    pub(super) fn unit(&self, name: &SignalName) -> Option<Unit> {
        self.known.get(name).map(|known| known.unit)
    }

    /// Returns whether the settings give a signal's source.
    pub(super) fn is_measured(&self, name: &SignalName) -> bool {
        self.known.get(name).is_some_and(|known| known.measured)
    }

    /// Returns whether any service has a signal forecast.
    pub(super) fn is_forecast(&self, name: &SignalName) -> bool {
        self.known.get(name).is_none_or(|known| known.forecast)
    }

    /// Returns the lowest and highest plausible value of a signal; infinite without a bound.
    pub fn range(&self, name: &SignalName) -> (f64, f64) {
        self.known.get(name).map_or((f64::NEG_INFINITY, f64::INFINITY), |known| known.range)
    }

    /// Iterates over names and units, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&SignalName, Unit)> {
        self.known.iter().map(|(name, known)| (name, known.unit))
    }
}
