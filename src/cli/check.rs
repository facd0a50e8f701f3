//! `flyball check`

use std::process::ExitCode;

use clap::Args;

use crate::adapters::policy_dir;
use crate::app::deadline;
use crate::config::Settings;
use crate::cycle::stages::{Vocabulary, compile};

use super::ConfigArg;

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
}

pub fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let path = args.config.path()?;
    let settings = args.config.load()?;
    println!(
        "{}: {} services, {} signals, {} sources",
        path.display(),
        settings.services.len(),
        settings.signals.len(),
        settings.sources.len()
    );
    check_policies(&settings)
}

/// Compiles the policies against the declared signals and prints every fault.
pub fn check_policies(settings: &Settings) -> anyhow::Result<ExitCode> {
    let directory = &settings.policies;
    let read = policy_dir::read_set(directory);
    let files = read.files.map_err(|error| anyhow::anyhow!("{}: {error}", read.origin))?;
    let vocabulary = Vocabulary::of(&settings.services)?;
    let texts = files.iter().map(|file| (file.path.as_str(), file.text.as_str()));
    match compile(texts, &vocabulary, &deadline()) {
        Ok(set) => {
            let rules = set.rules().collect::<Vec<_>>().join(", ");
            println!("{}: revision {}, rules {rules}", directory.display(), set.revision());
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            faults.iter().for_each(|fault| println!("{}/{fault}", directory.display()));
            println!("{} faults; a running flyball keeps its last good set", faults.len());
            Ok(ExitCode::FAILURE)
        }
    }
}
