//! Smoothing parameters of a forecast model, and the fitted ones of a signal.

use serde::{Deserialize, Serialize};

use super::ids::ServiceId;
use super::signal::SignalName;
use super::time::Minute;

/// Smoothing parameters of the damped Holt-Winters model, in the symbols of Hyndman, Koehler, Ord and Snyder (2008):
/// all are in 0..1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smoothing {
    /// Share of a surprise that moves the level.
    pub alpha: f64,
    /// Share of a level move that moves the trend (`beta*`: the trend learns `alpha * beta` of a surprise).
    pub beta: f64,
    /// Share of a surprise that moves the season.
    pub gamma: f64,
    /// What is left of the trend after one minute; 1 is no damping.
    pub phi: f64,
    /// What is left after one minute of the unlearned part of a surprise (AR(1), Taylor 2003).
    pub rho: f64,
}

impl Default for Smoothing {
    fn default() -> Self {
        Self { alpha: 0.3, beta: 0.05, gamma: 0.03, phi: 0.9, rho: 0.3 }
    }
}

impl Smoothing {
    /// Returns whether a model can run with it: a stored one may be damaged.
    pub fn is_sound(&self) -> bool {
        [self.alpha, self.beta, self.gamma, self.phi, self.rho].iter().all(|share| (0.0..=1.0).contains(share))
    }
}

/// Fitted parameters of a signal, as persisted across restarts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// Whose signal it is.
    pub service: ServiceId,
    /// Which.
    pub signal: SignalName,
    /// When the fit was requested.
    pub issued: Minute,
    /// The parameters found.
    pub smoothing: Smoothing,
}
