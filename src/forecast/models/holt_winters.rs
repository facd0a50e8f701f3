//! Damped additive Holt-Winters with a daily season, in error-correction form (Hyndman, Koehler, Ord and Snyder 2008;
//! AR(1) term after Taylor 2003; clipping after Gelper, Fried and Croux 2010):
//!
//! ```text
//! f = l + phi b + s[t] + rho r      e = clip(y - f, +-k sigma)
//! l = l + phi b + alpha e           b = phi b + alpha beta e
//! s[t] = s[t] + gamma e             r = rest of e after the update
//! ```
//!
//! A missing minute moves the level along the trend and damps trend and rest; season and scale are unchanged. Surprises
//! beyond `k sigma` are learned as if they were that large, so that one outlier has little effect; after five in a row
//! on one side the level has shifted, and jumps there.

use std::num::NonZero;

use super::{FROM_HERE, Model, Origin, Past, Path, SeasonUpdate, View};
use crate::forecast::history::DAY;
use crate::forecast::lanes::zip3;
use crate::forecast::params::{ForecastParams, Smoothing};
use crate::model::Minute;
use crate::model::outlook::{ForecastFlag, HORIZONS, Parts};

/// Name in the catalogue.
pub const NAME: &str = "holt_winters";

/// Weight of the newest squared surprise in the squared scale.
const SCALE_GAIN: f64 = 0.02;
/// Values before anything is clipped; until then the scale is their plain mean.
const UNCLIPPED: u32 = 30;
/// Clipped surprises in a row, on one side, that make a level shift.
const SHIFT_AFTER: i8 = 5;
/// Minutes for which a level shift is reported.
const SHIFT_SHOWN: u8 = 10;
/// Share of a day that must be seen before its profile is used as the season.
pub const DAY_SEEN: f64 = 0.8;
/// The first days correct the season more, so that it becomes their mean rather than the first day: day `n` by at least
/// this share of `1 / n`, which a five-minute cell receives five times.
const EARLY_GAMMA: f64 = 0.2;

/// Level, trend, rest and scale: everything but the season.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Core {
    level: f64,
    trend: f64,
    rest: f64,
    variance: f64,
    seen: NonZero<u32>,
    /// Clipped surprises in a row; the sign is their side.
    clipped: i8,
    /// Minutes since the level jumped.
    since_shift: u8,
}

/// The recursion: how a core learns and forecasts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recursion {
    pub(super) smoothing: Smoothing,
    /// Without it nothing is clipped.
    clip_sigmas: Option<f64>,
}

/// What a value does to a core.
struct Moved {
    /// Level, trend and rest after it.
    parts: [f64; 3],
    /// The surprise, and as clipped for learning.
    error: f64,
    learned: f64,
    /// Clipped surprises in a row, this one included; enough of them are a level shift.
    clipped: i8,
}

/// The model of one signal.
#[derive(Debug, Clone, Copy)]
pub struct HoltWinters {
    core: Option<Core>,
    /// The first minute with a value, and the last minute.
    first: Option<Minute>,
    last: Minute,
    /// Whole days learned by the season; `None` while it is flat because no day has been seen yet.
    season_days: Option<u32>,
    /// What the last minute taught about the season.
    season_update: Option<SeasonUpdate>,
    recursion: Recursion,
}

impl Core {
    /// Returns the core that starts at `level`.
    fn at(level: f64, trend: f64) -> Self {
        let seen = NonZero::<u32>::MIN;
        Self { level, trend, rest: 0.0, variance: 0.0, seen, clipped: 0, since_shift: u8::MAX }
    }

    /// Moves the level to `level`; the signal's movements are scaled by `factor`.
    pub(super) fn relevel(&mut self, level: f64, factor: f64) {
        let variance = factor * factor * self.variance;
        *self = Self { level, trend: 0.0, rest: 0.0, variance, clipped: 0, since_shift: 0, ..*self };
    }
}

