use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::{
    Bounds, Finite, Minute, MinuteValue, Missing, Reading, Sample, ServiceId, SignalFeatures, SignalName, SignalSpec,
    Slo, Unit,
};

/// 2026-11-24T12:00:00Z, the start of a minute.
const NOON: i64 = 1_795_521_600;

pub(super) fn spec(unit: Unit) -> ServiceSpec {
    let signal = SignalSpec {
        name: SignalName::new("rps").unwrap(),
        unit,
        role: None,
        range: (-1e12, 1e12),
        forecast: true,
        scrape_interval: Duration::from_secs(15),
        window: Duration::ZERO,
    };
    ServiceSpec {
        signals: vec![signal],
        labels: [(Arc::from("service"), Arc::from("checkout"))].into(),
        slo: Slo { p99: 0.5, error_ratio: 0.01 },
        bounds: Bounds { min: 1, max: 10 },
        ..ServiceSpec::blank(ServiceId::new("shop", "checkout").unwrap())
    }
}

/// The wall clock `seconds` after noon; consistent with the monotonic clock, which starts an hour before noon.
pub(super) fn at(seconds: f64) -> Now {
    Now { wall: stamp(seconds), mono: Duration::from_secs_f64(seconds + 3600.0) }
}

pub(super) fn stamp(seconds: f64) -> Timestamp {
    Timestamp::from_microsecond(NOON * 1_000_000 + (seconds * 1e6) as i64).unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "arrivals are optional where the tests hand them over")]
pub(super) fn value(seconds: f64, value: f64) -> Option<Arrival> {
    Some(Arrival::Value(Sample { at: stamp(seconds), value: Finite::new(value).unwrap() }))
}

pub(super) struct Rig {
    pub(super) spec: ServiceSpec,
    pub(super) state: Observer,
}

impl Rig {
    pub(super) fn new(unit: Unit) -> Self {
        let spec = spec(unit);
        Self { state: Observer::new(&spec), spec }
    }

    pub(super) fn step(&mut self, now: Now, arrival: Option<Arrival>) -> SignalFeatures {
        let target = TargetReading::Unknown { reason: "not part of the test".into() };
        let features = observe(&mut self.state, &self.spec, &[arrival], target, now);
        features.signals.into_iter().next().unwrap()
    }

    /// Feeds one sample every 15 s, each read 5 s after it was taken; returns the last features.
    pub(super) fn feed(&mut self, from: f64, values: &[f64]) -> SignalFeatures {
        let steps = values.iter().enumerate().map(|(step, value)| (from + 15.0 * step as f64, *value));
        steps.map(|(time, number)| self.step(at(time + 5.0), value(time, number))).last().unwrap()
    }
}

fn rps() -> Rig {
    Rig::new(Unit::PerSecond)
}

fn finite(value: f64) -> Option<Finite> {
    Finite::new(value)
}

fn minutes(features: &SignalFeatures) -> Vec<(i64, Option<f64>)> {
    features.closed.iter().map(|closed| (closed.minute.0 - NOON / 60, closed.value.map(Finite::get))).collect()
}

fn missing(features: &SignalFeatures) -> &Missing {
    match &features.reading {
        Reading::Gap { missing, .. } | Reading::Absent { missing } => missing,
        other => panic!("{other:?} is not missing"),
    }
}

#[test]
fn never_seen_is_absent_and_seen_before_is_a_gap() {
    let mut rig = rps();
    assert_eq!(rig.step(at(0.0), None).reading, Reading::Absent { missing: Missing::NotAsked });
    let nothing = Some(Arrival::Missing(Missing::NoSeries));
    assert_eq!(rig.step(at(1.0), nothing.clone()).reading, Reading::Absent { missing: Missing::NoSeries });
    assert!(rig.step(at(15.0), value(14.0, 0.0)).reading.fresh() == finite(0.0));
    let gap = rig.step(at(30.0), nothing);
    assert!(matches!(&gap.reading, Reading::Gap { last, missing: Missing::NoSeries } if last.at == stamp(14.0)));
    assert_eq!(rig.step(at(31.0), None).reading, gap.reading, "not queried: the gap stays");
    assert!(rig.step(at(45.0), value(44.0, 1.0)).reading.fresh().is_some());
}

