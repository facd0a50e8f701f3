//! `flyball demo`: the real loop, with its real adapters, run against a plant on this machine.

mod chronicle;
mod directory;
mod leash;
mod moment;
mod screen;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::adapters::clock::ScaledClock;
use crate::app::{Ports, Running};
use crate::config::{Settings, parse_span};
use crate::demo::Demo;
use crate::demo::kubernetes::{KubernetesDouble, Objects};
use crate::instrument::{Metrics, logs};
use crate::model::{ServiceId, Timestamp};
use crate::ports::Clock;
use crate::sim::{PodCounts, Scenario};

use super::Output;
use directory::Directory;
use leash::Leash;
use moment::Moments;
use screen::Screen;

/// Real time between two steps of the plant.
const STEP: Duration = Duration::from_millis(10);
/// How far the clock may run ahead of the plant, simulated: on a busy machine the plant gets its turn late, and the loop
/// would find only old telemetry. At the highest speed a step is 6 s.
const LEAD: Duration = Duration::from_secs(10);
/// Delay of the loop's query after a scrape is published. Querying at the same moment would be a race.
const PHASE: Duration = Duration::from_secs(5);
/// Length of a demo without a terminal, in real time.
const UNWATCHED: Duration = Duration::from_mins(1);
/// The shortest demo.
const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(
    after_help = "Three services go through a daily surge and a flash crowd. A terminal shows the load, its forecast, \
     replicas, latency and each decision with its reason; otherwise plain lines are printed. At the end: flyball \
     compared with the stock autoscaler.\n\nWhile it runs, edit a policy in DIR/policies, or use \
                        `flyball kill`, `resume` and `explain` from a second terminal."
)]
pub struct DemoArgs {
    /// Simulated seconds per real second, 0.1 to 600.
    #[arg(long, default_value_t = 60.0, value_parser = speed, allow_negative_numbers = true)]
    speed: f64,
    /// Stop after this much real time, in seconds or with a unit (90, 5m). Default: run until q or Ctrl-C; 60 without a
    /// terminal.
    #[arg(long = "for", value_name = "TIME", value_parser = limit, allow_hyphen_values = true)]
    limit: Option<Duration>,
    /// Random seed for load and pod start times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long, in simulated time, a changed policy stays a candidate before it becomes active (30m).
    #[arg(long, value_name = "SPAN", default_value = "0s", value_parser = seconds_or_span)]
    policy_shadow: Duration,
    /// Output format; json prints one object per line.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Directory for settings, policies, kill switch, journal and log. Policies already there are kept.
    #[arg(long, short, default_value = "flyball-demo", value_name = "DIR")]
    directory: PathBuf,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().map_err(|_| format!("`{text}` is not a number, expected 0.1 to 600"))?;
    if (0.1..=600.0).contains(&speed) {
        Ok(speed)
    } else {
        Err(format!("{speed} is out of range, expected 0.1 to 600"))
    }
}

fn limit(text: &str) -> Result<Duration, String> {
    let limit = seconds_or_span(text)?;
    if limit < SHORTEST { Err("it is shorter than 1s".to_owned()) } else { Ok(limit) }
}

fn seconds_or_span(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).or_else(|_| parse_span(text)).map_err(|why| format!("it {why}"))
}

/// The plant over loopback.
pub(super) struct Plant {
    demo: Demo,
    objects: Objects,
    api: KubernetesDouble,
}

pub async fn demo(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let begin = Scenario::demo_start("2026-03-03T00:00:00Z".parse()?);
    let start = begin.checked_add(PHASE)?;
    let plant = Plant::start(args.seed, begin).await?;
    plant.advance(start);
    let (prometheus, api) = (plant.demo.prometheus_url(), plant.api.url());
    let directory = Directory::prepare(&args.directory, &prometheus, &api, args.policy_shadow)?;
    let metrics = Arc::new(Metrics::new());
    let _flush =
        logs::start_in_file("info", std::fs::File::create(directory.log())?, metrics.process().lost_log_lines)?;
    // Not through the environment, which may belong to another flyball on this machine.
    let settings = std::fs::read_to_string(directory.settings())?;
    let settings = Settings::parse(&settings).map_err(|faults| anyhow::anyhow!("settings of the demo: {faults}"))?;
    let clock = Arc::new(ScaledClock::start(start, args.speed)?);
    clock.hold();
    let ports = Ports::open(&settings, clock.clone(), &metrics).await?;
    let listener = tokio::net::TcpListener::from_std(directory.listener()?)?;
    let running = Running::start_at(listener, &settings, ports, metrics).await?;

    let mut moments = Moments::new(running.control.clone(), &directory, start, args.speed, running.address);
    let watched = std::io::stdout().is_terminal() && args.output == Output::Text;
    let cramped = if watched { screen::cramped() } else { None };
    let mut screen = if watched && cramped.is_none() { Screen::terminal()? } else { Screen::lines(args.output) };
    screen.hello(&moments.hello())?;
    if let Some(why) = cramped {
        super::print_line(why)?;
    }
    let limit = args.limit.or((!watched).then_some(UNWATCHED));
    let outcome = play(&plant, &clock, &settings, &mut moments, &mut screen, limit).await;
    screen.close();
    running.stop().await;
    outcome?;
    screen.summary(&plant.demo.scores(), moments.look_back())?;
    Ok(ExitCode::SUCCESS)
}

impl Plant {
    async fn start(seed: u64, start: Timestamp) -> anyhow::Result<Self> {
        let scenario = Scenario::demo(start)?;
        let demo = Demo::start(&scenario, seed, start).await.context("cannot serve the demo's telemetry")?;
        let objects = Objects::default();
        for service in demo.snapshot() {
            objects.add_deployment(service.service.namespace(), service.service.name(), service.pods.replicas);
        }
        let api = KubernetesDouble::start(objects.clone()).await.context("cannot serve the demo's Kubernetes API")?;
        let plant = Self { demo, objects, api };
        plant.advance(start);
        Ok(plant)
    }

    /// Advances the plant to `to` with the replicas stored in the API, and reports its pods there.
    fn advance(&self, to: Timestamp) {
        let wanted = |id: &ServiceId| self.objects.wanted(id.namespace(), id.name());
        let report = |id: &ServiceId, pods: PodCounts| {
            self.objects.set_status(id.namespace(), id.name(), pods.replicas, pods.ready);
        };
        self.demo.advance_to(to, wanted, report);
    }
}

/// Advances the plant with the clock and shows it until the time is over or the user quits.
async fn play(
    plant: &Plant,
    clock: &ScaledClock,
    settings: &Settings,
    moments: &mut Moments,
    screen: &mut Screen,
    limit: Option<Duration>,
) -> anyhow::Result<()> {
    let interval = settings.sources.first().map_or(Duration::from_secs(15), |source| source.interval);
    let mut leash = Leash::new(clock.now().wall, interval);
    let started = tokio::time::Instant::now();
    let mut steps = tokio::time::interval(STEP);
    let mut stop = std::pin::pin!(super::run::stop_signal());
    while limit.is_none_or(|limit| started.elapsed() < limit) {
        tokio::select! {
            _ = steps.tick() => {}
            ended = &mut stop => return ended,
        }
        let halt = leash.check(moments.stand(), clock.now().wall, started.elapsed());
        let now = clock.now();
        clock.run_to(halt.map_or(now.mono.saturating_add(LEAD), |_| Duration::ZERO));
        plant.advance(now.wall);
        if screen.show(|| moments.now(plant, now.wall, halt))?.is_break() {
            break;
        }
    }
    Ok(())
}
