//! `flyball check`

use std::process::ExitCode;

use clap::Args;

use super::policy::{Form, Source, check_set};
use super::{ConfigArg, print};

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
}

pub fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.path()?;
    let settings = args.config.load()?;
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    print(format!(
        "{}: valid; {}, {}, {}",
        path.display(),
        count(settings.services.len(), "service"),
        count(settings.signals.len(), "signal"),
        count(settings.sources.len(), "source"),
    ))?;
    check_set(&Source::of(&settings, None)?, false, Form::Text)
}
