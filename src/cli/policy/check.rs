//! `flyball policy check`

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::show;
use super::source::{Source, SourceArgs};
use crate::app::deadline;
use crate::cli::print;
use crate::config::{Settings, TimedParameter, unknown};
use crate::cycle::stages::{Lint, PolicyFault, PolicySet, compile, lint};
use crate::model::Unit;
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

/// Compiles a set, looks for what is likely a mistake, also in what the settings say of it, and prints all of it.
pub fn check_set(source: &Source, strict: bool, form: Form) -> anyhow::Result<ExitCode> {
    let (set, mut faults) = match compile(source.texts(), &source.vocabulary, &deadline()) {
        Ok(set) => (Some(set), Vec::new()),
        Err(faults) => (None, faults),
    };
    let lints = set.as_ref().map_or(Vec::new(), |set| lint(set, source.texts()));
    if let (Some(set), Some(settings)) = (&set, &source.settings) {
        faults.extend(settings.services.iter().flat_map(|service| set.faults_of(service)));
        faults.extend(unfit(settings, set));
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

/// Tells a program why a set could not be read, in the form in which it is told of one that could.
pub fn refuse_set(error: &anyhow::Error) -> anyhow::Result<ExitCode> {
    let fault = show::json(&PolicyFault::of("", format!("{error:#}")), None);
    print(json!({ "revision": null, "provenance": null, "rules": null, "faults": [fault], "warnings": [] }))?;
    Ok(ExitCode::FAILURE)
}

/// Returns what settings say of parameters that does not fit the set: a mask of one that there is not, a span of time for one
/// that is none.
fn unfit(settings: &Settings, set: &PolicySet) -> Vec<PolicyFault> {
    let known: Vec<&str> = set.parameters().iter().map(|parameter| &*parameter.name).collect();
    let masked = settings.mask.parameters.iter().filter(|name| !known.contains(&&***name));
    let masked = masked.map(|name| format!("records.mask.parameters: {}", unknown("parameter", name, &known)));
    let timed = settings.timed_parameters.iter().filter_map(|timed| {
        let parameter = set.parameters().iter().find(|known| known.name == timed.name)?;
        let (TimedParameter { path, name, text }, unit) = (timed, parameter.unit);
        (unit != Unit::Seconds).then(|| format!("{path}: {name} is {}, `{text}` is a time", unit.word()))
    });
    masked.chain(timed).map(|message| PolicyFault::of("", message)).collect()
}

/// Returns the same of the settings and the set that they name, where both can be read.
pub fn unfit_settings(settings: &Settings) -> Vec<PolicyFault> {
    let source = Source::of(settings, None).ok();
    let set = source.and_then(|source| compile(source.texts(), &source.vocabulary, &deadline()).ok());
    set.map_or_else(Vec::new, |set| unfit(settings, &set))
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
            print(format!("{faults} in what the settings say of parameters; rules that read such a value may fail"))?;
        }
        None => print(format!("{}; a running flyball keeps its last good set", counted(faults.len(), "fault")))?,
    }
    Ok(())
}
