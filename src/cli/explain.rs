//! `flyball explain`: reads the journal; while a flyball has it in use, asks that one.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::adapters::store::JournalReader;
use crate::config::Settings;
use crate::console::Decisions;
use crate::model::{DecisionId, DecisionRecord, ServiceId, explain as render};
use crate::ports::JournalError;

use super::{ConfigArg, Output, known_service, print, unknown_service};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flyball explain shop/checkout             the last decision, with every condition and guard\n  \
                        flyball explain shop/checkout -n 5        the last five\n  \
                        flyball explain shop/checkout@1-42 -o json"
)]
pub struct ExplainArgs {
    /// A service (shop/checkout), or one of its decisions (shop/checkout@1-42).
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

/// What is asked about.
enum Question {
    One(DecisionId),
    Newest(ServiceId, u16),
}

impl Question {
    fn read(what: &str, last: u16, settings: &Settings) -> anyhow::Result<Self> {
        if let Ok(id) = what.parse() {
            return Ok(Self::One(id));
        }
        let service = what.parse().map_err(|_| unknown_service(what, settings))?;
        Ok(Self::Newest(service, last))
    }

    /// Says why nothing is known: that there is no such service comes before what is wrong with the journal.
    fn unread(&self, settings: &Settings, error: JournalError) -> anyhow::Error {
        known_service(settings, self.service()).err().unwrap_or(error.into())
    }

    fn service(&self) -> &ServiceId {
        match self {
            Self::One(id) => &id.service,
            Self::Newest(service, _) => service,
        }
    }

    fn unanswered(&self, settings: &Settings) -> anyhow::Error {
        if let Err(unknown) = known_service(settings, self.service()) {
            return unknown;
        }
        match self {
            Self::One(id) => anyhow::anyhow!(
                "no decision {id} is recorded; `flyball explain {} -n 20` shows the newest with their names",
                id.service
            ),
            Self::Newest(service, _) => {
                anyhow::anyhow!("no decision about {service} is recorded yet; start `flyball run`")
            }
        }
    }
}

pub async fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?;
    for record in &find(&settings, &args.what, args.last).await? {
        match args.output {
            Output::Text => print(render::text(record))?,
            Output::Json => print(serde_json::to_string(record)?)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the decision that `what` names, or the `last` newest ones of the service that it names; at least one.
pub async fn find(settings: &Settings, what: &str, last: u16) -> anyhow::Result<Vec<DecisionRecord>> {
    let question = Question::read(what, last, settings)?;
    let records = match read(settings, &question) {
        Err(unreadable @ (JournalError::InUse { .. } | JournalError::Missing { .. })) => {
            match ask(settings, &question).await? {
                Some(records) => records,
                None => return Err(question.unread(settings, unreadable)),
            }
        }
        read => read?,
    };
    if records.is_empty() { Err(question.unanswered(settings)) } else { Ok(records) }
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
        Err(error) => return Err(error).with_context(|| format!("the flyball at {} did not answer", settings.listen)),
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

fn read(settings: &Settings, question: &Question) -> Result<Vec<DecisionRecord>, JournalError> {
    let journal = JournalReader::open(&settings.state.join("journal.redb"))?;
    Ok(match question {
        Question::One(id) => journal.decision(id)?.into_iter().collect(),
        Question::Newest(service, last) => journal.recent(Some(service), usize::from(*last))?,
    })
}
