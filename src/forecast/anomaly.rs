//! How unusual a value is, and in which way.
//!
//! Two kinds of evidence are added up: how far the value lies from what was said of it a minute before, and how far
//! from a slow level of its own, which a shift or a drift leaves behind for long. Each is measured in a scale with heavy
//! tails (lightly clipped, never nothing on a quiet signal); the robust scale that the models clip by would cry at
//! every bump. A value that stands still for much longer than it ever did is evidence, too.
//!
//! What a sum of evidence is worth differs from signal to signal: bursts are the nature of one and unheard of on another.
//! So its tail is learned (peaks over threshold: Siffer, Fouque, Termier and Largouet, "Anomaly Detection in Streams with
//! Extreme Value Theory", 2017, with an exponential tail): the score says by how many mean excesses it lies above the 98 %
//! quantile, without an upper end, and is put on 0 to 1 last, so that a larger surprise always scores higher.
//!
//! A score counts only where it exceeds all of the last while, which fades; a shift that still stands minutes after its
//! alarm is told once more, as what it is. Alarms are limited besides: one an hour.

use crate::model::AnomalyKind;

/// Score from which on somebody should look.
pub const THRESHOLD: f64 = 0.5;

/// Excess, in mean excesses, that scores one half.
const HALF: f64 = 6.0;
/// Share of a new squared deviation in a scale (half-life a day), once there were as many.
const GAIN: f64 = 0.0005;
/// Deviations enter a scale up to this many of it.
const CLIP: f64 = 6.0;
/// Shares of the deviation of all values, and of their height, below which no scale falls.
const FLOOR: f64 = 0.03;
const HEIGHT_FLOOR: f64 = 0.01;
/// Deviations before a scale is used.
const ENOUGH: u32 = 30;
/// The 95 % interval spans so many deviations of a normal variable.
const INTERVAL_DEVIATIONS: f64 = 4.0;
/// Share of a new value in the slow level (half-life an hour), and how far it moves it at most, in its scale.
const SLOW: f64 = 0.01;
const SLOW_CLIP: f64 = 3.0;

/// Share of the evidence above the quantile from which the tail is learned.
const TAIL: f64 = 0.02;
/// Step of the quantile, and where it starts and ends.
const TAIL_STEP: f64 = 0.02;
const TAIL_START: f64 = 1.0;
const TAIL_LEAST: f64 = 0.3;
/// Mean excess before any was seen, as if there had been so many.
const EXCESS: f64 = 0.2;
const EXCESS_WEIGHT: f64 = 30.0;
/// Share of a new excess in their mean, and how many of it one counts at most.
const EXCESS_GAIN: f64 = 0.005;
const EXCESS_CLIP: f64 = 20.0;

/// What remains each minute of the excess that a new one has to exceed (half-life 69 minutes).
const HELD: f64 = 0.99;
/// Minutes after an alarm at which a shift is told, and what of the slow level's scale each of them has to lie beyond.
const SHIFT_AFTER: u8 = 5;
const SHIFT_BEYOND: f64 = 3.0;
/// A value lies apart by its slow level rather than by its forecast from so many times the evidence on.
const SHIFT_RATHER: f64 = 2.0;
/// Minutes after an alarm without another one.
const QUIET: u32 = 60;

/// A standstill is told once when it lasts twice as long as the longest one before (at least as one of so many minutes), and
/// whenever it has doubled: so many times the evidence. What changed less often tells nothing.
const FROZEN_LEAST: f64 = 15.0;
const FROZEN_WORTH: f64 = 4.0;
const CHANGES: u32 = 50;
/// What remains each minute of the longest standstill (half-life a day).
const LONGEST: f64 = 0.9995;

/// How unusual a value is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anomaly {
    /// 0 to 1.
    pub score: f64,
    /// In which way; `None` with a score of 0.
    pub kind: Option<AnomalyKind>,
    /// Whether somebody should look: the score passes [`THRESHOLD`], and there was no alarm for an hour.
    pub alarm: bool,
}

/// What was said of a minute in the minute before: the point and its 95 % interval. NaN where nothing was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Point forecast.
    pub point: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What is learned about the surprises of one signal.
#[derive(Debug, Clone, Copy)]
pub struct Detector {
    /// Mean and squared deviation of all values.
    mean: f64,
    spread: f64,
    seen: u32,
    residuals: Scale,
    slow: f64,
    from_slow: Scale,
    tail: Tail,
    standstill: Standstill,
    /// What a new excess has to exceed.
    held: f64,
    /// Minutes since a score that passed the threshold, and its side of the slow level; `None` once a shift is told or
    /// refuted.
    passed: Option<(u8, f64)>,
    /// Minutes with a value since the last alarm.
    quiet: u32,
    newest: Option<Anomaly>,
}

