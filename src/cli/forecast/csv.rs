//! Series in CSV: a header, then timestamp and value. The step is that between the first two different stamps.

use anyhow::{Context, bail};

use crate::forecast::evaluate::Series;
use crate::forecast::zone::Zone;
use crate::model::{Minute, Timestamp};

/// Most steps of a grid: gaps are steps, too.
const MOST: i64 = 10_000_000;

/// A series and its grid.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// The values.
    pub series: Series,
    /// Seconds in a step.
    pub step: i64,
    /// Seconds from the grid to the stamps of the rows.
    pub offset: i64,
}

/// Reads the text of a file. A step that two rows fall into takes the later one.
pub fn parse(text: &str, season: Option<u32>, range: (f64, f64)) -> anyhow::Result<Read> {
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
        let row = row(line).with_context(|| format!("line {}: `{line}` is not timestamp,value", number + 1))?;
        rows.push((row, number + 1));
    }
    let mut stamps = rows.iter().map(|((at, _), _)| *at);
    let first = stamps.next().context("holds no rows")?;
    let second = stamps.find(|at| *at > first).context("holds no second step")?;
    let step = second - first;
    let index = |at: i64| at.div_euclid(step) - first.div_euclid(step);
    let last = rows.iter().map(|((at, _), _)| index(*at)).max().unwrap_or(0);
    if last >= MOST {
        bail!("spans {last} steps of {step} s, at most {MOST} are read");
    }
    let mut values = vec![None; last as usize + 1];
    for ((at, value), line) in rows {
        let Ok(place) = usize::try_from(index(at)) else { bail!("line {line}: lies before the first row") };
        if let Some(cell) = values.get_mut(place) {
            *cell = value;
        }
    }
    let day = u32::try_from(86_400 / step).unwrap_or(u32::MAX);
    let season = season.unwrap_or(day);
    if !(2..=10_080).contains(&season) {
        bail!("a day has {season} steps of {step} s, expected 2 to 10080; name the season with --season STEPS");
    }
    let (first_step, step_seconds) = (Minute(first.div_euclid(step)), u32::try_from(step).unwrap_or(u32::MAX));
    let series = Series { first: first_step, values, season, step_seconds, zone: Zone::UTC, range };
    Ok(Read { series, step, offset: first.rem_euclid(step) })
}

fn row(line: &str) -> Option<(i64, Option<f64>)> {
    let mut cells = line.split(',').map(str::trim);
    let (stamp, value) = (cells.next()?, cells.next()?);
    let value = match value {
        "" => None,
        number => Some(number.parse::<f64>().ok()?),
    };
    Some((second(stamp)?, value.filter(|value| value.is_finite())))
}

/// Returns the second of a timestamp: ISO 8601, as UTC where it names no zone, or seconds since the epoch.
fn second(stamp: &str) -> Option<i64> {
    if let Ok(second) = stamp.parse::<f64>() {
        return second.is_finite().then_some(second as i64);
    }
    let zoned = stamp.parse::<Timestamp>().ok();
    let zoned = zoned.or_else(|| format!("{}Z", stamp.replace(' ', "T")).parse().ok());
    zoned.map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> (i64, u32, Vec<Option<f64>>) {
        let read = parse(text, None, (0.0, 1e9)).unwrap();
        (read.step, read.series.season, read.series.values)
    }

    #[test]
    fn stamps_of_all_kinds_make_a_grid_with_gaps() {
        let expected = (300, 288, vec![Some(1.0), Some(2.5), None, Some(4.0)]);
        for text in [
            "timestamp,value\n2024-01-01T00:00:00Z,1\n2024-01-01T00:05:00Z,2.5\n2024-01-01T00:15:00Z,4\n",
            "timestamp,value\n2024-01-01 00:00:00,1\n2024-01-01 00:05:00,2.5\n2024-01-01 00:10:00,\n2024-01-01 00:15:00,4",
            "t,v\n1704067200,1\n1704067500,2.5\n1704067800,nan\n1704068100,4\n\n",
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_series_is_said_with_its_line() {
        for (text, expected) in [
            ("", "holds no rows"),
            ("timestamp,value\n2024-01-01,1\n", "line 2: `2024-01-01,1` is not timestamp,value"),
            ("timestamp,value\n1,1\n1,2\n", "holds no second step"),
            ("timestamp,value\n60,1\n120,x\n", "line 3: `120,x` is not timestamp,value"),
            ("timestamp,value\n60,1\n120,2\n0,3\n", "line 4: lies before the first row"),
            ("timestamp,value\n0,1\n1,1\n1e9,1", "spans 1000000000 steps of 1 s, at most 10000000 are read"),
            (
                "timestamp,value\n0,1\n86400,1",
                "a day has 1 steps of 86400 s, expected 2 to 10080; name the season with --season STEPS",
            ),
        ] {
            assert_eq!(parse(text, None, (0.0, 1e9)).unwrap_err().to_string(), expected);
        }
        assert_eq!(parse("t,v\n0,1\n86400,1", Some(7), (0.0, 1e9)).unwrap().series.season, 7);
    }
}
