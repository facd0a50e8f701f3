//! A steep rise, extrapolated to now. A rate shows a rise late: it averages over a window, so its newest sample
//! reflects what arrived half a window earlier, and that sample is itself as old as its source is late.
//!
//! What arrived between two samples can be derived from them: their windows overlap, so the newer sample gained what
//! arrived since the older one minus what left the window meanwhile, spread over the window.

use std::time::Duration;

use super::before;
use crate::model::features::MOST_RISE;
use crate::model::time::elapsed;
use crate::model::{Finite, Sample, SignalSpec, Timestamp};

/// How many times steeper than usual a rise must be to be extrapolated.
const RISE: f64 = 2.0;
/// Slopes between samples needed to establish what is usual.
const USUAL: usize = 8;
/// How long before a rise counts for what is usual.
const BEFORE: Duration = Duration::from_mins(6);
/// How far back the samples must reach: a ramp of ten minutes counts as a rise to its end only if what was usual before
/// it is still known by then.
pub(super) const SPAN: Duration = Duration::from_mins(14);

/// A steep rise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rising {
    /// The estimated value now.
    pub(super) now: Finite,
    /// Its slope, per second; `None` if not finite.
    pub(super) slope: Option<Finite>,
}

/// From one sample to the next.
#[derive(Debug, Clone, Copy)]
struct Step {
    from: Sample,
    to: Sample,
}

/// What arrived between two samples.
#[derive(Debug, Clone, Copy)]
struct Came {
    until: Timestamp,
    /// From the previous sample to this one.
    seconds: f64,
    /// From the middle of the time that the rate covers to its end, seconds.
    half: f64,
    rate: f64,
}

/// Returns the estimated value of a signal now, given that its newest sample is `staleness` old, if it rises steeply:
/// two slopes must stand out from all those in the minutes before the rise, so that noise is not a rise. The estimate
/// starts from the second newest arrival rate and continues at the slower of the two newest slopes, so that one odd
/// sample is not a surge; it is never below the newest sample extrapolated over its age.
///
/// **Shape**: `samples` newest first, of distinct times.
pub(super) fn carried_on(
    samples: impl Iterator<Item = Sample> + Clone,
    staleness: Duration,
    spec: &SignalSpec,
) -> Option<Rising> {
    let steps = samples.clone().skip(1).zip(samples).map(|(from, to)| Step { from, to });
    let slower = stands_out(steps.clone(), spec.scrape_interval)?;
    let mut rise: Vec<Step> = steps.take_while(|step| step.slope() > 0.0).collect();
    rise.reverse();
    let (begin, newest) = (rise.first()?.from, rise.last()?.to.value.get());
    let shown = newest + slower * staleness.as_secs_f64();
    let (reached, slope) = reached(&came(begin, &rise, spec.window), begin, staleness)?;
    let now = Finite::new(reached.min(MOST_RISE * newest.abs()).max(shown))?;
    Some(Rising { now, slope: Finite::new(slope) })
}

/// Returns the slower of the two newest slopes if both stand out from the others. The start of the rise itself says
/// nothing about how the signal usually moves.
fn stands_out(mut steps: impl Iterator<Item = Step>, scrape_interval: Duration) -> Option<f64> {
    let rise = [steps.next()?, steps.next()?];
    let missed = rise.iter().any(|step| elapsed(step.to.at, step.from.at) > scrape_interval.saturating_mul(2));
    let slower = rise.iter().map(|step| step.slope()).fold(f64::INFINITY, f64::min);
    if missed || slower <= 0.0 {
        return None;
    }
    let mut usual = steps.skip_while(|step| step.slope() > 0.0).peekable();
    let since = usual.peek().map_or(Timestamp::MIN, |step| before(step.to.at, BEFORE));
    let usual = usual.take_while(|step| step.to.at > since).map(|step| step.slope().abs());
    let (known, steepest) = usual.fold((0, 0.0), |(known, steepest), slope| (known + 1, slope.max(steepest)));
    (known >= USUAL && slower > RISE * steepest).then_some(slower)
}

/// Returns what arrived between the samples of a rise that started at the sample `begin`, oldest first. Before it the
/// signal counts as level.
fn came(begin: Sample, rise: &[Step], window: Duration) -> Vec<Came> {
    let mut came: Vec<Came> = Vec::with_capacity(rise.len());
    for step in rise {
        let (seconds, window_begins) = (step.seconds(), before(step.to.at, window));
        let windows = window.as_secs_f64() / seconds;
        let left = came.iter().find(|came| begin.at < window_begins && window_begins <= came.until);
        let left = left.map_or(begin.value.get(), |came| came.rate);
        // If windows do not overlap, each sample shows what arrived in its window.
        let rate = if windows > 1.0 { left + windows * step.grown() } else { step.to.value.get() };
        came.push(Came { until: step.to.at, seconds, half: seconds * windows.min(1.0) / 2.0, rate });
    }
    came
}

