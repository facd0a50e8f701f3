//! `flyball policy check`

use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::show;
use super::source::{Source, SourceArgs};
use crate::app::deadline;
use crate::cli::print_finding;
use crate::config::{Settings, TimedParameter, unknown};
use crate::decide::{Lint, PolicyFault, PolicySet, compile, lint, run_tests};
use crate::model::explain::counted;
use crate::model::{SignalName, Unit};

#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 the set is valid; 1 it has faults, or warnings with --strict; 2 the set or the settings \
     could not be read."
)]
pub struct CheckArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Also fail on warnings (valid, but probably a mistake), and run the tests of the set.
    #[arg(long)]
    strict: bool,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Human-readable, with the source line under each fault.
    Text,
    /// Machine-readable.
    Json,
    /// SARIF 2.1.0, for code hosts.
    Sarif,
}

pub fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    check_set(&args.source.read()?, args.strict, args.output)
}

/// The results of checking a policy set.
#[derive(Default)]
struct Checked {
    /// The set, if its rules load.
    set: Option<Arc<PolicySet>>,
    /// Whether there are settings that declare the signals.
    has_settings: bool,
    /// What keeps it from becoming active: rules or tests that do not load, tests that fail.
    refused: Vec<PolicyFault>,
    /// What in the settings does not fit it.
    unfit: Vec<PolicyFault>,
    /// What loads but is probably a mistake.
    warnings: Vec<Lint>,
    /// The number of tests, and whether they ran.
    tests: usize,
    tests_ran: bool,
}

impl Checked {
    fn of(source: &Source, strict: bool) -> Self {
        // As in a running flyball: one deadline for the rules and all their tests.
        let deadline = deadline();
        let (set, refused) = match compile(source.texts(), &source.vocabulary, &deadline) {
            Ok(set) => (Some(Arc::new(set)), Vec::new()),
            Err(faults) => (None, faults),
        };
        let has_settings = source.settings.is_some();
        let mut checked = Self { set: set.clone(), has_settings, refused, ..Self::default() };
        let Some(set) = set else { return checked };
        checked.warnings = lint(&set, source.texts());
        if let Some(settings) = &source.settings {
            checked.unfit = settings.listed().iter().flat_map(|service| set.faults_of(service)).collect();
            checked.unfit.extend(unfit(settings, &set));
        }
        let tests = Cell::new(0);
        let wanted = |_: &str| {
            tests.set(tests.get() + 1);
            strict
        };
        match run_tests(&set, &source.vocabulary, source.texts(), &wanted, &|| Arc::clone(&deadline)) {
            Ok(report) => {
                checked.warnings.extend(report.idle());
                checked.refused.extend(report.tests.into_iter().filter_map(|test| {
                    let failure = test.failure?;
                    let message = format!("{} (test `{}`)", failure.message, test.name);
                    Some(PolicyFault { message, ..failure })
                }));
                checked.tests_ran = strict;
            }
            Err(faults) => checked.refused.extend(faults),
        }
        checked.tests = tests.get();
        checked
    }

    /// Returns all faults.
    fn faults(&self) -> impl Iterator<Item = &PolicyFault> {
        self.refused.iter().chain(&self.unfit)
    }

    /// Returns the rules without data under the settings, with the standard signals that they miss.
    fn unmeasured(&self) -> BTreeMap<&str, Vec<SignalName>> {
        self.set.as_deref().filter(|_| self.has_settings).map(PolicySet::unmeasured).unwrap_or_default()
    }

    /// Returns the JSON output.
    fn json(&self) -> Value {
        let set = self.set.as_deref();
        let found = self.warnings.iter().map(|lint| show::json(&lint.fault, Some(lint.id)));
        json!({
            "revision": set.map(|set| set.revision().as_str()),
            "provenance": set.and_then(PolicySet::provenance),
            "rules": set.map(|set| set.rules().collect::<Vec<_>>()),
            "faults": self.faults().map(|fault| show::json(fault, None)).collect::<Vec<_>>(),
            "warnings": found.collect::<Vec<_>>(),
            "unmeasured": self.unmeasured(),
            "without_lever": set.map(|set| set.without_lever().collect::<Vec<_>>()),
            "tests": self.tests,
            "tests_ran": self.tests_ran,
        })
    }
}

