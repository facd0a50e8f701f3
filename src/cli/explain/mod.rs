//! `flyball explain`: reads the journal, or queries the flyball that has it in use.
//!
//! `past` reads decisions, page by page; `list` prints a line for each, and follows the running flyball.

mod list;
mod past;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::config::{Settings, parse_span};
use crate::model::time::seconds;
use crate::model::{DecisionId, DecisionRecord, ServiceId, Timestamp, explain as render};
use crate::ports::Status;

use super::{ConfigArg, Output, known_service, print_line, unknown_service, warn_line};
use past::{Pages, Past};

/// Default number of lines.
const LINES: u16 = 20;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flyball explain shop/checkout             the last decision, with every condition and guard\n  \
                        flyball explain shop/checkout -b -s 1h    decisions of the last hour, one line each\n  \
                        flyball explain -f                        decisions of all services as they are recorded\n  \
                        flyball explain shop/checkout@1-42 -o json\n\n\
                        A decision is recorded when it acts or differs from the last one, and at least hourly. For a \
                        single service the latest decision is also available."
)]
pub struct ExplainArgs {
    /// A service (shop/checkout), or one of its decisions (shop/checkout@1-42). With --brief or --follow, default: all
    /// services.
    #[arg(required_unless_present_any = ["brief", "follow"])]
    what: Option<String>,
    /// Number of newest decisions, 1 to 500 (default 1; 20 with --brief; all with --since).
    #[arg(long, short = 'n', value_parser = clap::value_parser!(u16).range(1..=500))]
    last: Option<u16>,
    /// Only decisions made within this time, such as 10m.
    #[arg(long, short, value_name = "SPAN", value_parser = span)]
    since: Option<Duration>,
    /// One line per decision, newest last: time, decision, action, reason.
    #[arg(long, short)]
    brief: bool,
    /// Print each decision as the running flyball records it, one line per decision, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// Output format; json prints one object per line.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    config: ConfigArg,
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|why| format!("it {why}"))
}

/// The subject of the query.
enum Question {
    One(DecisionId),
    Of(ServiceId),
}

impl ExplainArgs {
    /// Returns how many decisions are printed, by default `usual`.
    fn count(&self, usual: u16) -> usize {
        let all = self.since.map(|_| usize::MAX);
        self.last.map(usize::from).or(all).unwrap_or(usize::from(usual))
    }

    /// Returns the time from which decisions are printed. The clock is that of the running loop, if it answers: a demo
    /// has its own.
    async fn from(&self, past: &Past<'_>) -> Option<Timestamp> {
        let since = self.since?;
        let now = past.running().ask::<Status>("status").await.map_or_else(|_| Timestamp::now(), |status| status.now);
        Some(now.checked_sub(since).unwrap_or(Timestamp::MIN))
    }
}

/// Says that nothing was recorded in that time, which is not a failure.
fn tell_none_since(from: Timestamp) {
    warn_line(format_args!("no decision was recorded since {}", from.strftime(TIME)));
}

impl Question {
    fn read(what: &str, settings: &Settings) -> anyhow::Result<Self> {
        if let Ok(id) = what.parse() {
            return Ok(Self::One(id));
        }
        Ok(Self::Of(what.parse().map_err(|_| unknown_service(what, settings))?))
    }

    fn service(&self) -> &ServiceId {
        match self {
            Self::One(id) => &id.service,
            Self::Of(service) => service,
        }
    }

    /// Says why nothing is known: an unknown service takes precedence over faults of the journal.
    fn unread(&self, settings: &Settings, error: anyhow::Error) -> anyhow::Error {
        known_service(settings, self.service()).err().unwrap_or(error)
    }

    fn unanswered(&self, settings: &Settings) -> anyhow::Error {
        self.unread(
            settings,
            match self {
                Self::One(id) => anyhow::anyhow!(
                    "no decision {id} is recorded; `flyball explain {} -n 20` lists the newest with their ids",
                    id.service
                ),
                Self::Of(service) => {
                    anyhow::anyhow!("no decision for {service} is recorded yet; start `flyball run`")
                }
            },
        )
    }
}

pub async fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?;
    let what = match &args.what {
        Some(what) if !args.brief && !args.follow => what,
        _ => return list::list(args, &settings).await,
    };
    let past = Past::of(&settings)?;
    let from = args.from(&past).await;
    let tell = |record: &DecisionRecord| match args.output {
        Output::Text => Ok(print_line(render::text(record))?),
        Output::Json => Ok(print_line(seconds::in_seconds(serde_json::to_value(record)?))?),
    };
    let told = each(&past, what, from, args.count(1), tell).await?;
    if told == 0
        && let Some(from) = from
    {
        tell_none_since(from);
    }
    Ok(ExitCode::SUCCESS)
}

/// The format of times.
const TIME: &str = "%Y-%m-%d %H:%M:%SZ";

/// Returns the decision that `what` names, or the `last` newest ones of the service it names; at least one.
pub async fn find(settings: &Settings, what: &str, last: u16) -> anyhow::Result<Vec<DecisionRecord>> {
    let mut found = Vec::new();
    each(&Past::of(settings)?, what, None, usize::from(last), |record| {
        found.push(record.clone());
        Ok(())
    })
    .await?;
    Ok(found)
}

/// Passes on the decision that `what` names, or the `count` newest ones from `from` on of the service it names, newest
/// first and as they are read. Returns how many; if no time is given, at least one.
async fn each(
    past: &Past<'_>,
    what: &str,
    from: Option<Timestamp>,
    count: usize,
    mut tell: impl FnMut(&DecisionRecord) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let settings = past.settings();
    let question = Question::read(what, settings)?;
    let mut told = 0;
    match &question {
        Question::One(id) => {
            let found = past.one(id).await.map_err(|error| question.unread(settings, error))?;
            let record = found.ok_or_else(|| question.unanswered(settings))?;
            if from.is_none_or(|from| record.at >= from) {
                tell(&record)?;
                told = 1;
            }
        }
        Question::Of(service) => {
            let mut pages = Pages::new(past, Some(service), from, count);
            let mut read = 0;
            while let Some(page) =
                pages.next::<DecisionRecord>().await.map_err(|error| question.unread(settings, error))?
            {
                read += 1;
                page.iter().try_for_each(&mut tell)?;
                told += page.len();
            }
            if read == 0 {
                return Err(question.unanswered(settings));
            }
        }
    }
    Ok(told)
}
