//! Series in CSV: an optional header, then timestamp and value, separated by commas, semicolons or tabs. The step
//! follows from the first ten rows by time.

mod steps;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use self::steps::{differences, step, usual_season};
use crate::cli::warn_line;
use crate::forecast::evaluate::Series;
use crate::forecast::history::ROUNDING;
use crate::forecast::zone::Zone;
use crate::model::{Minute, Timestamp};

/// Most steps of a grid: gaps count as steps.
const MOST: i64 = 10_000_000;
/// Seconds in a day.
const DAY: i64 = 86_400;
/// Values less than this many rounding errors apart are reported: their noise is of the size of a few.
const VISIBLE: f64 = 100.0;

/// How a series is read.
#[derive(Debug, Args)]
pub struct SeriesArgs {
    /// Steps in a season. Default: one day, or one week if a day has fewer than two.
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(2..=86_400))]
    season: Option<u32>,
    /// Time zone whose clock the season follows, such as Europe/Berlin; timestamps without a zone are read as UTC.
    #[arg(long, value_name = "ZONE", value_parser = Zone::named, default_value = "UTC")]
    timezone: Zone,
    /// Allow negative values from the start; otherwise only from a series' first negative value on.
    #[arg(long)]
    negative: bool,
}

impl SeriesArgs {
    /// Returns the series in `text`, the content of `file`, and prints notes on what was odd about it.
    ///
    /// # Errors
    /// Why it is not a series.
    pub fn parse(&self, file: &Path, text: &str) -> anyhow::Result<Read> {
        let mut read = parse(text, self.season, self.range())?;
        read.follow(&self.timezone);
        read.notes.iter().for_each(|note| warn_line(format_args!("note: {}: {note}", name(file))));
        Ok(read)
    }

    /// Returns the range of the values: non-negative until the first negative value, unless negative ones are allowed
    /// from the start.
    pub fn range(&self) -> (f64, f64) {
        (if self.negative { f64::MIN } else { 0.0 }, f64::MAX)
    }
}

/// A series and its grid.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// The values.
    pub series: Series,
    /// Seconds per step.
    pub step: i64,
    /// Seconds from the grid to the timestamps of the rows.
    pub offset: i64,
    /// The rows by time; those of equal time in file order.
    pub rows: Vec<Row>,
    /// Messages on what was odd about the file and was corrected.
    pub notes: Vec<String>,
}

impl Read {
    /// Makes the season follow the clock of a zone. Impossible for a grid whose steps do not divide an hour: a clock
    /// change would be within a step.
    pub fn follow(&mut self, zone: &Zone) {
        if *zone != Zone::UTC && 3600 % self.step != 0 {
            let (zone, step) = (zone.name(), self.step);
            self.notes.push(format!(
                "steps of {step} s do not divide an hour: the season follows UTC, not the clock of {zone}"
            ));
            return;
        }
        self.series.zone = zone.clone();
    }
}

/// A row of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Its timestamp, seconds since the epoch.
    pub at: i64,
    /// Position of its step in the series.
    pub step: usize,
    /// Its value; `None` if missing.
    pub value: Option<f64>,
}

/// Stands for standard input in place of a file.
pub const STANDARD_INPUT: &str = "-";

/// Returns the text of a file or of standard input.
pub fn text(file: &Path) -> anyhow::Result<String> {
    if file != Path::new(STANDARD_INPUT) {
        return std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    Ok(text)
}

/// Returns the name of a file in errors and reports.
pub fn name(file: &Path) -> String {
    if file == Path::new(STANDARD_INPUT) { "standard input".to_owned() } else { file.display().to_string() }
}

/// How deep files are searched for below a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Only in the directory.
    Here,
    /// In the directory and its subdirectories.
    Below,
}

/// Returns the file, or the `.csv` files of a directory, by relative path. Links to directories are not followed: they
/// may form a loop.
///
/// # Errors
/// A directory that cannot be read, or without such a file.
pub fn files(input: &Path, depth: Depth) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    if !input.is_dir() {
        let name = input.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok([(name, input.to_path_buf())].into());
    }
    let mut directories = vec![input.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let failed = || format!("cannot read {}", directory.display());
        for entry in std::fs::read_dir(&directory).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            let path = entry.path();
            if entry.file_type().with_context(failed)?.is_dir() {
                directories.extend((depth == Depth::Below).then_some(path));
            } else if path.extension().is_some_and(|kind| kind == "csv") {
                let below = path.strip_prefix(input).unwrap_or(&path);
                let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
                found.insert(parts.join("/"), path);
            }
        }
    }
    if found.is_empty() {
        bail!("{} contains no .csv file", input.display());
    }
    Ok(found)
}