/// Returns the estimated value now, and its slope.
fn reached(came: &[Came], begin: Sample, staleness: Duration) -> Option<(f64, f64)> {
    let [older @ .., second, newest] = came else { return None };
    let third = older.last().map_or(begin.value.get(), |third| third.rate);
    let slopes = [(second.rate - third) / second.seconds, (newest.rate - second.rate) / newest.seconds];
    let slower = slopes.into_iter().fold(f64::INFINITY, f64::min).max(0.0);
    let since = second.half + newest.seconds + staleness.as_secs_f64();
    Some((second.rate.min(newest.rate) + slower * since, slower))
}

impl Step {
    fn seconds(self) -> f64 {
        elapsed(self.to.at, self.from.at).as_secs_f64()
    }

    fn grown(self) -> f64 {
        self.to.value.get() - self.from.value.get()
    }

    fn slope(self) -> f64 {
        self.grown() / self.seconds()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
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
            // One alone may be an odd sample; a second that hardly rises does not confirm it.
            (&[640.0], None),
            (&[640.0, 660.0], None),
            (&[640.0, 800.0, 790.0], None),
            // Within the usual range of the signal.
            (&[510.0, 520.0], None),
            // A tenfold value is not believed yet.
            (&[6_000.0, 7_000.0], None),
        ] {
            assert_eq!(rising(more), expected, "{more:?}");
        }
        // Without enough samples to know what is usual, and after a missed scrape.
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

    /// Returns the true rate: level, then rising to three times as much within `ramp` seconds from `begin`.
    fn surge(ramp: f64, begin: f64, at: f64) -> f64 {
        500.0 * (1.0 + 2.0 * ((at - begin) / ramp).clamp(0.0, 1.0))
    }

    /// Returns the mean of `of` over the window that ends at `at`.
    fn rate(window: f64, at: f64, of: impl Fn(f64) -> f64) -> f64 {
        let parts = (window * 4.0) as u32;
        let part = |part: u32| of(at - (f64::from(part) + 0.5) / 4.0);
        (0..parts).map(part).sum::<f64>() / f64::from(parts)
    }

    /// Returns the estimate 5 s after each sample, from the start of the surge.
    fn told(window: f64, ramp: f64, declared: u64) -> Vec<Option<f64>> {
        let mut rig = rps();
        rig.spec.signals[0].window = Duration::from_secs(declared);
        let tell = |step: i32| {
            let time = 15.0 * f64::from(step);
            let noise = [0.0, 2.0, -1.0, 1.0, -2.0][step as usize % 5];
            let shown = rate(window, time, |at| surge(ramp, 300.0, at)) + noise;
            let told = rig.step(at(time + 5.0), value(time, shown)).rising;
            (step > 20).then_some(told.map(Finite::get))
        };
        (0..30).filter_map(tell).collect()
    }

    #[test]
    fn what_a_window_shows_late_is_told_as_it_is_by_now() {
        let close = |told: Option<f64>, expected: f64| told.is_some_and(|told| (told / expected - 1.0).abs() < 0.05);
        // During a one-minute ramp, a one-minute rate shows 781/s after 45 s, when 1,250 to 1,333 arrive.
        let ramp = told(60.0, 60.0, 60);
        assert_eq!(ramp[0], None, "one slope is no rise");
        assert!(close(ramp[2], surge(60.0, 0.0, 50.0)), "{ramp:?}");
        assert!(ramp.iter().flatten().all(|rate| *rate < 1.25 * 1500.0), "{ramp:?}");
        // A step is fully estimated by the second sample that shows it, and never overestimated.
        let step = told(60.0, 1.0, 60);
        assert!(close(step[1], 1500.0) && close(step[2], 1500.0), "{step:?}");
        // A five-minute rate shows 556/s by then, and is extrapolated to at most its double.
        let long = told(300.0, 60.0, 300);
        assert!(long[2].is_some_and(|rate| rate > 1_000.0), "{long:?}");
        // A signal without a window shows its current value; five seconds later it is a little higher.
        let bare = told(1.0, 60.0, 0);
        assert!(close(bare[2], surge(60.0, 0.0, 50.0)), "{bare:?}");
        // With too long a declared window, it is extrapolated to at most its double.
        let wrong = told(1.0, 60.0, 600);
        assert!(wrong[1].is_some_and(|rate| (1_500.0..2_100.0).contains(&rate)), "{wrong:?}");
    }

