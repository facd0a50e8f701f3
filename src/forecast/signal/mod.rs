//! What is learned about a signal, minute by minute, and the forecasts made from it.

mod mix;
mod relevel;

use self::mix::ModelForecasts;
use super::anomaly::{Anomaly, Detector, Expected, ExpectedAhead};
use super::authority::{Evidence, Rung};
use super::bands::Bands;
use super::discounted::keep;
use super::events::Events;
use super::height::Height;
use super::history::{DAY, History};
use super::intervals::Standing;
use super::models::season::{Place, Season};
use super::models::{Models, Origin, Past, SEASONAL_DIFFERENCE, SeasonUpdate, View};
use super::params::{ForecastParams, Smoothing};
use super::pending::{DueForecasts, IssuedForecast, Pending, WINDOWS};
use super::recent::{LONGEST_MINUTES, Recent};
use super::scores::{Scores, Surges};
use super::seasonal_scale::SeasonalScale;
use super::shift::Shift;
use super::short_minute::ShortMinute;
use super::week::Week;
use super::zone::Clock;
use crate::model::outlook::{ForecastFlag, HORIZONS, QuantileRow, SignalOutlook};
use crate::model::{Authority, Minute, MinuteValue, Role, ServiceId, SignalSpec};

/// Largest absolute value that is learned unchanged; no base unit reaches it, and no arithmetic here overflows.
const LARGEST: f64 = 1e30;
/// Minutes without a value before a forecast is flagged for it; the newest value is often still on its way.
const GAP: i64 = 2;

/// Positions of the horizons whose points are explained by their parts: the next minute, and ten minutes ahead.
const EXPLAINED: [usize; 2] = [0, 4];
const _: () = assert!(HORIZONS[EXPLAINED[0]] == 1 && HORIZONS[EXPLAINED[1]] == 10);

/// What all signals of a service share.
#[derive(Debug, Clone)]
pub struct Common {
    /// Parameters of the stage.
    pub params: ForecastParams,
    /// Known events of the service.
    events: Events,
    /// Standard normal quantiles.
    pub normal: QuantileRow,
    loss_keep: f32,
    coverage_keep: f32,
}

impl Common {
    /// Returns what follows from the parameters.
    pub fn new(service: &ServiceId, params: &ForecastParams) -> Self {
        Self {
            params: params.clone(),
            events: Events::of(service, &params.events, params.step_seconds),
            normal: super::intervals::normal_quantiles(),
            loss_keep: keep(params.loss_half_life_minutes),
            coverage_keep: keep(params.coverage_half_life_minutes),
        }
    }

    fn clock(&self, minute: Minute) -> Clock {
        let params = &self.params;
        params.zone.clock(minute, params.step_seconds, params.season_steps)
    }
}

/// The learned state of one signal: a small head that changes with each minute, and larger parts of which a minute
/// changes a few cells. A step works on a copy of the head, updates the larger parts in place, and commits by writing
/// the copy back. A step that panics half-way leaves the state as it was, except for its own minute's cells (of the last
/// half hour, in which that minute counts twice), the season drawn on the first day, and a history moved to another
/// level.
#[derive(Debug, Clone)]
pub struct SignalState {
    head: Head,
    kept: Kept,
}

/// The larger parts, of which a minute changes a few cells.
#[derive(Debug, Clone)]
struct Kept {
    history: History,
    season: Season,
    week: Week,
    pending: Pending,
    surges: Surges,
    scale: SeasonalScale,
    recent: Recent,
}

impl Kept {
    /// Returns what the models read; `height` is that of a signal that is never negative.
    fn past(&self, height: Option<f64>) -> Past<'_> {
        Past { history: &self.history, season: &self.season, week: &self.week, height }
    }
}

/// The part that a minute changes as a whole.
#[derive(Debug, Clone, Copy)]
struct Head {
    range: (f64, f64),
    /// One minute in how many has a value, which follows from the scrape interval.
    every: u8,
    /// Whether known events affect the signal.
    eventful: bool,
    newest: Option<Minute>,
    /// The newest minute that had a value.
    known: Option<ShortMinute>,
    seen: u32,
    /// Minutes that the values represent: each those since the previous one, at most the minutes between two scrapes.
    covered: u32,
    models: Models,
    scores: Scores,
    bands: Bands,
    height: Height,
    detector: Detector,
    shift: Shift,
    rung: Rung,
}