#[test]
fn each_declared_signal_has_features_whatever_arrived() {
    let mut rig = rps();
    let second = rig.spec.signals[0].clone();
    rig.spec.signals.push(second);
    let target = TargetReading::Unknown { reason: String::new() };
    for arrivals in [vec![], vec![value(0.0, 1.0)], vec![None, None, value(0.0, 1.0)]] {
        let features = observe(&mut rig.state, &rig.spec, &arrivals, target.clone(), at(0.0));
        assert_eq!(features.signals.len(), 2);
    }
}

#[test]
fn p7_a_series_that_repeats_its_last_sample_turns_stale_by_itself() {
    let mut rig = rps();
    let limit = 45.0;
    for step in 0..40 {
        let now = 15.0 * f64::from(step) + 5.0;
        let reading = rig.step(at(now), value(0.0, 7.0)).reading;
        assert_eq!(matches!(reading, Reading::Fresh { .. }), now <= limit, "after {now} s: {reading}");
        assert_eq!(matches!(reading, Reading::Stale { .. }), now > limit, "after {now} s: {reading}");
    }
}

#[test]
fn a_reading_ages_while_nobody_asks() {
    let mut rig = rps();
    rig.step(at(0.0), value(0.0, 7.0));
    let Reading::Fresh { staleness, .. } = rig.step(at(30.0), None).reading else { panic!("stale too early") };
    assert_eq!(staleness, Duration::from_secs(30));
    let old = rig.step(at(46.0), None);
    assert!(matches!(old.reading, Reading::Stale { .. }));
    assert_eq!((old.mean_1m, old.p99_5m, old.max_5m, old.confirmed), (None, None, None, None));
}

#[test]
fn p8_a_sample_from_the_future_is_refused_and_moves_nothing() {
    let mut rig = rps();
    rig.feed(0.0, &[5.0, 6.0]);
    let features = rig.step(at(30.0), value(30.0 + 31.0, 900.0));
    assert_eq!(missing(&features), &Missing::FromTheFuture { ahead: Duration::from_secs(31) });
    let Reading::Gap { last, .. } = features.reading else { panic!("not a gap") };
    assert_eq!(last.at, stamp(15.0));
    let next = rig.step(at(35.0), value(30.0, 7.0));
    assert_eq!(next.reading.fresh(), finite(7.0));
    assert_eq!(next.max_5m, finite(7.0));
    let skewed = rig.step(at(45.0), value(45.0 + 30.0, 8.0));
    assert_eq!(skewed.reading.fresh(), finite(8.0), "clocks may differ by 30 s");
}

#[test]
fn a_value_outside_the_declared_range_is_refused() {
    let mut rig = rps();
    rig.spec.signals[0].range = (0.0, 100.0);
    for (number, refused) in [(0.0, false), (100.0, false), (-0.001, true), (100.001, true)] {
        let features = Rig { spec: rig.spec.clone(), state: rig.state.clone() }.step(at(0.0), value(0.0, number));
        let expected = Reading::Absent { missing: Missing::OutOfRange { value: finite(number).unwrap() } };
        assert_eq!(features.reading == expected, refused, "{number}");
    }
}

#[test]
fn p14_a_drop_of_more_than_tenfold_needs_three_samples() {
    let mut rig = rps();
    rig.feed(0.0, &[100.0, 100.0]);
    let cases = [(9.0, Some(1)), (0.0, Some(2)), (8.0, None), (8.5, None)];
    for (step, (number, seen)) in cases.into_iter().enumerate() {
        let features = rig.feed(30.0 + 15.0 * step as f64, &[number]);
        match seen {
            Some(seen) => {
                let value = finite(number).unwrap();
                assert_eq!(missing(&features), &Missing::UnconfirmedDrop { value, seen });
                assert_eq!((features.max_5m, features.mean_1m), (finite(100.0), finite(100.0)));
                assert_eq!(features.confirmed, None);
            }
            None => assert_eq!(features.reading.fresh(), finite(number)),
        }
        assert!(!features.suspect);
    }
}

#[test]
fn p14_repeating_a_dropped_sample_does_not_confirm_it() {
    let mut rig = rps();
    rig.feed(0.0, &[100.0]);
    for second in 15..40 {
        let features = rig.step(at(f64::from(second)), value(15.0, 1.0));
        assert!(matches!(missing(&features), Missing::UnconfirmedDrop { seen: 1, .. }));
    }
}

