//! `flyball policy check`

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::show;
use super::source::{Source, SourceArgs};
use crate::app::deadline;
use crate::cli::print;
use crate::cycle::stages::{Lint, PolicyFault, PolicySet, compile, lint};
use crate::model::explain::counted;

#[derive(Debug, Args)]
#[command(after_help = "Exit code: 0 the set is valid; 1 it has faults, or warnings with --strict; \
                        2 set or settings could not be read.")]
pub struct CheckArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Fail on warnings too: what loads and is still likely a mistake.
    #[arg(long)]
    strict: bool,
    /// Form of the output.
    #[arg(long, short, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people, with the source line under each fault.
    Text,
    /// For programs.
    Json,
    /// For code hosts: SARIF 2.1.0.
    Sarif,
}

pub fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    check_set(&args.source.read()?, args.strict, args.output)
}

/// Compiles a set, looks for what is likely a mistake, and prints all of it.
pub fn check_set(source: &Source, strict: bool, form: Form) -> anyhow::Result<ExitCode> {
    let (set, mut faults) = match compile(source.texts(), &source.vocabulary, &deadline()) {
        Ok(set) => (Some(set), Vec::new()),
        Err(faults) => (None, faults),
    };
    let lints = set.as_ref().map_or(Vec::new(), |set| lint(set, source.texts()));
    if let Some(set) = &set {
        faults.extend(settings_of_services(source, set));
    }
    match form {
        Form::Text => text(source, set.as_ref(), &faults, &lints)?,
        Form::Sarif => print(show::sarif(source, &faults, &lints))?,
        Form::Json => {
            let faults = faults.iter().map(|fault| show::json(fault, None));
            let found = lints.iter().map(|lint| show::json(&lint.fault, Some(lint.id)));
            print(json!({
                "revision": set.as_ref().map(|set| set.revision().as_str()),
                "provenance": set.as_ref().and_then(PolicySet::provenance),
                "rules": set.as_ref().map(|set| set.rules().collect::<Vec<_>>()),
                "faults": faults.collect::<Vec<_>>(),
                "warnings": found.collect::<Vec<_>>(),
            }))?;
        }
    }
    let failed = !faults.is_empty() || (strict && !lints.is_empty());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Returns what is wrong with the values that services set for the parameters of a set.
fn settings_of_services(source: &Source, set: &PolicySet) -> Vec<PolicyFault> {
    source.services.iter().flat_map(|service| set.faults_of(service)).collect()
}

fn text(source: &Source, set: Option<&PolicySet>, faults: &[PolicyFault], lints: &[Lint]) -> anyhow::Result<()> {
    for found in lints {
        print(show::fault(source, &found.fault, true))?;
    }
    for fault in faults {
        print(show::fault(source, fault, false))?;
    }
    match set {
        Some(set) if faults.is_empty() => {
            let rules = set.rules().collect::<Vec<_>>().join(", ");
            let warnings =
                if lints.is_empty() { String::new() } else { format!("; {}", counted(lints.len(), "warning")) };
            let directory = source.directory.display();
            let from = set.provenance().map_or_else(String::new, |from| format!(" ({from})"));
            print(format!("{directory}: valid; revision {}{from}, rules {rules}{warnings}", set.revision()))?;
        }
        Some(_) => {
            let faults = counted(faults.len(), "fault");
            print(format!("{faults} in the parameters of services; the rules that read them fail there"))?;
        }
        None => print(format!("{}; a running flyball keeps its last good set", counted(faults.len(), "fault")))?,
    }
    Ok(())
}
