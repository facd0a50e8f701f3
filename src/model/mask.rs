//! What decision records do not show. Decisions are made on everything; what is kept, told and served of them is not
//! everything.
//!
//! A masked value leaves a typed absence ([`Missing::Masked`]), which is unknown to whoever decides on a record once
//! more.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::effect::Effect;
use super::features::{Features, SignalFeatures};
use super::foreseen::Foreseen;
use super::outlook::Outlook;
use super::record::SignalLabel;
use super::series::{Missing, Reading};
use super::signal::{Role, SignalName};

/// Stands where something is masked.
pub const MASKED: &str = "masked";

/// Which fields of records are masked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordMask {
    /// Signals whose values, forecasts, and what conditions make of them, are not shown.
    pub signals: BTreeSet<SignalName>,
    /// Parameters of policies whose values are not shown.
    pub parameters: BTreeSet<Arc<str>>,
    /// Whether the notes of the authors of rules are not shown.
    pub notes: bool,
}

impl RecordMask {
    /// Tells whether everything is shown.
    pub fn is_empty(&self) -> bool {
        self.signals.is_empty() && self.parameters.is_empty() && !self.notes
    }

    /// Returns features as they may be shown; the same ones where none of `signals` is masked.
    pub fn features(&self, signals: &[SignalLabel], features: &Arc<Features>) -> Arc<Features> {
        self.replace(signals, features, |seen| Some(masked(&seen.reading)))
    }

    /// Returns features as they may be decided on: whole, but for values that are not believed and that messages would
    /// repeat.
    pub fn believed(&self, signals: &[SignalLabel], features: &Arc<Features>) -> Arc<Features> {
        self.replace(signals, features, |seen| {
            let (Reading::Gap { missing, .. } | Reading::Absent { missing }) = &seen.reading else { return None };
            let repeats = matches!(missing, Missing::OutOfRange { .. } | Missing::UnconfirmedDrop { .. });
            repeats.then(|| masked(&seen.reading))
        })
    }

    fn replace(
        &self,
        signals: &[SignalLabel],
        features: &Arc<Features>,
        with: impl Fn(&SignalFeatures) -> Option<SignalFeatures>,
    ) -> Arc<Features> {
        if !signals.iter().any(|label| self.signals.contains(&label.name)) {
            return features.clone();
        }
        let mut shown = (**features).clone();
        let concerned = signals.iter().zip(&mut shown.signals).filter(|(label, _)| self.signals.contains(&label.name));
        for (_, seen) in concerned {
            if let Some(instead) = with(seen) {
                *seen = instead;
            }
        }
        Arc::new(shown)
    }

    /// Returns an outlook as it may be shown. Counts of replicas stay: they are what is done.
    pub fn outlook(&self, signals: &[SignalLabel], outlook: &Arc<Outlook>) -> Arc<Outlook> {
        if !signals.iter().any(|label| self.signals.contains(&label.name)) {
            return outlook.clone();
        }
        let mut shown = (**outlook).clone();
        for (label, expected) in signals.iter().zip(&mut shown.signals) {
            if self.signals.contains(&label.name) {
                *expected = None;
            }
        }
        if let Some(capacity) = shown.capacity.as_mut().filter(|_| self.hides(signals, Role::ArrivalRate)) {
            (capacity.rate_now, capacity.rate_ahead) = (None, None);
        }
        Arc::new(shown)
    }

    /// Returns an effect as it may be shown: whether it helped, and the numbers only where those of latency and load
    /// are shown.
    pub fn effect(&self, signals: &[SignalLabel], effect: Effect) -> Effect {
        if !self.hides(signals, Role::Latency) && !self.hides(signals, Role::ArrivalRate) {
            return effect;
        }
        Effect { expected_latency: None, measured_latency: None, why: format!("the numbers are {MASKED}"), ..effect }
    }

    /// Returns what was expected without a change as an intent may keep it: nothing, where latency or load are masked.
    /// The change is then measured by the process that made it, and not by one started after it.
    pub fn foreseen(&self, signals: &[SignalLabel], foreseen: Foreseen) -> Foreseen {
        let hidden = self.hides(signals, Role::Latency) || self.hides(signals, Role::ArrivalRate);
        if hidden { Foreseen::default() } else { foreseen }
    }

    fn hides(&self, signals: &[SignalLabel], role: Role) -> bool {
        signals.iter().any(|label| label.role == Some(role) && self.signals.contains(&label.name))
    }
}

/// Returns what is shown in place of a signal.
fn masked(reading: &Reading) -> SignalFeatures {
    SignalFeatures::of(Reading::Absent { missing: Missing::Masked { fresh: reading.fresh().is_some() } })
}