#[test]
fn p14_a_drop_that_is_taken_back_was_never_there() {
    let mut rig = rps();
    let features = rig.feed(0.0, &[100.0, 1.0, 1.0, 100.0]);
    assert_eq!(features.reading.fresh(), finite(100.0));
    assert_eq!(features.mean_1m, finite(100.0));
    assert!(matches!(missing(&rig.feed(60.0, &[1.0])), Missing::UnconfirmedDrop { seen: 1, .. }));
}

#[test]
fn p14_a_rise_of_more_than_tenfold_is_read_but_suspect_until_confirmed() {
    let mut rig = rps();
    rig.feed(0.0, &[0.2, 0.3]);
    for (step, suspect) in [true, true, false, false].into_iter().enumerate() {
        let number = 200.0 + step as f64;
        let features = rig.feed(30.0 + 15.0 * step as f64, &[number]);
        assert_eq!(features.reading.fresh(), finite(number));
        assert_eq!(features.suspect, suspect, "sample {step}");
        let seen = features.provisional.and_then(|minute| minute.value).map_or(0.0, Finite::get);
        assert_eq!(seen > 1.0, !suspect, "suspect samples stay out of the grid, sample {step}: {seen}");
        assert_eq!(features.max_5m.unwrap().get() > 1.0, !suspect);
    }
}

#[test]
fn a_jump_is_judged_per_unit_and_noise_near_zero_is_none() {
    let cases = [
        (Unit::PerSecond, 5.0, 0.0, true),
        (Unit::PerSecond, 5.0, 0.5, false),
        (Unit::PerSecond, 0.9, 0.0, false),
        (Unit::Seconds, 0.2, 0.0, true),
        (Unit::Seconds, 0.009, 0.0, false),
        (Unit::Ratio, 0.6, 0.006, true),
        (Unit::Ratio, 0.008, 0.0, false),
        (Unit::Count, 8.0, 0.0, false),
        (Unit::Count, 80.0, -80.0, true),
        (Unit::Flag, 1.0, 0.0, false),
    ];
    for (unit, from, to, dropped) in cases {
        let features = Rig::new(unit).feed(0.0, &[from, to]);
        assert_eq!(matches!(features.reading, Reading::Gap { .. }), dropped, "{unit:?} {from} -> {to}");
        let mut rig = Rig::new(unit);
        assert_eq!(rig.feed(0.0, &[to, from]).suspect, dropped, "{unit:?} {to} -> {from}");
    }
}

#[test]
fn the_level_outlives_a_long_silence() {
    let mut rig = rps();
    rig.feed(0.0, &[100.0, 100.0]);
    for (start, seen) in [(7200.0, 1), (7215.0, 2)] {
        let value = finite(1.0).unwrap();
        assert_eq!(missing(&rig.feed(start, &[1.0])), &Missing::UnconfirmedDrop { value, seen });
    }
    assert_eq!(rig.feed(7230.0, &[1.0]).reading.fresh(), finite(1.0));
}

#[test]
fn p9_a_sample_later_than_the_window_does_not_become_the_level() {
    let mut rig = rps();
    rig.feed(0.0, &[100.0]);
    rig.feed(400.0, &[11.0]);
    rig.step(at(406.0), value(10.0, 900.0));
    assert_eq!(rig.feed(415.0, &[12.0]).reading.fresh(), finite(12.0));
}

#[test]
fn features_follow_their_definitions() {
    let mut rig = rps();
    let ramp: Vec<f64> = (0..24).map(|step| 100.0 + f64::from(step)).collect();
    let features = rig.feed(0.0, &ramp);
    assert_eq!(features.mean_1m, finite(121.5), "mean of 120, 121, 122, 123");
    assert_eq!(features.max_5m, finite(123.0));
    assert_eq!(features.p99_5m, finite(123.0), "nearest rank of 20 samples");
    assert_eq!(features.change_5m, finite((121.5 - 101.5) / 101.5));
    assert_eq!(features.confirmed, finite(122.0));
    let fall = rig.feed(360.0, &[60.0]);
    assert_eq!(fall.confirmed, finite(60.0));
    assert_eq!(fall.max_5m, finite(123.0));
}

#[test]
fn p99_ignores_one_sample_in_a_hundred() {
    let mut rig = rps();
    rig.spec.signals[0].scrape_interval = Duration::from_secs(1);
    let last = (0..300).map(|second| {
        let time = f64::from(second);
        rig.step(at(time), value(time, if second == 150 || second == 250 { 90.0 } else { 10.0 }))
    });
    let features = last.last().unwrap();
    assert_eq!((features.p99_5m, features.max_5m), (finite(10.0), finite(90.0)));
}

