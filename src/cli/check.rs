//! `flyball check`

use std::process::ExitCode;

use clap::Args;

use super::policy::{Form, Source, check_set};
use crate::config;
use crate::model::explain::counted;
use crate::model::{Mode, ServiceSpec};

use super::{ConfigArg, print};

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
}

pub fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.path()?;
    let settings = args.config.load()?;
    config::check_state(&settings)?;
    print(format!(
        "{}: valid; {}{}, {}, {}",
        path.display(),
        counted(settings.services.len(), "service"),
        modes(&settings.services),
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

/// Returns how many services are in each mode; nothing where there are none.
fn modes(services: &[ServiceSpec]) -> String {
    let modes = [Mode::Auto, Mode::Approve, Mode::Shadow, Mode::Observe];
    let counts = modes.map(|mode| (services.iter().filter(|service| service.mode == mode).count(), mode));
    let parts = counts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = parts.map(|(count, mode)| format!("{count} {}", mode.as_str())).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}
