//! `flyball forecast`: what the loop would forecast for a series, and how good that was.

pub mod csv;

mod evaluate;
mod grid;
mod past;
mod plot;
mod service;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::forecast::evaluate::between;
use crate::model::SignalOutlook;
use crate::model::explain::{explained, parts, remarks, transforms, worth};
use crate::model::outlook::{HorizonPoint, QUANTILES, QuantileRow, quantile_index};

use self::csv::SeriesArgs;
use self::grid::Grid;
use self::past::Told;
use super::{ConfigArg, Output, print_line, warn_line};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  flyball forecast --input series.csv --plot series.svg\n  \
                        flyball forecast --service shop/checkout --horizon 10   the running flyball's forecast\n  \
                        flyball forecast evaluate --input DIRECTORY             backtest the forecast"
)]
pub struct ForecastArgs {
    #[command(subcommand)]
    command: Option<ForecastCommand>,
    /// CSV file with the columns timestamp and value (empty: missing); `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    #[command(flatten)]
    series: SeriesArgs,
    /// A service (shop/checkout), forecast by the running flyball.
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["input", "season", "timezone", "negative"])]
    service: Option<String>,
    /// One of its signals. Default: all that are forecast.
    #[arg(long, value_name = "NAME", requires = "service", conflicts_with = "input")]
    signal: Option<String>,
    /// Steps ahead, 1 to 30.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=30))]
    horizon: u16,
    /// Plot history, forecast, intervals, components and alarms to this SVG file; for a service, only the forecast.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Subcommand)]
enum ForecastCommand {
    /// Backtest the loop's forecaster on the history of a series.
    Evaluate(evaluate::EvaluateArgs),
}

/// Reads the series in a file, and notes its negative values.
fn read(file: &Path, series: &SeriesArgs) -> anyhow::Result<csv::Read> {
    let text = csv::text(file)?;
    let read = series.parse(file, &text).with_context(|| csv::name(file))?;
    let below = read.series.values.iter().flatten().filter(|value| **value < series.range().0).count();
    if below > 0 {
        // Standard output may be read by a program.
        warn_line(format_args!(
            "note: {}: {below} of {} values are negative; from the first one on forecasts may be negative too, with \
             --negative from the start",
            csv::name(file),
            read.series.values.len()
        ));
    }
    Ok(read)
}

/// The forecast from the end of a series.
#[derive(Serialize)]
struct Foreseen {
    step_seconds: i64,
    /// Probabilities of the quantiles of every point, in order.
    probabilities: QuantileRow,
    #[serde(flatten)]
    outlook: SignalOutlook,
    /// The last steps, oldest first; the last one is the origin.
    past: Vec<Told>,
}

impl ForecastArgs {
    /// Returns whether history is evaluated instead of forecast.
    pub fn evaluates(&self) -> bool {
        matches!(self.command, Some(ForecastCommand::Evaluate(_)))
    }
}

