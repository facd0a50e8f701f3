//! `flyball kill` and `flyball resume`: they write the kill switch's file, so they work whatever state the
//! running process is in.

use std::process::ExitCode;

use clap::Args;

use crate::adapters::kill_file::{self, Scope};
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
    config: ConfigArg,
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
    config: ConfigArg,
}

pub fn kill(args: &KillArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.load()?.kill_switch;
    kill_file::engage(&path, &scope(args.service.as_ref(), args.class), &args.by, &args.reason)?;
    println!("kill switch engaged ({}); no write starts more than a second from now", path.display());
    println!("go on with: flyball resume --reason '...'");
    Ok(ExitCode::SUCCESS)
}

pub fn resume(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.load()?.kill_switch;
    kill_file::release(&path, &scope(args.service.as_ref(), args.class), &args.by, &args.reason)?;
    println!("kill switch released ({})", path.display());
    Ok(ExitCode::SUCCESS)
}

fn scope(service: Option<&ServiceId>, class: Option<ActionClass>) -> Scope {
    match (service, class) {
        (Some(service), _) => Scope::Service(service.clone()),
        (None, Some(class)) => Scope::Class(class),
        (None, None) => Scope::All,
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
