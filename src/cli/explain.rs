//! `flyball explain`: asks a running flyball; where none runs, reads the journal.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Deserialize;

use crate::adapters::store::JournalReader;
use crate::config::Settings;
use crate::console::DecisionSummary;
use crate::model::{DecisionId, DecisionRecord, ServiceId, explain as render};

use super::{ConfigArg, Output};

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A service (namespace/name), or one decision (namespace/name@run-seq).
    what: String,
    /// How many of the newest decisions to explain.
    #[arg(long, short = 'n', default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=500))]
    last: u16,
    /// Form of the output.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    config: ConfigArg,
}

/// The list of decisions that the API answers with.
#[derive(Deserialize)]
struct Decisions {
    decisions: Vec<DecisionSummary>,
}

/// What is asked about.
enum Question {
    One(DecisionId),
    Newest(ServiceId, u16),
}

pub async fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let question = match args.what.parse() {
        Ok(id) => Question::One(id),
        Err(_) => Question::Newest(args.what.parse()?, args.last),
    };
    let settings = args.config.load()?;
    let (Question::One(DecisionId { service, .. }) | Question::Newest(service, _)) = &question;
    super::known_service(&settings, service)?;
    let records = match ask(&settings, &question).await? {
        Some(records) => records,
        None => read(&settings, &question)?,
    };
    if records.is_empty() {
        println!("no decision about {} is recorded", args.what);
        return Ok(ExitCode::FAILURE);
    }
    for record in &records {
        match args.output {
            Output::Text => println!("{}", render::text(record)),
            Output::Json => println!("{}", serde_json::to_string(record)?),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the running flyball; `None` if none answers.
async fn ask(settings: &Settings, question: &Question) -> anyhow::Result<Option<Vec<DecisionRecord>>> {
    let base = format!("http://{}/api/v1/decisions", settings.listen);
    let url = match question {
        Question::One(id) => format!("{base}/{}/{}", id.service, id.cycle),
        Question::Newest(service, last) => format!("{base}?service={service}&limit={last}"),
    };
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
    let answer = match client.get(&url).send().await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return Ok(None),
        Err(error) => return Err(error).context("the running flyball did not answer"),
    };
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return Ok(Some(Vec::new()));
    }
    let answer = answer.error_for_status()?;
    if let Question::One(_) = question {
        return Ok(Some(vec![answer.json().await?]));
    }
    let mut records = Vec::new();
    for summary in answer.json::<Decisions>().await?.decisions {
        let url = format!("{base}/{}/{}", summary.id.service, summary.id.cycle);
        records.push(client.get(&url).send().await?.error_for_status()?.json().await?);
    }
    Ok(Some(records))
}

fn read(settings: &Settings, question: &Question) -> anyhow::Result<Vec<DecisionRecord>> {
    let journal = JournalReader::open(&settings.state.join("journal.redb"))?;
    Ok(match question {
        Question::One(id) => journal.decision(id)?.into_iter().collect(),
        Question::Newest(service, last) => journal.recent(Some(service), usize::from(*last))?,
    })
}
