//! `flyball forecast evaluate`

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use crate::forecast::evaluate::{Forecast, Online, Report, between, report};
use crate::model::outlook::{Authority, QUANTILES, SignalOutlook, quantile_index};

use super::csv::{self, Read, STANDARD_INPUT, SeriesArgs};
use super::read;
use crate::cli::{LeftOut, Output, print_finding, warn_line};

#[derive(Debug, Args)]
#[command(after_help = format!("{EXIT_CODE}\n\n{LEGEND}"))]
pub struct EvaluateArgs {
    /// CSV file with the columns timestamp and value (empty: missing), or a directory of such files; `-` reads standard
    /// input.
    #[arg(long, value_name = "PATH")]
    input: PathBuf,
    #[command(flatten)]
    series: SeriesArgs,
    /// Steps ahead, 1 to 30 each.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=30), default_value = USUAL)]
    horizons: Vec<u16>,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Write every forecast to this CSV file: series, origin, horizon, point and quantiles, and per origin the 95 %
    /// quantiles of the maximum over 10 and over 30 steps.
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
}

/// [`HORIZONS`], as typed.
const USUAL: &str = "1,2,3,5,10,15,20,30";

const EXIT_CODE: &str =
    "Exit code: 0 all files were scored; 1 some of a directory were skipped, and are listed; 2 none could be scored.";

/// The meaning of the table headings.
const LEGEND: &str = "\
mase    mean absolute error relative to the seasonal naive rule in the warm-up; lower is better
msis    the same for the 95 % interval: its width plus a penalty for misses
cov95   share of outcomes inside the 95 % interval; 0.95 is ideal
dayp10  the same on a bad day: the 10 % quantile of daily shares
pers.   skill against persistence: 1 is perfect, 0 no better, below 0 worse
snaive  skill against the seasonal naive rule
dhw     skill against damped Holt-Winters, fitted to the warm-up
simple  skill against the best simple rule, chosen in hindsight
msis/s  interval score relative to the best simple rule; below 1 is better
max10   how often the maximum over 10 steps exceeds its 95 % quantile; 0.05 is ideal
max30   the same over 30 steps
acts    share of steps at which the forecast may act: add, or add and remove";

/// Scores of one file.
#[derive(Debug, Serialize)]
struct Scored {
    series: String,
    step_seconds: i64,
    season_steps: u32,
    /// Mean time of one update: learning and scoring the step, forecasting with intervals.
    update_us: f64,
    /// Time of all fits.
    fit_ms: f64,
    /// Share of the steps from which the forecast may act.
    may_act: f64,
    /// Its final authority, and how often that changed.
    authority: Authority,
    authority_changes: usize,
    #[serde(flatten)]
    report: Report,
}

/// Geometric means over the series.
#[derive(Debug, Serialize)]
struct Overall {
    series: usize,
    mase_vs_persistence: Option<f64>,
    mase_vs_seasonal_naive: Option<f64>,
    mase_vs_best_simple: Option<f64>,
    mase_vs_holt_winters: Option<f64>,
    msis_vs_simple: Option<f64>,
    /// Series whose error is more than 1 % above that of the best simple rule; against a rule that is never wrong there
    /// is no ratio for the means.
    series_lost: usize,
}

