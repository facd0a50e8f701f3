//! Series in CSV: a header if there is one, then timestamp and value, between commas, semicolons or tabs. The step follows
//! from the first ten rows by time.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, bail};

use crate::forecast::evaluate::Series;
use crate::forecast::zone::Zone;
use crate::model::{Minute, Timestamp};

/// Most steps of a grid: gaps are steps, too.
const MOST: i64 = 10_000_000;
/// Rows that decide the step. No forecast is made from fewer: what comes later changes nothing that was said before.
const DECIDING: usize = 10;

/// A series and its grid.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// The values.
    pub series: Series,
    /// Seconds in a step.
    pub step: i64,
    /// Seconds from the grid to the stamps of the rows.
    pub offset: i64,
    /// The rows by time; those of one time in the order of the file.
    pub rows: Vec<Row>,
    /// What is odd about the file and was put right, in words.
    pub notes: Vec<String>,
}

/// A row of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Its timestamp, seconds since the epoch.
    pub at: i64,
    /// Position of its step in the series.
    pub step: usize,
    /// Its value; `None` is missing.
    pub value: Option<f64>,
}

/// Stands for the standard input where a file is named.
pub const STANDARD_INPUT: &str = "-";

/// Returns the text of a file, or of the standard input.
pub fn text(file: &Path) -> anyhow::Result<String> {
    if file != Path::new(STANDARD_INPUT) {
        return std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read the standard input")?;
    Ok(text)
}

/// Returns a file as errors and reports name it.
pub fn name(file: &Path) -> String {
    if file == Path::new(STANDARD_INPUT) { "standard input".to_owned() } else { file.display().to_string() }
}

/// Reads the text of a file. A step that two rows fall into takes the later one.
pub fn parse(text: &str, season: Option<u32>, range: (f64, f64)) -> anyhow::Result<Read> {
    // Spreadsheets mark their texts as UTF-8.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let separator = separator(text);
    let mut read = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let cells = cells(line, separator);
        match row(&cells, line, separator) {
            Ok((at, value)) => read.push((at, value, number + 1)),
            Err(_) if number == 0 && is_header(&cells) => {}
            Err((column, fault)) => bail!("line {}, column {column}: {fault}", number + 1),
        }
    }
    let notes = in_order(&mut read);
    let first = read.first().context("holds no rows")?.0;
    let step = step(read.iter().map(|(at, ..)| *at)).context("holds no second step")?;
    let index = |at: i64| at.div_euclid(step) - first.div_euclid(step);
    let last = read.iter().map(|(at, ..)| index(*at)).max().unwrap_or(0);
    if last >= MOST {
        bail!("spans {last} steps of {step} s, at most {MOST} are read");
    }
    let mut values = vec![None; last as usize + 1];
    let mut rows = Vec::with_capacity(read.len());
    for (at, value, _) in read {
        let place = index(at) as usize;
        if let Some(cell) = values.get_mut(place) {
            *cell = value;
        }
        rows.push(Row { at, step: place, value });
    }
    let season = season
        .or_else(|| usual_season(step))
        .with_context(|| format!("not even a year has two steps of {step} s; name the season with --season STEPS"))?;
    let (first_step, step_seconds) = (Minute(first.div_euclid(step)), u32::try_from(step).unwrap_or(u32::MAX));
    let series = Series { first: first_step, values, season, step_seconds, zone: Zone::UTC, range };
    Ok(Read { series, step, offset: first.rem_euclid(step), rows, notes })
}

/// Returns the steps of the season that a series of this step is likely to have: a day, where a day has two steps at least,
/// else a week, else a year.
fn usual_season(step: i64) -> Option<u32> {
    let steps = [86_400, 7 * 86_400, 365 * 86_400 + 21_600].map(|season| season / step);
    steps.into_iter().find(|steps| *steps >= 2).and_then(|steps| u32::try_from(steps).ok())
}

/// Returns the seconds in a step: the difference that most of the first stamps have, else the smallest one, since a
/// longer one holds a gap. `None` if no stamp follows the first one.
fn step(stamps: impl Iterator<Item = i64>) -> Option<i64> {
    let (mut newest, mut differences) = (None, Vec::new());
    for at in stamps {
        let difference = newest.map_or(0, |newest| at - newest);
        newest = newest.max(Some(at));
        // Rows of one step, and late ones, do not tell.
        if difference > 0 {
            differences.push(difference);
        }
        if differences.len() == DECIDING - 1 {
            break;
        }
    }
    differences.sort_unstable();
    let middle = *differences.get(differences.len() / 2)?;
    let alike = differences.iter().filter(|difference| **difference == middle).count();
    // What most have stands in the middle.
    if 2 * alike > differences.len() { Some(middle) } else { differences.first().copied() }
}

