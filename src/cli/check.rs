//! `flyball check`

use std::process::ExitCode;

use clap::Args;

use crate::adapters::policy_dir;
use crate::app::{deadline, vocabulary};
use crate::config::Settings;
use crate::cycle::stages::compile;

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
    check_policies(&settings)
}

/// Compiles the policies against the declared signals and prints every fault.
pub fn check_policies(settings: &Settings) -> anyhow::Result<ExitCode> {
    let directory = &settings.policies;
    let read = policy_dir::read_set(directory);
    let files = read.files.map_err(|error| anyhow::anyhow!("policies: {error}"))?;
    let vocabulary = vocabulary(settings)?;
    let texts = files.iter().map(|file| (file.path.as_str(), file.text.as_str()));
    match compile(texts, &vocabulary, &deadline()) {
        Ok(set) => {
            let rules = set.rules().collect::<Vec<_>>().join(", ");
            print(format!("{}: valid; revision {}, rules {rules}", directory.display(), set.revision()))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            for fault in &faults {
                // What concerns no single file names the directory alone.
                let slash = if fault.file.is_empty() { ": " } else { "/" };
                print(format!("{}{slash}{fault}", directory.display()))?;
            }
            let count = if faults.len() == 1 { "1 fault".to_owned() } else { format!("{} faults", faults.len()) };
            print(format!("{count}; a running flyball keeps its last good set"))?;
            Ok(ExitCode::FAILURE)
        }
    }
}
