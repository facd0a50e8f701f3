//! `flyball check`

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::policy::{Form, Source, check_set, refuse_set};
use super::running::{Running, outdated};
use crate::config::{self, ConfigError, Settings};
use crate::model::Mode;
use crate::model::explain::counted;
use crate::ports::Status;

use super::{ConfigArg, Output, modes, tell};

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Form of the output; json is one object for the settings, and one for the policies where the settings are valid.
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
        Err(error) => return refuse(args.output, Some(&path), error),
    };
    if let Err(error) = config::check_state(&settings) {
        return refuse(args.output, Some(&path), error.into());
    }
    let notes = notes(&settings).await;
    match args.output {
        Output::Json => tell(json!({ "settings": path, "valid": true, "faults": [], "notes": notes }))?,
        Output::Text => tell(format!(
            "{}: valid; {}{}, {}, {}",
            path.display(),
            counted(settings.services.len(), "service"),
            modes(settings.services.iter().map(|service| service.mode))
                .map_or_else(String::new, |modes| format!(" ({modes})")),
            counted(settings.signals.len(), "signal"),
            counted(settings.sources.len(), "source"),
        ))?,
    }
    if args.output == Output::Text {
        notes.iter().try_for_each(|note| tell(format!("note: {note}")))?;
    }
    if settings.policies_in_cluster {
        if args.output == Output::Text {
            tell(
                "policies are ConfigMaps: check the directory that they are made of with `flyball policy check DIRECTORY`",
            )?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    match (Source::of(&settings, None), args.output) {
        (Ok(source), Output::Json) => check_set(&source, false, Form::Json),
        (Ok(source), Output::Text) => check_set(&source, false, Form::Text),
        (Err(error), Output::Json) => refuse_set(&error),
        (Err(error), Output::Text) => Err(error),
    }
}

/// Returns what is worth knowing of settings that are valid.
async fn notes(settings: &Settings) -> Vec<String> {
    let waits = settings.services.iter().filter(|service| service.mode == Mode::Approve).count();
    let waits = (waits > 0).then(|| counted(waits, "service"));
    let waits = waits
        .map(|waits| format!("nothing can be approved yet, so {waits} in `approve` will see no write; `auto` writes"));
    waits.into_iter().chain(in_force(settings).await).collect()
}

/// Says that a flyball that runs by an earlier state of these settings does, if one answers.
async fn in_force(settings: &Settings) -> Option<String> {
    let status: Status = Running::of(settings).ok()?.ask_any("status").await.ok()?;
    outdated(settings, &status)
}

/// Tells a program what is wrong with the settings; a person is told by whoever called.
fn refuse(output: Output, path: Option<&Path>, error: anyhow::Error) -> anyhow::Result<ExitCode> {
    if output == Output::Text {
        return Err(error);
    }
    tell(json!({ "settings": path, "valid": false, "faults": faults(&error) }))?;
    Ok(ExitCode::FAILURE)
}

/// Returns the faults that an error of the settings names, each with the path of its key.
fn faults(error: &anyhow::Error) -> Vec<Value> {
    match error.downcast_ref() {
        Some(ConfigError::Invalid { faults, .. }) => {
            faults.0.iter().map(|fault| json!({ "path": fault.path, "message": fault.message })).collect()
        }
        _ => vec![json!({ "path": "", "message": format!("{error:#}") })],
    }
}
