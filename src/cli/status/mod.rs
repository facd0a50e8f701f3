//! `flyball status`: the state of the running flyball and its services, in one table.

mod table;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::config::{Settings, parse_span};
use crate::console::{ServiceSummary, Services};
use crate::model::explain::counted;
use crate::model::time::seconds;
use crate::model::{ActionClass, KillState, Mode, ServiceId, Timestamp};
use crate::ports::{Awaited, PolicyStatus, Status};

use super::running::{ask, outdated};
use super::{ConfigArg, Output, known_service, print_finding, print_line, terminal, warn_line};

/// Least time between two refreshes.
const SHORTEST: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 healthy; 1 degraded, and the first lines say why; 2 flyball did not answer, or its \
     state is unknown.\n\nExamples:\n  flyball status                    all services\n  \
                        flyball status shop/checkout -w   one service, refreshed every 2 s\n  \
                        flyball status -o json | jq .reasons"
)]
pub struct StatusArgs {
    /// Only these services (namespace/name).
    services: Vec<ServiceId>,
    /// Refresh every 2 s, or at the given interval (`--watch=10s`), until Ctrl-C; the exit code is that of the last
    /// refresh.
    #[arg(long, short, value_name = "SPAN", num_args = 0..=1, require_equals = true, default_missing_value = "2s",
        value_parser = pause)]
    watch: Option<Duration>,
    /// Output format; json prints one object per refresh.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    config: ConfigArg,
}

fn pause(text: &str) -> Result<Duration, String> {
    let pause = parse_span(text).map_err(|why| format!("it {why}"))?;
    if pause < SHORTEST { Err("it is shorter than 500ms".to_owned()) } else { Ok(pause) }
}

/// Whether somebody has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    /// The loop decides, and permitted writes are possible.
    Healthy,
    /// Something needs a person.
    Degraded,
    /// No flyball answers.
    Unreachable,
}

impl Health {
    fn exit_code(self) -> ExitCode {
        match self {
            Self::Healthy => ExitCode::SUCCESS,
            Self::Degraded => ExitCode::FAILURE,
            Self::Unreachable => ExitCode::from(2),
        }
    }
}

/// What the running flyball reported.
#[derive(Debug, Serialize)]
struct Seen {
    health: Health,
    /// What needs a person; empty if healthy.
    reasons: Vec<String>,
    /// Its address.
    address: String,
    status: Status,
    policy: PolicyStatus,
    services: Vec<ServiceSummary>,
}

pub async fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?;
    for service in &args.services {
        known_service(&settings, service)?;
    }
    let Some(pause) = args.watch else {
        let Look { health, words } = look(args, &settings).await?;
        print_finding(words)?;
        return Ok(health.exit_code());
    };
    let mut stop = std::pin::pin!(super::run::stop_signal());
    loop {
        let seen = look(args, &settings).await;
        // The last output remains until the answer arrives.
        if args.output == Output::Text && terminal::is_drawn_on() {
            terminal::clear()?;
        }
        let code = match seen.and_then(|look| look.show()) {
            Ok(code) => code,
            Err(error) if error.downcast_ref::<std::io::Error>().is_some() => return Err(error),
            Err(error) => {
                // It may be about to start, or to come back.
                warn_line(format_args!("{error:#}"));
                Health::Unreachable.exit_code()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = &mut stop => return Ok(code),
        }
    }
}

/// The result of one refresh, as text.
struct Look {
    health: Health,
    words: String,
}

impl Look {
    fn show(&self) -> anyhow::Result<ExitCode> {
        print_line(&self.words)?;
        Ok(self.health.exit_code())
    }
}

/// Queries once.
async fn look(args: &StatusArgs, settings: &Settings) -> anyhow::Result<Look> {
    let seen = match Seen::ask(settings, &args.services).await {
        Ok(seen) => seen,
        Err(error) if args.output == Output::Json => {
            let (health, reasons) = (Health::Unreachable, [format!("{error:#}")]);
            let words = serde_json::json!({ "health": health, "reasons": reasons, "address": settings.listen });
            return Ok(Look { health, words: words.to_string() });
        }
        Err(error) => return Err(error),
    };
    let words = match args.output {
        Output::Text => table::text(&seen, Timestamp::now()),
        Output::Json => seconds::in_seconds(serde_json::to_value(&seen)?).to_string(),
    };
    Ok(Look { health: seen.health, words })
}

