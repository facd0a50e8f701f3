//! What policies may name: the signals that some service declares, and the standard ones.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{HORIZONS, ServiceSpec, SignalName, SignalSpec, Unit};

/// Signals that shipped policies name. They are known even where no service declares them: a rule that reads
/// one is then unknown for every service, and the set still loads.
const STANDARD: [(&str, Unit); 11] = [
    ("rps", Unit::PerSecond),
    ("p99", Unit::Seconds),
    ("cpu", Unit::Ratio),
    ("errors", Unit::Ratio),
    ("maintenance", Unit::Flag),
    ("cost_optimization", Unit::Flag),
    ("emergency", Unit::Flag),
    ("throttle_available", Unit::Flag),
    ("p99_region_a", Unit::Seconds),
    ("capacity_available_region_b", Unit::Flag),
    ("maintenance_region_a", Unit::Flag),
];

/// How far ahead anything is forecast.
pub(super) const LONGEST_HORIZON: Duration = Duration::from_mins(HORIZONS[HORIZONS.len() - 1] as u64);

/// What stands between the name of a signal and that of a region in the name of the signal for that region.
pub(super) const REGION: &str = "_region_";

/// Names on a service that flyball fills itself.
pub(super) const RESERVED: [&str; 6] =
    ["replicas", "capacity", "rollout", "can_scale_up", "at_min_replicas", "at_max_replicas"];

/// Why a declaration does not fit into the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VocabularyError {
    /// The name means something else in policies.
    #[error("signal `{name}` of {service}: the name is taken by flyball itself, choose another")]
    Reserved {
        /// The signal.
        name: SignalName,
        /// Who declares it.
        service: String,
    },
    /// Two services give one name different units.
    #[error("signal `{name}` of {service} is {found}, elsewhere {expected}: one name has one unit, rename one of them")]
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

/// What is known of a signal that policies may read.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    unit: Unit,
    /// Lowest and highest value that somebody takes for true, in the unit.
    range: (f64, f64),
    /// Whether somebody has it forecast.
    forecast: bool,
    /// Whether somebody declares it.
    declared: bool,
}

impl Known {
    fn of(signal: &SignalSpec) -> Self {
        Self { unit: signal.unit, range: signal.range, forecast: signal.forecast, declared: true }
    }

    /// Returns what is true of one or the other.
    fn or(self, other: Self) -> Self {
        let range = (self.range.0.min(other.range.0), self.range.1.max(other.range.1));
        Self { range, forecast: self.forecast || other.forecast, ..self }
    }
}

/// Names and units of all signals that policies may read, and what they can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    known: BTreeMap<SignalName, Known>,
}

impl Vocabulary {
    /// Returns the standard signals and all that `services` declare; a declaration beats a standard unit.
    ///
    /// # Errors
    /// When a name is taken by flyball itself, or has two units.
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
    /// When a name is taken by flyball itself.
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
        let range = (f64::NEG_INFINITY, f64::INFINITY);
        for (name, unit) in STANDARD {
            if let Some(name) = SignalName::new(name) {
                known.entry(name).or_insert(Known { unit, range, forecast: unit != Unit::Flag, declared: false });
            }
        }
        Self { known }
    }

    /// Returns the unit of a signal, if it is known.
    pub(super) fn unit(&self, name: &SignalName) -> Option<Unit> {
        self.known.get(name).map(|known| known.unit)
    }

    /// Tells whether somebody declares a signal; where nobody declares any, as without settings, all may be declared.
    pub(super) fn is_declared(&self, name: &SignalName) -> bool {
        self.known.get(name).is_some_and(|known| known.declared) || !self.known.values().any(|known| known.declared)
    }

    /// Tells whether somebody has a signal forecast.
    pub(super) fn is_forecast(&self, name: &SignalName) -> bool {
        self.known.get(name).is_none_or(|known| known.forecast)
    }

    /// Returns the lowest and the highest value of a signal that somebody takes for true; infinite where it is not declared.
    pub(super) fn range(&self, name: &SignalName) -> (f64, f64) {
        self.known.get(name).map_or((f64::NEG_INFINITY, f64::INFINITY), |known| known.range)
    }

    /// Iterates over names and units, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&SignalName, Unit)> {
        self.known.iter().map(|(name, known)| (name, known.unit))
    }
}
