//! Every row of the catalogue, and what each model is good at.

use proptest::prelude::*;

use super::*;
use crate::forecast::zone::Zone;

/// All models and the history they have learned; one of them is tested.
struct Learned {
    models: Models,
    asked: usize,
    history: History,
    season: Season,
    week: Week,
    values: Vec<Option<f64>>,
    last: Minute,
}

impl Learned {
    fn new(row: Row, start: i64) -> Self {
        let params = ForecastParams::default();
        let (history, season, week) = (History::new(params.history_days), Season::flat(1440), Week::new(1440));
        let asked = CATALOGUE.iter().position(|other| other.name == row.name).unwrap();
        let (models, values) = (Models::new(&params), Vec::new());
        Self { models, asked, history, season, week, values, last: Minute(start - 1) }
    }

    fn past(&self) -> Past<'_> {
        Past { history: &self.history, season: &self.season, week: &self.week, height: Some(100.0) }
    }

    fn observe(&mut self, value: Option<f64>) {
        self.last = self.last.plus(1);
        self.history.push(self.last, value);
        self.week.push(self.last, value);
        self.values.push(value);
        if let Some(settled) = self.values.len().checked_sub(31).and_then(|at| self.values[at]) {
            self.week.learn(self.last.plus(-30), settled);
        }
        let mut models = self.models;
        models.observe(self.last, self.week.place(self.last), value, self.season.at(self.last), self.past());
        let season_update = models.season_update();
        if season_update == Some(SeasonUpdate::Draw) {
            self.week.draw(&self.history, self.last, self.last);
        }
        if let Some(at_last) = season_update
            .and_then(|season_update| self.season.learn(season_update, self.last, self.last, &self.history))
        {
            models.season_drawn(at_last);
        }
        self.models = models;
    }

    /// Minutes at the end without a value.
    fn gap(&self, provisional: Option<f64>) -> u32 {
        let missing = self.values.iter().rev().take_while(|value| value.is_none()).count();
        if provisional.is_some() { 0 } else { missing as u32 }
    }

    fn view(&self, provisional: Option<f64>) -> View<'_> {
        let minute = if provisional.is_some() { self.last.plus(1) } else { self.last };
        let (clock, past) = (clock(minute), self.past());
        View::of(&Origin { minute, clock, provisional, gap: self.gap(provisional), past })
    }

    fn ahead(&self, provisional: Option<f64>) -> Option<Path> {
        let mut forecasts = [None; CATALOGUE.len()];
        self.models.foresee(&self.view(provisional), |model, forecast| forecasts[model] = forecast);
        forecasts[self.asked]
    }

    fn parts(&self, provisional: Option<f64>, at: usize) -> Option<Parts> {
        self.models.parts(self.asked, &self.view(provisional), at)
    }
}

fn clock(minute: Minute) -> Clock {
    Zone::UTC.clock(minute, 60, 1440)
}

/// Feeds `values` starting at `start` and returns the model with its history.
fn learn(row: Row, start: i64, values: &[Option<f64>]) -> Learned {
    let mut learned = Learned::new(row, start);
    values.iter().for_each(|value| learned.observe(*value));
    learned
}

fn ahead(row: Row, start: i64, values: &[Option<f64>]) -> Option<Path> {
    learn(row, start, values).ahead(None)
}

fn row(name: &str) -> Row {
    *CATALOGUE.iter().find(|row| row.name == name).unwrap()
}

/// A day of load: a slow wave with a surge at `surge`.
fn day_load(minute: i64, surge: usize) -> f64 {
    let of_day = Minute(minute).of_day();
    let wave = 100.0 + 40.0 * (std::f64::consts::TAU * of_day as f64 / 1440.0).sin();
    wave + if (surge..surge + 30).contains(&of_day) { 150.0 } else { 0.0 }
}

#[test]
fn the_named_rows_are_where_the_constants_say() {
    assert_eq!(CATALOGUE[PERSISTENCE].name, persistence::NAME);
    assert_eq!(CATALOGUE[SEASONAL_NAIVE].name, seasonal_naive::NAME);
    assert_eq!(CATALOGUE[SEASONAL_DIFFERENCE].name, seasonal_difference::NAME);
}