impl Detector {
    /// Returns the state before any minute.
    pub fn new() -> Self {
        Self {
            mean: 0.0,
            spread: 0.0,
            seen: 0,
            residuals: Scale::default(),
            slow: 0.0,
            from_slow: Scale::default(),
            tail: Tail::new(),
            standstill: Standstill::default(),
            held: 0.0,
            passed: None,
            quiet: QUIET,
            newest: None,
        }
    }

    /// Returns what is said of the newest closed minute; `None` if it had no value, and before enough was learned.
    pub fn newest(&self) -> Option<Anomaly> {
        self.newest
    }

    /// Returns what would be said of a value that is not learned yet.
    pub fn look(&self, value: f64, expected: &Expected) -> Option<Anomaly> {
        let weighed = self.weigh(value, expected)?;
        Some(self.anomaly(self.news(self.tail.excess(weighed.sum())), weighed.kind()))
    }

    /// Learns the value of a closed minute; `None` for a gap.
    pub fn learn(&mut self, value: Option<f64>, expected: &Expected) {
        self.newest = None;
        let Some(value) = value else { return };
        self.seen = self.seen.saturating_add(1);
        let gain = GAIN.max(1.0 / f64::from(self.seen));
        self.mean += gain * (value - self.mean);
        self.spread += gain * ((value - self.mean).powi(2) - self.spread);
        self.standstill.learn(value);
        if self.seen == 1 {
            self.slow = value;
        }
        let weighed = self.weigh(value, expected);
        let residual = value - expected.point;
        if residual.is_finite() {
            let floor = self.floor();
            self.residuals.learn(residual, floor);
            self.from_slow.learn(value - self.slow, floor);
            let most = SLOW_CLIP * self.from_slow.get(floor);
            self.slow += SLOW * (value - self.slow).clamp(-most, most);
        }
        let Some(weighed) = weighed else { return };
        let excess = self.tail.excess(weighed.sum());
        // What stands still is learned as that.
        self.tail.learn(weighed.moved());
        let told = self.anomaly(self.news(excess), weighed.kind());
        self.held = (HELD * self.held).max(excess).min(f64::MAX);
        let told = if self.shift(told.score, weighed.from_slow) {
            self.anomaly(self.held.max(HALF), AnomalyKind::LevelShift)
        } else {
            told
        };
        self.quiet = if told.alarm { 0 } else { self.quiet.saturating_add(1) };
        self.newest = Some(told);
    }

    /// Returns what of an excess is news.
    fn news(&self, excess: f64) -> f64 {
        if excess > self.held { excess } else { 0.0 }
    }

    fn anomaly(&self, excess: f64, kind: AnomalyKind) -> Anomaly {
        // What no number holds any more is as unusual as can be.
        let score = if excess.is_finite() { excess / (excess + HALF) } else { 1.0 };
        let alarm = score >= THRESHOLD && self.quiet >= QUIET;
        Anomaly { score, kind: (excess > 0.0).then_some(kind), alarm }
    }

    /// Tells, some minutes after a score passed the threshold, whether all of them lay on its side of the slow level.
    fn shift(&mut self, score: f64, from_slow: f64) -> bool {
        if score >= THRESHOLD {
            self.passed = Some((0, from_slow.signum()));
            return false;
        }
        self.passed = self.passed.filter(|(_, side)| from_slow * side >= SHIFT_BEYOND);
        let Some((since, _)) = &mut self.passed else { return false };
        *since += 1;
        let stands = *since == SHIFT_AFTER;
        if stands {
            self.passed = None;
        }
        stands
    }

    fn weigh(&self, value: f64, expected: &Expected) -> Option<Weighed> {
        let Expected { point, low, high } = *expected;
        let residual = value - point;
        if self.residuals.seen < ENOUGH || !residual.is_finite() {
            return None;
        }
        let floor = self.floor();
        // Where the interval is wide, forecasts are known to miss.
        let scale = self.residuals.get(floor).max((high - low) / INTERVAL_DEVIATIONS);
        let from_slow = (value - self.slow) / self.from_slow.get(floor);
        Some(Weighed { residual: residual.abs() / scale, from_slow, frozen: self.standstill.evidence(value) })
    }

    fn floor(&self) -> f64 {
        (FLOOR * self.spread.sqrt()).max(HEIGHT_FLOOR * self.mean.abs())
    }
}

/// The evidence against one value.
#[derive(Debug, Clone, Copy)]
struct Weighed {
    residual: f64,
    /// Below the slow level it is negative.
    from_slow: f64,
    frozen: f64,
}

