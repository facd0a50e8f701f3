//! `flyball check`

use std::process::ExitCode;

use clap::Args;

use super::policy::{Form, Source, check_set};
use crate::model::explain::counted;

use super::{ConfigArg, print};

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
}

pub fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.path()?;
    let settings = args.config.load()?;
    print(format!(
        "{}: valid; {}, {}, {}",
        path.display(),
        counted(settings.services.len(), "service"),
        counted(settings.signals.len(), "signal"),
        counted(settings.sources.len(), "source"),
    ))?;
    if settings.policies_in_cluster {
        print(
            "policies are ConfigMaps: check the directory that they are made of with `flyball policy check DIRECTORY`",
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    check_set(&Source::of(&settings, None)?, false, Form::Text)
}
