//! `flyball policy signals`

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::running::ask;
use crate::cli::{ConfigArg, Output, known_service, print_line};
use crate::decide::{STANDARD, TARGET_FLAGS, target_flags};
use crate::model::record::SignalLabel;
use crate::model::time::seconds;
use crate::model::{Readiness, ServiceId, SignalFeatures, SignalOutlook, TargetReading, TargetState, UNDECLARED, Unit};
use crate::ports::ServiceSnapshot;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flyball policy signals                          the names policies may use\n  \
                        flyball policy signals --service shop/checkout  with their current values")]
pub struct SignalsArgs {
    /// The signals of this service (namespace/name), with their current values.
    #[arg(long, value_name = "SERVICE")]
    service: Option<ServiceId>,
    /// Output format.
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
                        format!("; standard ({meaning}), no data: not configured in the settings")
                    });
                    print_line(format!("{:<28} {}, {}{standard}", name.as_str(), unit.word(), unit.span(range)))?;
                }
                Output::Json => {
                    let range = [range.0, range.1].map(|end| end.is_finite().then_some(end));
                    let standard = meaning.is_some();
                    print_line(json!({
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
            Output::Text => print_line(line(label, seen, expected))?,
            Output::Json => {
                print_line(seconds::in_seconds(json!({ "signal": label, "seen": seen, "expected": expected })))?;
            }
        }
    }
    for (name, unit, value) in others(&found) {
        match (args.output, value) {
            (Output::Text, Ok(value)) => print_line(format!("{name:<28} {}", unit.show(value)))?,
            (Output::Text, Err(why)) => print_line(format!("{name:<28} unknown: {why}"))?,
            (Output::Json, Ok(value)) => print_line(json!({ "name": name, "value": value }))?,
            (Output::Json, Err(why)) => print_line(json!({ "name": name, "value": null, "unknown": why }))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A name that rules may use besides the signals of a service, and its value or why it is unknown.
type Named = (&'static str, Unit, Result<f64, String>);

/// Returns the standard signals that a service does not declare, then the known values of its target and capacity.
fn others(found: &ServiceSnapshot) -> Vec<Named> {
    let is_declared = |name: &str| found.signals.iter().any(|label| label.name.as_str() == name);
    let absent = STANDARD.iter().filter(|standard| !is_declared(standard.name));
    let mut all: Vec<Named> =
        absent.map(|standard| (standard.name, standard.unit, Err(UNDECLARED.to_owned()))).collect();
    let target = found.features.as_deref().map(|features| &features.target);
    let known = target.and_then(TargetReading::known);
    let why = target.and_then(TargetReading::unknown).unwrap_or_else(|| "not seen yet".to_owned());
    let of_target = |unit, name, value: Option<f64>| (name, unit, value.ok_or_else(|| why.clone()));
    let count = |name, value: Option<u32>| of_target(Unit::Count, name, value.map(f64::from));
    all.push(count("replicas.current", known.map(TargetState::asked)));
    all.push(count("replicas.ready", known.map(|target| target.ready)));
    let flags = known.map(|target| target_flags(target, found.bounds));
    for (position, name) in TARGET_FLAGS.into_iter().enumerate() {
        let value = flags.and_then(|flags| flags.get(position).copied());
        all.push(of_target(Unit::Flag, name, value.map(f64::from)));
    }
    let capacity = found.outlook.as_deref().and_then(|outlook| outlook.capacity.as_ref());
    for (name, value) in [
        ("capacity.needed_now", capacity.and_then(|capacity| capacity.needed_now)),
        ("capacity.needed_ahead", capacity.and_then(|capacity| capacity.needed_ahead)),
        ("capacity.floor", capacity.and_then(|capacity| capacity.floor)),
    ] {
        let why = if capacity.is_none() { "the service declares no capacity" } else { "cannot be determined now" };
        all.push((name, Unit::Count, value.map(f64::from).ok_or_else(|| why.to_owned())));
    }
    all
}

/// Returns a signal with its newest value and the nearest and farthest points of its forecast.
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
