//! `flyball anomalies evaluate`: what the loop's anomaly detector would have reported for recorded series, and how good
//! that was.

mod labels;
mod report;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use crate::forecast::evaluate::judge;
use crate::forecast::evaluate::nab::Labelled;
use crate::model::explain::counted;

use self::report::{Judgement, NabScore, Overall, SeriesReport};
use super::csv::{self, Read, SeriesArgs};
use super::{LeftOut, Output, print_line, warn_line};

#[derive(Debug, Subcommand)]
pub enum AnomaliesCommand {
    /// Run the loop's anomaly detector over series and score its alarms.
    Evaluate(EvaluateArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Labels have the format of the Numenta Anomaly Benchmark: {\"path/of/series.csv\": [[\"from\", \
     \"to\"], ...], ...}.\nNAB scores are printed for the threshold that fits the labels best, as the benchmark does, \
     and for the shipped threshold.\n\nExit code: 0 all series were scored; 1 some were skipped, and are listed; 2 \
     none could be scored."
)]
pub struct EvaluateArgs {
    /// CSV file with the columns timestamp and value (empty: missing), or a directory of such files; `-` reads standard
    /// input.
    #[arg(long, value_name = "PATH")]
    input: PathBuf,
    /// JSON file with the windows in which something went wrong. Without it every alarm counts as false.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    series: SeriesArgs,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Write one line per row to this CSV file: series, row, timestamp, value, score, kind, alarm, label.
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
}

pub fn anomalies(command: &AnomaliesCommand) -> anyhow::Result<ExitCode> {
    let AnomaliesCommand::Evaluate(args) = command;
    let labels = args.labels.as_deref().map(labels::read).transpose()?;
    let files = csv::files(&args.input, csv::Depth::Below)?;
    for read in [Some(args.input.as_path()), args.labels.as_deref()].into_iter().flatten() {
        csv::keep(read, args.dump.as_deref())?;
    }
    let mut dump = args.dump.as_deref().map(Dump::create).transpose()?;
    let (nothing, mut all, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    let mut leave_out = |name: &str, why: String| {
        warn_line(format_args!("skipped: {name}: {why}"));
        left_out.push(LeftOut { series: name.to_owned(), why });
    };
    for (name, file) in &files {
        // Without a label file nothing went wrong; files missing from it were not reviewed by its author.
        let windows = labels.as_ref().map_or(Some(&nothing), |labels| labels.get(name));
        let Some(windows) = windows else {
            leave_out(name, "not in the labels".to_owned());
            continue;
        };
        let read = csv::text(file).and_then(|text| args.series.parse(file, &text));
        match read.and_then(|read| run(name, &read, windows, dump.as_mut())) {
            Ok(judged) => all.push(judged),
            Err(error) if files.len() > 1 => leave_out(name, format!("{error:#}")),
            Err(error) => return Err(error.context(name.clone())),
        }
    }
    if let Some(dump) = dump {
        dump.finish()?;
    }
    for name in labels.iter().flat_map(BTreeMap::keys).filter(|name| !files.contains_key(*name)) {
        leave_out(name, format!("labelled, but not in {}", args.input.display()));
    }
    if all.is_empty() {
        bail!("{} contains no series to score", args.input.display());
    }
    let (rows, overall) = report::report(&all);
    match args.output {
        Output::Json => print_line(serde_json::json!({ "series": rows, "overall": overall, "left_out": left_out }))?,
        Output::Text => {
            table(&rows, &overall)?;
            if !left_out.is_empty() {
                print_line("\nSKIPPED, not included in any of these figures:")?;
                left_out.iter().try_for_each(|LeftOut { series, why }| print_line(format!("  {series}: {why}")))?;
            }
        }
    }
    Ok(if left_out.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(name: &str, read: &Read, windows: &[(i64, i64)], dump: Option<&mut Dump>) -> anyhow::Result<Judgement> {
    let windows = labels::rows(windows, &read.rows)?;
    let begun = Instant::now();
    let rows = read.rows.iter().map(|row| (row.step, row.value));
    let judged = judge(&read.series, rows).context("cannot set up the evaluation")?;
    let update_us = begun.elapsed().as_secs_f64() * 1e6 / read.series.values.len().max(1) as f64;
    if judged.iter().all(Option::is_none) {
        let known = read.rows.iter().filter(|row| row.value.is_some()).count();
        bail!("no row was scored: {} are not enough for the detector to learn from", counted(known, "value"));
    }
    let judged: Vec<_> = judged.into_iter().map(Option::unwrap_or_default).collect();
    let scores = judged.iter().map(|judged| judged.score).collect();
    let one = Judgement {
        series: name.to_owned(),
        step_seconds: read.step,
        judged,
        labelled: Labelled { scores, windows },
        update_us,
    };
    dump.map(|dump| dump.add(&one, read)).transpose()?;
    Ok(one)
}

fn table(rows: &[SeriesReport], overall: &Overall) -> anyhow::Result<()> {
    let mut line = format!("{:<52}", "series");
    for name in ["windows", "found", "delay", "false", "a week", "nab best", "shipped", "us"] {
        write!(line, " {name:>8}")?;
    }
    print_line(line)?;
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    for row in rows {
        let [standard, ..] = row.nab;
        let mut line = format!("{:<52}", row.series);
        write!(line, " {:>8} {:>8} {:>8}", row.windows, row.found, number(row.delay_steps))?;
        let a_week = row.false_alarms as f64 / row.weeks;
        write!(line, " {:>8} {:>8}", row.false_alarms, number(Some(a_week).filter(|a_week| a_week.is_finite())))?;
        write!(line, " {:>8} {:>8}", number(standard.optimised), number(standard.shipped))?;
        write!(line, " {:>8.2}", row.update_us)?;
        print_line(line)?;
    }
    print_line(
        "delay: rows from the start of a window to its first alarm; nab: profile standard, one threshold for all \
         series",
    )?;
    print_line(format!(
        "all {}: {} of {} windows found, delay {}; {:.2} false alarms per metric-week{}",
        overall.series,
        overall.found,
        overall.windows,
        number(overall.delay_steps),
        overall.false_alarms_per_metric_week,
        overall
            .false_alarms_per_metric_week_clean
            .map_or(String::new(), |clean| format!(", {clean:.2} on series without windows")),
    ))?;
    for NabScore { profile, optimised_threshold, optimised, shipped } in &overall.nab {
        print_line(format!(
            "nab {profile}: {} with the threshold fitted to these labels ({}), {} with the shipped threshold ({})",
            number(*optimised),
            optimised_threshold.map_or("none".to_owned(), |threshold| format!("{threshold:.4}")),
            number(*shipped),
            overall.shipped_threshold,
        ))?;
    }
    Ok(())
}

/// The file with every row.
struct Dump {
    file: BufWriter<File>,
}

impl Dump {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut file = BufWriter::new(file);
        writeln!(file, "series,row,timestamp,value,score,kind,alarm,label")?;
        Ok(Self { file })
    }

    fn add(&mut self, one: &Judgement, read: &Read) -> anyhow::Result<()> {
        for (number, (row, judged)) in read.rows.iter().zip(&one.judged).enumerate() {
            let value = row.value.map_or(String::new(), |value| value.to_string());
            let kind = judged.kind.map_or("", |kind| kind.as_str());
            let label = one.labelled.windows.iter().any(|(first, last)| (first..=last).contains(&&number));
            let (alarm, label) = (u8::from(judged.alarm), u8::from(label));
            let Judgement { series, .. } = one;
            let series = csv::quoted(series);
            writeln!(self.file, "{series},{number},{},{value},{},{kind},{alarm},{label}", row.at, judged.score)?;
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        Ok(self.file.flush()?)
    }
}
