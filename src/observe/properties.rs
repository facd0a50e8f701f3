use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{Rig, at, stamp, value};
use crate::model::{Arrival, Finite, Missing, Now, Reading, Sample, Timestamp, Unit};

/// Distinct samples within 6 minutes, with values over many orders of magnitude, and an order with repeats.
fn shuffled() -> impl Strategy<Value = (BTreeMap<u32, f64>, Vec<usize>)> {
    let number = prop_oneof![Just(0.0), 0.01..1e5_f64, 50.0..200.0_f64];
    prop::collection::btree_map(0..359_u32, number, 1..40).prop_flat_map(|samples| {
        let indices: Vec<usize> = (0..samples.len()).collect();
        let repeats = prop::collection::vec(0..samples.len(), 0..20);
        let order = (Just(indices), repeats).prop_map(|(mut all, repeats)| {
            all.extend(repeats);
            all
        });
        (Just(samples), order.prop_shuffle())
    })
}

proptest! {
    #[test]
    fn p9_late_and_repeated_samples_give_what_the_sorted_ones_give((samples, order) in shuffled()) {
        let samples: Vec<(u32, f64)> = samples.into_iter().collect();
        let now = at(360.0);
        let mut sorted = Rig::new(Unit::PerSecond);
        let mut mixed = Rig::new(Unit::PerSecond);
        for (second, number) in &samples {
            sorted.step(now, value(f64::from(*second), *number));
        }
        for index in order {
            let (second, number) = samples[index];
            mixed.step(now, value(f64::from(second), number));
        }
        let (mut expected, mut got) = (sorted.step(now, None), mixed.step(now, None));
        // Closed minutes depend on when they were queried; nothing else may.
        expected.closed.clear();
        got.closed.clear();
        prop_assert_eq!(got.reading, expected.reading);
        prop_assert_eq!(got.mean_1m, expected.mean_1m);
        prop_assert_eq!(got.p99_5m, expected.p99_5m);
        prop_assert_eq!(got.change_5m, expected.change_5m);
        prop_assert_eq!(got.max_5m, expected.max_5m);
        prop_assert_eq!(got.confirmed, expected.confirmed);
        prop_assert_eq!(got.suspect, expected.suspect);
    }

    #[test]
    fn p9_samples_up_to_ten_minutes_late_change_no_feature(
        order in Just((0..64_u32).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let now = at(960.0);
        let sample = |step: u32| value(15.0 * f64::from(step), 100.0 + f64::from(step));
        let mut sorted = Rig::new(Unit::PerSecond);
        let mut mixed = Rig::new(Unit::PerSecond);
        for step in 0..64 {
            sorted.step(now, sample(step));
        }
        for step in order {
            mixed.step(now, sample(step));
        }
        let (mut expected, mut got) = (sorted.step(now, None), mixed.step(now, None));
        for features in [&mut expected, &mut got] {
            features.closed.clear();
            features.provisional = None;
        }
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn any_clock_and_any_sample_keep_the_promises(
        steps in prop::collection::vec((any::<i32>(), any::<u32>(), any::<i32>(), any::<f64>(), 0..4_u8), 1..60),
        interval in prop_oneof![Just(0_u64), 1..600_u64, Just(u64::MAX)],
        window in prop_oneof![Just(0_u64), 1..600_u64, Just(u64::MAX)],
    ) {
        let mut rig = Rig::new(Unit::Count);
        rig.spec.signals[0].scrape_interval = Duration::from_secs(interval);
        rig.spec.signals[0].window = Duration::from_secs(window);
        let mut mono = Duration::ZERO;
        let mut seen = false;
        for (wall, pass, offset, number, kind) in steps {
            mono += Duration::from_millis(u64::from(pass % 100_000));
            let now = Now { wall: stamp(f64::from(wall)), mono };
            let sample = Finite::new(number).map(|value| {
                let at = stamp(f64::from(wall) + f64::from(if kind == 0 { offset } else { offset % 60 }));
                Arrival::Value(Sample { at, value })
            });
            let features = rig.step(now, if kind == 3 { None } else { sample });
            prop_assert!(features.closed.len() <= 60 + 512);
            prop_assert!(features.closed.windows(2).all(|pair| pair[0].minute < pair[1].minute));
            prop_assert!(features.closed.iter().filter(|minute| minute.value.is_none()).count() <= 60);
            let limit = rig.spec.signals[0].max_staleness();
            match features.reading {
                Reading::Fresh { staleness, sample } => {
                    prop_assert!(staleness <= limit);
                    prop_assert!(sample.at <= now.wall.checked_add(super::MAX_AHEAD).unwrap_or(Timestamp::MAX));
                    seen = true;
                }
                Reading::Stale { staleness, .. } => {
                    prop_assert!(staleness > limit);
                    seen = true;
                }
                Reading::Gap { .. } => prop_assert!(seen, "a gap before anything was seen"),
                Reading::Absent { .. } => prop_assert!(!seen, "absent after it was seen"),
            }
        }
    }

    #[test]
    fn extreme_times_never_panic(wall in prop_oneof![Just(Timestamp::MIN), Just(Timestamp::MAX), Just(stamp(0.0))],
        sampled in prop_oneof![Just(Timestamp::MIN), Just(Timestamp::MAX), Just(stamp(0.0))], number in any::<f64>()) {
        let mut rig = Rig::new(Unit::Ratio);
        let value = Finite::new(number).unwrap_or(Finite::ZERO);
        for wall in [wall, stamp(0.0), wall] {
            let arrival = Some(Arrival::Value(Sample { at: sampled, value }));
            let features = rig.step(Now { wall, mono: Duration::MAX }, arrival);
            prop_assert!(features.closed.len() <= 62);
        }
    }

    #[test]
    fn nothing_usable_is_never_a_value(texts in prop::collection::vec(0..4_u8, 1..20)) {
        let mut rig = Rig::new(Unit::PerSecond);
        for (step, text) in texts.into_iter().enumerate() {
            let missing = match text {
                0 => Missing::NoSeries,
                1 => Missing::NotFinite,
                2 => Missing::Ambiguous { series: 2 },
                _ => Missing::SourceDown { error: "reset".into() },
            };
            let features = rig.step(at(15.0 * step as f64), Some(Arrival::Missing(missing)));
            let absent = matches!(features.reading, Reading::Absent { .. });
            prop_assert!(absent);
            prop_assert_eq!((features.mean_1m, features.max_5m, features.provisional), (None, None, None));
        }
    }
}