#[test]
fn a_model_that_has_seen_nothing_does_not_forecast() {
    for row in CATALOGUE {
        assert_eq!(ahead(row, 0, &[]), None, "{}", row.name);
        assert_eq!(ahead(row, 0, &[None, None]), None, "{}", row.name);
    }
}

#[test]
fn a_constant_is_foreseen_by_all() {
    for row in CATALOGUE {
        let path = ahead(row, 7, &vec![Some(42.0); 9 * 1440]).unwrap();
        assert!(path.iter().all(|point| (point - 42.0).abs() < 1e-3), "{}: {path:?}", row.name);
    }
}

#[test]
fn a_recurring_surge_is_foreseen_by_the_seasonal_ones() {
    let values: Vec<_> = (0..9 * 1440 + 590).map(|minute| Some(day_load(minute, 600))).collect();
    for row in CATALOGUE {
        let path = ahead(row, 0, &values).unwrap();
        let rise = path[5] - path[0];
        assert_eq!(rise > 100.0, !row.flat, "{}: {path:?}", row.name);
    }
}

#[test]
fn gaps_do_not_shift_the_season() {
    for missing in [1, 7, 61, 437] {
        let values: Vec<_> = (0..9 * 1440 + 590)
            .map(|minute| (!(11_640..11_640 + missing).contains(&minute)).then(|| day_load(minute, 600)))
            .collect();
        for row in CATALOGUE.into_iter().filter(|row| !row.flat) {
            let path = ahead(row, 0, &values).unwrap();
            // The surge starts 11 minutes after the origin: not yet in the path at 10, in it at 15.
            assert!(path[4] < 190.0 && path[5] > 220.0, "{} without {missing}: {path:?}", row.name);
        }
    }
}

#[test]
fn behind_a_gap_the_seasonal_ones_stand_where_the_day_stands() {
    for missing in [1, 40, 360] {
        let end = 9 * 1440 + 560;
        let known = |minute: i64| minute < end - missing || minute >= end;
        let values: Vec<_> = (0..end).map(|minute| known(minute).then(|| day_load(minute, 600))).collect();
        for row in CATALOGUE.into_iter().filter(|row| !row.flat) {
            let path = ahead(row, 0, &values).unwrap();
            for (point, minutes) in path.into_iter().zip(HORIZONS) {
                let expected = day_load(end - 1 + i64::from(minutes), 600);
                assert!(
                    (f64::from(point) - expected).abs() < 3.0,
                    "{} {missing} {minutes}: {point} not {expected}",
                    row.name
                );
            }
        }
    }
}

#[test]
fn a_provisional_value_moves_the_forecast_like_a_learned_one_and_is_not_learned() {
    for row in CATALOGUE {
        let values: Vec<_> = (0..9 * 1440 + 500).map(|minute| Some(day_load(minute, 600))).collect();
        let mut learned = learn(row, 0, &values);
        let before = learned.ahead(None);
        let peeked = learned.ahead(Some(130.0)).unwrap();
        assert_eq!(learned.ahead(None), before);
        learned.observe(Some(130.0));
        let learned = learned.ahead(None).unwrap();
        for (peeked, learned) in peeked.iter().zip(learned) {
            assert!((peeked - learned).abs() < 5.0, "{}: {peeked} {learned}", row.name);
        }
    }
}

#[test]
fn one_outlier_moves_holt_winters_little_and_a_lasting_shift_moves_it_within_six_minutes() {
    let noise = |minute: i64| ((minute * 7919) % 13) as f64 - 6.0;
    let mut values: Vec<_> = (0..600).map(|minute| Some(100.0 + noise(minute))).collect();
    values.push(Some(5000.0));
    let path = ahead(row(holt_winters::NAME), 0, &values).unwrap();
    assert!(path.iter().all(|point| (point - 100.0).abs() < 15.0), "{path:?}");

    values.pop();
    values.extend((600..606).map(|minute| Some(300.0 + noise(minute))));
    let learned = learn(row(holt_winters::NAME), 0, &values);
    let path = learned.ahead(None).unwrap();
    assert!(path.iter().all(|point| (point - 300.0).abs() < 30.0), "{path:?}");
    assert_eq!(learned.models.flag(), Some(ForecastFlag::LevelShift));
}