/// Compiles a set and its tests, looks for probable mistakes, including in what the settings say about it, and prints
/// everything. With `strict` the tests run.
pub fn check_set(source: &Source, strict: bool, form: Form) -> anyhow::Result<ExitCode> {
    let checked = Checked::of(source, strict);
    match form {
        Form::Text => text(source, &checked)?,
        Form::Sarif => print_finding(show::sarif(source, checked.faults(), &checked.warnings))?,
        Form::Json => print_finding(checked.json())?,
    }
    let failed = checked.faults().next().is_some() || (strict && !checked.warnings.is_empty());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Reports as JSON why a set could not be read, in the same form as for a readable one.
pub fn refuse_set(error: &anyhow::Error) -> anyhow::Result<ExitCode> {
    let refused = vec![PolicyFault::of("", format!("{error:#}"))];
    print_finding(Checked { refused, ..Checked::default() }.json())?;
    Ok(ExitCode::FAILURE)
}

/// Returns the settings of parameters that do not fit the set: a mask for a parameter that does not exist, a duration
/// for one that is not a duration.
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

/// Returns the same for the settings and the set that they name, if both can be read.
pub fn unfit_settings(settings: &Settings) -> Vec<PolicyFault> {
    let source = Source::of(settings, None).ok();
    let set = source.and_then(|source| compile(source.texts(), &source.vocabulary, &deadline()).ok());
    set.map_or_else(Vec::new, |set| unfit(settings, &set))
}

fn text(source: &Source, checked: &Checked) -> anyhow::Result<()> {
    for found in &checked.warnings {
        print_finding(show::fault(source, &found.fault, true))?;
    }
    for fault in checked.faults() {
        print_finding(show::fault(source, fault, false))?;
    }
    let Checked { set, refused, unfit, warnings, tests, tests_ran, .. } = checked;
    match set {
        Some(set) if refused.is_empty() && unfit.is_empty() => {
            let rules = set.rules().collect::<Vec<_>>().join(", ");
            let warnings =
                if warnings.is_empty() { String::new() } else { format!("; {}", counted(warnings.len(), "warning")) };
            let tests = match (tests, tests_ran) {
                (0, _) => String::new(),
                (tests, true) => format!("; {} passed", counted(*tests, "test")),
                (tests, false) => format!("; {} not run", counted(*tests, "test")),
            };
            let directory = source.directory.display();
            let from = set.provenance().map_or_else(String::new, |from| format!(" ({from})"));
            print_finding(format!(
                "{directory}: valid; revision {}{from}, rules {rules}{warnings}{tests}",
                set.revision()
            ))?;
            for rule in set.without_lever() {
                print_finding(format!(
                    "note: rule {rule} is recorded but never acts: flyball cannot carry out its action yet"
                ))?;
            }
            for (rule, missed) in checked.unmeasured() {
                let signals = if missed.len() > 1 { "signals" } else { "signal" };
                let missed = missed.iter().map(SignalName::as_str).collect::<Vec<_>>().join(", ");
                print_finding(format!(
                    "note: rule {rule} stays unknown: the settings do not configure the standard {signals} {missed}"
                ))?;
            }
        }
        _ => {
            if !unfit.is_empty() {
                let faults = counted(unfit.len(), "fault");
                print_finding(format!(
                    "{faults} in the parameters in the settings; rules that read such a value may fail"
                ))?;
            }
            if !refused.is_empty() {
                print_finding(format!(
                    "{}; a running flyball keeps its last good set",
                    counted(refused.len(), "fault")
                ))?;
            }
        }
    }
    Ok(())
}
