//! Decisions, one line each, and those still to come.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::past::{Pages, Past, query};
use super::{ExplainArgs, LINES, TIME, each, tell_none_since};
use crate::cli::{Output, known_service, print_line, run, unknown_service, warn_line};
use crate::config::Settings;
use crate::console::{DecisionSummary, Decisions};
use crate::model::{DecisionId, ServiceId, Timestamp};

/// Time between two polls for new decisions.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Decisions read per poll: more than are usually recorded in between.
const LOOKED_AT: usize = 200;

/// A decision on one line.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    at: Timestamp,
    id: DecisionId,
    /// What was done, or not.
    what: String,
    /// The first reason, with its numbers.
    why: String,
}

impl From<DecisionSummary> for Row {
    fn from(summary: DecisionSummary) -> Self {
        let DecisionSummary { at, id, what, why, .. } = summary;
        Self { at, id, what, why }
    }
}

impl Row {
    fn print(&self, output: Output) -> anyhow::Result<()> {
        match output {
            Output::Json => print_line(serde_json::to_string(self)?)?,
            Output::Text => {
                let at = self.at.strftime(TIME);
                print_line(format!("{at}  {:<22}  {:<18}  {}", self.id.to_string(), self.what, self.why))?;
            }
        }
        Ok(())
    }
}

pub(super) async fn list(args: &ExplainArgs, settings: &Settings) -> anyhow::Result<ExitCode> {
    if args.follow
        && let Some(Ok(id)) = args.what.as_deref().map(str::parse::<DecisionId>)
    {
        anyhow::bail!("cannot follow a single decision; `flyball explain {} --follow` follows its service", id.service);
    }
    let past = Past::of(settings)?;
    // With --follow, existing decisions are known, and only later ones are printed.
    let known = if args.follow { recorded(&past, None).await? } else { Vec::new() };
    let from = args.from(&past).await;
    let rows = match args.what.as_deref() {
        Some(what) if what.parse::<DecisionId>().is_ok() => {
            let mut found = Vec::new();
            each(&past, what, from, 1, |record| {
                found.push(Row::from(DecisionSummary::from(record)));
                Ok(())
            })
            .await?;
            found
        }
        what => {
            let service = what.map(|what| what.parse().map_err(|_| unknown_service(what, settings))).transpose()?;
            if let Some(service) = &service {
                known_service(settings, service)?;
            }
            newest(&past, service.as_ref(), from, args.count(LINES)).await?
        }
    };
    // Read newest first, printed newest last like a log.
    rows.iter().rev().try_for_each(|row| row.print(args.output))?;
    if args.follow {
        return follow(args, &past, known.into_iter().chain(rows)).await;
    }
    if let Some(from) = from.filter(|_| rows.is_empty()) {
        tell_none_since(from);
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the newest decisions from `from` on, newest first, of one service or of all: only their lines are kept.
async fn newest(
    past: &Past<'_>,
    service: Option<&ServiceId>,
    from: Option<Timestamp>,
    count: usize,
) -> anyhow::Result<Vec<Row>> {
    let mut pages = Pages::new(past, service, from, count);
    let mut rows = Vec::new();
    while let Some(page) = pages.next::<DecisionSummary>().await? {
        rows.extend(page.into_iter().map(Row::from));
    }
    Ok(rows)
}

/// Returns the last decisions recorded by the running flyball, or those before a decision, newest first. Queries all
/// services: for a single one, the newest decision would be listed even if it is not recorded yet.
async fn recorded(past: &Past<'_>, before: Option<&DecisionId>) -> anyhow::Result<Vec<Row>> {
    let page: Decisions<DecisionSummary> = past.running().ask(&query("decisions", None, before, LOOKED_AT)).await?;
    Ok(page.decisions.into_iter().map(Row::from).collect())
}

/// Returns the decisions recorded since the known ones.
async fn since_known(past: &Past<'_>, known: &BTreeMap<DecisionId, Row>) -> anyhow::Result<Vec<Row>> {
    let is_known = |row: &Row| known.contains_key(&row.id);
    let mut rows = recorded(past, None).await?;
    let mut is_full = rows.len() == LOOKED_AT;
    while is_full && !rows.iter().any(is_known) {
        let earlier = recorded(past, rows.last().map(|last| &last.id)).await?;
        is_full = earlier.len() == LOOKED_AT;
        rows.extend(earlier);
    }
    // Older ones were printed before.
    if let Some(oldest) = rows.iter().rposition(is_known) {
        rows.truncate(oldest + 1);
    }
    Ok(rows)
}

/// Prints each unknown decision as it is recorded, and again if it ended differently than last printed. A flyball that
/// does not answer is queried again: it may be about to come back.
async fn follow(args: &ExplainArgs, past: &Past<'_>, known: impl IntoIterator<Item = Row>) -> anyhow::Result<ExitCode> {
    let service: Option<ServiceId> = args.what.as_deref().and_then(|what| what.parse().ok());
    let mut told: BTreeMap<DecisionId, Row> = known.into_iter().map(|row| (row.id.clone(), row)).collect();
    let mut stop = std::pin::pin!(run::stop_signal());
    let mut silent = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            _ = &mut stop => return Ok(ExitCode::SUCCESS),
        }
        let rows = match since_known(past, &told).await {
            Ok(rows) => rows,
            Err(error) => {
                if !silent {
                    warn_line(format_args!("{error:#}; retrying"));
                }
                silent = true;
                continue;
            }
        };
        if std::mem::take(&mut silent) {
            warn_line(format_args!("reconnected"));
        }
        for row in rows.iter().rev().filter(|row| told.get(&row.id) != Some(*row)) {
            if service.as_ref().is_none_or(|service| *service == row.id.service) {
                row.print(args.output)?;
            }
        }
        told = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    }
}
