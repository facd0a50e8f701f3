//! What policies may name: the signals that some service declares, and the standard ones.

use std::collections::BTreeMap;

use crate::model::{ServiceSpec, SignalName, SignalSpec, Unit};

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

/// Names and units of all signals that policies may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    units: BTreeMap<SignalName, Unit>,
}

impl Vocabulary {
    /// Returns the standard signals and all that `services` declare; a declaration beats a standard unit.
    ///
    /// # Errors
    /// When a name is taken by flyball itself, or has two units.
    pub fn of<'a>(services: impl IntoIterator<Item = &'a ServiceSpec>) -> Result<Self, VocabularyError> {
        let mut units = BTreeMap::new();
        for service in services {
            for signal in &service.signals {
                let name = &signal.name;
                if RESERVED.contains(&name.as_str()) {
                    return Err(VocabularyError::Reserved { name: name.clone(), service: service.id.to_string() });
                }
                let known = *units.entry(name.clone()).or_insert(signal.unit);
                if known != signal.unit {
                    return Err(VocabularyError::UnitConflict {
                        name: name.clone(),
                        service: service.id.to_string(),
                        found: signal.unit.word(),
                        expected: known.word(),
                    });
                }
            }
        }
        Ok(Self::with_standard(units))
    }

    /// Returns the standard signals and `signals`, whose names differ; a declaration beats a standard unit.
    ///
    /// # Errors
    /// When a name is taken by flyball itself.
    pub fn of_signals<'a>(signals: impl IntoIterator<Item = &'a SignalSpec>) -> Result<Self, VocabularyError> {
        let mut units = BTreeMap::new();
        for signal in signals {
            if RESERVED.contains(&signal.name.as_str()) {
                let service = "the settings".to_owned();
                return Err(VocabularyError::Reserved { name: signal.name.clone(), service });
            }
            units.insert(signal.name.clone(), signal.unit);
        }
        Ok(Self::with_standard(units))
    }

    fn with_standard(mut units: BTreeMap<SignalName, Unit>) -> Self {
        for (name, unit) in STANDARD {
            if let Some(name) = SignalName::new(name) {
                units.entry(name).or_insert(unit);
            }
        }
        Self { units }
    }

    /// Returns the unit of a signal, if it is known.
    pub(super) fn unit(&self, name: &SignalName) -> Option<Unit> {
        self.units.get(name).copied()
    }

    /// Iterates over names and units, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&SignalName, Unit)> {
        self.units.iter().map(|(name, unit)| (name, *unit))
    }
}
