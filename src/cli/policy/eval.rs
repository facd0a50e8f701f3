//! `flyball policy eval`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::show;
use super::source::Source;
use crate::app::deadline;
use crate::cli::explain::find;
use crate::cli::{ConfigArg, Output, print, unknown_service};
use crate::config::Settings;
use crate::cycle::stages::{Decider, PolicySet, compile, decide};
use crate::model::{DecisionRecord, Now, Proposal, ServiceSpec, explain};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flyball policy eval shop/checkout                    the set of the settings on the newest recorded inputs\n  \
                        flyball policy eval shop/checkout@1-42 -p ./edited   an edited set on those of one decision\n  \
                        flyball explain shop/checkout -o json > then.json && flyball policy eval --input then.json"
)]
pub struct EvalArgs {
    /// A service (shop/checkout), or one of its decisions (shop/checkout@1-42), whose recorded inputs are taken.
    #[arg(required_unless_present = "input")]
    what: Option<String>,
    /// A file with a decision, as `flyball explain -o json` prints it.
    #[arg(long, value_name = "FILE", conflicts_with = "what")]
    input: Option<PathBuf>,
    /// Directory of the set; without it, that of the settings.
    #[arg(long, short, value_name = "DIRECTORY")]
    policies: Option<PathBuf>,
    /// Show every condition of every rule, and not the choice alone.
    #[arg(long)]
    explain: bool,
    /// Form of the output.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    config: ConfigArg,
}

pub async fn eval(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?;
    let record = match (&args.input, &args.what) {
        (Some(file), _) => recorded(file)?,
        (None, Some(what)) => {
            let records = find(&settings, what, 1).await?;
            records.into_iter().next().with_context(|| format!("no decision about {what} is recorded yet"))?
        }
        (None, None) => anyhow::bail!("name a service, a decision, or a file with --input"),
    };
    let source = Source::of(&settings, args.policies.as_deref())?;
    let set = match compile(source.texts(), &source.vocabulary, &deadline()) {
        Ok(set) => set,
        Err(faults) => {
            for fault in &faults {
                print(show::fault(&source, fault, false))?;
            }
            return Ok(ExitCode::from(2));
        }
    };
    let proposal = again(&settings, &set, &record)?;
    match args.output {
        Output::Json => print(serde_json::to_string(&proposal)?)?,
        Output::Text => {
            print(format!("{} at {}, decided by revision {}", record.id, record.at, set.revision()))?;
            print(format!("then  {}", explain::choice(&record.proposal)))?;
            print(format!("now   {}", explain::choice(&proposal)))?;
            if args.explain {
                print(explain::rules(&proposal))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn recorded(file: &Path) -> anyhow::Result<DecisionRecord> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let first = text.lines().next().unwrap_or_default();
    serde_json::from_str(first).with_context(|| format!("{} holds no decision on its first line", file.display()))
}

/// Decides once more on what was known then, without a past: nothing has been held for any time.
fn again(settings: &Settings, set: &PolicySet, record: &DecisionRecord) -> anyhow::Result<Proposal> {
    let spec = settings.services.iter().find(|spec| spec.id == record.id.service);
    let spec: &ServiceSpec = spec.ok_or_else(|| unknown_service(record.id.service.as_str(), settings))?;
    let then: Vec<_> = record.signals.iter().map(|label| (&label.name, label.unit)).collect();
    let now: Vec<_> = spec.signals.iter().map(|signal| (&signal.name, signal.unit)).collect();
    anyhow::ensure!(then == now, "{} declares other signals now than when {} was decided", spec.id, record.id);
    let moment = Now { wall: record.at, mono: Duration::from_secs(3600) };
    Ok(decide(&mut Decider::new(), set, spec, &record.features, &record.outlook, moment))
}
