//! Load over time as a pure function of (seed, time): any past minute can be computed without simulating what came
//! before.
//!
//! The shape of the day is our own formula (a deep night, a rise in the morning, a broad afternoon), modelled on public
//! web traces; it contains no recorded data.

use std::f64::consts::TAU;

use super::TICK_SECONDS;
use super::noise::Noise;

const DAY: i64 = 86_400;

/// When a burst starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// Each day at this second of the UTC day.
    Daily(i64),
    /// Once, at this second since the Unix epoch.
    Once(i64),
}

/// A period of higher load: it rises for `rise`, holds for `hold` and falls for `fall` (all seconds).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// When it starts to rise.
    pub begins: Begins,
    /// Peak load relative to the load without it; above 1.
    pub factor: f64,
    /// Seconds from its start to its peak.
    pub rise: i64,
    /// Seconds at its peak.
    pub hold: i64,
    /// Seconds from its peak to its end.
    pub fall: i64,
}

/// The state of a burst at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum BurstState {
    /// It recurs daily; the next one is due.
    Due {
        /// Seconds until it starts.
        seconds: i64,
    },
    /// It is active.
    On {
        /// Seconds since it started.
        seconds: i64,
        /// Whether it recurs daily.
        recurring: bool,
    },
}

impl Burst {
    /// Returns its state at second `at`; `None` for a single burst that is over or not yet known.
    pub fn state(&self, at: i64) -> Option<BurstState> {
        let lasts = self.rise + self.hold + self.fall;
        match self.begins {
            Begins::Daily(second) => {
                let since = at.saturating_sub(second).rem_euclid(DAY);
                let on = since < lasts;
                Some(if on {
                    BurstState::On { seconds: since, recurring: true }
                } else {
                    BurstState::Due { seconds: DAY - since }
                })
            }
            Begins::Once(second) => {
                let since = at.saturating_sub(second);
                (0..lasts).contains(&since).then_some(BurstState::On { seconds: since, recurring: false })
            }
        }
    }

    /// Returns the share of the burst at second `at`, 0 to 1.
    fn share(&self, at: i64) -> f64 {
        let since = match self.begins {
            Begins::Daily(second) => at.saturating_sub(second).rem_euclid(DAY),
            Begins::Once(second) => at.saturating_sub(second),
        };
        let past_hold = since - self.rise - self.hold;
        if since < 0 || past_hold >= self.fall {
            0.0
        } else if since < self.rise {
            since as f64 / self.rise as f64
        } else if past_hold < 0 {
            1.0
        } else {
            1.0 - past_hold as f64 / self.fall as f64
        }
    }
}

/// The load of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Requests per second on a working day, averaged over the day, without bursts.
    pub mean: f64,
    /// How far the day swings around that mean, 0 (flat) to 1 (the night is nearly silent).
    pub swing: f64,
    /// Load on Saturday and Sunday relative to other days.
    pub weekend: f64,
    /// Relative standard deviation of the slow drift (over half an hour; half as much over five minutes).
    pub wander: f64,
    /// Recurring and single bursts; their factors multiply.
    pub bursts: Vec<Burst>,
}

impl Workload {
    /// Returns the state of its bursts at second `at`: the first active one, else the first due one.
    pub fn burst(&self, at: i64) -> Option<BurstState> {
        let states = || self.bursts.iter().filter_map(|burst| burst.state(at));
        states().find(|state| matches!(state, BurstState::On { .. })).or_else(|| states().next())
    }
}

/// A workload under one seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    workload: Workload,
    days: Noise,
    slow: Noise,
    fast: Noise,
    heights: Noise,
    arrivals: Noise,
}

impl Load {
    /// Returns `workload` with the noise of `seed` and `name`, so that two services do not drift alike.
    pub fn new(workload: Workload, seed: u64, name: &str) -> Self {
        let stream = |what: &str| Noise::new(seed, &format!("{name} {what}"));
        Self {
            workload,
            days: stream("days"),
            slow: stream("slow"),
            fast: stream("fast"),
            heights: stream("heights"),
            arrivals: stream("arrivals"),
        }
    }

    /// Returns the expected requests per second at second `at` since the Unix epoch.
    pub fn rate(&self, at: i64) -> f64 {
        let w = &self.workload;
        let wander = 1.0 + w.wander * (self.slow.path(at, 1800) + 0.5 * self.fast.path(at, 300));
        let bursts: f64 = w.bursts.iter().map(|burst| self.height(burst, at)).product();
        (w.mean * shape(at, w.swing) * self.level(at) * wander * bursts).max(0.0)
    }

    /// Returns the requests per second that arrive in tick number `tick` (since the Unix epoch): the rate at its middle
    /// with counting noise.
    pub fn arrivals(&self, tick: i64) -> f64 {
        let rate = self.rate(tick * TICK_SECONDS + TICK_SECONDS / 2);
        (rate + self.arrivals.normal(tick) * (rate / TICK_SECONDS as f64).sqrt()).max(0.0)
    }

    /// Returns the requests per second that arrived in the minute before second `at` (a whole tick).
    pub fn minute_before(&self, at: i64) -> f64 {
        let end = at.div_euclid(TICK_SECONDS);
        let ticks = 60 / TICK_SECONDS;
        (end - ticks..end).map(|tick| self.arrivals(tick)).sum::<f64>() / ticks as f64
    }

