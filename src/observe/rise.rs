//! A rise that stands out, carried on to now: a sample is as old as its source is late, and what a rate was then is
//! less than what arrives by now.

use std::time::Duration;

use crate::model::time::elapsed;
use crate::model::{Finite, Sample};

/// How many times steeper than usual a rise must be to be carried on.
const RISE: f64 = 2.0;
/// Slopes between samples that must be known to say what is usual.
const USUAL: usize = 8;

/// Returns where a signal is by now, its newest sample being of the age `staleness`, if it rises steeply: two slopes
/// must stand out from all that the last minutes saw, so that noise is no rise, and the slower one counts.
///
/// **Shape**: `samples` newest first, of distinct times.
pub(super) fn carried_on(
    mut samples: impl Iterator<Item = Sample>,
    staleness: Duration,
    scrape_interval: Duration,
) -> Option<Finite> {
    let newest = samples.next()?;
    let mut later = newest;
    let mut slopes = samples.map(|earlier| {
        let apart = elapsed(later.at, earlier.at);
        let slope = (later.value.get() - earlier.value.get()) / apart.as_secs_f64();
        later = earlier;
        (slope, apart)
    });
    let rise: [_; 2] = [slopes.next()?, slopes.next()?];
    if rise.iter().any(|(_, apart)| *apart > scrape_interval.saturating_mul(2)) {
        return None;
    }
    let slower = rise.iter().map(|(slope, _)| *slope).fold(f64::INFINITY, f64::min);
    // The begin of the rise itself says nothing of how the signal usually moves.
    let usual: Vec<f64> = slopes.map(|(slope, _)| slope).skip_while(|slope| *slope > 0.0).map(f64::abs).collect();
    let least = RISE * usual.iter().copied().fold(0.0, f64::max);
    if usual.len() < USUAL || slower <= least {
        return None;
    }
    Finite::new(newest.value.get() + slower * staleness.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use crate::model::Unit;
    use crate::observe::tests::{Rig, at, value};

    fn rps() -> Rig {
        Rig::new(Unit::PerSecond)
    }

    #[test]
    fn a_steep_rise_is_carried_on_to_now() {
        let noisy = |step: usize| 500.0 + [0.0, 8.0, -6.0, 3.0, -9.0][step % 5];
        let calm: Vec<f64> = (0..20).map(noisy).collect();
        let rising = |more: &[f64]| {
            let mut rig = rps();
            rig.feed(0.0, &[&calm, more].concat()).rising.map(|rate| rate.get().round())
        };
        for (more, expected) in [
            // Two slopes stand out: at the slower one, 5 s on.
            (&[640.0, 800.0][..], Some(850.0)),
            (&[640.0, 800.0, 1040.0], Some(1093.0)),
            // One alone may be an odd sample; a second that hardly rises does not carry it.
            (&[640.0], None),
            (&[640.0, 660.0], None),
            (&[640.0, 800.0, 790.0], None),
            // Within what the signal always does.
            (&[510.0, 520.0], None),
            // Ten times as much is not believed yet.
            (&[6_000.0, 7_000.0], None),
        ] {
            assert_eq!(rising(more), expected, "{more:?}");
        }
        // Without knowing what is usual, and after a scrape was missed.
        assert_eq!(rps().feed(0.0, &[500.0, 500.0, 640.0, 800.0]).rising, None);
        let mut rig = rps();
        rig.feed(0.0, &calm);
        rig.feed(345.0, &[640.0, 800.0]);
        assert_eq!(rig.step(at(411.0), value(405.0, 1_100.0)).rising, None);
    }

    #[test]
    fn a_signal_that_always_rises_is_not_carried_on() {
        let steady: Vec<f64> = (0..40).map(|step| 100.0 + 30.0 * f64::from(step)).collect();
        assert_eq!(rps().feed(0.0, &steady).rising, None);
        let saw: Vec<f64> = (0..40).map(|step| 100.0 + 60.0 * f64::from(step % 4)).collect();
        assert_eq!(rps().feed(0.0, &saw).rising, None);
    }
}
