//! `flyball kill` and `flyball resume`: they write the kill switch's file, so they work whatever state the
//! running process is in.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::adapters::kill_file::{self, Scope};
use crate::config;
use crate::model::{ActionClass, ServiceId};

use super::ConfigArg;

#[derive(Debug, Args)]
pub struct KillArgs {
    /// Stop only this service (namespace/name); without it and without a class, everything.
    service: Option<ServiceId>,
    /// Stop only this class of actions.
    #[arg(long, conflicts_with = "service", value_parser = class)]
    class: Option<ActionClass>,
    /// Who; shown beside the reason.
    #[arg(long, env = "USER", default_value = "unknown")]
    by: String,
    /// Why; shown in every record and on the console.
    #[arg(long, short, default_value = "stopped from the command line")]
    reason: String,
    #[command(flatten)]
    switch: SwitchArg,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Resume only this service; without it, everything.
    service: Option<ServiceId>,
    /// Resume only this class of actions.
    #[arg(long, conflicts_with = "service", value_parser = class)]
    class: Option<ActionClass>,
    /// Who; kept beside the reason.
    #[arg(long, env = "USER", default_value = "unknown")]
    by: String,
    /// Why it is safe to go on.
    #[arg(long, short)]
    reason: String,
    #[command(flatten)]
    switch: SwitchArg,
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
            super::known_service(&settings, service)?;
        }
        Ok(config::kill_switch_of(&self.config.path()?)?)
    }
}

pub fn kill(args: &KillArgs) -> anyhow::Result<ExitCode> {
    let path = args.switch.path(args.service.as_ref())?;
    let scope = scope(args.service.as_ref(), args.class);
    kill_file::engage(&path, &scope, &args.by, &args.reason)?;
    println!("kill switch engaged for {} ({})", said(&scope), path.display());
    println!("no such write starts more than a second from now; go on with: flyball resume --reason '...'");
    Ok(ExitCode::SUCCESS)
}

pub fn resume(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    let path = args.switch.path(args.service.as_ref())?;
    let scope = scope(args.service.as_ref(), args.class);
    kill_file::release(&path, &scope, &args.by, &args.reason)?;
    println!("kill switch released for {} ({})", said(&scope), path.display());
    Ok(ExitCode::SUCCESS)
}

fn scope(service: Option<&ServiceId>, class: Option<ActionClass>) -> Scope {
    match (service, class) {
        (Some(service), _) => Scope::Service(service.clone()),
        (None, Some(class)) => Scope::Class(class),
        (None, None) => Scope::All,
    }
}

fn said(scope: &Scope) -> String {
    match scope {
        Scope::All => "everything".to_owned(),
        Scope::Service(service) => service.to_string(),
        Scope::Class(class) => format!("actions of class {class:?}").to_lowercase(),
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