impl SignalState {
    /// Returns the state before any minute.
    pub fn new(signal: &SignalSpec, params: &ForecastParams) -> Self {
        let head = Head {
            range: signal.range,
            every: u8::try_from(signal.scrape_interval.as_secs().div_ceil(60)).unwrap_or(u8::MAX).max(1),
            // Events are known for the load; the service's response to the load stays the same.
            eventful: signal.role == Some(Role::ArrivalRate),
            newest: None,
            known: None,
            seen: 0,
            covered: 0,
            models: Models::new(params),
            scores: Scores::new(),
            bands: Bands::new(),
            height: Height::default(),
            detector: Detector::new(params.step_seconds),
            shift: Shift::default(),
            rung: Rung::default(),
        };
        let kept = Kept {
            history: History::new(params.history_days),
            season: Season::flat(params.season_steps),
            week: Week::new(params.season_steps),
            pending: Pending::new(),
            surges: Surges::new(),
            scale: SeasonalScale::new(params.season_steps),
            recent: Recent::new(),
        };
        Self { head, kept }
    }

    /// Returns whether `minute` is already part of the state.
    pub fn has(&self, minute: Minute) -> bool {
        self.head.newest.is_some_and(|newest| minute <= newest && newest.0.saturating_sub(minute.0) <= DAY)
    }

    /// Returns the newest minute folded in, and the history up to it.
    pub fn history(&self) -> Option<(Minute, &History)> {
        Some((self.head.newest?, &self.kept.history))
    }

    /// Returns the season of the day before `minute`, by UTC minutes, if it is known.
    pub fn day_before(&self, minute: Minute, common: &Common) -> Option<Season> {
        let last = minute.plus(-1);
        self.kept.week.drawn(last, common.clock(last).now)
    }

    /// Returns how many minutes with a value were learned.
    pub fn seen(&self) -> u32 {
        self.head.seen
    }

    /// Returns the current smoothing.
    pub fn smoothing(&self) -> Smoothing {
        self.head.models.smoothing()
    }

    /// Returns what the forecast may be used for.
    pub fn authority(&self) -> Authority {
        self.head.rung.authority()
    }

    /// Applies fitted smoothing.
    pub fn set_smoothing(&mut self, smoothing: Smoothing) {
        self.head.models.set_smoothing(smoothing);
    }

    /// Folds in one ended minute: scores the forecasts due at it, learns its value, issues new forecasts. Skipped
    /// minutes before it are gaps. A minute that is already part of the state changes nothing; a clock set back by more
    /// than a day starts a new history under the learned models.
    pub fn fold(&mut self, minute: MinuteValue, common: &Common) {
        if self.has(minute.minute) {
            return;
        }
        if let Some(newest) = self.head.newest {
            if minute.minute < newest {
                self.kept.history = History::new(common.params.history_days);
                self.kept.pending = Pending::new();
                self.kept.recent = Recent::new();
            }
            let first_missing = newest.plus(1).max(minute.minute.plus(-DAY));
            for missing in first_missing.0..minute.minute.0 {
                self.step(Minute(missing), None, common);
            }
        }
        let factor = self.factor(minute.minute, common);
        let value = minute.value.map(|value| (value.get() / factor).clamp(-LARGEST, LARGEST));
        self.step(minute.minute, value, common);
    }

    /// Returns the factor by which a known event multiplies the signal at `minute`.
    fn factor(&self, minute: Minute, common: &Common) -> f64 {
        if !self.head.eventful || common.events.is_empty() {
            return 1.0;
        }
        common.events.factor(minute, common.clock(minute).now, &self.kept.week)
    }

