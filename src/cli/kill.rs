//! `flyball kill` and `flyball resume`: they write the kill switch's file, so they work whatever state the
//! running process is in.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::adapters::kill_file::{self, Scope};
use crate::config;
use crate::model::{ActionClass, ServiceId};

use super::{ConfigArg, print};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flyball kill                            stop all writes\n  \
                        flyball kill shop/checkout              stop those for one service\n  \
                        flyball kill --class scale -r 'drill'   stop those of one class")]
pub struct KillArgs {
    #[command(flatten)]
    what: What,
    /// Why; shown in every record and on the console.
    #[arg(long, short, default_value = "stopped from the command line")]
    reason: String,
    #[command(flatten)]
    switch: SwitchArg,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flyball resume --reason 'drill over'\n  \
                        flyball resume shop/checkout --reason 'load test over'")]
pub struct ResumeArgs {
    #[command(flatten)]
    what: What,
    /// Why it is safe to go on.
    #[arg(long, short)]
    reason: String,
    #[command(flatten)]
    switch: SwitchArg,
}

/// What is stopped or let go, and by whom.
#[derive(Debug, Args)]
struct What {
    /// Only this service (namespace/name); without it and without a class, everything.
    service: Option<ServiceId>,
    /// Only this class of actions: scale, traffic, rollout or external.
    #[arg(long, conflicts_with = "service", value_parser = class)]
    class: Option<ActionClass>,
    /// Who; kept beside the reason.
    #[arg(long, env = "USER", hide_env_values = true, default_value = "unknown")]
    by: String,
}

impl What {
    fn scope(&self) -> Scope {
        match (&self.service, self.class) {
            (Some(service), _) => Scope::Service(service.clone()),
            (None, Some(class)) => Scope::Class(class),
            (None, None) => Scope::All,
        }
    }

    /// Returns the arguments that name the same.
    fn typed(&self) -> String {
        match (&self.service, self.class) {
            (Some(service), _) => format!(" {service}"),
            (None, Some(class)) => format!(" --class {}", class.as_str()),
            (None, None) => String::new(),
        }
    }
}

/// Where the switch is.
#[derive(Debug, Args)]
struct SwitchArg {
    /// The kill switch's file itself; without it, the one that the settings name.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

impl SwitchArg {
    /// Finds the file, also by settings that are faulty elsewhere. A service that the settings do not name is
    /// most likely mistyped, and stopping it would stop nothing.
    fn path(&self, service: Option<&ServiceId>) -> anyhow::Result<PathBuf> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        if let (Some(service), Ok(settings)) = (service, self.config.load()) {
            super::known_service(&settings, service).context("nothing was changed")?;
        }
        Ok(config::kill_switch_of(&self.config.path()?)?)
    }
}

impl SwitchArg {
    /// Returns the options that name the same file.
    fn typed(&self) -> String {
        self.file.as_ref().map_or_else(|| self.config.typed(), |file| format!(" --file {}", file.display()))
    }
}

pub fn kill(args: &KillArgs) -> anyhow::Result<ExitCode> {
    let path = args.switch.path(args.what.service.as_ref())?;
    let scope = args.what.scope();
    kill_file::engage(&path, &scope, &args.what.by, &args.reason)?;
    print(format!("kill switch engaged for {} ({})", said(&scope), path.display()))?;
    print("no such write starts more than a second from now; one under way ends as it would have")?;
    let (what, switch) = (args.what.typed(), args.switch.typed());
    print(format!("to go on: {} resume{what} --reason '...'{switch}", super::program()))?;
    Ok(ExitCode::SUCCESS)
}

pub fn resume(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    let path = args.switch.path(args.what.service.as_ref())?;
    let scope = args.what.scope();
    kill_file::release(&path, &scope, &args.what.by, &args.reason)?;
    print(format!("kill switch released for {} ({})", said(&scope), path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn said(scope: &Scope) -> String {
    match scope {
        Scope::All => "everything".to_owned(),
        Scope::Service(service) => service.to_string(),
        Scope::Class(class) => format!("actions of class {}", class.as_str()),
    }
}

fn class(text: &str) -> Result<ActionClass, String> {
    match text {
        "scale" => Ok(ActionClass::Scale),
        "traffic" => Ok(ActionClass::Traffic),
        "rollout" => Ok(ActionClass::Rollout),
        "external" => Ok(ActionClass::External),
        other => Err(format!("`{other}` is no class, expected scale, traffic, rollout or external")),
    }
}