#[test]
fn a_missing_minute_runs_along_the_damped_trend() {
    let smoothing = Smoothing { phi: 0.5, rho: 0.0, ..Smoothing::default() };
    let mut model = HoltWinters::classical(smoothing, 100.0, 8.0);
    let past = Past { history: &History::new(2), season: &Season::flat(1440), week: &Week::new(1440), height: None };
    model.observe(Minute(0), None, past);
    let view = View::of(&Origin { minute: Minute(0), clock: clock(Minute(0)), provisional: None, gap: 0, past });
    for (at, trend) in [(0, 2.0), (2, 3.5)] {
        assert_eq!(model.parts(&view, at), Some(Parts { level: 104.0, trend, ..Parts::default() }));
    }
}

#[test]
fn a_busier_day_has_higher_surges_and_a_signal_below_zero_has_no_ratio() {
    // The last day is twice as busy; the daily surge starts eleven minutes after the cut.
    let load = |minute: i64| day_load(minute, 600) * if minute < 9 * 1440 { 1.0 } else { 2.0 };
    let values: Vec<_> = (0..9 * 1440 + 590).map(|minute| Some(load(minute))).collect();
    for name in [multiplicative::NAME, "multiplicative_quick", "multiplicative_weekly"] {
        let mut learned = learn(row(name), 0, &values);
        let path = learned.ahead(None).unwrap();
        let rise = path[6] - path[3];
        assert!((250.0..350.0).contains(&rise), "{name}: {path:?}");
        // A zero is a value like any other.
        learned.observe(Some(0.0));
        assert!(learned.ahead(None).unwrap().iter().all(|point| point.is_finite()));
    }
    let learned = learn(row(multiplicative::NAME), 0, &values);
    let past = Past { height: None, ..learned.past() };
    let mut forecasts = [None; CATALOGUE.len()];
    let origin = Origin { minute: learned.last, clock: clock(learned.last), provisional: None, gap: 0, past };
    learned.models.foresee(&View::of(&origin), |model, forecast| forecasts[model] = forecast);
    assert_eq!(forecasts[learned.asked], None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn paths_are_finite_and_parts_add_up(
        start in -100_000i64..100_000,
        block in prop::collection::vec(prop::option::weighted(0.9, -1e30f64..1e30), 1..200),
        provisional in prop::option::of(-1e30f64..1e30),
    ) {
        let values: Vec<_> = block.iter().copied().cycle().take(1700).collect();
        for row in CATALOGUE {
            let learned = learn(row, start, &values);
            let Some(path) = learned.ahead(provisional) else {
                prop_assert_eq!(learned.parts(provisional, 0), None, "{}", row.name);
                continue;
            };
            prop_assert!(path.iter().all(|point| point.is_finite()), "{}: {:?}", row.name, path);
            for (at, point) in path.into_iter().enumerate() {
                let parts = learned.parts(provisional, at).unwrap();
                let scale = parts.named().iter().fold(1.0, |scale: f64, (_, part)| scale.max(part.abs()));
                // To the precision of the path.
                let off = (parts.sum() - f64::from(point)).abs();
                prop_assert!(off <= 1e-6 * scale, "{}, {at}: {point}, {parts:?}", row.name);
            }
        }
    }
}

#[test]
fn the_height_of_a_signal_is_its_level_whichever_model_speaks() {
    let values: Vec<_> = (0..9 * 1440 + 590).map(|minute| Some(1000.0 + day_load(minute, 600))).collect();
    for row in CATALOGUE {
        let parts = learn(row, 0, &values).parts(None, 0).unwrap();
        let Parts { level, day, week, ar, rest, .. } = parts;
        assert!(
            level > 900.0 && day.abs() < 300.0 && [week, ar, rest].iter().all(|part| part.abs() < 10.0),
            "{}: {parts:?}",
            row.name
        );
    }
}

/// More than nine days of a level of 1000 with a daily wave, every seventh day half as busy.
fn weekly_load(minute: i64) -> f64 {
    let busy = if minute.div_euclid(1440).rem_euclid(7) == 2 { 0.5 } else { 1.0 };
    (1000.0 + day_load(minute, 600)) * busy
}

#[test]
fn a_surge_is_of_the_day_and_a_quiet_day_of_the_week_in_the_models_that_know_of_them() {
    // The surge starts 11 minutes after the end, on the third quiet day.
    let end = 16 * 1440 + 590;
    let values: Vec<_> = (0..end).map(|minute| Some(weekly_load(minute))).collect();
    for row in CATALOGUE {
        let learned = learn(row, 0, &values);
        let [before, within] = [3, 5].map(|at| learned.parts(None, at).unwrap());
        let (day, week) = (within.day - before.day, within.week);
        // On a level of half the mean day, half of its surge is expected; against the weeks before, the level is
        // unchanged, and the whole difference belongs to the week.
        let surge = if row.transform == Transform::RatioToDays { 50.0..100.0 } else { 120.0..180.0 };
        let weekly = matches!(row.name, "weekly_naive" | "weekly_difference" | "multiplicative_weekly");
        assert_eq!(surge.contains(&day), !row.flat, "{}: {before:?}, {within:?}", row.name);
        assert_eq!(week != 0.0, weekly, "{}: {within:?}", row.name);
        assert_eq!(
            (before.trend, before.ar) != (0.0, 0.0),
            row.name.contains("multiplicative") || row.name == holt_winters::NAME
        );
    }
    // This day was as quiet a week ago: the week takes it to half the height of the mean day.
    let of = |name: &str| learn(row(name), 0, &values).parts(None, 4).unwrap();
    for name in ["weekly_naive", "weekly_difference", "multiplicative_weekly"] {
        let weekly = of(name);
        assert!((0.4..0.6).contains(&(-weekly.week / (weekly.level + weekly.day))), "{name}: {weekly:?}");
    }
    // The days before were twice as busy: the level is half of theirs, and so is the day's part.
    let [plain, ratio] = [holt_winters::NAME, multiplicative::NAME].map(|name| of(name).day);
    assert!((plain - 2.0 * ratio).abs() < 0.2 * plain.abs(), "{plain} {ratio}");
}

#[test]
fn every_row_says_in_which_form_of_the_signal_it_foresees() {
    let told = CATALOGUE.map(|row| row.transform);
    let (plain, ratios) = told.split_at(7);
    assert!(plain.iter().all(|transform| *transform == Transform::Plain), "{told:?}");
    assert_eq!(ratios, [Transform::RatioToDays, Transform::RatioToDays, Transform::RatioToWeeks]);
}

#[test]
fn where_a_season_is_shorter_than_the_horizon_the_seasonal_ones_go_back_further() {
    // Half days, of which two days in seven are quiet; a value ahead is the one as many seasons ago as needed.
    let value = |step: i64| {
        let (half, day) = (step.rem_euclid(2) as f64, step.div_euclid(2).rem_euclid(7));
        if day < 5 { 40.0 + 100.0 * half } else { 10.0 + 20.0 * half }
    };
    let params = ForecastParams { season_steps: 2, ..ForecastParams::default() };
    let (mut history, season, mut week) = (History::new(1), Season::flat(2), Week::new(2));
    let now = 119;
    for step in 0..=now {
        history.push(Minute(step), Some(value(step)));
        week.push(Minute(step), Some(value(step)));
    }
    // The last cell of the week ends with the next step.
    let past = Past { history: &history, season: &season, week: &week, height: Some(100.0) };
    let clock = Zone::UTC.clock(Minute(now), params.step_seconds, params.season_steps);
    let view = View::of(&Origin { minute: Minute(now), clock, provisional: None, gap: 0, past });
    for (back, lag) in [(Back::Season, 2), (Back::Week, 14)] {
        let once = view.lagged(back);
        assert!(once.here().is_some_and(|here| (f64::from(here) - value(now - lag)).abs() < 1.0), "{back:?}: {once:?}");
        for (got, ahead) in once.ahead().unwrap().iter().zip(HORIZONS.map(i64::from)) {
            let seasons = (ahead + lag - 1) / lag;
            let expected = value(now + ahead - seasons * lag);
            assert!((f64::from(*got) - expected).abs() < 1.0, "{back:?}, {ahead} ahead: {got}, not {expected}");
        }
    }
}
