//! What the running flyball foresees of a service.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use super::{ForecastArgs, Form, table, up_to};
use crate::cli::{known_service, print, unknown_service};
use crate::console::Forecast;
use crate::model::ServiceId;

pub async fn forecast(args: &ForecastArgs, name: &str) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?;
    let service: ServiceId = name.parse().map_err(|_| unknown_service(name, &settings))?;
    known_service(&settings, &service)?;
    let mut forecast = ask(&settings.listen.to_string(), &service).await?;
    if let Some(wanted) = &args.signal {
        let all: Vec<&str> = forecast.signals.iter().map(|signal| signal.signal.as_str()).collect();
        let all = all.join(", ");
        forecast.signals.retain(|signal| signal.signal.as_str() == wanted);
        if forecast.signals.is_empty() {
            bail!("{service} has no forecast of `{wanted}`, expected one of {all}");
        }
    }
    if let Some(signal) = forecast.signals.first() {
        args.draw(&format!("{} of {service}, minutes from {}", signal.signal, signal.from), &[], &signal.outlook)?;
    }
    for signal in &mut forecast.signals {
        let outlook = signal.outlook.clone();
        signal.outlook = up_to(args.horizon, outlook);
    }
    match args.output {
        Form::Json => print(serde_json::to_string(&forecast)?)?,
        Form::Table => {
            for signal in &forecast.signals {
                let now = signal.now.map_or("not fresh".to_owned(), |now| signal.unit.show(now.get()));
                print(format!("{} of {service}, now {now}, minutes from {}", signal.signal, signal.from))?;
                table(&signal.outlook)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(listen: &str, service: &ServiceId) -> anyhow::Result<Forecast> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
    let url = format!("http://{listen}/api/v1/forecast?service={service}");
    let answer = client.get(&url).send().await.with_context(|| {
        format!("no flyball answers at {listen}; start `flyball run`, or see `flyball explain {service}` for what it last said")
    })?;
    let status = answer.status();
    if !status.is_success() {
        bail!("the flyball at {listen} answered {status}: {}", answer.text().await.unwrap_or_default().trim());
    }
    answer.json().await.with_context(|| format!("the flyball at {listen} is of another version"))
}
