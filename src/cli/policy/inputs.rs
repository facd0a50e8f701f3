//! Recorded inputs, and a policy set that decides on them again: shared by `eval`, `whatif` and `bench`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::show;
use super::source::Source;
use crate::app::deadline;
use crate::cli::explain::find;
use crate::cli::running::ask;
use crate::cli::{ConfigArg, Output, unknown_service};
use crate::config::Settings;
use crate::decide::{Decider, PolicySet, compile, decide};
use crate::model::{DecisionRecord, Now, Proposal, ServiceId, ServiceSpec};
use crate::ports::Declaration;

/// Which inputs, and which set.
#[derive(Debug, Args)]
pub struct InputArgs {
    /// A service (shop/checkout), for its newest decision, from the running flyball if there is one; or one of its
    /// decisions (shop/checkout@1-42).
    #[arg(required_unless_present = "input")]
    what: Option<String>,
    /// File with decisions, one per line, as printed by `flyball explain -o json`.
    #[arg(long, value_name = "FILE", conflicts_with = "what")]
    input: Option<PathBuf>,
    /// Directory of the policy set. Default: the set in the settings, from their directory or the ConfigMaps.
    #[arg(long, short, value_name = "DIRECTORY")]
    policies: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

/// A policy set, and the decisions whose inputs it is evaluated on.
pub struct Inputs {
    /// The services of the records as currently declared.
    services: BTreeMap<ServiceId, ServiceSpec>,
    settings: Settings,
    pub set: PolicySet,
    /// At least one, newest first.
    pub records: Vec<DecisionRecord>,
}

impl InputArgs {
    /// Reads both; `None`, with every fault printed in this form, if the set does not load.
    ///
    /// # Errors
    /// When settings, records or files cannot be read.
    pub async fn read(&self, last: u16, form: Output) -> anyhow::Result<Option<Inputs>> {
        let settings = self.config.load()?;
        let records = match (&self.input, &self.what) {
            (Some(file), _) => recorded(file)?,
            (None, Some(what)) => find(&settings, what, last).await?,
            (None, None) => anyhow::bail!("name a service, a decision, or a file with --input"),
        };
        let source = match (&self.policies, records.first()) {
            (None, Some(newest)) => Source::in_use(&settings, newest.id.service.namespace()).await?,
            (directory, _) => Source::of(&settings, directory.as_deref())?,
        };
        match compile(source.texts(), &source.vocabulary, &deadline()) {
            Ok(set) => Ok(Some(Inputs { services: declared(&settings, &records).await?, settings, set, records })),
            Err(faults) => {
                show::refused(&source, &faults, form)?;
                Ok(None)
            }
        }
    }
}

/// Returns the services of the records: from the settings, or from the running flyball if `ServiceLoop` objects declare
/// them.
async fn declared(settings: &Settings, records: &[DecisionRecord]) -> anyhow::Result<BTreeMap<ServiceId, ServiceSpec>> {
    if settings.declarations().is_none() {
        return Ok(settings.listed().iter().map(|spec| (spec.id.clone(), spec.clone())).collect());
    }
    let mut found = BTreeMap::new();
    for record in records {
        let service = &record.id.service;
        if !found.contains_key(service) {
            let declaration: Declaration = ask(settings, &format!("services/{service}/declaration")).await?;
            found.insert(service.clone(), declaration.service());
        }
    }
    Ok(found)
}

fn recorded(file: &Path) -> anyhow::Result<Vec<DecisionRecord>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let records: Result<Vec<_>, _> = lines
        .map(|(number, line)| {
            let place = || format!("{} has no decision on line {}", file.display(), number.saturating_add(1));
            serde_json::from_str(line).with_context(place)
        })
        .collect();
    records.and_then(|records| {
        anyhow::ensure!(!records.is_empty(), "{} is empty, expected decisions, one per line", file.display());
        Ok(records)
    })
}

impl Inputs {
    /// Returns the newest decision.
    pub fn newest(&self) -> anyhow::Result<&DecisionRecord> {
        self.records.first().context("no decision is recorded yet")
    }

    /// Returns the service of a decision, as currently declared.
    ///
    /// # Errors
    /// When it is gone, or declares other signals.
    pub fn spec(&self, record: &DecisionRecord) -> anyhow::Result<&ServiceSpec> {
        let spec = self.services.get(&record.id.service);
        let spec = spec.ok_or_else(|| unknown_service(record.id.service.as_str(), &self.settings))?;
        anyhow::ensure!(
            record.fits(spec),
            "{} declares different signals now than when {} was decided",
            spec.id,
            record.id
        );
        Ok(spec)
    }

    /// Decides again on what was known then, and returns what may be shown. Conditions shared with the set of that time
    /// keep the duration for which they had held.
    ///
    /// # Errors
    /// When the service is gone, or declares other signals.
    pub fn again(&self, record: &DecisionRecord) -> anyhow::Result<Proposal> {
        let (spec, now) = (self.spec(record)?, moment(record));
        let mut decider = Decider::new();
        decider.recall(&record.proposal, now);
        let mut proposal = decide(&mut decider, &self.set, spec, &record.features, &record.outlook, now);
        self.set.mask(&mut proposal, &self.settings.mask);
        Ok(proposal)
    }
}

/// Returns when a decision was made.
pub fn moment(record: &DecisionRecord) -> Now {
    Now { wall: record.at, mono: Duration::from_secs(3600) }
}