pub async fn forecast(args: &ForecastArgs) -> anyhow::Result<ExitCode> {
    if let Some(ForecastCommand::Evaluate(args)) = &args.command {
        return evaluate::evaluate(args);
    }
    if let Some(name) = &args.service {
        return service::forecast(args, name).await;
    }
    let input = args.input.as_deref().context("name the series with --input FILE")?;
    csv::keep(input, args.plot.as_deref())?;
    let read = read(input, &args.series)?;
    let (outlook, past) = past::run(&read.series).with_context(|| csv::name(input))?;
    let grid = Grid { step: read.step, offset: read.offset };
    args.draw(&format!("steps of {}", grid.lasts(1)), grid, &past, &outlook)?;
    let outlook = up_to(args.horizon, between(&read.series, &outlook, &[args.horizon]).unwrap_or(outlook));
    let origin = outlook.origin;
    match args.output {
        Output::Json => {
            let foreseen = Foreseen { step_seconds: read.step, probabilities: QUANTILES, outlook, past };
            let mut told = serde_json::to_value(&foreseen)?;
            grid.stamp(&mut told, origin);
            print_line(told)?;
        }
        Output::Text => {
            let from = grid.show(grid.at(origin, 0));
            print_line(format!("{}, steps of {}, starting at {from}", csv::name(input), grid.lasts(1)))?;
            table(&outlook, grid)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl ForecastArgs {
    /// Writes the plot, if requested.
    fn draw(&self, title: &str, grid: Grid, past: &[Told], outlook: &SignalOutlook) -> anyhow::Result<()> {
        let Some(file) = &self.plot else { return Ok(()) };
        let drawing = plot::draw(title, grid, past, outlook, self.horizon);
        std::fs::write(file, drawing).with_context(|| format!("cannot write {}", file.display()))?;
        // Standard output may be read by a program.
        warn_line(format_args!("plotted to {}", file.display()));
        Ok(())
    }
}

/// Returns the outlook with its points up to `horizon`, the last of which is interpolated if it is not a horizon of the
/// loop.
fn up_to(horizon: u16, mut outlook: SignalOutlook) -> SignalOutlook {
    let ahead = f64::from(horizon);
    let last = outlook.point_at(ahead).map(|point| {
        let quantiles = QUANTILES.map(|level| outlook.quantile_at(level, ahead).unwrap_or(point));
        HorizonPoint { minutes: horizon, point, quantiles }
    });
    outlook.points.retain(|point| point.minutes < horizon);
    outlook.points.extend(last);
    outlook
}

/// Returns a value with three decimals, or as many significant digits as it takes to show it.
fn shown(value: f64) -> String {
    match value.abs() {
        0.0 => "0.000".to_owned(),
        size if !(1e-5..1e8).contains(&size) => format!("{value:.3e}"),
        size if size < 0.1 => format!("{value:.*}", (2.0 - size.log10().floor()) as usize),
        _ => format!("{value:.3}"),
    }
}

fn table(outlook: &SignalOutlook, grid: Grid) -> anyhow::Result<()> {
    let line = |at: &str, ahead: &str, cells: [&str; 4]| {
        let cells = cells.map(|cell| format!(" {cell:>12}")).concat();
        format!("{at:<17} {ahead:>9}{cells}")
    };
    print_line(line("time", "ahead", ["forecast", "2.5 %", "95 %", "97.5 %"]))?;
    for at in &outlook.points {
        let quantile = |level| at.quantiles.get(quantile_index(level)).copied().unwrap_or(f64::NAN);
        let cells = [at.point, quantile(0.025), quantile(0.95), quantile(0.975)].map(shown);
        let time = grid.show(grid.at(outlook.origin, at.minutes));
        print_line(line(&time, &format!("+{}", grid.lasts(at.minutes)), cells.each_ref().map(String::as_str)))?;
    }
    let upper = quantile_index(0.95);
    let maximum =
        |row: Option<QuantileRow>| row.and_then(|row| row.get(upper).copied()).map_or("unknown".to_owned(), shown);
    print_line(format!(
        "95 % quantile of the maximum over {} {}, over {} {}",
        grid.lasts(10),
        maximum(outlook.max_10),
        grid.lasts(30),
        maximum(outlook.max_30)
    ))?;
    let last = outlook.points.last().map_or(0, |at| at.minutes);
    for (minutes, made_of) in explained(outlook).filter(|(minutes, _)| *minutes <= last) {
        print_line(format!("parts in {}: {}", grid.lasts(minutes), parts(&made_of, shown)))?;
    }
    let shares = outlook.scores.iter().filter(|score| score.share >= 0.005);
    let shares: Vec<String> = shares.map(|score| format!("{} {:.0} %", score.model, score.share * 100.0)).collect();
    print_line(format!("models: {}", shares.join(", ")))?;
    print_line(format!("transform: {}", transforms(outlook)))?;
    print_line([worth(outlook)].into_iter().chain(remarks(outlook).map(str::to_owned)).collect::<Vec<_>>().join(", "))?;
    if let (Some(score), Some(kind)) = (outlook.anomaly, outlook.anomaly_kind) {
        let alarm = if outlook.alarm { ", an alarm" } else { "" };
        print_line(format!("anomaly of the newest step: {score:.2} ({}){alarm}", kind.as_str()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Minute;
    use crate::model::outlook::HORIZONS;

    #[test]
    fn a_value_of_any_size_is_shown() {
        for (value, expected) in [
            (0.0, "0.000"),
            (-0.0, "0.000"),
            (0.0213, "0.0213"),
            (1565.5224, "1565.522"),
            (-0.5, "-0.500"),
            (3e12, "3.000e12"),
        ] {
            assert_eq!(shown(value), expected);
        }
        assert_eq!((shown(2.5e-7), shown(0.000_123_4)), ("2.500e-7".to_owned(), "0.000123".to_owned()));
    }

    #[test]
    fn a_signal_of_a_file_is_refused() {
        use clap::Parser as _;

        #[derive(clap::Parser)]
        struct Typed {
            #[command(flatten)]
            args: ForecastArgs,
        }
        let parse = |typed: &str| Typed::try_parse_from(typed.split(' ')).map(|typed| typed.args.signal);
        assert!(parse("forecast --input a.csv --signal rps").is_err());
        assert_eq!(parse("forecast --service shop/web --signal rps").unwrap().as_deref(), Some("rps"));
    }

    #[test]
    fn what_is_shown_ends_at_the_horizon() {
        let mut outlook = SignalOutlook::not_ready(Minute(0), 0, 0);
        let point = |minutes: &u16| HorizonPoint {
            minutes: *minutes,
            point: f64::from(*minutes),
            quantiles: [f64::from(*minutes); 11],
        };
        outlook.points = HORIZONS.iter().map(point).collect();
        for (horizon, expected) in [(1, &[1][..]), (4, &[1, 2, 3, 4]), (5, &[1, 2, 3, 5]), (30, &HORIZONS)] {
            let shown = up_to(horizon, outlook.clone());
            assert_eq!(shown.points.iter().map(|point| point.minutes).collect::<Vec<_>>(), expected);
            assert!(shown.points.iter().all(|at| at.point == f64::from(at.minutes) && at.quantiles == [at.point; 11]));
        }
        assert!(up_to(7, SignalOutlook::not_ready(Minute(0), 0, 0)).points.is_empty());
    }
}