impl Recursion {
    /// Returns the core after `value`, where the season is `season`; `None` is a gap.
    pub(super) fn next(&self, core: Option<Core>, season: f64, value: Option<f64>) -> Option<Core> {
        match value {
            Some(value) => Some(self.learned(core, season, value).0),
            None => core.map(|core| self.missed(core)),
        }
    }

    /// Returns the core after a missing minute.
    fn missed(&self, core: Core) -> Core {
        let Smoothing { phi, rho, .. } = self.smoothing;
        Core {
            level: core.level + phi * core.trend,
            trend: phi * core.trend,
            rest: rho * core.rest,
            since_shift: core.since_shift.saturating_add(1),
            ..core
        }
    }

    /// Returns the core after `value`, and the surprise that was learned.
    fn learned(&self, core: Option<Core>, season: f64, value: f64) -> (Core, f64) {
        let Some(core) = core else { return (Core::at(value - season, 0.0), 0.0) };
        let Moved { parts: [level, trend, rest], error, learned, clipped } = self.moved(&core, season, value);
        let seen = core.seen.saturating_add(1);
        if clipped.abs() >= SHIFT_AFTER {
            let variance = (4.0 * core.variance).max(error * error / 16.0);
            return (Core { level, trend, rest, variance, seen, clipped: 0, since_shift: 0 }, 0.0);
        }
        let gain = SCALE_GAIN.max(1.0 / f64::from(seen.get()));
        let variance = core.variance + gain * (learned * learned - core.variance);
        let since_shift = core.since_shift.saturating_add(1);
        (Core { level, trend, rest, variance, seen, clipped, since_shift }, learned)
    }

    /// Returns level, trend and rest after `value`.
    #[inline]
    fn moved(&self, core: &Core, season: f64, value: f64) -> Moved {
        let Smoothing { alpha, beta, gamma, phi, rho } = self.smoothing;
        let base = core.level + phi * core.trend;
        let error = value - (base + season + rho * core.rest);
        let (learned, clipped) = self.clip(core, error);
        let parts = if clipped.abs() >= SHIFT_AFTER {
            [value - season, 0.0, 0.0]
        } else {
            [
                base + alpha * learned,
                phi * core.trend + alpha * beta * learned,
                (1.0 - alpha - gamma) * learned + rho * core.rest,
            ]
        };
        Moved { parts, error, learned, clipped }
    }

    /// Returns the surprise as clipped for learning, and the number clipped in a row including it.
    #[inline]
    fn clip(&self, core: &Core, error: f64) -> (f64, i8) {
        let Some(sigmas) = self.clip_sigmas.filter(|_| core.seen.get() >= UNCLIPPED) else { return (error, 0) };
        let limit = sigmas * core.variance.sqrt().max(1e-3 * core.level.abs());
        if error.abs() <= limit {
            return (error, 0);
        }
        let side = if error > 0.0 { 1 } else { -1 };
        let before = if core.clipped.signum() == side { core.clipped } else { 0 };
        (error.clamp(-limit, limit), before.saturating_add(side))
    }

    /// Returns level, trend and rest at the origin, after a `provisional` value, from a core that has learned all up to
    /// the origin but `missed` minutes; `season` is the season there.
    #[inline]
    fn at_origin(&self, mut core: Core, missed: i64, provisional: Option<f64>, season: f64) -> [f64; 3] {
        let Some(value) = provisional else { return [core.level, core.trend, core.rest] };
        for _ in 0..missed {
            core = self.missed(core);
        }
        self.moved(&core, season, value).parts
    }