impl Seen {
    /// Queries the process, its policies, and those services, or all.
    async fn ask(settings: &Settings, wanted: &[ServiceId]) -> anyhow::Result<Self> {
        let (status, policy): (Status, PolicyStatus) = (ask(settings, "status").await?, ask(settings, "policy").await?);
        let mut services = Vec::new();
        let mut next = None;
        loop {
            let after = next.as_ref().map_or_else(String::new, |after: &ServiceId| format!("?after={after}"));
            let page: Services = ask(settings, &format!("services{after}")).await?;
            services.extend(page.services);
            match page.next {
                Some(after) => next = Some(after),
                None => break,
            }
        }
        if let Some(absent) = wanted.iter().find(|id| !services.iter().any(|service| service.service == **id)) {
            anyhow::bail!(
                "the flyball at {} has no service {absent}; `flyball status` lists those it has",
                settings.listen
            );
        }
        services.retain(|service| wanted.is_empty() || wanted.contains(&service.service));
        let reasons: Vec<_> = outdated(settings, &status).into_iter().chain(reasons(&status, &services)).collect();
        let health = if reasons.is_empty() { Health::Healthy } else { Health::Degraded };
        Ok(Self { health, reasons, address: settings.listen.to_string(), status, policy, services })
    }
}

fn is_watch(what: &Awaited) -> bool {
    matches!(what, Awaited::Watch { .. })
}

/// Returns what needs a person. A decision held by a guard is normal operation.
fn reasons(status: &Status, services: &[ServiceSummary]) -> Vec<String> {
    let mut reasons = Vec::new();
    let writes = |service: &&ServiceSummary| service.mode == Mode::Auto;
    let stops = |service: &ServiceSummary| {
        ActionClass::ALL.into_iter().any(|class| status.kill.stops(&service.service, class).is_some())
    };
    // If nothing is written anyway, there is nothing to stop.
    if services.iter().filter(writes).any(stops) {
        reasons.push(match &status.kill {
            KillState::Missing { .. } => "the kill switch is missing, so nothing is written".to_owned(),
            KillState::Unreadable { .. } => "the kill switch cannot be read, so nothing is written".to_owned(),
            KillState::Readable { order, .. } => {
                format!("the kill switch stops {}", order.stopped().unwrap_or_default())
            }
        });
    }
    reasons.extend(status.sources.iter().filter_map(|source| {
        let error = source.error.as_ref()?;
        Some(format!("source {}: {error}", source.name))
    }));
    let watches_wait = status.waiting_for.iter().chain(&status.services_wait_for).any(is_watch);
    // A failing source is already reported, and so is a stalled watch.
    let untold = |what: &&Awaited| match what {
        Awaited::Telemetry { .. } => false,
        Awaited::Bound { .. } => !watches_wait,
        _ => true,
    };
    reasons.extend(status.waiting_for.iter().filter(untold).map(|what| format!("not ready: {what}")));
    let waiting = status.services_wait_for.iter().filter(|what| !status.waiting_for.contains(what));
    reasons.extend(waiting.filter(untold).map(|what| format!("services wait: {what}")));
    if let Some(fault) = status.policy_faults.first() {
        let faults = counted(status.policy_faults.len(), "fault");
        reasons.push(format!("a policy set was refused ({faults}): {fault}"));
    }
    for service in services {
        let name = &service.service;
        if let Some(why) = &service.quarantined {
            reasons.push(format!("{name} is quarantined: {why}"));
        }
        if let Some(why) = &service.denied {
            reasons.push(format!("{name}: {why}"));
        }
        if let Some(why) = &service.stood_down {
            reasons.push(format!("{name} is not written: {why}"));
        }
        if let Some(why) = service.no_lever.as_ref().filter(|_| service.mode == Mode::Auto) {
            reasons.push(format!("{name} is not written, its target is scaled by others: {why}"));
        }
        if let Some(what) = &service.undecided {
            reasons.push(format!("{name} {what}"));
        }
        if let Some(why) = &service.policy_trouble {
            reasons.push(format!("{name}: {why}"));
        }
        if let Some(what) = &service.beyond_max {
            reasons.push(format!("{name} {what}"));
        }
        // A stalled watch is already reported.
        if let Some(why) = service.target_unknown.as_ref().filter(|_| service.last.is_some() && !watches_wait) {
            reasons.push(format!("the target of {name} is unknown, so flyball does nothing: {why}"));
        }
        let (fresh, all) = service.fresh_signals;
        // If no source answers, the sources are already reported.
        if service.last.is_some() && fresh == 0 && service.unanswered_signals < all {
            reasons.push(format!("{name} has no fresh signal, so it holds its replicas"));
        }
    }
    reasons
}

#[cfg(test)]
mod tests;
