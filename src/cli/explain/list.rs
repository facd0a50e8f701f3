//! Decisions one line each, and those to come.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::{ExplainArgs, LINES, MOST, TIME, find};
use crate::adapters::store::JournalReader;
use crate::cli::running::ask;
use crate::cli::{Output, known_service, print, run, unknown_service};
use crate::config::Settings;
use crate::console::{DecisionSummary, Decisions};
use crate::model::{DecisionId, DecisionRecord, ServiceId, Timestamp, explain};
use crate::ports::JournalError;

/// Time between two looks for new decisions.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Decisions looked at each time: more than are usually recorded in between.
const LOOKED_AT: usize = 200;

/// A decision in a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    at: Timestamp,
    id: DecisionId,
    /// What was done, or not.
    what: String,
    /// The first reason, with its numbers.
    why: String,
}

impl From<&DecisionRecord> for Row {
    fn from(record: &DecisionRecord) -> Self {
        let explain::Headline { what, why } = explain::headline(record);
        Self { at: record.at, id: record.id.clone(), what, why }
    }
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
            Output::Json => print(serde_json::to_string(self)?)?,
            Output::Text => {
                let at = self.at.strftime(TIME);
                print(format!("{at}  {:<22}  {:<18}  {}", self.id.to_string(), self.what, self.why))?;
            }
        }
        Ok(())
    }
}

pub(super) async fn list(args: &ExplainArgs, settings: &Settings) -> anyhow::Result<ExitCode> {
    if args.follow
        && let Some(Ok(id)) = args.what.as_deref().map(str::parse::<DecisionId>)
    {
        anyhow::bail!(
            "nothing follows one decision; `flyball explain {} --follow` goes on with its service",
            id.service
        );
    }
    // What is there before is known to whoever follows, and what is recorded from here on is told.
    let known = if args.follow { recorded(settings, LOOKED_AT).await? } else { Vec::new() };
    let rows = match args.what.as_deref() {
        Some(what) if what.parse::<DecisionId>().is_ok() => {
            find(settings, what, 1).await?.iter().map(Row::from).collect()
        }
        what => {
            let service = what.map(|what| what.parse().map_err(|_| unknown_service(what, settings))).transpose()?;
            if let Some(service) = &service {
                known_service(settings, service)?;
            }
            newest(settings, service.as_ref(), usize::from(args.count(LINES))).await?
        }
    };
    let from = args.from(settings).await;
    let looked_at = rows.len();
    let rows: Vec<Row> = rows.into_iter().filter(|row| from.is_none_or(|from| row.at >= from)).collect();
    // Newest first as they come, newest last as a log is read.
    rows.iter().rev().try_for_each(|row| row.print(args.output))?;
    if args.follow {
        return follow(args, settings, known.into_iter().chain(rows)).await;
    }
    if let Some(from) = from {
        args.tell_since(from, rows.len(), looked_at);
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the newest decisions, newest first, of one service or of all.
async fn newest(settings: &Settings, service: Option<&ServiceId>, count: usize) -> anyhow::Result<Vec<Row>> {
    let journal = JournalReader::open(&settings.state.join("journal.redb"));
    match journal.and_then(|journal| journal.recent(service, count)) {
        Ok(records) => Ok(records.iter().map(Row::from).collect()),
        Err(JournalError::InUse { .. } | JournalError::Missing { .. }) => {
            let of = service.map_or_else(String::new, |service| format!("&service={service}"));
            let page: Decisions = ask(settings, &format!("decisions?limit={count}{of}")).await?;
            Ok(page.decisions.into_iter().map(Row::from).collect())
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns what the running flyball recorded last, newest first. Of all services: of one alone the newest decision would
/// stand among those that are recorded.
async fn recorded(settings: &Settings, count: usize) -> anyhow::Result<Vec<Row>> {
    let page: Decisions = ask(settings, &format!("decisions?limit={count}")).await?;
    Ok(page.decisions.into_iter().map(Row::from).collect())
}

/// Returns what was recorded last, back to what is known; as much as one answer holds, where that takes it.
async fn since_known(settings: &Settings, known: &BTreeMap<DecisionId, Row>) -> anyhow::Result<Vec<Row>> {
    let oldest_known = |rows: &[Row]| rows.iter().rposition(|row| known.contains_key(&row.id));
    let rows = recorded(settings, LOOKED_AT).await?;
    if rows.len() < LOOKED_AT || oldest_known(&rows).is_some() {
        return Ok(rows);
    }
    let mut rows = recorded(settings, usize::from(MOST)).await?;
    match oldest_known(&rows) {
        // What is older was told before.
        Some(oldest) => rows.truncate(oldest + 1),
        None if rows.len() < usize::from(MOST) => {}
        None => eprintln!("flyball: more than {MOST} decisions came at once; earlier ones are left out"),
    }
    Ok(rows)
}

/// Prints each decision that is not known as it is recorded, and once more when it has ended otherwise than it stood. One
/// that does not answer is asked on: it may be about to come back.
async fn follow(
    args: &ExplainArgs,
    settings: &Settings,
    known: impl IntoIterator<Item = Row>,
) -> anyhow::Result<ExitCode> {
    let service: Option<ServiceId> = args.what.as_deref().and_then(|what| what.parse().ok());
    let mut told: BTreeMap<DecisionId, Row> = known.into_iter().map(|row| (row.id.clone(), row)).collect();
    let mut stop = std::pin::pin!(run::stop_signal());
    let mut silent = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            _ = &mut stop => return Ok(ExitCode::SUCCESS),
        }
        let rows = match since_known(settings, &told).await {
            Ok(rows) => rows,
            Err(error) => {
                if !silent {
                    eprintln!("flyball: {error:#}; it is asked on");
                }
                silent = true;
                continue;
            }
        };
        if std::mem::take(&mut silent) {
            eprintln!("flyball: it answers again");
        }
        for row in rows.iter().rev().filter(|row| told.get(&row.id) != Some(*row)) {
            if service.as_ref().is_none_or(|service| *service == row.id.service) {
                row.print(args.output)?;
            }
        }
        told = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    }
}