    /// Level of the day: that of a working day or weekend with a small random factor, interpolated from noon to noon.
    fn level(&self, at: i64) -> f64 {
        let noon = at - DAY / 2;
        let day = noon.div_euclid(DAY);
        let share = noon.rem_euclid(DAY) as f64 / DAY as f64;
        let of_day = |day: i64| {
            // The Unix epoch was a Thursday.
            let weekend = (day + 3).rem_euclid(7) >= 5;
            (if weekend { self.workload.weekend } else { 1.0 }) * (1.0 + 0.02 * self.days.normal(day))
        };
        of_day(day) + (of_day(day + 1) - of_day(day)) * share
    }

    /// Factor of a burst; its height varies slightly between occurrences.
    fn height(&self, burst: &Burst, at: i64) -> f64 {
        let share = burst.share(at);
        if share <= 0.0 {
            return 1.0;
        }
        let occurrence = match burst.begins {
            Begins::Daily(second) => at.saturating_sub(second).div_euclid(DAY),
            Begins::Once(second) => second,
        };
        1.0 + (burst.factor - 1.0) * share * (1.0 + 0.03 * self.heights.normal(occurrence))
    }
}

/// Shape of the UTC day with mean 1: two harmonics, lowest about 03:00, broad from noon to 18:00.
fn shape(at: i64, swing: f64) -> f64 {
    let hour = at.rem_euclid(DAY) as f64 / 3600.0;
    let day = (TAU * (hour - 14.5) / 24.0).cos();
    let half_day = (TAU * (hour - 20.0) / 12.0).cos();
    1.0 + swing * (0.78 * day + 0.2 * half_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: i64 = 4 * DAY;

    fn plain() -> Workload {
        Workload { mean: 400.0, swing: 0.6, weekend: 0.8, wander: 0.0, bursts: Vec::new() }
    }

    fn mean_of_day(load: &Load, day: i64) -> f64 {
        (0..1440).map(|minute| load.rate(day + minute * 60)).sum::<f64>() / 1440.0
    }

    #[test]
    fn the_day_has_a_night_a_noon_and_the_mean_asked_for() {
        let load = Load::new(plain(), 3, "a");
        let mean = mean_of_day(&load, MONDAY);
        assert!((mean / 400.0 - 1.0).abs() < 0.06, "{mean}");
        let at = |hour: i64| load.rate(MONDAY + hour * 3600);
        assert!(at(4) < 0.6 * at(10) && at(10) < at(13) && at(18) > at(23));
        assert!(mean_of_day(&load, MONDAY + 5 * DAY) < 0.92 * mean, "saturday");
    }

    #[test]
    fn a_surge_recurs_at_its_minute_and_a_flash_crowd_does_not() {
        let surge = Burst { begins: Begins::Daily(12 * 3600), factor: 3.0, rise: 120, hold: 600, fall: 300 };
        let flash = Burst { begins: Begins::Once(MONDAY + 15 * 3600), ..surge };
        let with = Load::new(Workload { bursts: vec![surge, flash], ..plain() }, 3, "a");
        let without = Load::new(plain(), 3, "a");
        let ratio = |at: i64| with.rate(at) / without.rate(at);
        for day in [MONDAY, MONDAY + DAY, MONDAY + 9 * DAY] {
            assert!((ratio(day + 12 * 3600 - 5) - 1.0).abs() < 1e-9);
            assert!((1.8..2.2).contains(&ratio(day + 12 * 3600 + 60)));
            assert!((2.7..3.3).contains(&ratio(day + 12 * 3600 + 400)));
            assert!((ratio(day + 12 * 3600 + 1020) - 1.0).abs() < 1e-9);
        }
        assert!(ratio(MONDAY + 15 * 3600 + 200) > 2.7);
        assert!((ratio(MONDAY + DAY + 15 * 3600 + 200) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_burst_is_due_on_or_unknown() {
        let daily = Burst { begins: Begins::Daily(12 * 3600), factor: 3.0, rise: 60, hold: 600, fall: 60 };
        let once = Burst { begins: Begins::Once(MONDAY + 12 * 3600), ..daily };
        let at = |seconds: i64| MONDAY + 12 * 3600 + seconds;
        let on = |seconds, recurring| Some(BurstState::On { seconds, recurring });
        for (seconds, expected_daily, expected_once) in [
            (-60, Some(BurstState::Due { seconds: 60 }), None),
            (0, on(0, true), on(0, false)),
            (719, on(719, true), on(719, false)),
            (720, Some(BurstState::Due { seconds: DAY - 720 }), None),
        ] {
            assert_eq!(
                (daily.state(at(seconds)), once.state(at(seconds))),
                (expected_daily, expected_once),
                "{seconds}"
            );
        }
    }

    #[test]
    fn a_minute_is_the_mean_of_its_ticks_and_counting_noise_shrinks_with_it() {
        let load = Load::new(plain(), 3, "a");
        let at = MONDAY + 9 * 3600;
        let ticks = (at / 5 - 12..at / 5).map(|tick| load.arrivals(tick)).sum::<f64>() / 12.0;
        assert_eq!(load.minute_before(at).to_bits(), ticks.to_bits());
        let spread = |values: Vec<f64>| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
        };
        let expected = (load.rate(at) / 5.0).sqrt();
        let measured = spread((0..400).map(|i| load.arrivals(at / 5 + i) - load.rate(at + i * 5 + 2)).collect());
        assert!((measured / expected - 1.0).abs() < 0.15, "{measured} {expected}");
    }
}
