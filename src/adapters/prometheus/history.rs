//! Range answers on the minute grid. A long history is queried in chunks: a server refuses more than 11,000 points per
//! series, and no answer may exceed the size limit.

use std::time::Duration;

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::http::{Http, MAX_ANSWER};
use super::parse::{self, Point, Sink};
use super::selector;
use crate::model::{Finite, Minute, Timestamp};
use crate::ports::{SourceError, Template};

/// Most minutes in one query, below the 11,000 points that a server allows.
const MAX_MINUTES: i64 = 10_000;
/// Length below which a chunk is not shortened after an unfinished query: the cause must be another one.
const LEAST_MINUTES: i64 = 360;
/// Bytes that one point may take: `[1795521600,"0.12345678901234567"],` plus some reserve.
const POINT: usize = 48;

/// Reads the minutes from `from` up to, but not including, that of `to`, for each of `places`.
pub(super) async fn read(
    http: &Http,
    template: &Template,
    places: &[usize],
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Vec<Option<Finite>>>, SourceError> {
    let (first, end) = (Minute::of(from), Minute::of(to));
    let minutes = usize::try_from(end.0.saturating_sub(first.0)).unwrap_or(0);
    let mut rows = Rows::new(template.width, places, first, minutes);
    let members: Vec<_> = places.iter().filter_map(|place| template.members.values(*place)).collect();
    if members.is_empty() {
        return Ok(rows.values);
    }
    let query = selector::narrowed(&template.query, &selector::matchers(&template.labels, &members));

    let fitting = i64::try_from(MAX_ANSWER / POINT / members.len()).unwrap_or(MAX_MINUTES);
    let mut stretch = fitting.clamp(1, MAX_MINUTES);
    let mut start = first;
    while start < end {
        let stop = start.plus(stretch).min(end);
        match ask(http, &query, template, &mut rows, start, stop).await {
            Ok(()) => start = stop,
            // More series than services, or longer labels than expected.
            Err(SourceError::TooLarge { .. }) if stretch > 1 => stretch /= 2,
            // Quartered: each attempt may cost a whole deadline, and an unresponsive server is soon given up on.
            Err(error) if error.is_unfinished() && stop.0 - start.0 > LEAST_MINUTES => {
                stretch = ((stop.0 - start.0) / 4).max(LEAST_MINUTES);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(rows.values)
}

/// Queries the minutes from `start` up to, but not including, `stop`. The value of a minute is the query's at its end,
/// where a rate over a minute covers exactly that minute.
async fn ask(
    http: &Http,
    query: &str,
    template: &Template,
    rows: &mut Rows,
    start: Minute,
    stop: Minute,
) -> Result<(), SourceError> {
    let from = start.plus(1).start().as_second().to_string();
    let to = stop.start().as_second().to_string();
    let form = [("query", query), ("start", &from), ("end", &to), ("step", "60")];
    let body = http.post("api/v1/query_range", &form, Duration::MAX).await.map_err(|refusal| refusal.error)?;
    rows.begin(start, stop);
    parse::read(&body, template, rows).map(drop)
}

/// The rows being filled.
struct Rows {
    values: Vec<Vec<Option<Finite>>>,
    /// Row of each place of the template, and the number of series it got in this chunk.
    by_place: Vec<Option<(usize, u32)>>,
    first: Minute,
    start: Minute,
    stop: Minute,
    /// Points of the current series: minute, value.
    current: Option<Vec<(Minute, Option<Finite>)>>,
    spare: Vec<(Minute, Option<Finite>)>,
}

impl Rows {
    fn new(width: usize, places: &[usize], first: Minute, minutes: usize) -> Self {
        let mut by_place = vec![None; width];
        for (row, place) in places.iter().enumerate() {
            if let Some(slot) = by_place.get_mut(*place) {
                *slot = Some((row, 0));
            }
        }
        let values = vec![vec![None; minutes]; places.len()];
        Self { values, by_place, first, start: first, stop: first, current: None, spare: Vec::new() }
    }

    fn begin(&mut self, start: Minute, stop: Minute) {
        (self.start, self.stop) = (start, stop);
        self.by_place.iter_mut().flatten().for_each(|(_, series)| *series = 0);
    }

    fn set(&mut self, row: usize, minute: Minute, value: Option<Finite>) {
        let position = usize::try_from(minute.0.saturating_sub(self.first.0)).ok();
        let row = self.values.get_mut(row);
        if let Some(slot) = position.and_then(|position| row?.get_mut(position)) {
            *slot = value;
        }
    }
}

impl Sink for Rows {
    const RESULT: &'static str = "matrix";
    const NUMBERS: &'static str = "values";

    fn numbers<'de, D: Deserializer<'de>>(&mut self, numbers: D) -> Result<(), D::Error> {
        let mut points = std::mem::take(&mut self.spare);
        points.clear();
        numbers.deserialize_any(Points { list: &mut points, start: self.start, stop: self.stop })?;
        self.current = Some(points);
        Ok(())
    }

    /// A series without numbers, such as one of native histograms, has no known minute.
    fn end(&mut self, place: Option<usize>) {
        let points = self.current.take().unwrap_or_default();
        let slot = place.and_then(|place| self.by_place.get_mut(place)).and_then(Option::as_mut);
        if let Some((row, series)) = slot {
            let (row, only) = (*row, *series == 0);
            *series = series.saturating_add(1);
            if only {
                for (minute, value) in &points {
                    self.set(row, *minute, *value);
                }
            } else {
                // Two series for one service: neither is trusted.
                for minute in self.start.0..self.stop.0 {
                    self.set(row, Minute(minute), None);
                }
            }
        }
        self.spare = points;
    }
}

/// Reads points into a list no longer than the requested chunk.
struct Points<'a> {
    list: &'a mut Vec<(Minute, Option<Finite>)>,
    start: Minute,
    stop: Minute,
}

impl<'de> Visitor<'de> for Points<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("points of a series")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut points: A) -> Result<(), A::Error> {
        let most = usize::try_from(self.stop.0.saturating_sub(self.start.0)).unwrap_or(0);
        while let Some(Point { time, number }) = points.next_element::<Point<'de>>()? {
            if self.list.len() == most {
                return Err(A::Error::custom(format!("a series has more than the {most} points requested")));
            }
            let Some(time) = time else { continue };
            let minute = Minute((time.round() as i64).div_euclid(60).saturating_sub(1));
            if minute >= self.start && minute < self.stop {
                self.list.push((minute, number.and_then(|text| parse::number(&text))));
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