impl Weighed {
    fn moved(&self) -> f64 {
        self.residual + self.from_slow.abs()
    }

    fn sum(&self) -> f64 {
        self.moved().max(self.frozen)
    }

    fn kind(&self) -> AnomalyKind {
        if self.frozen > self.moved() {
            AnomalyKind::Frozen
        } else if self.from_slow.abs() > SHIFT_RATHER * self.residual {
            AnomalyKind::LevelShift
        } else {
            AnomalyKind::Point
        }
    }
}

/// Root of a mean square with heavy tails.
#[derive(Debug, Clone, Copy, Default)]
struct Scale {
    square: f64,
    seen: u32,
}

impl Scale {
    fn get(&self, floor: f64) -> f64 {
        self.square.sqrt().max(floor).max(1e-12)
    }

    fn learn(&mut self, deviation: f64, floor: f64) {
        let clip = if self.seen < ENOUGH { f64::INFINITY } else { CLIP * self.get(floor) };
        self.seen = self.seen.saturating_add(1);
        let gain = GAIN.max(1.0 / f64::from(self.seen));
        self.square += gain * (deviation.abs().min(clip).powi(2) - self.square);
    }
}

/// The upper tail of the evidence: a quantile, and the mean excess over it.
#[derive(Debug, Clone, Copy)]
struct Tail {
    quantile: f64,
    /// Discounted sum and number of the excesses.
    sum: f64,
    count: f64,
}

impl Tail {
    fn new() -> Self {
        Self { quantile: TAIL_START, sum: 0.0, count: 0.0 }
    }

    fn mean(&self) -> f64 {
        (self.sum + EXCESS_WEIGHT * EXCESS) / (self.count + EXCESS_WEIGHT)
    }

    /// Returns by how many mean excesses the evidence lies above the quantile; 0 below it.
    fn excess(&self, evidence: f64) -> f64 {
        ((evidence - self.quantile) / self.mean()).max(0.0)
    }

    fn learn(&mut self, evidence: f64) {
        let step = TAIL_STEP * self.quantile;
        if evidence > self.quantile {
            self.quantile += step * (1.0 - TAIL);
            let excess = (evidence - self.quantile).clamp(0.0, EXCESS_CLIP * self.mean());
            self.sum = (1.0 - EXCESS_GAIN) * self.sum + excess;
            self.count = (1.0 - EXCESS_GAIN) * self.count + 1.0;
        } else {
            self.quantile = (self.quantile - step * TAIL).max(TAIL_LEAST);
        }
    }
}

/// For how long the value has not changed, and for how long it has not at most.
#[derive(Debug, Clone, Copy, Default)]
struct Standstill {
    value: f64,
    lasts: f64,
    longest: f64,
    changes: u32,
}

impl Standstill {
    fn learn(&mut self, value: f64) {
        if value == self.value {
            self.lasts += 1.0;
            return;
        }
        self.longest = (LONGEST * self.longest).max(self.lasts);
        self.changes = self.changes.saturating_add(1);
        (self.value, self.lasts) = (value, 0.0);
    }