    #[test]
    fn a_ramp_of_ten_minutes_is_a_rise_to_its_end_and_its_slope_is_told() {
        for (ramp, until) in [(180.0, 180.0), (600.0, 600.0)] {
            let mut rig = rps();
            rig.spec.signals[0].window = Duration::from_secs(60);
            for step in 0..65 {
                let time = 15.0 * f64::from(step);
                let shown =
                    rate(60.0, time, |at| surge(ramp, 300.0, at)) + [0.0, 0.2, -0.1, 0.1, -0.2][step as usize % 5];
                let told = rig.step(at(time + 5.0), value(time, shown));
                let since = time - 300.0;
                // One window after the start, the whole window is within the rise.
                if (60.0..=until).contains(&since) {
                    let slope = told.slope.map(Finite::get);
                    let off = slope.map(|slope| slope / (1_000.0 / ramp) - 1.0);
                    assert!(off.is_some_and(|off| (-0.3..0.05).contains(&off)), "{ramp} {since} {slope:?}");
                } else if since <= 0.0 || since > until + 75.0 {
                    assert!(told.slope.is_none_or(|slope| slope.get() < 0.1), "{ramp} {since}: {:?}", told.slope);
                }
            }
        }
    }

    #[test]
    fn a_step_is_told_whole_and_rises_no_further() {
        let mut rig = rps();
        rig.spec.signals[0].window = Duration::from_secs(60);
        for step in 0..25 {
            let time = 15.0 * f64::from(step);
            let told = rig.step(at(time + 5.0), value(time, rate(60.0, time, |at| surge(1.0, 300.0, at))));
            assert!(told.slope.is_none_or(|slope| slope.get() < 3.0), "{time}: {:?}", told.slope);
        }
    }

    #[test]
    fn one_odd_sample_in_a_rise_is_not_multiplied() {
        let calm: Vec<f64> = (0..20).map(|step| 500.0 + [0.0, 2.0, -1.0, 1.0, -2.0][step % 5]).collect();
        let told = |more: &[f64]| {
            let mut rig = rps();
            rig.spec.signals[0].window = Duration::from_secs(60);
            rig.feed(0.0, &[&calm, more].concat()).rising.map(|rate| rate.get().round())
        };
        let small = told(&[515.0, 530.0]).unwrap();
        let odd = told(&[515.0, 1_500.0]).unwrap();
        assert!(small < 600.0 && odd < 1_510.0, "{small} {odd}");
    }

    proptest! {
        /// Noise is not a rise, however long a window is declared.
        #[test]
        fn a_noisy_steady_rate_is_not_carried_on_often(seed in any::<u64>(), window in 0_u64..600, spread in 0.0..0.5_f64) {
            let mut rig = rps();
            rig.spec.signals[0].window = Duration::from_secs(window);
            let mut random = seed;
            let mut noise = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) as f64 / f64::from(u32::MAX >> 1) - 0.5
            };
            let mut told = 0;
            for step in 0..400 {
                let time = 15.0 * f64::from(step);
                told += u32::from(rig.step(at(time + 5.0), value(time, 500.0 * (1.0 + spread * noise()))).rising.is_some());
            }
            prop_assert!(told <= 1, "{told} of 400");
        }

        /// However a calm signal rises, and whatever window is declared, the estimate is at least the newest sample and
        /// at most twice that.
        #[test]
        fn a_rise_is_bounded(
            rise in prop::collection::vec(1.1..3.0_f64, 2..12), window in prop_oneof![0_u64..900, any::<u64>()],
        ) {
            let mut rig = rps();
            rig.spec.signals[0].window = Duration::from_secs(window);
            rig.feed(0.0, &[500.0; 20]);
            let (mut number, mut told) = (500.0, 0);
            for (step, factor) in rise.iter().enumerate() {
                number *= factor;
                let time = 300.0 + 15.0 * step as f64;
                let Some(rising) = rig.step(at(time + 5.0), value(time, number)).rising else { continue };
                told += 1;
                prop_assert!(number <= rising.get() && rising.get() <= 2.0 * number, "{number} {rising:?}");
            }
            prop_assert!(told > 0, "the second step is told at the latest");
        }
    }
}
