//! A rise that stands out, carried on to now. What a rate shows of it is old: a rate looks back over a window, so its
//! newest sample is what arrived half a window before, and that sample is as old as its source is late.
//!
//! What came between two samples can be told from them: their windows overlap, so what the newer one gained is what came
//! since the older one less what left the window meanwhile, spread over the window.

use std::time::Duration;

use super::before;
use crate::model::time::elapsed;
use crate::model::{Finite, Sample, SignalSpec, Timestamp};

/// How many times steeper than usual a rise must be to be carried on.
const RISE: f64 = 2.0;
/// Slopes between samples that must be known to say what is usual.
const USUAL: usize = 8;
/// How long before a rise is looked at for what is usual.
const BEFORE: Duration = Duration::from_mins(6);
/// How far back the samples must reach: a ramp of ten minutes is a rise to its end only if what was usual before it is
/// still known by then.
pub(super) const SPAN: Duration = Duration::from_mins(14);
/// How many times the newest sample a rise is carried on to, at most: a window may be declared longer than it is.
const MOST: f64 = 2.0;

/// A rise that stands out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rising {
    /// Where the signal is by now.
    pub(super) now: Finite,
    /// How fast it rises, per second; `None` if it is no number.
    pub(super) slope: Option<Finite>,
}

/// From one sample to the next.
#[derive(Debug, Clone, Copy)]
struct Step {
    from: Sample,
    to: Sample,
}

/// What came between two samples.
#[derive(Debug, Clone, Copy)]
struct Came {
    until: Timestamp,
    /// From the sample before to this one.
    seconds: f64,
    /// From the middle of what the rate is of to its end, seconds.
    half: f64,
    rate: f64,
}

/// Returns where a signal is by now, its newest sample being of the age `staleness`, if it rises steeply: two slopes
/// must stand out from all that the minutes before the rise saw, so that noise is no rise. Of what came between the samples that
/// show it the second newest counts, carried on at the slower of the two newest slopes, so that one odd sample is no
/// surge; no less than the newest sample, carried on over its age alone.
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
    let now = Finite::new(reached.min(MOST * newest.abs()).max(shown))?;
    Some(Rising { now, slope: Finite::new(slope) })
}

/// Returns the slower of the two newest slopes if both stand out from the others. The begin of the rise itself says
/// nothing of how the signal usually moves.
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

/// Returns what came between the samples of a rise that began at the sample `begin`, oldest first. Before it the signal
/// was level.
fn came(begin: Sample, rise: &[Step], window: Duration) -> Vec<Came> {
    let mut came: Vec<Came> = Vec::with_capacity(rise.len());
    for step in rise {
        let (seconds, window_begins) = (step.seconds(), before(step.to.at, window));
        let windows = window.as_secs_f64() / seconds;
        let left = came.iter().find(|came| begin.at < window_begins && window_begins <= came.until);
        let left = left.map_or(begin.value.get(), |came| came.rate);
        // Windows that do not overlap tell what came in each.
        let rate = if windows > 1.0 { left + windows * step.grown() } else { step.to.value.get() };
        came.push(Came { until: step.to.at, seconds, half: seconds * windows.min(1.0) / 2.0, rate });
    }
    came
}

/// Returns where the signal is by now, and how fast it rises.
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

    /// What arrives: level, then up to three times as much within `ramp` seconds from `begin` on.
    fn surge(ramp: f64, begin: f64, at: f64) -> f64 {
        500.0 * (1.0 + 2.0 * ((at - begin) / ramp).clamp(0.0, 1.0))
    }

    /// The mean over the window before each of the samples, 15 s apart, beside what one more second brings.
    fn rate(window: f64, at: f64, of: impl Fn(f64) -> f64) -> f64 {
        let parts = (window * 4.0) as u32;
        let part = |part: u32| of(at - (f64::from(part) + 0.5) / 4.0);
        (0..parts).map(part).sum::<f64>() / f64::from(parts)
    }

    /// Returns what is told 5 s after each sample, from the begin of the surge on.
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
        // Of a ramp of a minute a rate over a minute shows 781/s after 45 s, where 1,250 to 1,333 arrive.
        let ramp = told(60.0, 60.0, 60);
        assert_eq!(ramp[0], None, "one slope is no rise");
        assert!(close(ramp[2], surge(60.0, 0.0, 50.0)), "{ramp:?}");
        assert!(ramp.iter().flatten().all(|rate| *rate < 1.25 * 1500.0), "{ramp:?}");
        // A step is told whole by the second sample that shows it, and never as more than it is.
        let step = told(60.0, 1.0, 60);
        assert!(close(step[1], 1500.0) && close(step[2], 1500.0), "{step:?}");
        // A rate over five minutes shows 556/s by then, and is believed to be its double at most.
        let long = told(300.0, 60.0, 300);
        assert!(long[2].is_some_and(|rate| rate > 1_000.0), "{long:?}");
        // What does not look back says itself where it is; five seconds later it is a little more.
        let bare = told(1.0, 60.0, 0);
        assert!(close(bare[2], surge(60.0, 0.0, 50.0)), "{bare:?}");
        // Told to look back further than it does, it is carried on to its double at most.
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
                // A window after the begin it is in the rise whole.
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
        /// Noise does not rise, however long a window is declared.
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

        /// However a calm signal rises, and whatever window is declared, it is told as no less than the newest sample and
        /// as no more than twice of it.
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
