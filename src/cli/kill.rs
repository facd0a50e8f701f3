//! `flyball kill` and `flyball resume`: they write the kill switch's file, so they work whatever state the
//! running process is in.

use std::process::ExitCode;

use clap::Args;

use crate::adapters::kill_file;
use crate::model::ServiceId;

use super::ConfigArg;

#[derive(Debug, Args)]
pub struct KillArgs {
    /// Stop only this service (namespace/name); without it, everything.
    service: Option<ServiceId>,
    /// Why; shown in every record and on the console.
    #[arg(long, short, default_value = "")]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Resume only this service; without it, everything.
    service: Option<ServiceId>,
    /// Why it is safe to go on.
    #[arg(long, short)]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
}

pub fn kill(args: &KillArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.load()?.kill_switch;
    kill_file::engage(&path, args.service.as_ref(), &who(), &args.reason)?;
    let what = args.service.as_ref().map_or_else(|| "everything".to_owned(), ToString::to_string);
    println!("kill switch engaged for {what} ({}); no write starts more than a second from now", path.display());
    println!("go on with: flyball resume --reason '...'");
    Ok(ExitCode::SUCCESS)
}

pub fn resume(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.load()?.kill_switch;
    kill_file::release(&path, args.service.as_ref(), &who(), &args.reason)?;
    println!("kill switch released ({})", path.display());
    Ok(ExitCode::SUCCESS)
}

fn who() -> String {
    std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned())
}
