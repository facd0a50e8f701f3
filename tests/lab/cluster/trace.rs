//! A recorded load, compressed: each of its days is played in a few minutes, and the days before the last are the
//! history.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::load;

const DAY: f64 = 86_400.0;
/// Minutes of a real day, in which the loop learns what recurs.
const SEASON: i64 = 1440;

/// A load over compressed time.
#[derive(Debug)]
pub struct Trace {
    /// Seconds and values, oldest first.
    rows: Vec<(f64, f64)>,
    /// Start and end of the part that is played; what precedes it is the history, in whole days.
    played: (f64, f64),
    /// Factor on values, so that the highest one played is `peak`.
    scale: f64,
    /// Seconds of the trace per second played.
    factor: f64,
}

impl Trace {
    /// Reads rows `timestamp,value`, as times or as seconds, and compresses the last day of them to `minutes`; all of
    /// it if there are no two days.
    pub fn read(path: &Path, minutes: u32, peak: f64) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(&text, minutes, peak).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn parse(text: &str, minutes: u32, peak: f64) -> Result<Self, String> {
        if minutes == 0 || SEASON % i64::from(minutes) != 0 {
            return Err(format!("a day of {minutes} minutes, expected a divisor of {SEASON}: the past recurs by days"));
        }
        let rows: Vec<(f64, f64)> = text.lines().filter_map(row).collect();
        let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) else {
            return Err("no row `timestamp,value`".to_owned());
        };
        if rows.windows(2).any(|pair| pair[1].0 <= pair[0].0) {
            return Err("its rows are not in the order of time".to_owned());
        }
        let step = (last - first) / (rows.len().max(2) - 1) as f64;
        let days = ((last + step - first) / DAY).floor();
        let end = if days < 2.0 { last + step } else { first + days * DAY };
        let begin = if days < 2.0 { *first } else { end - DAY };
        let mut trace =
            Self { rows, played: (begin, end), scale: 1.0, factor: (end - begin) / 60.0 / f64::from(minutes) };
        let highest = (0..minutes * 60).map(|second| trace.rate(f64::from(second))).fold(0.0, f64::max);
        if highest <= 0.0 {
            return Err("no value above zero in what is played".to_owned());
        }
        trace.scale = peak / highest;
        Ok(trace)
    }

    /// Returns whether there are days before the one that is played.
    pub fn has_past(&self) -> bool {
        self.played.0 > self.rows[0].0
    }

    /// Returns the rate at a second of the play. Before it come the days of the history, repeatedly, each real day
    /// starting with another one: an exact repetition would teach that the next day holds no surprise. Without history,
    /// the first value.
    pub fn rate(&self, second: f64) -> f64 {
        let (begin, end) = self.played;
        if second >= 0.0 {
            return self.at((begin + second * self.factor).min(end));
        }
        let (first, lasts) = (self.rows[0].0, (end - begin) / self.factor);
        let past = ((begin - first) / DAY).round() as i64;
        if past == 0 {
            return self.at(first);
        }
        let back = (-second / lasts).ceil() as i64;
        let turned = (back - 1) / (SEASON * 60 / lasts.round() as i64);
        let day = past - 1 - (back - 1 + turned) % past;
        self.at(first + day as f64 * DAY + (second + back as f64 * lasts) * self.factor)
    }

    /// Returns the rate at a time of the trace, interpolated linearly between rows.
    fn at(&self, moment: f64) -> f64 {
        let after = self.rows.partition_point(|(time, _)| *time <= moment);
        let (time, value) = self.rows[after.saturating_sub(1)];
        let Some((next, goal)) = self.rows.get(after) else { return value * self.scale };
        (value + (goal - value) * ((moment - time) / (next - time)).clamp(0.0, 1.0)) * self.scale
    }

    /// Returns the history preceding a play that starts at a minute since 1970.
    pub fn past(&self, begin: i64, days: u32) -> load::Load {
        let first = begin - i64::from(days + 1) * SEASON;
        let mean = |minute: i64| {
            let seconds = (0..60).step_by(5).map(|second| self.rate(((minute - begin) * 60 + second) as f64));
            Some(seconds.sum::<f64>() / 12.0)
        };
        load::Load::Recorded { values: (first..begin).map(mean).collect(), first }
    }
}

/// Returns the time in seconds and the value of a row; `None` for a header or a row without a value.
fn row(line: &str) -> Option<(f64, f64)> {
    let (time, value) = line.split_once(',')?;
    let (time, value) = (time.trim(), value.trim().parse::<f64>().ok()?);
    let civil = |time: &str| time.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let stamp = |time: &str| time.parse::<Timestamp>().ok().or_else(|| civil(time));
    let seconds = time.parse::<f64>().ok().or_else(|| stamp(time).map(|stamp| stamp.as_second() as f64))?;
    (value.is_finite() && value >= 0.0).then_some((seconds, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of ten minutes: the first day is a ramp from 0 to 143, the second twice as high, and so on.
    fn days(count: i32) -> String {
        let value = |index: i32| (index % 144) * (index / 144 + 1);
        let rows = (0..144 * count).map(|index| format!("{},{}\n", 1_700_000_000 + index * 600, value(index)));
        format!("timestamp,value\n{}", rows.collect::<String>())
    }

    #[test]
    fn the_last_day_is_played_and_those_before_recur_in_turn() {
        let trace = Trace::parse(&days(3), 24, 429.0).unwrap();
        assert!(trace.has_past());
        // A second is a minute of the trace, a real day holds sixty of its days.
        for (second, expected) in [(0, 0), (10, 3), (720, 216), (1430, 429), (-10, 286), (-1440, 0), (-1450, 143)] {
            assert_eq!(trace.rate(f64::from(second)).round(), f64::from(expected), "{second}");
        }
        assert_eq!([-86_410.0, -86_400.0 - 1450.0].map(|second| trace.rate(second).round()), [143.0, 286.0]);
        let load = trace.past(50_000, 2);
        assert_eq!((load.at(50_000), load.at(50_000 - 24)), (None, load.at(50_000 - 72)));
        assert!((load.at(50_000 - 24).unwrap() - 5.5).abs() < 0.01, "{:?}", load.at(50_000 - 24));
    }

    #[test]
    fn what_is_shorter_than_two_days_is_played_whole() {
        let trace =
            Trace::parse("2026-01-01 00:00:00,5\n2026-01-01 00:01:00,10\n2026-01-01T00:02:00Z,4\n", 1, 20.0).unwrap();
        assert!(!trace.has_past());
        assert_eq!([-30.0, 0.0, 20.0, 40.0].map(|second| trace.rate(second)), [10.0, 10.0, 20.0, 8.0]);
    }

    #[test]
    fn what_cannot_be_played_is_named() {
        let check = |text: &str, minutes: u32, expected: &str| {
            let error = Trace::parse(text, minutes, 1.0).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("timestamp,value\n", 20, "no row");
        check("5,1\n4,1\n", 20, "not in the order");
        check("5,0\n6,0\n", 20, "no value above zero");
        check("5,1\n6,1\n", 7, "expected a divisor of 1440");
    }
}
