//! Arrivals to features: what each signal is now, how old it is, and whether it may be believed.
//!
//! The stage takes one round of arrivals and returns [`Features`]. It never invents a value: what did not arrive,
//! arrived late, is from the future, out of range or far off the last value is a typed reading, and a minute without
//! samples is a gap.
//!
//! | file | duty |
//! |---|---|
//! | `track` | one signal: classifies an arrival, tracks its age, computes the features |
//! | `window` | the last minutes of samples in time order, and the tenfold-jump filter over them |
//! | `minutes` | the wall-clock minute grid: each minute closed once, gaps explicit |
//! | `outage` | when a signal may be believed again after an outage |
//! | `rise` | a steep rise, extrapolated to now |
//!
//! **Age.** Staleness is the larger of two ages of the newest sample: wall time minus its timestamp, and monotonic time
//! since that timestamp was first seen. So a series that repeats its last sample becomes stale, and setting the wall
//! clock back does not make it young again. Samples stamped more than [`MAX_AHEAD`] ahead of the wall clock are
//! rejected; those already accepted are dropped when the clock is set back to before them.
//!
//! **Order.** All features are computed from the samples in time order, so duplicates and late samples change nothing
//! beyond what the sorted, de-duplicated samples say. A sample older than the window is ignored; of two values with the
//! same timestamp the first counts.
//!
//! **Minutes** follow the sample times: minute `M` closes when a sample of a later minute has arrived, or when no fresh
//! sample can arrive for `M` any longer. A source that lags therefore loses nothing to the grid. The running minute is
//! that of the newest sample. Closed minutes are strictly ascending, with one exception: when the wall clock is set
//! back by more than an hour, the grid restarts at the present.

mod minutes;
mod outage;
mod rise;
mod track;
mod window;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::model::{Arrival, Features, Now, ServiceSpec, TargetReading, Timestamp};
use track::Track;
pub use window::believe;

/// How far ahead of the wall clock a sample may be stamped: the clock skew to expect within a fleet.
pub const MAX_AHEAD: Duration = Duration::from_secs(30);

/// The state of the observe stage for one service.
#[derive(Debug, Clone)]
pub struct Observer {
    tracks: Vec<Track>,
}

impl Observer {
    /// Returns the state of a service of which nothing has been observed.
    pub fn new(spec: &ServiceSpec) -> Self {
        Self { tracks: vec![Track::default(); spec.signals.len()] }
    }
}

/// Accepts one round of arrivals and returns the features of the service.
///
/// **Shape**: `arrivals` in the order of the declared signals; `None` (or a missing entry) means that the signal was
/// not queried in this round, and its last reading is returned at its present age. The result has one entry for each
/// declared signal, in the same order.
pub fn observe(
    state: &mut Observer,
    spec: &ServiceSpec,
    arrivals: &[Option<Arrival>],
    target: TargetReading,
    now: Now,
) -> Features {
    state.tracks.resize_with(spec.signals.len(), Track::default);
    let arrivals = arrivals.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    let signals = spec.signals.iter().zip(&mut state.tracks).zip(arrivals);
    Features {
        signals: signals.map(|((signal, track), arrival)| track.observe(signal, arrival, now)).collect(),
        target,
    }
}

/// Returns the moment `span` before `at`.
fn before(at: Timestamp, span: Duration) -> Timestamp {
    at.checked_sub(span).unwrap_or(Timestamp::MIN)
}
