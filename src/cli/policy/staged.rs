//! `flyball policy status`, `diff`, `promote`, `rollback`: which revision is active, and for which services.
//!
//! The displayed state comes from the running process over read-only HTTP; an order is a file in its state directory,
//! like the kill switch.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::adapters::policy_memory::{give, take_back};
use crate::cli::running::{Running, ask};
use crate::cli::{ConfigArg, Output, known_service, print_finding, print_line};
use crate::config::Settings;
use crate::model::explain::{counted, span};
use crate::model::{PolicyComparison, PolicyRevision, ServiceId, Timestamp};
use crate::ports::policy_memory::{CandidateStatus, PolicyOperation, PolicyOrder, PolicyOrderEnd};
use crate::ports::{PolicyStatus, ServiceSnapshot};

/// How long to wait for the answer to an order.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only the active revision of this service (namespace/name).
    service: Option<ServiceId>,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 the candidate made the same choice in every decision; 1 it differs, or there is no \
     candidate; 2 flyball does not answer."
)]
pub struct DiffArgs {
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
pub struct OrderArgs {
    /// Only for this service (namespace/name), until the next revision becomes active.
    service: Option<ServiceId>,
    /// Reason; written to the log.
    #[arg(long, short, default_value = "from the command line")]
    reason: String,
    /// Who; kept beside the reason.
    #[arg(long, default_value_t = crate::config::user(), hide_default_value = true)]
    by: String,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    config: ConfigArg,
}

pub async fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?;
    if let Some(service) = &args.service {
        known_service(&settings, service)?;
        let found: ServiceSnapshot = ask(&settings, &format!("services/{service}")).await?;
        let status: PolicyStatus = ask(&settings, "policy").await?;
        let revision =
            found.revision.as_ref().map_or_else(|| "none".to_owned(), |revision| with_origin(&status, revision));
        let provenance = found.revision.as_ref().and_then(|revision| status.provenance.get(revision));
        let told = json!({ "service": service, "revision": found.revision, "provenance": provenance });
        print_line(match args.output {
            Output::Text => format!("{service} uses revision {revision}"),
            Output::Json => told.to_string(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let status: PolicyStatus = ask(&settings, "policy").await?;
    match args.output {
        Output::Json => print_line(serde_json::to_string(&status)?)?,
        Output::Text => text(&status)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(status: &PolicyStatus) -> anyhow::Result<()> {
    let named = |revision: &PolicyRevision| with_origin(status, revision);
    let revision = status.in_force.as_ref().map_or_else(|| "none".to_owned(), named);
    print_line(format!("active      {revision}"))?;
    let released = |revision: &PolicyRevision| release_named(status, revision);
    let warnings =
        |warnings: &[String]| warnings.iter().try_for_each(|one| print_line(format!("            warning: {one}")));
    if let Some(revision) = &status.release {
        print_line(format!("            {} in total", released(revision)))?;
    }
    if let Some(revision) = &status.follows {
        print_line(format!("            the leader uses {}, which this process has not read", released(revision)))?;
    }
    for (namespace, revision) in &status.namespaces {
        print_line(format!("            {} for the services of {namespace}", named(revision)))?;
    }
    for (service, revision) in &status.apart {
        print_line(format!("            {} for {service}", named(revision)))?;
    }
    warnings(&status.warnings)?;
    if let Some(revision) = &status.previous {
        print_line(format!("previous    {}: target of `flyball policy rollback`", released(revision)))?;
    }
    for revision in &status.earlier {
        print_line(format!("            {}: one more rollback", released(revision)))?;
    }
    if let Some(candidate) = &status.candidate {
        let CandidateStatus { revision, in_force_in, live, .. } = candidate;
        print_line(format!(
            "candidate   {}: active in {}; {}; `flyball policy diff` shows the differences",
            released(revision),
            span(Duration::from_secs(*in_force_in)),
            compared(live)
        ))?;
        for (namespace, left) in candidate.sets_in_force_in_seconds.iter().filter(|(_, left)| *left != in_force_in) {
            let whom = if namespace.is_empty() { "all other services" } else { namespace };
            print_line(format!("            for {whom} in {}", span(Duration::from_secs(*left))))?;
        }
        warnings(&candidate.warnings)?;
    }
    if let Some(revision) = &status.rolled_back {
        print_line(format!(
            "rolled back {}: not activated again until it is changed or promoted (`flyball policy promote`)",
            released(revision)
        ))?;
    }
    for fault in &status.faults {
        print_line(format!("refused     {fault}"))?;
    }
    if status.in_force.is_none() {
        print_line(
            "            nothing is decided until a policy set loads: `flyball policy check` lists what is wrong",
        )?;
    }
    Ok(())
}

/// Returns the name for a hash of all sets together: a release, if it differs from that of one set.
pub fn release_named(status: &PolicyStatus, revision: &PolicyRevision) -> String {
    let named = with_origin(status, revision);
    if status.release.is_some() { format!("release {named}") } else { named }
}

/// Returns a revision with its origin, if known.
pub fn with_origin(status: &PolicyStatus, revision: &PolicyRevision) -> String {
    status.provenance.get(revision).map_or_else(|| revision.to_string(), |from| format!("{revision} ({from})"))
}

pub async fn diff(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?;
    let status: PolicyStatus = ask(&settings, "policy").await?;
    let Some(candidate) = &status.candidate else {
        match (args.output, &status.replay) {
            (Output::Json, replay) => print_finding(serde_json::to_string(replay)?)?,
            (Output::Text, Some(replay)) if replay.decisions > 0 => {
                print_finding(
                    "there is no candidate; comparison of the active policy set with its predecessor, made when it was \
                     loaded",
                )?;
                differences("on recorded inputs", replay)?;
            }
            (Output::Text, _) => print_finding("there is no candidate")?,
        }
        return Ok(ExitCode::FAILURE);
    };
    if args.output == Output::Json {
        print_finding(serde_json::to_string(candidate)?)?;
    } else {
        let in_force = status
            .release
            .as_ref()
            .or(status.in_force.as_ref())
            .map_or_else(|| "none".to_owned(), |revision| release_named(&status, revision));
        let beside = release_named(&status, &candidate.revision);
        print_finding(format!(
            "{in_force} is active, {beside} is the candidate for {} more",
            span(Duration::from_secs(candidate.in_force_in))
        ))?;
        differences("on inputs recorded before it was loaded", &candidate.replay)?;
        differences("since it became the candidate", &candidate.live)?;
        for warning in &candidate.warnings {
            print_finding(format!("warning: {warning}"))?;
        }
    }
    let same = |comparison: &PolicyComparison| comparison.same == comparison.decisions;
    let same = same(&candidate.replay) && same(&candidate.live);
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn compared(comparison: &PolicyComparison) -> String {
    let PolicyComparison { decisions, same, .. } = comparison;
    let decisions_told = counted(usize::try_from(*decisions).unwrap_or(usize::MAX), "decision");
    format!("{decisions_told}, {} different", decisions.saturating_sub(*same))
}

fn differences(where_: &str, comparison: &PolicyComparison) -> anyhow::Result<()> {
    print_finding(format!("\n{where_}: {}", compared(comparison)))?;
    for found in &comparison.differences {
        let times = if found.times == 1 { "once".to_owned() } else { format!("{} times", found.times) };
        print_finding(format!("  {times}, last {}", found.decision))?;
        print_finding(format!("    active     {}", found.wanted))?;
        print_finding(format!("    candidate  {}", found.candidate_wanted))?;
    }
    Ok(())
}

pub async fn order(args: &OrderArgs, operation: PolicyOperation) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?;
    if let Some(service) = &args.service {
        known_service(&settings, service).context("nothing was changed")?;
    }
    // Otherwise only a flyball that starts with these settings within half a minute would find the order.
    let running = Running::of(&settings)?;
    running.is_own().await.context("nothing was requested")?;
    let at = Timestamp::now();
    let order = PolicyOrder {
        id: format!("{}-{}", at.as_nanosecond(), std::process::id()),
        at,
        operation,
        service: args.service.clone(),
        by: args.by.clone(),
        reason: args.reason.clone(),
    };
    give(&settings.state, &order)
        .with_context(|| format!("the order cannot be written to {}", settings.state.display()))?;
    let end = answer(&settings, &running, &order).await?;
    match args.output {
        Output::Text => print_finding(&end.words)?,
        Output::Json => print_finding(serde_json::to_string(&end)?)?,
    }
    Ok(if end.done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits until the running flyball has obeyed.
async fn answer(settings: &Settings, running: &Running<'_>, order: &PolicyOrder) -> anyhow::Result<PolicyOrderEnd> {
    let until = Instant::now() + PATIENCE;
    loop {
        let status: PolicyStatus = running.ask("policy").await.context("the order was left for flyball to pick up")?;
        if let Some(end) = status.last_order.filter(|end| end.id == order.id) {
            return Ok(end);
        }
        if Instant::now() >= until {
            let taken_back = take_back(&settings.state, order);
            anyhow::bail!(
                "the flyball at {} did not react within {} s: is {} its state directory? The order {}",
                settings.listen,
                PATIENCE.as_secs(),
                settings.state.display(),
                if taken_back { "was withdrawn" } else { "remains for half a minute" }
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_of_all_sets_is_told_from_that_of_one() {
        let revision = PolicyRevision::of([("a", "1")]);
        let alone = PolicyStatus::default();
        assert_eq!(release_named(&alone, &revision), revision.to_string(), "one set is its own release");
        let beside = PolicyStatus { release: Some(PolicyRevision::of([("b", "2")])), ..alone };
        assert_eq!(release_named(&beside, &revision), format!("release {revision}"));
    }
}
