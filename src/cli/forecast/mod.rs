//! `flyball forecast`: what the loop would foresee of a series, and how good that was.

mod csv;
mod evaluate;
mod plot;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};

use crate::forecast::evaluate::{Online, Series};
use crate::forecast::zone::Zone;
use crate::model::outlook::{HORIZONS, SignalOutlook};

use super::print;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct ForecastArgs {
    #[command(subcommand)]
    command: Option<ForecastCommand>,
    #[command(flatten)]
    series: SeriesArgs,
    /// Steps ahead, 1 to 30.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=30))]
    horizon: u16,
    /// Draw history, forecast and interval into this SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Form of the output.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum ForecastCommand {
    /// Run the forecaster of the loop over the past of a series and say how good it was.
    Evaluate(evaluate::EvaluateArgs),
}

/// Which series.
#[derive(Debug, Args)]
pub struct SeriesArgs {
    /// CSV file with a header and the columns timestamp and value (empty: missing); for `evaluate` a directory, too.
    #[arg(long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Steps in a season; without it those of a day.
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(2..=10_080))]
    season: Option<u32>,
    /// Time zone whose clocks the season follows, such as Europe/Berlin; stamps without a zone stay universal time.
    #[arg(long, value_name = "ZONE", value_parser = Zone::named, default_value = "UTC")]
    timezone: Zone,
    /// Values may be negative.
    #[arg(long)]
    negative: bool,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

impl SeriesArgs {
    fn input(&self) -> anyhow::Result<&Path> {
        self.input.as_deref().context("name the series with --input FILE")
    }

    fn read(&self, file: &Path) -> anyhow::Result<csv::Read> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let range = (if self.negative { f64::MIN } else { 0.0 }, f64::MAX);
        let mut read = csv::parse(&text, self.season, range).with_context(|| file.display().to_string())?;
        read.series.zone = self.timezone.clone();
        Ok(read)
    }
}

pub fn forecast(args: &ForecastArgs) -> anyhow::Result<ExitCode> {
    if let Some(ForecastCommand::Evaluate(args)) = &args.command {
        return evaluate::evaluate(args);
    }
    let read = args.series.read(args.series.input()?)?;
    let outlook = at_the_end(&read.series)?;
    if let Some(file) = &args.plot {
        let drawing = plot::draw(&read, &outlook, args.horizon);
        std::fs::write(file, drawing).with_context(|| format!("cannot write {}", file.display()))?;
        print(format!("drawn into {}", file.display()))?;
    }
    match args.output {
        Output::Json => print(serde_json::to_string(&outlook)?)?,
        Output::Table => table(&outlook, args.horizon)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the forecaster over the series and returns what it foresees from its end.
fn at_the_end(series: &Series) -> anyhow::Result<SignalOutlook> {
    let mut online = Online::new(series).context("the evaluation cannot be set up")?;
    let mut last = None;
    for (index, value) in series.values.iter().enumerate() {
        let step = series.step(index);
        last = online.step(step, *value).filter(|outlook| !outlook.points.is_empty()).cloned();
        online.fit(step);
    }
    last.context("too short for a forecast: 10 values are needed")
}

fn table(outlook: &SignalOutlook, horizon: u16) -> anyhow::Result<()> {
    print(format!("{:>6} {:>14} {:>14} {:>14} {:>14}", "ahead", "forecast", "2.5 %", "95 %", "97.5 %"))?;
    for ahead in HORIZONS.into_iter().filter(|ahead| *ahead < horizon).chain([horizon]) {
        let minutes = f64::from(ahead);
        let quantile = |level| outlook.quantile_at(level, minutes).unwrap_or(f64::NAN);
        let point = outlook.point_at(minutes).unwrap_or(f64::NAN);
        let [low, upper, high] = [0.025, 0.95, 0.975].map(quantile);
        print(format!("{ahead:>6} {point:>14.3} {low:>14.3} {upper:>14.3} {high:>14.3}"))?;
    }
    let maximum = |row: Option<[f64; 11]>| row.map_or("unknown".to_owned(), |row| format!("{:.3}", row[8]));
    print(format!(
        "95 % quantile of the maximum over 10 steps {}, 30 {}",
        maximum(outlook.max_10),
        maximum(outlook.max_30)
    ))?;
    if let Some(parts) = outlook.parts {
        let [level, trend, season, rest] = [parts.level, parts.trend, parts.season, parts.rest];
        print(format!(
            "parts of the next step: level {level:.3}, trend {trend:.3}, season {season:.3}, rest {rest:.3}"
        ))?;
    }
    let shares = outlook.scores.iter().filter(|score| score.share >= 0.005);
    let shares: Vec<String> = shares.map(|score| format!("{} {:.0} %", score.model, score.share * 100.0)).collect();
    print(format!("models: {}; authority {}", shares.join(", "), outlook.authority.as_str()))?;
    Ok(())
}