    /// Returns the forecast of a core that has learned all up to the origin but `missed` minutes, and sees a
    /// `provisional` value there. `seasons` is the season at each horizon and here.
    pub(super) fn path(
        &self,
        ahead: &Ahead,
        core: Core,
        missed: i64,
        provisional: Option<f64>,
        seasons: &[f32; FROM_HERE.len()],
    ) -> Path {
        let [seasons @ .., here] = seasons;
        let at_origin = self.at_origin(core, missed, provisional, f64::from(*here));
        let [level, slope, left] = at_origin.map(|part| part as f32);
        zip3(seasons, &ahead.trends, &ahead.rests, |season, trend, rest| level + trend * slope + season + rest * left)
    }

    /// Returns the parts of the same forecast at that horizon, without the season, which is `season` here.
    pub(super) fn parts(&self, core: Core, missed: i64, provisional: Option<f64>, season: f64, at: usize) -> Parts {
        let [level, slope, left] = self.at_origin(core, missed, provisional, season);
        let Ahead { trends, rests } = Ahead::of(self.smoothing);
        let [trend, rest] = [trends[at], rests[at]].map(f64::from);
        Parts { level, trend: trend * slope, ar: rest * left, ..Parts::default() }
    }
}

impl HoltWinters {
    /// Returns an empty model with a daily season, drawn from the first full day.
    pub fn new(params: &ForecastParams) -> Self {
        Self {
            core: None,
            first: None,
            last: Minute(0),
            season_days: None,
            season_update: None,
            recursion: Recursion { smoothing: params.smoothing, clip_sigmas: Some(params.clip_sigmas) },
        }
    }

    /// Returns the textbook recursion with a known start, over a learned season, without clipping. Runs the production
    /// code, for comparison with reference numbers.
    pub fn classical(smoothing: Smoothing, level: f64, trend: f64) -> Self {
        Self {
            core: Some(Core::at(level, trend)),
            first: None,
            last: Minute(-1),
            season_days: Some(u32::MAX),
            season_update: None,
            recursion: Recursion { smoothing, clip_sigmas: None },
        }
    }

    /// Returns the smoothing parameters.
    pub fn smoothing(&self) -> Smoothing {
        self.recursion.smoothing
    }

    /// Applies smoothing parameters; level, trend and season stay.
    pub fn set_smoothing(&mut self, smoothing: Smoothing) {
        self.recursion.smoothing = smoothing;
    }

    /// Returns a recursion with smoothing of its own, which no fit changes.
    pub(super) fn with(&self, smoothing: Smoothing) -> Recursion {
        Recursion { smoothing, ..self.recursion }
    }

    /// Moves the level to `level`; the signal's movements are scaled by `factor`.
    pub(super) fn relevel(&mut self, level: f64, factor: f64) {
        self.core.iter_mut().for_each(|core| core.relevel(level, factor));
    }

    /// Requests that the season be drawn from the first complete one, then counts seasons.
    fn count_days(&mut self, minute: Minute, past: Past<'_>) {
        let steps = past.season.steps();
        let passed = minute.0.saturating_add(1).rem_euclid(steps);
        match self.season_days {
            None if passed % (steps / 24).max(1) == 0 && self.season_seen(minute, past) => {
                self.season_days = Some(1);
                self.season_update = Some(SeasonUpdate::Draw);
            }
            Some(days) if passed == 0 => self.season_days = Some(days.saturating_add(1)),
            _ => {}
        }
    }

    fn season_seen(&self, minute: Minute, past: Past<'_>) -> bool {
        let steps = past.season.steps();
        let passed = self.first.is_some_and(|first| minute.0.saturating_sub(first.0) >= steps - 1);
        passed && past.history.share_seen(minute, steps) >= DAY_SEEN
    }

    /// Learns `minute`, where the season is `season`.
    pub(super) fn learn(&mut self, minute: Minute, value: Option<f64>, season: f64, past: Past<'_>) {
        self.last = minute;
        self.season_update = None;
        let Some(value) = value else {
            self.core = self.core.map(|core| self.recursion.missed(core));
            return;
        };
        let (core, learned) = self.recursion.learned(self.core, season, value);
        self.core = Some(core);
        self.first.get_or_insert(minute);
        self.season_update = self.season_days.map(|_| SeasonUpdate::Correct(self.gamma() * learned));
        self.count_days(minute, past);
    }