/// Sorts rows (timestamp, value, line) by time, those of one time as they stand in the file, and says what was odd.
fn in_order(rows: &mut [(i64, Option<f64>, usize)]) -> Vec<String> {
    let mut notes = Vec::new();
    let late = rows.windows(2).filter(|pair| matches!(pair, [(one, ..), (next, ..)] if next < one)).count();
    if late > 0 && late + 1 == rows.len() {
        notes.push("its rows stand newest first; they were sorted by time".to_owned());
    } else if late > 0 {
        let at = rows.windows(2).find_map(|pair| match pair {
            [(one, ..), (next, _, line)] if next < one => Some(*line),
            _ => None,
        });
        let at = at.unwrap_or_default();
        notes.push(format!("its rows stand not in the order of time (line {at} first); they were sorted"));
    }
    rows.sort_by_key(|(at, ..)| *at);
    let mut twice = rows.windows(2).filter_map(|pair| match pair {
        [(at, value, _), (same, other, line)] if at == same && value != other => Some(*line),
        _ => None,
    });
    if let Some(line) = twice.next() {
        let more = twice.count();
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        notes.push(format!("line {line}{more} has another value for a timestamp that was there; the later one counts"));
    }
    notes
}

/// Returns what stands between the cells: what spreadsheets write, a comma unless the first line has one of the others.
fn separator(text: &str) -> char {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    [';', '\t'].into_iter().find(|separator| cells(first, *separator).len() > 1).unwrap_or(',')
}

/// Returns the first cells of a line, without the quotes around them: no more than are read.
fn cells(line: &str, separator: char) -> Vec<String> {
    let (mut cells, mut cell, mut is_quoted) = (Vec::with_capacity(2), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '"' {
            // Two of them are one within quotes.
            if is_quoted && letters.next_if_eq(&'"').is_some() {
                cell.push('"');
            } else {
                is_quoted = !is_quoted;
            }
        } else if letter == separator && !is_quoted {
            cells.push(cell.trim().to_owned());
            cell.clear();
            if cells.len() == 2 {
                return cells;
            }
        } else {
            cell.push(letter);
        }
    }
    cells.push(cell.trim().to_owned());
    cells
}

/// Tells whether the cells of a line name columns: neither is what it would be in a row.
fn is_header(cells: &[String]) -> bool {
    let first = cells.first().map_or("", String::as_str);
    second(first).is_err() && cells.get(1).is_none_or(|value| value.parse::<f64>().is_err())
}

/// Reads a row.
///
/// # Errors
/// The column at fault, counted from 1, and what is wrong with it.
fn row(cells: &[String], line: &str, separator: char) -> Result<(i64, Option<f64>), (usize, String)> {
    let at = second(cells.first().map_or("", String::as_str)).map_err(|why| (1, why))?;
    let value = match cells.get(1).map(String::as_str) {
        None => return Err((2, format!("there is none, expected timestamp{separator}value and not `{line}`"))),
        Some("") => None,
        Some(number) => Some(number.parse::<f64>().map_err(|_| (2, format!("`{number}` is not a number")))?),
    };
    Ok((at, value.filter(|value| value.is_finite())))
}

/// Returns the second of a timestamp: ISO 8601, as UTC where it names no zone, or a number since the epoch.
///
/// # Errors
/// Why it is none.
pub fn second(stamp: &str) -> Result<i64, String> {
    if let Ok(number) = stamp.parse::<f64>() {
        return since_epoch(number).ok_or_else(|| {
            format!(
                "`{stamp}` lies between 1990 and 2100 neither as seconds nor as milli-, micro- or nanoseconds since 1970"
            )
        });
    }
    let zoned = stamp.parse::<Timestamp>().ok();
    let zoned = zoned.or_else(|| format!("{}Z", stamp.replace(' ', "T")).parse().ok());
    zoned
        .map(Timestamp::as_second)
        .ok_or_else(|| format!("`{stamp}` is not a time such as 2026-03-03T12:00:00Z or seconds since 1970"))
}