    fn step(&mut self, minute: Minute, value: Option<f64>, common: &Common) {
        let Self { head: committed, kept } = self;
        // Separate allocations are read first, so that their cache misses overlap.
        let clock = common.clock(minute);
        let here = kept.week.place(clock.now);
        let mut due = kept.pending.due_at(minute);
        let mut head = *committed;
        let seen = value;
        let value = value.map(|value| head.height.plausible(value));
        let change = value.and_then(|value| head.change(minute, here, value, &due, kept));
        if let Some(change) = change {
            head.relevel(minute, clock, change, kept);
            due = kept.pending.due_at(minute);
        }
        let season = kept.season.value(here);
        let settled = kept.recent.half_an_hour_ago();
        // The detector also sees implausible values, which are not learned.
        head.detector.learn(seen, &expected(minute, &kept.pending));
        head.score(clock, value, &due, kept, common);
        kept.history.push(minute, value);
        kept.week.push(clock.now, value);
        settled.into_iter().for_each(|value| kept.week.learn(clock.now.plus(-i64::from(LONGEST_MINUTES)), value));
        head.learn(minute, clock, here, value, season, kept);
        let (gap, past) = (head.gap(minute), kept.past(head.ratio_height()));
        let origin = Origin { minute, clock, provisional: None, gap, past };
        let forecasts = head.model_forecasts(&View::of(&origin));
        let issued = head.issue(&origin, kept, &forecasts, common);
        kept.pending.keep(minute, &forecasts.paths, issued.as_ref());
        kept.recent.keep(issued.map_or(f32::NAN, |IssuedForecast { points, .. }| points.point[0]));
        if value.is_some() {
            head.rung.step(&head.evidence(common), &common.params);
        }
        *committed = head;
    }

    /// Writes the outlook at the wall-clock minute `now` to `outlook`. A provisional value of the current minute is
    /// used and not learned.
    pub fn outlook(&self, provisional: Option<MinuteValue>, now: Minute, common: &Common, outlook: &mut SignalOutlook) {
        let head = &self.head;
        let need = common.params.ready_minutes;
        let running = head.newest.and_then(|newest| {
            let running = provisional.filter(|running| running.minute > newest)?;
            let value = running.value?.get() / self.factor(running.minute, common);
            Some((running.minute, value.clamp(-LARGEST, LARGEST)))
        });
        let minute = running.map(|(minute, _)| minute).or(head.newest).unwrap_or(now);
        let origin = Origin {
            minute,
            clock: common.clock(minute),
            provisional: running.map(|(_, value)| value),
            gap: if running.is_some() { 0 } else { head.gap(minute) },
            past: self.kept.past(head.ratio_height()),
        };
        outlook.restart(minute, head.seen.min(need), need);
        if head.seen < need {
            return;
        }
        let view = View::of(&origin);
        let forecasts = head.model_forecasts(&view);
        if let Some(mix) = head.mix(&origin, &self.kept, &forecasts) {
            head.publish(&origin, now, &mix, &self.kept, common, outlook);
            let [parts, parts_10] = EXPLAINED.map(|at| head.parts(&view, &mix, at));
            (outlook.parts, outlook.parts_10) = (Some(parts), Some(parts_10));
            let anomaly = self.anomaly(&origin);
            outlook.anomaly = anomaly.map(|anomaly| anomaly.score);
            outlook.anomaly_kind = anomaly.and_then(|anomaly| anomaly.kind);
            outlook.alarm = anomaly.is_some_and(|anomaly| anomaly.alarm);
            if head.eventful && !common.events.is_empty() {
                self.expect_events(outlook, common);
            }
        }
    }

    /// Applies the known events to the forecast of an ordinary day.
    fn expect_events(&self, outlook: &mut SignalOutlook, common: &Common) {
        let ahead = |minutes: u16| self.factor(outlook.origin.plus(i64::from(minutes)), common);
        let factors: Vec<f64> = (0..=LONGEST_MINUTES).map(ahead).collect();
        if factors.iter().all(|factor| (factor - 1.0).abs() < f64::EPSILON) {
            return;
        }
        let (low, high) = self.head.range;
        let times = |value: &mut f64, factor: f64| *value = (*value * factor).clamp(low, high);
        for point in &mut outlook.points {
            let factor = factors.get(usize::from(point.minutes)).copied().unwrap_or(1.0);
            times(&mut point.point, factor);
            point.quantiles.iter_mut().for_each(|value| times(value, factor));
        }
        let highest = |minutes: u16| factors.iter().take(usize::from(minutes) + 1).skip(1).copied().fold(0.0, f64::max);
        for (row, minutes) in [(&mut outlook.max_10, WINDOWS[0]), (&mut outlook.max_30, WINDOWS[1])] {
            row.iter_mut().flatten().for_each(|value| times(value, highest(minutes)));
        }
        for (parts, at) in [&mut outlook.parts, &mut outlook.parts_10].into_iter().zip(EXPLAINED) {
            if let (Some(parts), Some(point)) = (parts, outlook.points.get(at)) {
                parts.scale(factors.get(usize::from(point.minutes)).copied().unwrap_or(1.0));
                parts.complete(point.point);
            }
        }
        outlook.flags.push(ForecastFlag::Event);
    }

