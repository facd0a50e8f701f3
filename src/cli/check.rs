//! `flyball check`

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::policy::{Form, Source, check_set, refuse_set};
use super::running::{Running, outdated};
use crate::config::{self, ConfigError, PolicySource, Settings};
use crate::model::Mode;
use crate::model::explain::counted;
use crate::ports::Status;

use super::{ConfigArg, Output, modes, print_finding, warn_line};

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Output format; json prints one object for the settings, and one for the policies if the settings name them.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub async fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let path = match args.config.path() {
        Ok(path) => path,
        Err(error) => return refuse(args.output, None, error),
    };
    let settings = match args.config.load() {
        Ok(settings) => settings,
        Err(error) => return refuse_and_go_on(args.output, &path, error),
    };
    if let Err(error) = config::check_state(&settings) {
        return refuse_and_go_on(args.output, &path, error.into());
    }
    let notes = notes(&settings).await;
    match args.output {
        Output::Json => print_finding(json!({ "settings": path, "valid": true, "faults": [], "notes": notes }))?,
        Output::Text => print_finding(format!(
            "{}: valid; {}{}, {}, {}",
            path.display(),
            counted(settings.listed().len(), "service"),
            modes(settings.listed().iter().map(|service| service.mode))
                .map_or_else(String::new, |modes| format!(" ({modes})")),
            counted(settings.signals.len(), "signal"),
            counted(settings.sources.len(), "source"),
        ))?,
    }
    if args.output == Output::Text {
        notes.iter().try_for_each(|note| print_finding(format!("note: {note}")))?;
    }
    if settings.policies == PolicySource::ConfigMaps {
        if args.output == Output::Text {
            print_finding(
                "policies come from ConfigMaps: check their source directory with `flyball policy check DIRECTORY`",
            )?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    check_policies(&settings, args.output)
}

fn check_policies(settings: &Settings, output: Output) -> anyhow::Result<ExitCode> {
    match (Source::of(settings, None), output) {
        (Ok(source), Output::Json) => check_set(&source, false, Form::Json),
        (Ok(source), Output::Text) => check_set(&source, false, Form::Text),
        (Err(error), Output::Json) => refuse_set(&error),
        (Err(error), Output::Text) => Err(error),
    }
}

/// Returns notes on valid settings.
async fn notes(settings: &Settings) -> Vec<String> {
    let waits = settings.listed().iter().filter(|service| service.mode == Mode::Approve).count();
    let waits = (waits > 0).then(|| counted(waits, "service"));
    let waits = waits.map(|waits| {
        format!("approval is not implemented yet, so {waits} in `approve` will see no write; `auto` writes")
    });
    waits.into_iter().chain(missing_files(settings)).chain(in_force(settings).await).collect()
}

/// Reports files that sources need but that are missing here. They may exist where flyball runs, so that is not a
/// fault.
fn missing_files(settings: &Settings) -> impl Iterator<Item = String> {
    settings.sources.iter().flat_map(|source| {
        let files = [("bearer_token_file", &source.access.bearer_token_file), ("ca_file", &source.access.ca_file)];
        files.into_iter().filter_map(move |(key, file)| {
            let file = file.as_ref().filter(|file| !file.is_file())?;
            Some(format!(
                "sources.{}.{key}: no file {} here; flyball does not query this source without it",
                source.name,
                file.display()
            ))
        })
    })
}

/// Reports the faults of the settings and, as far as possible, of the policies that they name.
fn refuse_and_go_on(output: Output, path: &Path, error: anyhow::Error) -> anyhow::Result<ExitCode> {
    let Some(part) = config::part_of(path).filter(|part| part.policies != PolicySource::ConfigMaps) else {
        return refuse(output, Some(path), error);
    };
    if output == Output::Json {
        refuse(output, Some(path), error)?;
    } else {
        warn_line(format_args!("{error:#}"));
    }
    if let Err(error) = check_policies(&part, output) {
        warn_line(format_args!("{error:#}"));
    }
    Ok(ExitCode::FAILURE)
}

/// Reports that a running flyball uses an earlier version of these settings, if one answers.
async fn in_force(settings: &Settings) -> Option<String> {
    let status: Status = Running::of(settings).ok()?.ask_any("status").await.ok()?;
    outdated(settings, &status)
}

/// Reports the faults of the settings as JSON; for text output the caller does so.
fn refuse(output: Output, path: Option<&Path>, error: anyhow::Error) -> anyhow::Result<ExitCode> {
    if output == Output::Text {
        return Err(error);
    }
    print_finding(json!({ "settings": path, "valid": false, "faults": faults(&error) }))?;
    Ok(ExitCode::FAILURE)
}

/// Returns the faults in an error of the settings, each with the path of its key.
fn faults(error: &anyhow::Error) -> Vec<Value> {
    match error.downcast_ref() {
        Some(ConfigError::Invalid { faults, .. }) => {
            faults.0.iter().map(|fault| json!({ "path": fault.path, "message": fault.message })).collect()
        }
        _ => vec![json!({ "path": "", "message": format!("{error:#}") })],
    }
}