#[test]
fn one_sample_alone_confirms_nothing() {
    let mut rig = rps();
    assert_eq!(rig.step(at(0.0), value(0.0, 5.0)).confirmed, None);
    assert_eq!(rig.step(at(5.0), value(0.0, 5.0)).confirmed, None, "the same sample again");
    assert_eq!(rig.step(at(60.0), value(60.0, 5.0)).confirmed, None, "the one before is too old");
    assert_eq!(rig.step(at(75.0), value(75.0, 6.0)).confirmed, finite(5.0));
}

#[test]
fn minutes_close_once_with_gaps_explicit() {
    let mut rig = rps();
    assert_eq!(minutes(&rig.feed(0.0, &[1.0, 2.0, 3.0, 4.0])), []);
    let next = rig.feed(60.0, &[9.0]);
    assert_eq!(minutes(&next), [(0, Some(2.5))]);
    assert_eq!(
        next.provisional,
        Some(crate::model::MinuteValue { minute: Minute::of(stamp(60.0)), value: finite(9.0) })
    );
    assert_eq!(minutes(&rig.step(at(66.0), None)), []);
    assert_eq!(minutes(&rig.feed(240.0, &[9.0])), [(1, Some(9.0)), (2, None), (3, None)]);
}

#[test]
fn a_minute_waits_for_samples_that_are_on_their_way() {
    // Samples are stamped at second 58 of each minute and can be read 4 s later.
    let mut rig = rps();
    rig.spec.signals[0].scrape_interval = Duration::from_mins(1);
    let mut closed = Vec::new();
    for tick in 0..80 {
        let now = 1.0 + 15.0 * f64::from(tick);
        let newest = ((now - 62.0) / 60.0).floor() * 60.0 + 58.0;
        let arrival = if newest > 0.0 { value(newest, newest) } else { Some(Arrival::Missing(Missing::NoSeries)) };
        closed.extend(minutes(&rig.step(at(now), arrival)));
    }
    assert!(closed.len() >= 17, "{closed:?}");
    for (minute, mean) in closed {
        assert_eq!(mean, Some(minute as f64 * 60.0 + 58.0));
    }
}

#[test]
fn minutes_close_as_gaps_while_the_source_is_down() {
    let mut rig = rps();
    rig.feed(0.0, &[1.0]);
    let down = || Some(Arrival::Missing(Missing::SourceDown { error: "refused".into() }));
    assert_eq!(minutes(&rig.step(at(104.0), down())), []);
    assert_eq!(minutes(&rig.step(at(106.0), down())), [(0, Some(1.0))]);
    assert_eq!(minutes(&rig.step(at(226.0), down())), [(1, None), (2, None)]);
}

#[test]
fn a_long_silence_gives_sixty_gaps_and_a_jump_to_the_present() {
    let mut rig = rps();
    rig.feed(0.0, &[1.0]);
    let day = 86_400.0;
    let closed = minutes(&rig.step(at(day), value(day, 2.0)));
    assert_eq!(closed.len(), 61);
    assert_eq!((closed[0], closed[1], closed[60]), ((0, Some(1.0)), (1, None), (60, None)));
    assert_eq!(minutes(&rig.step(at(day + 60.0), value(day + 60.0, 2.0))), [(1440, Some(2.0))]);
}

#[test]
fn a_late_sample_counts_for_an_open_minute_and_changes_no_closed_one() {
    let mut rig = rps();
    rig.feed(0.0, &[1.0, 1.0]);
    rig.step(at(50.0), value(45.0, 7.0));
    let late = rig.step(at(51.0), value(31.0, 3.0));
    assert_eq!(late.reading.fresh(), finite(7.0), "the newest sample stays the reading");
    assert_eq!(minutes(&rig.feed(60.0, &[7.0])), [(0, Some(3.0))]);
    assert_eq!(minutes(&rig.step(at(66.0), value(50.0, 7.0))), []);
}

#[test]
fn a_wall_clock_put_back_does_not_make_a_dead_series_young() {
    let mut rig = rps();
    rig.step(at(0.0), value(0.0, 5.0));
    let back = |seconds: f64| Now { wall: stamp(seconds - 40.0), mono: at(seconds).mono };
    assert!(matches!(rig.step(back(44.0), value(0.0, 5.0)).reading, Reading::Fresh { .. }));
    assert!(matches!(rig.step(back(46.0), value(0.0, 5.0)).reading, Reading::Stale { .. }));
}

