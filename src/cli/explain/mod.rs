//! `flyball explain`: reads the journal; while a flyball has it in use, asks that one.
//!
//! `list` prints a line for each decision, and follows the running flyball.

mod list;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::adapters::store::JournalReader;
use crate::config::{Settings, parse_span};
use crate::console::Decisions;
use crate::model::time::seconds;
use crate::model::{DecisionId, DecisionRecord, ServiceId, Timestamp, explain as render};
use crate::ports::{JournalError, Status};

use super::{ConfigArg, Output, known_service, print, running, unknown_service};

/// Most decisions that are shown at once (of the API, a page), and how many lines are unless told.
const MOST: u16 = 500;
const LINES: u16 = 20;
/// How often a list is asked for of which nothing is left when it is read.
const TRIES: u8 = 5;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flyball explain shop/checkout             the last decision, with every condition and guard\n  \
                        flyball explain shop/checkout -b -s 1h    those of the last hour, one line each\n  \
                        flyball explain -f                        of all services, as they are recorded\n  \
                        flyball explain shop/checkout@1-42 -o json\n\n\
                        Recorded is what acts or changes something, and hourly; of one service also its newest decision."
)]
pub struct ExplainArgs {
    /// A service (shop/checkout), or one of its decisions (shop/checkout@1-42); of a list all services without it.
    #[arg(required_unless_present_any = ["brief", "follow"])]
    what: Option<String>,
    /// How many of the newest decisions, 1 to 500; without it 1, of a list 20, with --since all of that time.
    #[arg(long, short = 'n', value_parser = clap::value_parser!(u16).range(1..=500))]
    last: Option<u16>,
    /// Only decisions of this time, such as 10m.
    #[arg(long, short, value_name = "SPAN", value_parser = span)]
    since: Option<Duration>,
    /// One line each, the newest last: time, decision, what was done, why.
    #[arg(long, short)]
    brief: bool,
    /// Go on with each decision as the running flyball records it, one line each, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// Form of the output; json is one object a line.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    config: ConfigArg,
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|why| format!("it {why}"))
}

/// What is asked about.
enum Question {
    One(DecisionId),
    Newest(ServiceId, u16),
}

impl ExplainArgs {
    /// Returns how many decisions are looked at, where `usual` are unless told.
    fn count(&self, usual: u16) -> u16 {
        self.last.unwrap_or(if self.since.is_some() { MOST } else { usual })
    }

    /// Returns the moment from which on decisions are told. The clock is that of the loop, where one answers: a demo has its
    /// own.
    async fn from(&self, settings: &Settings) -> Option<Timestamp> {
        let since = self.since?;
        let now =
            running::ask::<Status>(settings, "status").await.map_or_else(|_| Timestamp::now(), |status| status.now);
        Some(now.checked_sub(since).unwrap_or(Timestamp::MIN))
    }

    /// Says that nothing was recorded in that time, which is no failure, or that more was than is looked at.
    fn tell_since(&self, from: Timestamp, found: usize, looked_at: usize) {
        let from = from.strftime(TIME);
        if found == 0 {
            eprintln!("flyball: no decision was recorded since {from}");
        } else if self.last.is_none() && found == looked_at && looked_at == usize::from(MOST) {
            eprintln!("flyball: these are the newest {MOST} decisions; there may be more since {from}");
        }
    }
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
    let what = match &args.what {
        Some(what) if !args.brief && !args.follow => what,
        _ => return list::list(args, &settings).await,
    };
    let mut records = find(&settings, what, args.count(1)).await?;
    if let Some(from) = args.from(&settings).await {
        let looked_at = records.len();
        records.retain(|record| record.at >= from);
        args.tell_since(from, records.len(), looked_at);
    }
    for record in &records {
        match args.output {
            Output::Text => print(render::text(record))?,
            Output::Json => print(seconds::in_seconds(serde_json::to_value(record)?))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How a time is shown.
const TIME: &str = "%Y-%m-%d %H:%M:%SZ";

/// Returns the decision that `what` names, or the `last` newest ones of the service that it names; at least one.
pub async fn find(settings: &Settings, what: &str, last: u16) -> anyhow::Result<Vec<DecisionRecord>> {
    let question = Question::read(what, last, settings)?;
    let records = match read(settings, &question) {
        Err(unreadable @ (JournalError::InUse { .. } | JournalError::Missing { .. })) => {
            running::is_own(settings).await?;
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
    for _ in 0..TRIES {
        match ask_once(&client, settings, &base, &url, question).await? {
            Found::Replaced => {}
            Found::Records(records) => return Ok(Some(records)),
            Found::Nobody => return Ok(None),
        }
    }
    anyhow::bail!(
        "each newest decision about {} was followed by another before it was read; ask again",
        question.service()
    )
}

/// What one question found.
enum Found {
    Records(Vec<DecisionRecord>),
    /// All that was listed had gone before it was read.
    Replaced,
    /// None answers.
    Nobody,
}

async fn ask_once(
    client: &reqwest::Client,
    settings: &Settings,
    base: &str,
    url: &str,
    question: &Question,
) -> anyhow::Result<Found> {
    let answer = match client.get(url).send().await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return Ok(Found::Nobody),
        Err(error) => return Err(error).with_context(|| format!("the flyball at {} did not answer", settings.listen)),
    };
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return Ok(Found::Records(Vec::new()));
    }
    let answer = answer.error_for_status()?;
    if let Question::One(_) = question {
        return Ok(Found::Records(vec![answer.json().await?]));
    }
    let listed = answer.json::<Decisions>().await?.decisions;
    let (mut records, some) = (Vec::new(), !listed.is_empty());
    for summary in listed {
        let url = format!("{base}/{}/{}", summary.id.service, summary.id.cycle);
        let answer = client.get(&url).send().await?;
        // The newest may have been followed by another one, and is recorded only where it changed something.
        if answer.status() != reqwest::StatusCode::NOT_FOUND {
            records.push(answer.error_for_status()?.json().await?);
        }
    }
    Ok(if some && records.is_empty() { Found::Replaced } else { Found::Records(records) })
}

fn read(settings: &Settings, question: &Question) -> Result<Vec<DecisionRecord>, JournalError> {
    let journal = JournalReader::open(&settings.state.join("journal.redb"))?;
    Ok(match question {
        Question::One(id) => journal.decision(id)?.into_iter().collect(),
        Question::Newest(service, last) => journal.recent(Some(service), usize::from(*last))?,
    })
}
