//! The time zone that seasons follow: mornings follow local time, also on the day after a clock change.

use jiff::tz::TimeZone;

use crate::model::{Minute, Timestamp};

/// A time zone from the IANA database.
#[derive(Debug, Clone, Default)]
pub struct Zone(Option<TimeZone>);

/// What the clocks of a zone show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Steps since the epoch in local time.
    pub now: Minute,
    /// The UTC step in which the clocks showed the same time a season before.
    pub season_ago: Minute,
}

/// A name that is not in the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone {0}; names look like Europe/Berlin")]
pub struct UnknownZone(String);

impl Zone {
    /// UTC: seasons follow no clock change.
    pub const UTC: Self = Self(None);

    /// Returns the zone with this name.
    ///
    /// # Errors
    /// No zone has this name.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        if name == "UTC" {
            return Ok(Self::UTC);
        }
        TimeZone::get(name).map(|zone| Self(Some(zone))).map_err(|_| UnknownZone(name.to_owned()))
    }

    /// Returns the name of the zone.
    pub fn name(&self) -> &str {
        self.0.as_ref().and_then(TimeZone::iana_name).unwrap_or("UTC")
    }

    /// Returns by how many grid steps the clocks of the zone are ahead of UTC at `step`.
    pub fn ahead(&self, step: Minute, step_seconds: u32) -> i64 {
        let Some(zone) = &self.0 else { return 0 };
        let length = i64::from(step_seconds.max(1));
        let at = Timestamp::from_second(step.0.saturating_mul(length)).unwrap_or(Timestamp::UNIX_EPOCH);
        i64::from(zone.to_offset(at).seconds()).div_euclid(length)
    }

    /// Returns when the clocks of the zone show `text`, a date with an optional time; `None` if it is neither.
    pub fn when(&self, text: &str) -> Option<Timestamp> {
        let time: jiff::civil::DateTime = text.parse().ok()?;
        self.0.clone().unwrap_or(TimeZone::UTC).to_timestamp(time).ok()
    }

    /// Returns what the clocks show at `step`, with seasons of `season_steps` steps.
    pub fn clock(&self, step: Minute, step_seconds: u32, season_steps: u32) -> Clock {
        let (ahead, ago) = (self.ahead(step, step_seconds), step.plus(-i64::from(season_steps)));
        Clock { now: step.plus(ahead), season_ago: ago.plus(ahead - self.ahead(ago, step_seconds)) }
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(time: &str) -> Minute {
        Minute::of(time.parse().unwrap())
    }

    #[test]
    fn clocks_are_ahead_by_the_season_of_the_year() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        for (time, ahead) in [
            ("2026-01-15T12:00Z", 60),
            ("2026-03-29T00:59Z", 60),
            ("2026-03-29T01:00Z", 120),
            ("2026-07-15T12:00Z", 120),
        ] {
            assert_eq!(berlin.ahead(minute(time), 60), ahead, "{time}");
        }
        assert_eq!(Zone::UTC.ahead(minute("2026-07-15T12:00Z"), 60), 0);
        let half_hours = Minute(minute("2026-07-15T12:00Z").0 / 30);
        assert_eq!(Zone::named("Asia/Kolkata").unwrap().ahead(half_hours, 1800), 11);
        assert_eq!(berlin.ahead(Minute(i64::MAX), 60), 60, "what is no time of day is in the first winter");
    }

    #[test]
    fn the_day_before_is_the_one_of_the_clocks() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let [before, change, after] = [28, 29, 30].map(|day| minute(&format!("2026-03-{day}T06:00Z")));
        let ago = |minute: Minute| minute.0 - berlin.clock(minute, 60, 1440).season_ago.0;
        assert_eq!([before, change, after].map(ago), [1440, 1380, 1440]);
        assert_eq!(berlin.clock(before, 60, 1440).now, before.plus(60));
    }

    #[test]
    fn a_zone_is_found_by_its_name() {
        let zone = Zone::named("America/New_York").unwrap();
        assert_eq!(zone.name(), "America/New_York");
        assert_ne!(zone, Zone::UTC);
        assert_eq!(Zone::named("UTC").unwrap(), Zone::UTC);
        let fault = Zone::named("Berlin").unwrap_err().to_string();
        assert_eq!(fault, "unknown time zone Berlin; names look like Europe/Berlin");
    }
}
