//! How unusual a value is, and in which way.
//!
//! Four kinds of evidence:
//! - **Single values:** the distance from the forecast issued a minute before, plus the distance from a slowly
//!   following level, which stays large for a long time after a shift or a drift.
//! - **Two values in a row** on the same side of forecasts issued before either of them: the smaller of the two
//!   distances. It finds steps that are small compared with the largest single outliers.
//! - **Many values** that lean to one side of the forecasts: a discounted mean of the surprises. It finds
//!   lasting changes within the noise of single values.
//! - **Standstill:** a value that has not changed for much longer than ever before.
//!
//! Distances are divided by robust scales with heavy tails, or by the forecast interval if that is wider. If the
//! seasonal difference forecast something else, the nearer of the two counts: only the seasonal difference knows to the
//! minute when a daily surge starts.
//!
//! The distribution of the evidence differs between signals, so its tail is learned (`tail`): the excess over the 98 %
//! quantile, in mean excesses, is mapped monotonically to a score from 0 to 1. An ordinary signal passes 0.5 once every
//! few weeks, whatever its step.
//!
//! Only a score above the recent ones, whose memory decays, is reported; a shift that persists minutes after its alarm
//! is reported once more, as a shift. There is at most one alarm an hour.

mod scale;
mod standstill;
mod tail;

#[cfg(test)]
mod tests;

use self::scale::{Scale, Spread};
use self::standstill::Standstill;
use self::tail::Tail;
use crate::model::AnomalyKind;

/// Score at which an alarm is raised.
pub const THRESHOLD: f64 = 0.5;

/// How often an ordinary signal passes the threshold, per week.
const ALARMS: f64 = 0.15;
/// Smallest scale of residuals, as shares of the deviation and of the height of all values.
const FLOOR: f64 = 0.03;
const HEIGHT_FLOOR: f64 = 0.01;
/// Width of a 95 % interval of a normal variable, in standard deviations.
const INTERVAL_DEVIATIONS: f64 = 4.0;
/// Weight of a new value in the slow level (half-life an hour), and the clip of one update, in units of its scale.
const SLOW: f64 = 0.01;
const SLOW_CLIP: f64 = 3.0;
/// The 98 % quantile and the mean excess over it under normal noise about a level: for evidence of single values (twice
/// an absolute value), and of two in a row (the smaller of two on one side).
const MOVED: (f64, f64) = (4.65, 0.75);
const LASTS: (f64, f64) = (1.3, 0.3);
/// The same for the mean of many, in its deviations.
const LEANS: (f64, f64) = (2.33, 0.37);
/// Weight of a new surprise in that mean, and its clip: a few outliers do not count as leaning.
const LEAN: f64 = 0.1;
const LEAN_CLIP: f64 = 3.0;
/// Weight of an excess of two in a row, which repeats part of the evidence of its first value.
const LASTING: f64 = 0.7;
/// Evidence of a standstill as long as the longest earlier one, relative to the evidence that scores one half.
const FROZEN: f64 = 0.6;
/// Decay per minute of the excess that a new one has to exceed (half-life 69 minutes).
const HELD: f32 = 0.99;
/// Minutes after an alarm at which a shift is reported, and the minimum distance of each of them from the slow level,
/// in scales.
const SHIFT_AFTER: u8 = 5;
const SHIFT_BEYOND: f64 = 3.0;
/// From this ratio of the two distances on, a value is reported as a level shift rather than as a point.
const SHIFT_RATHER: f64 = 2.0;
/// From this distance on, in scales, the seasonal difference disagrees with the forecast.
const ELSE: f64 = 4.0;
/// Minutes after an alarm without another one.
const QUIET: u32 = 60;

/// How unusual a value is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Anomaly {
    /// 0 to 1.
    pub score: f64,
    /// Its kind; `None` with a score of 0.
    pub kind: Option<AnomalyKind>,
    /// Whether this needs attention: the score passes [`THRESHOLD`], and there was no alarm for an hour.
    pub alarm: bool,
}

/// A forecast of a minute: the point, its 95 % interval, and the seasonal difference's forecast. NaN if there was none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Point forecast.
    pub point: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Point forecast of the seasonal difference.
    pub seasonal: f64,
}

