//! Settings of the lease.

use std::time::Duration;

/// Timing of a lease.
///
/// **Source**: the defaults are those of Kubernetes' own controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a lease lasts after a renewal.
    pub duration: Duration,
    /// How long a holder whose renewals fail continues as the holder.
    pub renew_deadline: Duration,
    /// Pause after a failed request.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

impl Timing {
    /// Returns how often a holder renews: twice within the time in which one renewal must succeed.
    pub fn renew_every(&self) -> Duration {
        self.renew_deadline / 2
    }
}
