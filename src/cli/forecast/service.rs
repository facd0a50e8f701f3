//! The running flyball's forecast for a service.

use std::process::ExitCode;

use anyhow::{Context, bail};

use super::{ForecastArgs, Grid, table, up_to};
use crate::cli::running::ask;
use crate::cli::{Output, known_service, print_line, unknown_service};
use crate::console::Forecast;
use crate::model::ServiceId;
use crate::model::time::seconds;

pub async fn forecast(args: &ForecastArgs, name: &str) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?;
    let service: ServiceId = name.parse().map_err(|_| unknown_service(name, &settings))?;
    known_service(&settings, &service)?;
    let asked = ask(&settings, &format!("forecast?service={service}")).await;
    let mut forecast: Forecast =
        asked.with_context(|| format!("`flyball explain {service}` shows its last forecast"))?;
    if let Some(wanted) = &args.signal {
        let all: Vec<&str> = forecast.signals.iter().map(|signal| signal.signal.as_str()).collect();
        let all = all.join(", ");
        forecast.signals.retain(|signal| signal.signal.as_str() == wanted);
        if forecast.signals.is_empty() {
            bail!("{service} has no forecast of `{wanted}`, expected one of {all}");
        }
    }
    match (forecast.signals.as_slice(), &args.plot) {
        ([signal], Some(_)) => {
            let title = format!("{} of {service}, minutes from {}", signal.signal, signal.from);
            args.draw(&title, Grid::MINUTES, &[], &signal.outlook)?;
        }
        ([_, _, ..], Some(_)) => {
            let all: Vec<&str> = forecast.signals.iter().map(|signal| signal.signal.as_str()).collect();
            bail!("{service} has several forecasts, choose one to plot with --signal: {}", all.join(", "));
        }
        _ => {}
    }
    for signal in &mut forecast.signals {
        let outlook = signal.outlook.clone();
        signal.outlook = up_to(args.horizon, outlook);
    }
    match args.output {
        Output::Json => {
            let mut told = seconds::in_seconds(serde_json::to_value(&forecast)?);
            let signals = told["signals"].as_array_mut().into_iter().flatten();
            for (told, signal) in signals.zip(&forecast.signals) {
                Grid::MINUTES.stamp(told, signal.outlook.origin);
            }
            print_line(told)?;
        }
        Output::Text => {
            for signal in &forecast.signals {
                let now = signal.now.map_or("not fresh".to_owned(), |now| signal.unit.show(now.get()));
                print_line(format!("{} of {service}, now {now}", signal.signal))?;
                table(&signal.outlook, Grid::MINUTES)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