impl Expected {
    /// Creates it from point, lower and upper end, and the point of the seasonal difference.
    pub fn of(said: [f32; 3], seasonal: f32) -> Self {
        let [point, low, high] = said.map(f64::from);
        Self { point, low, high, seasonal: seasonal.into() }
    }

    /// Returns the distance of `value` from it, in units of `scale` or of its interval, whichever is wider.
    fn surprise(&self, value: f64, scale: f64) -> f64 {
        let width = scale.max((self.high - self.low) / INTERVAL_DEVIATIONS);
        let [from, other] = [self.point, self.seasonal].map(|point| value - point);
        let nearer = (from - other).abs() > ELSE * width && other.abs() < from.abs();
        (if nearer { other } else { from }) / width
    }
}

/// The forecasts of a minute issued one minute before it, and two.
pub type ExpectedAhead = [Expected; 2];

/// What is learned about the surprises of one signal.
#[derive(Debug, Clone, Copy)]
pub struct Detector {
    /// Excess that scores one half.
    half: f32,
    values: Spread,
    residuals: Scale,
    /// For forecasts two minutes ahead.
    earlier: Scale,
    slow: f64,
    from_slow: Scale,
    /// For the evidence of single values, of two in a row, and of many.
    tail: Tail,
    lasting: Tail,
    leaning: Tail,
    standstill: Standstill,
    /// Surprise of the newest minute; 0 if it had no value.
    before: f32,
    /// Discounted mean of the surprises.
    lean: f32,
    /// The excess that a new one must exceed.
    held: f32,
    /// Minutes since a score passed the threshold, and whether it was above the slow level; `None` once a shift is
    /// reported or refuted.
    passed: Option<(u8, bool)>,
    /// Minutes with a value since the last alarm.
    quiet: u32,
    newest: Option<Anomaly>,
}

impl Detector {
    /// Returns the state before any minute of a signal with steps of `step_seconds`.
    pub fn new(step_seconds: u32) -> Self {
        Self {
            half: tail::excess_passed(ALARMS, step_seconds) as f32,
            values: Spread::default(),
            residuals: Scale::default(),
            earlier: Scale::default(),
            slow: 0.0,
            from_slow: Scale::default(),
            tail: Tail::new(MOVED.0, MOVED.1),
            lasting: Tail::new(LASTS.0, LASTS.1),
            leaning: Tail::new(LEANS.0, LEANS.1),
            standstill: Standstill::new(step_seconds),
            before: 0.0,
            lean: 0.0,
            held: 0.0,
            passed: None,
            quiet: QUIET,
            newest: None,
        }
    }

    /// Returns for how many minutes with a value it has not changed.
    pub fn still(&self) -> f32 {
        self.standstill.lasts()
    }

    /// Returns the anomaly of the newest closed minute; `None` if it had no value, and before enough was learned.
    pub fn newest(&self) -> Option<Anomaly> {
        self.newest
    }

    /// Returns the anomaly that a value not learned yet would be.
    pub fn look(&self, value: f64, expected: &ExpectedAhead) -> Option<Anomaly> {
        let weighed = self.weigh(value, expected)?;
        Some(self.told(&weighed))
    }

    /// Learns the value of a closed minute; `None` for a gap.
    pub fn learn(&mut self, value: Option<f64>, expected: &ExpectedAhead) {
        self.newest = None;
        let Some(value) = value else {
            self.before = 0.0;
            return;
        };
        self.values.learn(value);
        self.standstill.learn(value);
        if self.values.begins() {
            self.slow = value;
        }
        let weighed = self.weigh(value, expected);
        self.learn_scales(value, expected);
        let Some(weighed) = weighed else { return };
        self.before = weighed.surprise as f32;
        // A standstill is learned separately.
        self.tail.learn(weighed.moved);
        self.lasting.learn(weighed.lasting);
        self.leaning.learn(leaning(weighed.lean));
        self.lean = weighed.lean as f32;
        let told = self.told(&weighed);
        self.held = (HELD * self.held).max(weighed.excess as f32).min(f32::MAX);
        let told = if self.shift(told.score, weighed.from_slow) {
            self.anomaly(self.held.max(self.half).into(), AnomalyKind::LevelShift)
        } else {
            told
        };
        self.quiet = if told.alarm { 0 } else { self.quiet.saturating_add(1) };
        self.newest = Some(told);
    }