#[test]
fn a_wall_clock_put_back_by_an_hour_holds_until_samples_fit_again() {
    let mut rig = rps();
    rig.feed(0.0, &[5.0, 5.0, 5.0]);
    let back = |seconds: f64| Now { wall: stamp(seconds - 3600.0), mono: at(seconds).mono };
    let unasked = rig.step(back(50.0), None);
    assert!(matches!(missing(&unasked), Missing::FromTheFuture { .. }), "{:?}", unasked.reading);
    let ours_alone = rig.step(back(60.0), value(60.0, 5.0));
    assert!(matches!(missing(&ours_alone), Missing::FromTheFuture { .. }), "only our clock jumped: hold");
    let both = rig.step(back(75.0), value(75.0 - 3600.0, 6.0));
    assert_eq!(both.reading.fresh(), finite(6.0), "the source's clock jumped too");
    assert_eq!(minutes(&both), [], "minutes already closed are not closed again");
}

#[test]
fn the_level_outlives_a_wall_clock_put_back() {
    let mut rig = rps();
    rig.feed(0.0, &[5.0, 5.0, 5.0]);
    let back = Now { wall: stamp(60.0 - 3600.0), mono: at(60.0).mono };
    let drop = rig.step(back, value(60.0 - 3600.0, 0.0));
    assert!(matches!(missing(&drop), Missing::UnconfirmedDrop { seen: 1, .. }));
}

#[test]
fn a_wall_clock_far_off_and_back_starts_the_grid_anew() {
    let years = 10.0 * 365.25 * 86_400.0;
    for far in [years, -years] {
        let mut rig = rps();
        rig.feed(0.0, &[5.0, 5.0, 5.0]);
        let off = |seconds: f64| Now { wall: stamp(seconds + far), mono: at(seconds).mono };
        assert!(rig.step(off(50.0), value(50.0 + far, 5.0)).closed.len() <= 62);
        assert!(rig.step(off(110.0), value(110.0 + far, 5.0)).closed.len() <= 62);
        let back = rig.step(at(125.0), value(125.0, 5.0));
        assert_eq!(back.reading.fresh(), finite(5.0), "{far}");
        let next = rig.step(at(185.0), value(185.0, 5.0));
        assert_eq!(minutes(&next).last(), Some(&(2, Some(5.0))), "{far}");
    }
}

#[test]
fn a_first_sample_that_is_stale_starts_no_grid() {
    let mut rig = rps();
    let features = rig.step(at(0.0), value(-86_400.0, 5.0));
    assert!(matches!(features.reading, Reading::Stale { .. }));
    assert_eq!((minutes(&features), features.provisional), (vec![], None));
    assert_eq!(minutes(&rig.step(at(60.0), value(60.0, 5.0))), []);
    assert_eq!(minutes(&rig.step(at(120.0), value(120.0, 5.0))), [(1, Some(5.0))]);
}

#[test]
fn of_the_past_is_believed_what_would_be_live() {
    let signal = SignalSpec { range: (0.0, 1e5), ..spec(Unit::PerSecond).signals.remove(0) };
    let past = |values: &[f64]| {
        let value = |(minute, value): (i64, &f64)| MinuteValue { minute: Minute(minute), value: Finite::new(*value) };
        let mut minutes: Vec<MinuteValue> = (0..).zip(values).map(value).collect();
        believe(&signal, &mut minutes);
        minutes
            .iter()
            .map(|minute| minute.value.map_or(f64::NAN, Finite::get))
            .map(|value| value as i64)
            .collect::<Vec<_>>()
    };
    // A gap reads as 0: the only real zeros are confirmed ones.
    for (values, believed) in [
        (vec![100.0, 2000.0, 100.0], vec![100, 0, 100]),
        (vec![100.0, 2000.0, f64::NAN, 2100.0, 100.0], vec![100, 0, 0, 0, 100]),
        (vec![100.0, 2000.0, f64::NAN, 2100.0, 2200.0], vec![100, 2000, 0, 2100, 2200]),
        (vec![100.0, 9.0, 8.0, 100.0, 9.0, 8.0, 9.0], vec![100, 0, 0, 100, 9, 8, 9]),
        (vec![100.0, -5.0, 1e6, 1e6, 1e6, 900.0], vec![100, 0, 0, 0, 0, 900]),
    ] {
        assert_eq!(past(&values), believed, "{values:?}");
    }
}