    fn evidence(&self, value: f64) -> f64 {
        if value != self.value || self.changes <= CHANGES {
            return 0.0;
        }
        let doublings = |lasts: f64| (lasts / self.longest.max(FROZEN_LEAST)).log2().floor();
        let now = doublings(self.lasts);
        if now >= 1.0 && now > doublings(self.lasts - 1.0) { FROZEN_WORTH * now.exp2() } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::tests::Noise;

    fn expected(point: f64) -> Expected {
        Expected { point, low: point - 2.0, high: point + 2.0 }
    }

    /// A detector after so many minutes of noise about 100, all forecast as 100.
    fn learned(minutes: usize) -> Detector {
        let (mut detector, mut noise) = (Detector::new(), Noise::new(1));
        for _ in 0..minutes {
            detector.learn(Some(100.0 + noise.normal()), &expected(100.0));
        }
        detector
    }

    /// Plays values and returns what passed the threshold: when, and its kind.
    fn passed(detector: &mut Detector, values: impl IntoIterator<Item = f64>) -> Vec<(usize, AnomalyKind)> {
        let told = |(minute, value): (usize, f64)| {
            detector.learn(Some(value), &expected(100.0));
            let newest = detector.newest().filter(|newest| newest.score >= THRESHOLD)?;
            Some((minute, newest.kind?))
        };
        values.into_iter().enumerate().filter_map(told).collect()
    }

    #[test]
    fn a_larger_surprise_scores_higher_without_end() {
        assert_eq!(Detector::new().look(1.0, &expected(100.0)), None);
        let detector = learned(3000);
        let looked =
            [101.0, 106.0, 110.0, 150.0, 1e3, 1e6].map(|value| detector.look(value, &expected(100.0)).unwrap());
        let scores = looked.map(|anomaly| anomaly.score);
        assert_eq!(scores[0], 0.0);
        assert!(scores.windows(2).all(|pair| pair[0] < pair[1]), "{scores:?}");
        assert_eq!(looked.map(|anomaly| anomaly.alarm), [false, true, true, true, true, true], "{scores:?}");
        let below = detector.look(-1e300, &expected(100.0)).unwrap();
        assert!(below.score <= 1.0 && below.alarm);
    }

    #[test]
    fn noise_of_a_week_raises_no_alarm_and_bursts_are_learned() {
        let mut noise = Noise::new(2);
        let mut detector = learned(3000);
        let told = passed(&mut detector, (0..10_080).map(|_| 100.0 + noise.normal()));
        assert!(told.len() <= 1, "{told:?}");
        // One minute in fifty is five times as far off: at first unheard of, later its nature.
        let burst =
            |minute: usize, noise: &mut Noise| if minute.is_multiple_of(50) { 5.0 } else { 1.0 } * noise.normal();
        let first = passed(&mut detector, (0..1440).map(|minute| 100.0 + burst(minute, &mut noise)));
        passed(&mut detector, (0..10_080).map(|minute| 100.0 + burst(minute, &mut noise)));
        let later = passed(&mut detector, (0..1440).map(|minute| 100.0 + burst(minute, &mut noise)));
        assert!(first.len() > 1 && later.len() <= 1, "{first:?} {later:?}");
    }

    #[test]
    fn what_goes_on_is_told_once_and_a_shift_once_more() {
        let mut noise = Noise::new(3);
        let mut step = |by: f64| 100.0 + by + noise.normal();
        let told = passed(&mut learned(3000), (0..60).map(|_| step(30.0)));
        assert_eq!(told, [(0, AnomalyKind::Point), (5, AnomalyKind::LevelShift)]);
        let told = passed(&mut learned(3000), (0..60).map(|minute| step(if minute == 0 { 30.0 } else { 0.0 })));
        assert_eq!(told, [(0, AnomalyKind::Point)]);
        // What exceeds it is news, and no second alarm.
        let mut detector = learned(3000);
        let alarms = [20.0, 0.0, 60.0, 0.0].map(|by| {
            detector.learn(Some(step(by)), &expected(100.0));
            detector.newest().unwrap().alarm
        });
        assert_eq!(alarms, [true, false, false, false]);
        let told = passed(&mut learned(3000), [step(20.0), step(0.0), step(60.0), step(0.0)]);
        assert_eq!(told, [(0, AnomalyKind::Point), (2, AnomalyKind::Point)]);
    }

    #[test]
    fn a_value_that_stands_still_for_longer_than_ever_is_frozen() {
        let mut detector = learned(3000);
        assert_eq!(passed(&mut detector, [100.25; 61]), [(30, AnomalyKind::Frozen), (60, AnomalyKind::Frozen)]);
        // A signal that often stands still for an hour.
        let mut noise = Noise::new(4);
        let mut detector = Detector::new();
        let steps = (0..200).flat_map(|_| [100.0 + noise.normal(); 60]).collect::<Vec<_>>();
        passed(&mut detector, steps);
        assert_eq!(passed(&mut detector, [100.5; 70]), []);
    }

    #[test]
    fn a_wide_interval_excuses_what_lies_far_off() {
        let detector = learned(3000);
        let narrow = detector.look(108.0, &expected(100.0)).unwrap();
        let wide = detector.look(108.0, &Expected { point: 100.0, low: 80.0, high: 120.0 }).unwrap();
        assert!(wide.score < narrow.score, "{wide:?} {narrow:?}");
    }

    #[test]
    fn a_gap_says_nothing_and_a_signal_that_never_moves_keeps_a_scale() {
        let mut detector = learned(3000);
        detector.learn(Some(500.0), &expected(100.0));
        assert!(detector.newest().is_some());
        detector.learn(None, &expected(100.0));
        assert_eq!(detector.newest(), None);
        let mut flat = Detector::new();
        for _ in 0..100 {
            flat.learn(Some(100.0), &expected(100.0));
        }
        let narrow = |value: f64| flat.look(value, &Expected { point: 100.0, low: 100.0, high: 100.0 }).unwrap();
        assert_eq!((narrow(100.0).score, narrow(100.0).kind), (0.0, None));
        assert!(!narrow(100.5).alarm && narrow(105.0).alarm, "{:?} {:?}", narrow(100.5), narrow(105.0));
    }
}