    /// Scores the current minute against its forecast; without a value, the newest ended minute counts.
    fn anomaly(&self, origin: &Origin<'_>) -> Option<Anomaly> {
        let detector = &self.head.detector;
        let Some(value) = origin.provisional else { return detector.newest() };
        detector.look(value, &expected(origin.minute, &self.kept.pending))
    }
}

impl Head {
    /// Scores all forecasts due at `minute`.
    fn score(&mut self, clock: Clock, value: Option<f64>, due: &DueForecasts, kept: &mut Kept, common: &Common) {
        let IssuedForecast { points, maxima } = &due.mixed;
        let standing = self.standing();
        if let Some(value) = value {
            self.scores.outcome(&mut kept.surges, &due.models, points, value, common.loss_keep);
            let held = kept.recent.held();
            let held = if points.is_shifted() { points.as_said(&held) } else { held };
            self.scores.held_outcome(&held, value);
            self.bands
                .surprise(points, value)
                .into_iter()
                .for_each(|ratio| kept.scale.learn(clock.now, ratio, self.seen));
            self.bands.outcomes(points, value, standing, &common.normal, common.coverage_keep);
        }
        let ended = kept.recent.push(value, self.every);
        self.bands.windows_ended(ended, maxima, standing, &common.normal, common.coverage_keep);
    }

    fn standing(&self) -> Standing {
        self.height.standing(self.detector.still(), self.range.0)
    }

    /// Returns the usual height, if the signal cannot be negative.
    fn ratio_height(&self) -> Option<f64> {
        (self.range.0 >= 0.0).then(|| self.height.usual())
    }

    fn learn(&mut self, minute: Minute, clock: Clock, here: Place, value: Option<f64>, season: f64, kept: &mut Kept) {
        self.models.observe(minute, here, value, season, kept.past(self.ratio_height()));
        let update = self.models.season_update();
        if update == Some(SeasonUpdate::Draw) {
            kept.week.draw(&kept.history, minute, clock.now);
        }
        let drawn = update.and_then(|update| kept.season.learn(update, minute, clock.now, &kept.history));
        drawn.into_iter().for_each(|at_last| self.models.season_drawn(at_last));
        self.newest = Some(minute);
        if let Some(value) = value {
            let since = self.known.map_or(1, |known| known.age(minute)).clamp(1, self.every.into());
            self.covered = self.covered.saturating_add(since as u32);
            self.known = Some(ShortMinute::of(minute));
            self.seen = self.seen.saturating_add(1);
            self.height.learn(minute, value);
        }
    }

    /// Returns the combined forecast from `origin`, to be stored and scored like that of each model.
    fn issue(
        &self,
        origin: &Origin<'_>,
        kept: &Kept,
        forecasts: &ModelForecasts,
        common: &Common,
    ) -> Option<IssuedForecast> {
        let mix = self.mix(origin, kept, forecasts)?;
        let course = self.course(origin, &mix, kept);
        Some(self.bands.issued(&course, &common.normal))
    }

    /// Minutes before `origin` without a value.
    fn gap(&self, origin: Minute) -> u32 {
        let gap = self.known.map_or(0, |known| known.age(origin).clamp(0, DAY));
        gap as u32
    }

    fn evidence(&self, common: &Common) -> Evidence {
        Evidence {
            foresight: self.scores.foresight(),
            coverage: self.bands.coverage(),
            maxima: self.bands.maxima_coverage(),
            cold: self.cold(common),
        }
    }

    fn cold(&self, common: &Common) -> bool {
        self.covered < common.params.cold_minutes
    }
}

/// Returns the forecasts of `minute` issued one minute before it, and two.
fn expected(minute: Minute, pending: &Pending) -> ExpectedAhead {
    pending.intervals_at(minute, SEASONAL_DIFFERENCE).map(|(said, seasonal)| Expected::of(said, seasonal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_signal_stays_small() {
        // With the two counts of its `Arc` it fills an allocator size class; one more byte costs a kilobyte.
        assert!(size_of::<SignalState>() + 2 * size_of::<usize>() <= 6144, "{}", size_of::<SignalState>());
    }
}
