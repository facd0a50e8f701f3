//! An outage of one signal's telemetry, and when its windows are complete again (fault row P1).
//!
//! The source may not have been scraped meanwhile: a rate over a window that reaches into the outage is lower than the
//! load. A source that was only cut off looks the same from here. So a value counts again only once its whole window is
//! after the outage; so do the features that look back.

use std::time::Duration;

use crate::model::time::elapsed;
use crate::model::{Missing, Sample, Timestamp};

/// What is remembered about outages.
#[derive(Debug, Clone, Default)]
pub(super) struct Outage {
    /// Since when no fresh sample has arrived.
    since: Option<Timestamp>,
    /// The first sample after the last outage.
    back: Option<Timestamp>,
}

impl Outage {
    /// Notes a round without a fresh sample; `since` is the best known start of the silence.
    pub(super) fn missed(&mut self, since: Timestamp) {
        self.since.get_or_insert(since);
    }

    /// Notes a fresh sample. The silence was an outage if it lasted longer than a sample counts as fresh (`limit`).
    pub(super) fn seen(&mut self, newest: Timestamp, limit: Duration) {
        if self.since.take().is_some_and(|since| elapsed(newest, since) > limit) {
            self.back = Some(newest);
        }
        // The source's clock may be set back.
        self.back = self.back.map(|back| back.min(newest));
    }

    /// Checks whether the `window` that ends with the `newest` sample is complete.
    ///
    /// # Errors
    /// How much of it is missing.
    pub(super) fn refilled(&self, newest: Option<Sample>, window: Duration) -> Result<(), Missing> {
        let (Some(back), Some(newest)) = (self.back, newest) else { return Ok(()) };
        let seen = elapsed(newest.at, back);
        let left = window.saturating_sub(seen);
        if left.is_zero() { Ok(()) } else { Err(Missing::Refilling { back: seen, left }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arrival, Now, Reading, SignalFeatures, Unit};
    use crate::observe::tests::{Rig, at, stamp, value};

    const WINDOW: Duration = Duration::from_mins(1);

    fn rps() -> Rig {
        let mut rig = Rig::new(Unit::PerSecond);
        rig.spec.signals[0].window = WINDOW;
        rig
    }

    fn down() -> Arrival {
        Arrival::Missing(Missing::SourceDown { error: "refused".into() })
    }

    /// Runs rounds every 15 s, from `from` up to `to` seconds, all of which yield `arrival`.
    fn rounds(rig: &mut Rig, from: u32, to: u32, arrival: &Arrival) {
        for second in (from..to).step_by(15) {
            rig.step(at(f64::from(second) + 5.0), Some(arrival.clone()));
        }
    }

    fn told(features: &SignalFeatures) -> String {
        features.reading.to_string()
    }

    #[test]
    fn p1_after_an_outage_a_signal_counts_once_its_window_is_whole() {
        let mut rig = rps();
        rig.feed(0.0, &[100.0; 40]);
        rounds(&mut rig, 600, 720, &down());
        // A rate right after the restart of its source is less than the load.
        let seen: Vec<String> = [25.0, 50.0, 75.0, 90.0, 100.0, 100.0]
            .iter()
            .zip([720.0, 735.0, 750.0, 765.0, 780.0, 795.0])
            .map(|(rate, second)| told(&rig.feed(second, &[*rate])))
            .collect();
        let expected = [
            "gap: telemetry came back 0 s ago; its windows refill in 60 s",
            "gap: telemetry came back 15 s ago; its windows refill in 45 s",
            "gap: telemetry came back 30 s ago; its windows refill in 30 s",
            "gap: telemetry came back 45 s ago; its windows refill in 15 s",
            "fresh",
            "fresh",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn p1_what_is_not_whole_yet_confirms_nothing_and_features_wait_for_their_own_windows() {
        let mut rig = rps();
        rig.spec.signals[0].window = Duration::from_secs(15);
        rig.feed(0.0, &[100.0; 40]);
        rounds(&mut rig, 600, 720, &down());
        let first = rig.feed(720.0, &[100.0]);
        assert_eq!((first.confirmed, first.mean_1m, first.rising), (None, None, None));
        let second = rig.feed(735.0, &[100.0]);
        assert_eq!((told(&second).as_str(), second.mean_1m), ("fresh", None));
        assert!(second.confirmed.is_some() && second.max_5m.is_some(), "{second:?}");
        let minute = rig.feed(750.0, &[100.0; 3]);
        assert!(minute.mean_1m.is_some() && minute.p99_5m.is_none(), "{minute:?}");
        let five = rig.feed(795.0, &[100.0; 16]);
        assert!(five.p99_5m.is_some() && five.change_5m.is_none(), "{five:?}");
        assert!(rig.feed(1035.0, &[100.0; 4]).change_5m.is_some());
    }

    #[test]
    fn p1_a_source_that_is_away_again_meanwhile_starts_its_windows_anew() {
        let mut rig = rps();
        rig.feed(0.0, &[100.0; 4]);
        rounds(&mut rig, 60, 180, &down());
        assert!(told(&rig.feed(180.0, &[100.0; 3])).contains("refill in 30 s"));
        rounds(&mut rig, 225, 300, &down());
        assert!(told(&rig.feed(300.0, &[100.0])).contains("refill in 60 s"));
        rounds(&mut rig, 315, 330, &down());
        assert!(
            told(&rig.feed(330.0, &[100.0])).contains("refill in 30 s"),
            "one round without an answer is no outage"
        );
    }

    #[test]
    fn p1_samples_that_stood_still_make_an_outage_and_a_series_that_was_not_there_does_not() {
        let mut rig = rps();
        rig.feed(0.0, &[100.0; 4]);
        rounds(&mut rig, 60, 240, &value(45.0, 100.0).unwrap());
        assert!(told(&rig.feed(240.0, &[100.0])).contains("refill in 60 s"));
        let mut rig = rps();
        rig.feed(0.0, &[100.0; 4]);
        rounds(&mut rig, 60, 240, &Arrival::Missing(Missing::NoSeries));
        assert_eq!(told(&rig.feed(240.0, &[100.0])), "fresh");
    }

    #[test]
    fn p1_a_start_while_the_source_is_away_is_an_outage_too() {
        let mut rig = rps();
        rounds(&mut rig, 0, 120, &down());
        assert!(told(&rig.feed(120.0, &[100.0])).contains("refill in 60 s"));
        let mut rig = rps();
        assert_eq!(told(&rig.feed(0.0, &[100.0])), "fresh");
    }

    /// Scraped every minute but declared with 15 s: stale in the last round of each minute.
    #[test]
    fn a_signal_that_is_scraped_less_often_than_declared_is_not_away_each_minute() {
        let mut rig = rps();
        let mut fresh = 0;
        for second in (0..1200_u32).step_by(15) {
            let sampled = f64::from(second / 60 * 60);
            let features = rig.step(at(f64::from(second) + 5.0), value(sampled, 100.0));
            fresh += u32::from(matches!(features.reading, Reading::Fresh { .. }));
        }
        assert_eq!(fresh, 60);
    }

    #[test]
    fn a_source_whose_clock_is_put_back_does_not_wait_for_it() {
        let mut rig = rps();
        rounds(&mut rig, 0, 120, &down());
        rig.feed(120.0, &[100.0]);
        let back = Now { wall: stamp(-3500.0), ..at(140.0) };
        rig.step(back, value(-3505.0, 100.0));
        let later = Now { wall: stamp(-3440.0), ..at(200.0) };
        assert_eq!(told(&rig.step(later, value(-3445.0, 100.0))), "fresh");
    }
}
