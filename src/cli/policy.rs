//! `flyball policy ...`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::ConfigArg;
use super::check::check_policies;

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Compile a set against the declared signals and list every fault with file, line, column and rule.
    Check(PolicyCheckArgs),
}

#[derive(Debug, Args)]
pub struct PolicyCheckArgs {
    /// Directory of the set; without it, that of the settings.
    directory: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

pub fn policy(command: &PolicyCommand) -> anyhow::Result<ExitCode> {
    let PolicyCommand::Check(args) = command;
    let mut settings = args.config.load()?;
    if let Some(directory) = &args.directory {
        settings.policies.clone_from(directory);
    }
    check_policies(&settings)
}
