//! Known events: what an operator knows about the coming days and no history shows, such as a sale or a public holiday.
//!
//! An event gives a factor for the load, or a day that it resembles. During the event, values are divided by the factor
//! before they are learned, and forecasts are multiplied by it: seasons, intervals and skill remain those of ordinary
//! days and forget nothing. A wrong factor shows as an error like any other.

use std::ops::Range;

use jiff::civil::Date;

use super::week::Week;
use super::zone::Zone;
use crate::model::{Minute, ServiceId, Timestamp};

/// Days of the past that an event can resemble.
const WEEK: i64 = 7;
/// Least and largest factor.
pub const FACTORS: (f64, f64) = (0.01, 100.0);

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Name, for error messages.
    pub name: String,
    /// Start of the event.
    pub from: Timestamp,
    /// End of the event.
    pub to: Timestamp,
    /// How the load differs.
    pub shape: Shape,
    /// Services affected; all if empty.
    pub services: Vec<ServiceId>,
}

/// How the load of an event differs from that of an ordinary day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// The load is multiplied by this factor.
    Factor(f64),
    /// The load is that of the weekday of this date, as seen in the last weeks.
    Like(Date),
}

/// The events of one service, in minutes.
#[derive(Debug, Clone, Default)]
pub struct Events(Vec<(Range<i64>, Shape)>);

impl Events {
    /// Returns the `events` that affect the service, on a grid of `step_seconds` seconds.
    pub fn of(service: &ServiceId, events: &[Event], step_seconds: u32) -> Self {
        let step = |at: Timestamp| at.as_second().div_euclid(i64::from(step_seconds.max(1)));
        let ours = events.iter().filter(|event| event.services.is_empty() || event.services.contains(service));
        Self(ours.map(|event| (step(event.from)..step(event.to), event.shape)).collect())
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the factor on the load of an ordinary day at `minute`, when clocks show `clock`. Factors of overlapping
    /// events multiply.
    pub fn factor(&self, minute: Minute, clock: Minute, week: &Week) -> f64 {
        let now = self.0.iter().filter(|(minutes, _)| minutes.contains(&minute.0));
        let factor = |shape: &Shape| match shape {
            Shape::Factor(factor) => *factor,
            Shape::Like(date) => like(*date, clock, week).unwrap_or(1.0),
        };
        now.map(|(_, shape)| factor(shape)).product::<f64>().clamp(FACTORS.0, FACTORS.1)
    }
}

/// Returns the ratio of the weekday of `date` to the mean of the days at the time that clocks show; `None` if unknown.
fn like(date: Date, clock: Minute, week: &Week) -> Option<f64> {
    let day = week.day_steps();
    let epoch = Date::new(1970, 1, 1).ok()?;
    let then = i64::from(epoch.until(date).ok()?.get_days());
    let back = clock.0.div_euclid(day).saturating_sub(then);
    // The same weekday is a whole number of weeks away.
    let back = (back - 1).rem_euclid(WEEK) + 1;
    let place = week.place(clock);
    let (mean, then) = (week.day(place)?, week.days_ago(place, back)?);
    let ratio = then / mean;
    (mean > 0.0 && ratio.is_finite()).then_some(ratio)
}

/// Reads when an event starts or ends: a timestamp, or a date with an optional time, in the given zone.
///
/// # Errors
/// What is wrong with the text.
pub fn moment(text: &str, zone: &Zone) -> Result<Timestamp, String> {
    let wrong =
        || format!("{text} is not a time; times look like 2026-11-27, 2026-11-27T09:00 or 2026-11-27T09:00:00Z");
    text.parse::<Timestamp>().or_else(|_| zone.when(text).ok_or_else(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::history::{DAY, History};

    fn service(name: &str) -> ServiceId {
        ServiceId::new("shop", name).unwrap()
    }

    fn at(text: &str) -> Minute {
        Minute::of(moment(text, &Zone::UTC).unwrap())
    }

    fn event(from: &str, to: &str, shape: Shape) -> Event {
        let [from, to] = [from, to].map(|text| moment(text, &Zone::UTC).unwrap());
        Event { name: "sale".to_owned(), from, to, shape, services: vec![service("web")] }
    }

    #[test]
    fn a_factor_holds_from_begin_to_end_and_for_whom_it_is_meant() {
        let week = Week::new(1440);
        let events = [
            event("2026-11-27", "2026-11-28", Shape::Factor(3.0)),
            event("2026-11-27T12:00", "2026-11-27T13:00", Shape::Factor(2.0)),
        ];
        let ours = Events::of(&service("web"), &events, 60);
        for (time, expected) in [
            ("2026-11-26T23:59", 1.0),
            ("2026-11-27T00:00", 3.0),
            ("2026-11-27T12:30", 6.0),
            ("2026-11-27T23:59", 3.0),
            ("2026-11-28T00:00", 1.0),
        ] {
            let factor = ours.factor(at(time), at(time), &week);
            assert!((factor - expected).abs() < 1e-12, "{time}: {factor}");
        }
        assert!(Events::of(&service("api"), &events, 60).is_empty());
    }

    #[test]
    fn a_day_like_another_has_its_share_of_the_mean() {
        let first = at("2026-11-16").0;
        let (mut week, mut history) = (Week::new(1440), History::new(2));
        // Monday to Sunday; Sunday is half as busy.
        for minute in first..first + 7 * DAY {
            let value = if minute - first >= 6 * DAY { 50.0 } else { 100.0 };
            week.push(Minute(minute), Some(value));
            history.push(Minute(minute), Some(value));
            if minute == first + DAY - 1 {
                week.draw(&history, Minute(minute), Minute(minute));
            }
        }
        let monday = "2026-11-23T12:00";
        for (like, expected) in [("2026-11-22", 0.5), ("2026-11-21", 1.0), ("2025-11-30", 0.5), ("2026-12-06", 0.5)] {
            let shape = Shape::Like(like.parse().unwrap());
            let events = Events::of(&service("web"), &[event("2026-11-23", "2026-11-24", shape)], 60);
            let factor = events.factor(at(monday), at(monday), &week);
            assert!((factor - expected).abs() < 1e-3, "{like}: {factor}");
        }
    }

    #[test]
    fn times_are_those_of_the_zone_unless_they_name_one() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        for (text, expected) in [
            ("2026-11-27", "2026-11-26T23:00:00Z"),
            ("2026-11-27T09:00", "2026-11-27T08:00:00Z"),
            ("2026-11-27T09:00:00Z", "2026-11-27T09:00:00Z"),
        ] {
            assert_eq!(moment(text, &berlin).unwrap().to_string(), expected);
        }
        assert!(moment("friday", &berlin).unwrap_err().starts_with("friday is not a time"));
    }
}
