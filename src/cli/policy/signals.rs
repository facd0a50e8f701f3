//! `flyball policy signals`

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::running::ask;
use crate::cli::{ConfigArg, Output, known_service, print};
use crate::decide::STANDARD;
use crate::model::record::SignalLabel;
use crate::model::time::seconds;
use crate::model::{Readiness, ServiceId, SignalFeatures, SignalOutlook};
use crate::ports::ServiceSnapshot;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flyball policy signals                          what policies may name\n  \
                        flyball policy signals --service shop/checkout  with the values of a running flyball")]
pub struct SignalsArgs {
    /// The signals of this service (namespace/name), with what is known of them now.
    #[arg(long, value_name = "SERVICE")]
    service: Option<ServiceId>,
    /// Form of the output.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    config: ConfigArg,
}

pub async fn signals(args: &SignalsArgs) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?;
    let Some(service) = &args.service else {
        let vocabulary = crate::app::vocabulary(&settings)?;
        for (name, unit) in vocabulary.iter() {
            let measured = settings.signals.iter().any(|signal| signal.spec.name == *name);
            let range = vocabulary.range(name);
            let meaning =
                STANDARD.iter().find(|standard| standard.name == name.as_str()).map(|standard| standard.meaning);
            match args.output {
                Output::Text => {
                    let standard = meaning.filter(|_| !measured).map_or_else(String::new, |meaning| {
                        format!("; standard ({meaning}), without data: the settings say nothing of it")
                    });
                    print(format!("{:<28} {}, {}{standard}", name.as_str(), unit.word(), unit.span(range)))?;
                }
                Output::Json => {
                    let range = [range.0, range.1].map(|end| end.is_finite().then_some(end));
                    let standard = meaning.is_some();
                    print(json!({
                        "signal": name, "unit": unit, "range": range, "standard": standard, "measured": measured,
                    }))?;
                }
            }
        }
        return Ok(ExitCode::SUCCESS);
    };
    known_service(&settings, service)?;
    let found: ServiceSnapshot = ask(&settings, &format!("services/{service}")).await?;
    let features = found.features.as_deref().map(|features| features.signals.as_slice()).unwrap_or_default();
    let outlook = found.outlook.as_deref().map(|outlook| outlook.signals.as_slice()).unwrap_or_default();
    for (position, label) in found.signals.iter().enumerate() {
        let (seen, expected) = (features.get(position), outlook.get(position).and_then(Option::as_ref));
        match args.output {
            Output::Text => print(line(label, seen, expected))?,
            Output::Json => print(seconds::in_seconds(json!({ "signal": label, "seen": seen, "expected": expected })))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns a signal with its newest value and the nearest and farthest of its forecast.
fn line(label: &SignalLabel, seen: Option<&SignalFeatures>, expected: Option<&SignalOutlook>) -> String {
    let show = |value: f64| label.unit.show(value);
    let now = seen.map_or("not seen yet".to_owned(), |seen| match seen.reading.fresh() {
        Some(value) => show(value.get()),
        None => format!("unknown: {}", seen.reading),
    });
    let ahead = match expected {
        Some(outlook) if outlook.readiness == Readiness::Ready => {
            let points = outlook.points.iter().map(|point| format!("{} in {} min", show(point.point), point.minutes));
            format!("; expected {}", points.collect::<Vec<_>>().join(", "))
        }
        Some(_) => "; no forecast yet".to_owned(),
        None => String::new(),
    };
    format!("{:<28} {now}{ahead}", label.name.as_str())
}