pub fn evaluate(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let files: Vec<PathBuf> = csv::files(&args.input, csv::Depth::Here)?.into_values().collect();
    csv::keep(&args.input, args.dump.as_deref())?;
    let mut dump = args.dump.as_deref().map(Dump::create).transpose()?;
    let (mut scored, mut left_out) = (Vec::new(), Vec::new());
    let horizons = once(&args.horizons);
    for file in &files {
        match read(file, &args.series).and_then(|read| score(file, &read, &horizons, dump.as_mut())) {
            Ok(row) => scored.push(row),
            // One invalid file in a directory does not hide the others.
            Err(error) if files.len() > 1 => {
                warn_line(format_args!("skipped: {error:#}"));
                left_out.push(LeftOut { series: file_name(file), why: format!("{error:#}") });
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(dump) = dump {
        dump.finish()?;
    }
    let overall = overall(&scored).context("no series has outcomes after its warm-up")?;
    match args.output {
        Output::Json => {
            print_finding(serde_json::json!({ "series": scored, "overall": overall, "left_out": left_out }))?;
        }
        Output::Text => {
            print_finding(table(&scored, &overall))?;
            if !left_out.is_empty() {
                print_finding(format!(
                    "\nSKIPPED, {} of {} files, not included in any of these figures:",
                    left_out.len(),
                    files.len()
                ))?;
                left_out.iter().try_for_each(|LeftOut { why, .. }| print_finding(format!("  {why}")))?;
            }
        }
    }
    Ok(if left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns each of the horizons once, in their order.
fn once(horizons: &[u16]) -> Vec<u16> {
    let mut once = Vec::with_capacity(horizons.len());
    for horizon in horizons {
        if !once.contains(horizon) {
            once.push(*horizon);
        }
    }
    once
}

fn score(file: &Path, read: &Read, horizons: &[u16], mut dump: Option<&mut Dump>) -> anyhow::Result<Scored> {
    let name = file_name(file);
    let series = &read.series;
    let mut online = Online::new(series).context("cannot set up the evaluation")?;
    let mut said = Vec::with_capacity(series.values.len());
    let (mut updating, mut fitting) = (Duration::ZERO, Duration::ZERO);
    let (mut authority, mut changes, mut acting) = (Authority::default(), 0, 0_usize);
    for (index, value) in series.values.iter().enumerate() {
        let step = series.step(index);
        let begun = Instant::now();
        let outlook = online.step(step, *value);
        updating += begun.elapsed();
        let whole = outlook.and_then(|outlook| between(series, outlook, horizons));
        let outlook = whole.as_ref().or(outlook);
        said.push(outlook.and_then(|outlook| Forecast::of(outlook, horizons)));
        if let Some(outlook) = outlook {
            changes += usize::from(outlook.authority != authority);
            authority = outlook.authority;
            acting += usize::from(authority >= Authority::MayAdd);
        }
        if let (Some(dump), Some(outlook)) = (dump.as_deref_mut(), outlook) {
            dump.add(&name, step.0.saturating_mul(read.step).saturating_add(read.offset), horizons, outlook)?;
        }
        let begun = Instant::now();
        online.fit(step);
        fitting += begun.elapsed();
    }
    let report = report(series, &said, horizons)
        .with_context(|| format!("{name}: no outcome after the warm-up, or its value never changes"))?;
    Ok(Scored {
        series: name,
        step_seconds: read.step,
        season_steps: series.season,
        update_us: updating.as_secs_f64() * 1e6 / series.values.len().max(1) as f64,
        fit_ms: fitting.as_secs_f64() * 1e3,
        may_act: acting as f64 / series.values.len().max(1) as f64,
        authority,
        authority_changes: changes,
        report,
    })
}

/// Returns the name of a file in reports.
fn file_name(file: &Path) -> String {
    if file == Path::new(STANDARD_INPUT) {
        return csv::name(file);
    }
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn overall(scored: &[Scored]) -> Option<Overall> {
    let mean = |of: fn(&Report) -> Option<f64>| {
        let known = scored.iter().filter_map(|row| of(&row.report)).filter(|ratio| ratio.is_finite());
        let (sum, count) = known.fold((0.0, 0.0), |(sum, count), ratio| (sum + ratio.max(1e-9).ln(), count + 1.0));
        (count > 0.0).then(|| f64::exp(sum / count))
    };
    (!scored.is_empty()).then(|| Overall {
        series: scored.len(),
        mase_vs_persistence: mean(|report| Some(1.0 - report.skill_persistence?)),
        mase_vs_seasonal_naive: mean(|report| Some(1.0 - report.skill_seasonal_naive?)),
        mase_vs_best_simple: mean(|report| Some(1.0 - report.skill_best_simple?)),
        mase_vs_holt_winters: mean(|report| Some(1.0 - report.skill_holt_winters?)),
        msis_vs_simple: mean(|report| Some(report.msis_vs_simple)),
        series_lost: scored.iter().filter(|row| row.report.skill_best_simple.is_none_or(|skill| skill < -0.01)).count(),
    })
}

/// Columns for the name of a series, and for each figure: a hundred in total.
const NAME: usize = 16;
const FIGURE: usize = 6;

fn table(scored: &[Scored], overall: &Overall) -> String {
    const HEAD: [&str; 12] =
        ["mase", "msis", "cov95", "dayp10", "pers.", "snaive", "dhw", "simple", "msis/s", "max10", "max30", "acts"];
    let line = |name: &str, cells: &[String]| {
        cells.iter().fold(format!("{:<NAME$}", short(name)), |line, cell| format!("{line} {cell:>FIGURE$}")) + "\n"
    };
    let mut text = line("series", &HEAD.map(str::to_owned));
    for row in scored {
        let report = &row.report;
        let figures = [
            Some(report.mase),
            Some(report.msis),
            Some(report.coverage),
            Some(report.daily_coverage_p10),
            report.skill_persistence,
            report.skill_seasonal_naive,
            report.skill_holt_winters,
            report.skill_best_simple,
            Some(report.msis_vs_simple),
            report.max10_exceedance,
            report.max30_exceedance,
            Some(row.may_act),
        ];
        text += &line(&row.series, &figures.map(figure));
    }
    let Overall {
        series,
        mase_vs_persistence,
        mase_vs_seasonal_naive,
        mase_vs_best_simple,
        mase_vs_holt_winters,
        msis_vs_simple,
        series_lost,
    } = overall;
    let [persistence, naive, simple, holt_winters, interval] =
        [mase_vs_persistence, mase_vs_seasonal_naive, mase_vs_best_simple, mase_vs_holt_winters, msis_vs_simple]
            .map(|ratio| figure(*ratio));
    let summary = format!(
        "\n{LEGEND}\n\nall {series} (geometric means): error against persistence {persistence}, seasonal naive {naive}, damped \
         Holt-\nWinters {holt_winters}, the best simple rule {simple} ({series_lost} lost); interval score against it {interval}"
    );
    text + summary.as_str()
}

/// Returns a name cut to its column: the beginning and the end of a longer one, which distinguish series.
fn short(name: &str) -> String {
    const END: usize = 8;
    let letters = name.chars().count();
    if letters <= NAME {
        return name.to_owned();
    }
    let (begin, end) = (name.chars().take(NAME - END - 1), name.chars().skip(letters - END));
    begin.chain(['~']).chain(end).collect()
}

/// Returns a figure formatted for its column; a missing one is a dash.
fn figure(value: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else { return "-".to_owned() };
    let decimals = match value.abs() {
        value if value < 10.0 => 3,
        value if value < 100.0 => 2,
        value if value < 1000.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// The file with every forecast.
struct Dump {
    file: BufWriter<File>,
}

impl Dump {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut file = BufWriter::new(file);
        write!(file, "series,origin,horizon,point")?;
        QUANTILES.iter().try_for_each(|level| write!(file, ",q{level}"))?;
        writeln!(file, ",max_10,max_30")?;
        Ok(Self { file })
    }

    /// Adds the forecast made at the step that starts at `origin` (seconds since the epoch).
    fn add(&mut self, series: &str, origin: i64, horizons: &[u16], outlook: &SignalOutlook) -> anyhow::Result<()> {
        let upper = quantile_index(0.95);
        let maxima = [outlook.max_10, outlook.max_30];
        let maxima = maxima.map(|row| row.and_then(|row| row.get(upper).copied()).unwrap_or(f64::NAN));
        for horizon in horizons {
            let ahead = f64::from(*horizon);
            let Some(point) = outlook.point_at(ahead) else { continue };
            write!(self.file, "{},{origin},{horizon},{point}", csv::quoted(series))?;
            for level in QUANTILES {
                write!(self.file, ",{}", outlook.quantile_at(level, ahead).unwrap_or(f64::NAN))?;
            }
            let [max_10, max_30] = maxima;
            writeln!(self.file, ",{max_10},{max_30}")?;
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        Ok(self.file.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_a_hundred_columns_wide_at_most() {
        let report = |value: f64| Report {
            values: 1,
            missing: 0,
            outcomes: 1,
            mase: value,
            msis: value,
            coverage: 0.95,
            daily_coverage_p10: 0.9,
            skill_persistence: Some(-value),
            skill_seasonal_naive: Some(0.1),
            skill_best_simple: None,
            skill_holt_winters: Some(0.1),
            msis_vs_simple: value,
            max10_exceedance: Some(0.05),
            max30_exceedance: None,
            horizons: Vec::new(),
        };
        let scored = |name: &str, value| Scored {
            series: name.to_owned(),
            step_seconds: 60,
            season_steps: 1440,
            update_us: 12.3456,
            fit_ms: 0.0,
            may_act: 0.25,
            authority: Authority::MayAdd,
            authority_changes: 1,
            report: report(value),
        };
        let rows = [scored("a", 0.1234), scored("rds_cpu_utilization_cc0c53", 999.94), scored("b", 99.99)];
        let text = table(&rows, &overall(&rows).unwrap());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 100), "{text}");
        assert!(lines[1].starts_with("a                 0.123  0.123  0.950  0.900 -0.123 "), "{text}");
        assert!(lines[2].starts_with("rds_cpu~n_cc0c53  999.9  999.9  0.950  0.900 -999.9 "), "{text}");
        assert!(lines[1].ends_with(" 0.100  0.100      -  0.123  0.050      -  0.250"), "{text}");
        assert_eq!(overall(&rows).unwrap().series_lost, 3, "a rule that is never wrong is not beaten");
    }

    #[test]
    fn a_horizon_that_is_typed_twice_counts_once() {
        assert_eq!(once(&[7, 4, 7, 7, 30, 4]), [7, 4, 30]);
    }

    #[test]
    fn the_usual_horizons_are_those_of_the_loop() {
        let typed: Vec<u16> = USUAL.split(',').map(|horizon| horizon.parse().unwrap()).collect();
        assert_eq!(typed, crate::model::outlook::HORIZONS);
    }
}