/// Returns the second of a number since the epoch, whose unit follows from its size. Small ones are seconds of a clock of
/// the file's own.
fn since_epoch(number: f64) -> Option<i64> {
    const YEAR_1990: f64 = 631_152_000.0;
    const YEAR_2100: f64 = 4_102_444_800.0;
    if number.abs() < YEAR_2100 {
        return Some(number as i64);
    }
    let seconds = [1e3, 1e6, 1e9].map(|unit| number / unit);
    seconds.into_iter().find(|second| (YEAR_1990..YEAR_2100).contains(second)).map(|second| second as i64)
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
            // The first row is one, too.
            "1704067200,1\n1704067500,2.5\n1704067800,nan\n1704068100,4\n",
            // What spreadsheets and databases write.
            "1704067200000,1\n1704067500000,2.5\n1704067800000,nan\n1704068100000,4\n",
            "t,v\n1704067200000000,1\n1704067500000000,2.5\n1704067800000000,nan\n1704068100000000,4\n",
            "1704067200000000000,1\n1704067500000000000,2.5\n1704067800000000000,nan\n1704068100000000000,4\n",
            "\"time, UTC\",\"value\"\n\"2024-01-01 00:00:00\",\"1\"\n\"2024-01-01 00:05:00\",\"2.5\",\"a, b\"\n\"2024-01-01 00:15:00\",\"4\"\n",
            "timestamp;value\n2024-01-01T00:00:00Z;1\n2024-01-01T00:05:00Z;2.5\n2024-01-01T00:15:00Z;4\n",
            "2024-01-01T00:00:00Z\t1\n2024-01-01T00:05:00Z\t2.5\n2024-01-01T00:15:00Z\t4\n",
            // Newest first, and in no order.
            "1704068100,4\n1704067800,nan\n1704067500,2.5\n1704067200,1\n",
            "t,v\n1704067500,2.5\n1704067200,1\n1704068100,4\n1704067800,nan\n",
            "\u{feff}1704067200,1\n1704067500,2.5\n1704067800,nan\n1704068100,4\n",
            "\u{feff}timestamp,value\n1704067200,1\n1704067500,2.5\n1704067800,nan\n1704068100,4\n",
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_odd_and_was_put_right_is_said() {
        let notes = |text: &str| parse(text, None, (0.0, 1e9)).unwrap().notes;
        assert_eq!(notes("60,1\n120,2\n120,2\n180,3\n"), Vec::<String>::new());
        assert_eq!(notes("180,3\n120,2\n60,1\n"), ["its rows stand newest first; they were sorted by time"]);
        let swapped = "its rows stand not in the order of time (line 3 first); they were sorted";
        assert_eq!(notes("60,1\n180,3\n120,2\n240,4\n"), [swapped]);
        let twice = "line 3 (and 1 more) has another value for a timestamp that was there; the later one counts";
        assert_eq!(notes("60,1\n120,2\n120,7\n180,3\n180,nan\n240,1\n"), [twice]);
        assert_eq!(parse("60,1\n120,2\n120,7\n", None, (0.0, 1e9)).unwrap().series.values[1], Some(7.0));
    }

    #[test]
    fn the_step_is_what_most_of_the_first_rows_have_and_none_of_the_later_ones() {
        let step = |differences: &[i64]| {
            let mut at = 0;
            let stamps = differences.iter().map(|difference| {
                at += difference;
                at
            });
            step([0].into_iter().chain(stamps))
        };
        for (differences, expected) in [
            (&[][..], None),
            (&[0, 0], None),
            (&[300, 900], Some(300)),
            (&[840, 600, 600, 1200, 600], Some(600)),
            (&[600, 1500, 600, 900, 300, 1500], Some(300)),
            (&[900, 60, 60, 60, 60, 60, 0, -60, 120, 60, 60], Some(60)),
            (&[60, 60, 60, 60, 60, 60, 60, 60, 60, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5], Some(60)),
        ] {
            assert_eq!(step(differences), expected, "{differences:?}");
        }
    }

    #[test]
    fn what_is_no_series_is_said_with_its_line() {
        for (text, expected) in [
            ("", "holds no rows"),
            (
                "timestamp,value\n2024-01-01,1\n",
                "line 2, column 1: `2024-01-01` is not a time such as 2026-03-03T12:00:00Z or seconds since 1970",
            ),
            (
                "timestamp,value\n60 1\n",
                "line 2, column 1: `60 1` is not a time such as 2026-03-03T12:00:00Z or seconds since 1970",
            ),
            // What stands first is a header only if nothing of it is a row.
            ("60,x\n120,1\n180,1\n", "line 1, column 2: `x` is not a number"),
            ("60\n120,1\n180,1\n", "line 1, column 2: there is none, expected timestamp,value and not `60`"),
            (
                "6O,1\n120,1\n180,1\n",
                "line 1, column 1: `6O` is not a time such as 2026-03-03T12:00:00Z or seconds since 1970",
            ),
            ("60,1\n120\n", "line 2, column 2: there is none, expected timestamp,value and not `120`"),
            ("timestamp,value\n1,1\n1,2\n", "holds no second step"),
            ("timestamp,value\n60,1\n120,x\n", "line 3, column 2: `x` is not a number"),
            (
                "1704067200000,1\n99999999999,1\n",
                "line 2, column 1: `99999999999` lies between 1990 and 2100 neither as seconds nor as milli-, micro- or \
                 nanoseconds since 1970",
            ),
            ("60;1\n120", "line 2, column 2: there is none, expected timestamp;value and not `120`"),
            ("timestamp,value\n0,1\n1,1\n1e9,1", "spans 1000000000 steps of 1 s, at most 10000000 are read"),
            (
                "timestamp,value\n0,1\n20000000,1",
                "not even a year has two steps of 20000000 s; name the season with --season STEPS",
            ),
        ] {
            assert_eq!(parse(text, None, (0.0, 1e9)).unwrap_err().to_string(), expected);
        }
        for (text, season, expected) in [
            ("t,v\n0,1\n1,1", None, 86_400),
            ("t,v\n0,1\n3600,1", None, 24),
            ("t,v\n0,1\n86400,1", None, 7),
            ("t,v\n0,1\n604800,1", None, 52),
            ("t,v\n0,1\n86400,1", Some(30), 30),
        ] {
            assert_eq!(parse(text, season, (0.0, 1e9)).unwrap().series.season, expected, "{text}");
        }
    }
}