/// Returns a name as a cell of a comma-separated file.
pub fn quoted(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() }
}

/// Refuses to overwrite the input with `output`: `input` itself, or a file in that directory.
///
/// # Errors
/// They are the same file.
pub fn keep(input: &Path, output: Option<&Path>) -> anyhow::Result<()> {
    let Some((output, written)) = output.and_then(|output| Some((output, output.canonicalize().ok()?))) else {
        return Ok(());
    };
    let read = input.canonicalize().unwrap_or_default();
    let is_series = written.extension().is_some_and(|kind| kind == "csv");
    if written == read || (read.is_dir() && is_series && written.starts_with(&read)) {
        bail!("refusing to overwrite the input file {}; name another file", output.display());
    }
    Ok(())
}

/// Parses the text of a file. If two rows fall into one step the first counts, as in the loop.
pub fn parse(text: &str, season: Option<u32>, range: (f64, f64)) -> anyhow::Result<Read> {
    // Spreadsheets add a UTF-8 byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = || text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let first = lines().next();
    let separator = separator(first.map_or("", |(_, line)| line));
    let mut read = Vec::new();
    for (number, line) in lines() {
        let cells = cells(line, separator);
        match row(&cells, line, separator) {
            Ok((at, value)) => read.push((at, value, number + 1)),
            Err(_) if first.is_some_and(|(first, _)| number == first) && is_header(&cells) => {}
            Err((column, fault)) => bail!("line {}, column {column}: {fault}", number + 1),
        }
    }
    let mut notes = in_order(&mut read);
    let first = read.first().context("has no rows")?.0;
    let differences = differences(read.iter().map(|(at, ..)| *at));
    let step = step(&differences).context("has only one step, at least two are needed")?;
    if let (Some(least), Some(most)) = (differences.first(), differences.last())
        && differences.iter().any(|difference| difference % step != 0)
    {
        notes.push(format!(
            "its first timestamps are {least} to {most} s apart; using steps of {step} s, each row assigned to the \
             nearest"
        ));
    }
    let index = |at: i64| at.saturating_sub(first).saturating_add(step / 2).div_euclid(step);
    let last = read.iter().map(|(at, ..)| index(*at)).max().unwrap_or(0);
    if last >= MOST {
        bail!("spans {last} steps of {step} s, the limit is {MOST}");
    }
    let mut values = vec![None; last as usize + 1];
    let mut rows: Vec<Row> = Vec::with_capacity(read.len());
    let mut lost = Vec::new();
    for (at, value, line) in read {
        let place = index(at) as usize;
        let before = rows.last().filter(|row| row.step == place);
        match (before, values.get_mut(place)) {
            // A repeated identical row is not reported.
            (Some(row), _) => lost.extend((row.at != at || row.value != value).then_some(line)),
            (None, Some(cell)) => *cell = value,
            (None, None) => {}
        }
        rows.push(Row { at, step: place, value });
    }
    if let Some((line, more)) = lost.split_first() {
        let more = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
        notes.push(format!(
            "line {line}{more} falls into a step of {step} s that already has a row; the first row counts"
        ));
    }
    notes.extend(precision(values.iter().copied().flatten())?);
    let season = season.or_else(|| usual_season(step)).with_context(|| {
        format!("even a year has fewer than two steps of {step} s; set the season with --season STEPS")
    })?;
    if i64::from(season) * step != DAY && (DAY - i64::from(season) * step).abs() < step {
        notes.push(format!(
            "a day is not a whole number of steps of {step} s: a season of {season} drifts against it; set another \
             with --season STEPS"
        ));
    }
    let (first_step, step_seconds) = (Minute(first.div_euclid(step)), u32::try_from(step).unwrap_or(u32::MAX));
    let series = Series { first: first_step, values, season, step_seconds, zone: Zone::UTC, range };
    Ok(Read { series, step, offset: first.rem_euclid(step), rows, notes })
}

/// Reports if the size of the values costs precision: values of the last hour are stored with a relative precision that
/// is coarse for large values close together.
///
/// # Errors
/// They are too large to be forecast at all.
fn precision(values: impl Iterator<Item = f64>) -> anyhow::Result<Option<String>> {
    let ends = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), ends);
    let (largest, apart) = (low.abs().max(high.abs()), high - low);
    if low <= high && largest > 1e29 {
        bail!("has values as large as {largest:e}, at most 1e29 can be forecast; use a larger unit");
    }
    Ok(match () {
        () if low > high || apart == 0.0 => None,
        () if !(1e-9..1e12).contains(&largest) => Some(format!(
            "its largest value is {largest:e}: the forecaster is designed for 1e-9 to 1e12, use another unit"
        )),
        () if apart < VISIBLE * ROUNDING * largest => Some(format!(
            "its values are only {apart} apart near {largest}, where they are stored to {:.1e}: the quantiles of \
             maxima widen by as much; subtract the common offset",
            ROUNDING * largest
        )),
        () => None,
    })
}