    fn learn_scales(&mut self, value: f64, [next, earlier]: &ExpectedAhead) {
        let floor = self.floor();
        if (value - next.point).is_finite() {
            self.residuals.learn(value - next.point, floor);
            self.from_slow.learn(value - self.slow, floor);
            let most = SLOW_CLIP * self.from_slow.get(floor);
            self.slow += SLOW * (value - self.slow).clamp(-most, most);
        }
        if (value - earlier.point).is_finite() {
            self.earlier.learn(value - earlier.point, floor);
        }
    }

    fn weigh(&self, value: f64, [next, earlier]: &ExpectedAhead) -> Option<Weighed> {
        let floor = self.floor();
        let surprise = next.surprise(value, self.residuals.get(floor));
        if !self.residuals.ready() || !surprise.is_finite() {
            return None;
        }
        let from_slow = (value - self.slow) / self.from_slow.get(floor);
        let moved = surprise.abs() + from_slow.abs();
        let again = earlier.surprise(value, self.earlier.get(floor));
        // On two sides it is two outliers.
        let [before, half] = [self.before, self.half].map(f64::from);
        let lasting = if again * before > 0.0 { again.abs().min(before.abs()) } else { 0.0 };
        let frozen = FROZEN * half * self.standstill.news(value);
        let lean = f64::from(self.lean);
        let lean = lean + LEAN * (surprise.clamp(-LEAN_CLIP, LEAN_CLIP) - lean);
        let point = self.tail.excess(moved);
        let shift = (LASTING * self.lasting.excess(lasting)).max(self.leaning.excess(leaning(lean)));
        let excess = point.max(shift);
        let kind = if shift > point || from_slow.abs() > SHIFT_RATHER * surprise.abs() {
            AnomalyKind::LevelShift
        } else {
            AnomalyKind::Point
        };
        Some(Weighed { surprise, from_slow, moved, lasting, lean, excess, kind, frozen })
    }

    fn floor(&self) -> f64 {
        (FLOOR * self.values.deviation()).max(HEIGHT_FLOOR * self.values.height())
    }

    /// Returns the part of the evidence that is news. A standstill is already reported only once.
    fn told(&self, weighed: &Weighed) -> Anomaly {
        let moved = if weighed.excess > f64::from(self.held) { weighed.excess } else { 0.0 };
        if weighed.frozen > moved {
            return self.anomaly(weighed.frozen, AnomalyKind::Frozen);
        }
        self.anomaly(moved, weighed.kind)
    }

    fn anomaly(&self, excess: f64, kind: AnomalyKind) -> Anomaly {
        // An overflow is as unusual as possible.
        let score = if excess.is_finite() { excess / (excess + f64::from(self.half)) } else { 1.0 };
        let alarm = score >= THRESHOLD && self.quiet >= QUIET;
        Anomaly { score, kind: (excess > 0.0).then_some(kind), alarm }
    }

    /// Returns whether all values for some minutes after a passed threshold were on its side of the slow level.
    fn shift(&mut self, score: f64, from_slow: f64) -> bool {
        if score >= THRESHOLD {
            self.passed = Some((0, from_slow > 0.0));
            return false;
        }
        self.passed = self.passed.filter(|(_, above)| if *above { from_slow } else { -from_slow } >= SHIFT_BEYOND);
        let Some((since, _)) = &mut self.passed else { return false };
        *since += 1;
        let stands = *since == SHIFT_AFTER;
        if stands {
            self.passed = None;
        }
        stands
    }
}

/// Returns the evidence of a discounted mean: its distance in standard deviations, taking values as independent.
fn leaning(lean: f64) -> f64 {
    lean.abs() * ((2.0 - LEAN) / LEAN).sqrt()
}

/// The evidence against one value.
#[derive(Debug, Clone, Copy)]
struct Weighed {
    /// Distance from the forecast of a minute before, in its scale; negative below it.
    surprise: f64,
    /// Distance from the slow level, likewise.
    from_slow: f64,
    /// Both together.
    moved: f64,
    /// Smaller surprise of the last two values, if they are on the same side.
    lasting: f64,
    /// Discounted mean of the surprises, this one included.
    lean: f64,
    /// The unusual part, in mean excesses.
    excess: f64,
    /// Its kind.
    kind: AnomalyKind,
    /// The evidence of a standstill, alongside.
    frozen: f64,
}
