//! `flyball crds` and `flyball completions`

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::adapters::kubernetes::loops;

use super::{Cli, print_line};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flyball completions bash > /etc/bash_completion.d/flyball")]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Prints the manifest of the custom resources, for `kubectl apply --server-side -f -`.
pub fn crds() -> anyhow::Result<ExitCode> {
    print_line(loops::CRDS.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the completions of a shell.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "flyball", &mut text);
    print_line(String::from_utf8(text)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