/// Sorts rows (timestamp, value, line) by time, those of equal time in file order, and reports what was odd.
fn in_order(rows: &mut [(i64, Option<f64>, usize)]) -> Vec<String> {
    let mut notes = Vec::new();
    let late = rows.windows(2).filter(|pair| matches!(pair, [(one, ..), (next, ..)] if next < one)).count();
    if late > 0 && late + 1 == rows.len() {
        notes.push("its rows are newest first; they were sorted by time".to_owned());
    } else if late > 0 {
        let at = rows.windows(2).find_map(|pair| match pair {
            [(one, ..), (next, _, line)] if next < one => Some(*line),
            _ => None,
        });
        let at = at.unwrap_or_default();
        notes.push(format!("its rows are not in time order (first at line {at}); they were sorted"));
    }
    rows.sort_by_key(|(at, ..)| *at);
    notes
}

/// Returns the separator: a tab or semicolon if the first line has one, as spreadsheets write, otherwise a comma.
fn separator(first: &str) -> char {
    [';', '\t'].into_iter().find(|separator| cells(first, *separator).len() > 1).unwrap_or(',')
}

/// Returns the first cells of a line, unquoted: only as many as are read.
fn cells(line: &str, separator: char) -> Vec<String> {
    let (mut cells, mut cell, mut is_quoted) = (Vec::with_capacity(2), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '"' {
            // A doubled quote is one literal quote.
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

/// Returns whether the cells of a line are column names: none would be valid in a row.
fn is_header(cells: &[String]) -> bool {
    let first = cells.first().map_or("", String::as_str);
    second(first).is_err() && cells.get(1).is_none_or(|value| value.parse::<f64>().is_err())
}

/// Parses a value for this separator: unless that is a comma, a decimal comma is allowed. `None` for a missing value.
fn value(text: &str, separator: char) -> Option<f64> {
    const MISSING: [&str; 6] = ["", "na", "n/a", "null", "none", "-"];
    if MISSING.iter().any(|missing| text.eq_ignore_ascii_case(missing)) {
        return Some(f64::NAN);
    }
    let decimal = |text: &str| text.replacen(',', ".", 1).parse().ok();
    text.parse().ok().or_else(|| decimal(text).filter(|_| separator != ','))
}

/// Reads a row.
///
/// # Errors
/// The column at fault, counted from 1, and what is wrong with it.
fn row(cells: &[String], line: &str, separator: char) -> Result<(i64, Option<f64>), (usize, String)> {
    let at = second(cells.first().map_or("", String::as_str)).map_err(|why| (1, why))?;
    let value = match cells.get(1).map(String::as_str) {
        None => return Err((2, format!("is missing, expected timestamp{separator}value instead of `{line}`"))),
        Some(number) => value(number, separator).ok_or_else(|| (2, format!("`{number}` is not a number")))?,
    };
    Ok((at, Some(value).filter(|value| value.is_finite())))
}

/// Returns a timestamp in seconds: ISO 8601, in UTC if it names no zone, a date meaning its midnight, or a number since
/// the epoch.
///
/// # Errors
/// Why it is not a timestamp.
pub fn second(stamp: &str) -> Result<i64, String> {
    if let Ok(number) = stamp.parse::<f64>() {
        return since_epoch(number)
            .ok_or_else(|| format!("`{stamp}` is not a Unix timestamp between 1990 and 2100 in s, ms, us or ns"));
    }
    let zoned = stamp.parse::<Timestamp>().ok();
    let zoned = zoned.or_else(|| format!("{}Z", stamp.replace(' ', "T")).parse().ok());
    let zoned = zoned.or_else(|| format!("{stamp}T00:00:00Z").parse().ok());
    zoned
        .map(Timestamp::as_second)
        .ok_or_else(|| format!("`{stamp}` is not a time such as 2026-03-03T12:00:00Z or Unix seconds"))
}

/// Returns the seconds of a number since the epoch, whose unit follows from its size. Small ones are seconds of the
/// file's own clock.
fn since_epoch(number: f64) -> Option<i64> {
    const YEAR_1990: f64 = 631_152_000.0;
    const YEAR_2100: f64 = 4_102_444_800.0;
    if number.abs() < YEAR_2100 {
        return Some(number as i64);
    }
    let seconds = [1e3, 1e6, 1e9].map(|unit| number / unit);
    seconds.into_iter().find(|second| (YEAR_1990..YEAR_2100).contains(second)).map(|second| second as i64)
}
