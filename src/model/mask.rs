//! What decision records do not show. Decisions use everything; only part of it is kept, reported and served.
//!
//! A masked value leaves a typed absence ([`Missing::Masked`]), which counts as unknown when a record is decided again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::effect::Effect;
use super::features::{Features, SignalFeatures};
use super::foreseen::Foreseen;
use super::outlook::Outlook;
use super::record::SignalLabel;
use super::series::{Missing, Reading};
use super::signal::{Role, SignalName};

/// Placeholder for masked text.
pub const MASKED: &str = "masked";

/// Which fields of records are masked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordMask {
    /// Signals whose values and forecasts, and whatever conditions derive from them, are not shown.
    pub signals: BTreeSet<SignalName>,
    /// Parameters of policies whose values are not shown.
    pub parameters: BTreeSet<Arc<str>>,
    /// Whether notes of rule authors are hidden.
    pub notes: bool,
}

impl RecordMask {
    /// Returns whether everything is shown.
    pub fn is_empty(&self) -> bool {
        self.signals.is_empty() && self.parameters.is_empty() && !self.notes
    }

    /// Returns features as they may be shown; the same `Arc` if none of `signals` is masked.
    pub fn features(&self, signals: &[SignalLabel], features: &Arc<Features>) -> Arc<Features> {
        self.replace(signals, features, |seen| Some(masked(&seen.reading)))
    }

    /// Returns features as they may be decided on: complete, except for implausible values, which messages would
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

    /// Returns an outlook as it may be shown. Replica counts stay: they are what is done.
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

    /// Returns an effect as it may be shown: whether it helped, and the numbers only if latency and load are shown.
    pub fn effect(&self, signals: &[SignalLabel], effect: Effect) -> Effect {
        if !self.hides(signals, Role::Latency) && !self.hides(signals, Role::ArrivalRate) {
            return effect;
        }
        Effect { expected_latency: None, measured_latency: None, why: format!("the numbers are {MASKED}"), ..effect }
    }

    /// Returns the forecast without a change as an intent may keep it: empty if latency or load is masked. The change
    /// is then measured by the process that made it, and not after a restart.
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