    /// Returns how many minutes are missing between the last one learned and `minute`.
    pub(super) fn missed(&self, minute: Minute) -> i64 {
        (minute.0.saturating_sub(self.last.0) - 1).clamp(0, DAY)
    }

    fn path(&self, origin: &Origin<'_>, seasons: &[f32; FROM_HERE.len()]) -> Option<Path> {
        let ahead = Ahead::of(self.recursion.smoothing);
        Some(self.recursion.path(&ahead, self.core?, self.missed(origin.minute), origin.provisional, seasons))
    }

    fn gamma(&self) -> f64 {
        let early = self.season_days.map_or(0.0, |days| EARLY_GAMMA / (f64::from(days) + 1.0));
        self.recursion.smoothing.gamma.max(early)
    }
}

impl Model for HoltWinters {
    fn observe(&mut self, minute: Minute, value: Option<f64>, past: Past<'_>) {
        self.learn(minute, value, past.season.at(minute), past);
    }

    fn season_update(&self) -> Option<SeasonUpdate> {
        self.season_update
    }

    /// Until now the level included the season.
    fn season_drawn(&mut self, at_last: f64) {
        self.season_days.get_or_insert(1);
        if let Some(core) = &mut self.core {
            (core.level, core.trend, core.rest) = (core.level - at_last, 0.0, 0.0);
        }
    }

    fn foresee(&self, view: &View<'_>) -> Option<Path> {
        self.path(&view.origin, &view.season)
    }

    fn parts(&self, view: &View<'_>, at: usize) -> Option<Parts> {
        let (origin, [.., here]) = (&view.origin, view.season);
        let parts = self.recursion.parts(self.core?, self.missed(origin.minute), origin.provisional, here.into(), at);
        Some(Parts { day: view.day(at), ..parts })
    }

    /// The history is not read.
    fn ahead(&self, origin: &Origin<'_>) -> Option<Path> {
        self.path(origin, &origin.past.season.at_each(origin.clock.now, &FROM_HERE))
    }

    fn flag(&self) -> Option<ForecastFlag> {
        let core = self.core?;
        if core.since_shift < SHIFT_SHOWN {
            return Some(ForecastFlag::LevelShift);
        }
        (core.clipped != 0).then_some(ForecastFlag::Clipped)
    }
}

/// What trend and rest become at each horizon, in shares of their present values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    /// `phi + ... + phi^h`.
    trends: Path,
    /// `rho^h`.
    rests: Path,
}

impl Ahead {
    /// Returns them for these parameters, each horizon from shorter ones.
    pub(super) const fn of(Smoothing { phi, rho, .. }: Smoothing) -> Self {
        let (phi, rho) = (phi as f32, rho as f32);
        let (mut powers, mut trends, mut rests) = ([phi; HORIZONS.len()], [phi; HORIZONS.len()], [rho; HORIZONS.len()]);
        let mut next = 1;
        while next < HORIZONS.len() {
            let (last, step) = (next - 1, STEPS[next]);
            powers[next] = powers[last] * powers[step];
            trends[next] = trends[last] + powers[last] * trends[step];
            rests[next] = rests[last] * rests[step];
            next += 1;
        }
        Self { trends, rests }
    }
}

/// For each horizon, the position of the horizon equal to its distance from the previous one.
const STEPS: [usize; HORIZONS.len()] = steps();

const fn steps() -> [usize; HORIZONS.len()] {
    assert!(HORIZONS[0] == 1);
    let (mut steps, mut next) = ([0; HORIZONS.len()], 1);
    while next < HORIZONS.len() {
        while HORIZONS[steps[next]] != HORIZONS[next] - HORIZONS[next - 1] {
            steps[next] += 1;
        }
        next += 1;
    }
    steps
}
