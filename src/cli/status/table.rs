//! The table, in lines of at most eighty characters, except for quoted texts.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::modes;
use crate::cli::policy::{release_named, with_origin};
use crate::console::{Glance, ServiceSummary};
use crate::model::explain::{counted, span};
use crate::model::time::elapsed;
use crate::model::{KillState, Lead, Timestamp, Unit};
use crate::ports::{SourceStatus, Status};

use super::{Health, Seen};

/// Returns the state as of `now` by this machine's clock; the loop's clock may differ.
pub(super) fn text(seen: &Seen, now: Timestamp) -> String {
    let mut out = String::new();
    let mut row = |name: &str, words: &str| {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{name:<12} {words}");
    };
    let (status, policy) = (&seen.status, &seen.policy);
    row("health", if seen.health == Health::Healthy { "healthy" } else { "DEGRADED" });
    for reason in &seen.reasons {
        row("", &format!("- {reason}"));
    }
    row("flyball", &format!("{} at {}, up {}", status.version, seen.address, span(status.uptime)));
    let supervised = counted(seen.services.len(), "service");
    let modes = modes(seen.services.iter().map(|service| service.mode));
    row("mode", &modes.map_or(supervised.clone(), |modes| format!("{supervised}: {modes}")));
    row("kill switch", &kill(&status.kill, now));
    row("ready", &ready(status));
    row("leader", &leader(&status.lead));
    let revision =
        policy.in_force.as_ref().map_or_else(|| "none active".to_owned(), |revision| with_origin(policy, revision));
    row("policies", &revision);
    if let Some(candidate) = &policy.candidate {
        let left = span(Duration::from_secs(candidate.in_force_in));
        row("", &format!("{} is the candidate, active in {left}", release_named(policy, &candidate.revision)));
    }
    for (number, source) in status.sources.iter().enumerate() {
        row(if number == 0 { "sources" } else { "" }, &told_of(source));
    }
    if !seen.services.is_empty() {
        let _ = write!(out, "\n{}", services(&seen.services, status.now));
    }
    out.trim_end().to_owned()
}

fn kill(state: &KillState, now: Timestamp) -> String {
    match state {
        KillState::Missing { error } => format!("MISSING, nothing is written: {error}"),
        KillState::Unreadable { error } => format!("UNREADABLE, nothing is written: {error}"),
        KillState::Readable { order, turned } => {
            let stopped = order.stopped().map_or("off".to_owned(), |stopped| format!("ON, stops {stopped}"));
            // A switch with neither has never been changed.
            let given = if order.by.is_empty() && order.reason.is_empty() {
                String::new()
            } else {
                format!(", {}", order.given())
            };
            let turned = turned.map_or_else(String::new, |at| format!(" ({} ago)", span(elapsed(now, at))));
            format!("{stopped}{given}{turned}")
        }
    }
}

fn ready(status: &Status) -> String {
    if status.ready {
        "yes".to_owned()
    } else {
        format!("no, waiting for {}", counted(status.waiting_for.len(), "thing"))
    }
}

fn leader(lead: &Lead) -> String {
    match lead {
        Lead::Alone => "this process, the only one".to_owned(),
        Lead::Holds { epoch, left } => format!("this process, term {epoch}, for {} at least", span(*left)),
        Lead::TakesOver { epoch } => format!("this process is taking over, term {epoch}"),
        Lead::Follows { holder: Some(holder) } => format!("{holder}; this process follows and writes nothing"),
        Lead::Follows { holder: None } => "unknown; this process follows and writes nothing".to_owned(),
    }
}

fn told_of(source: &SourceStatus) -> String {
    let age = source.staleness_seconds.and_then(|age| Duration::try_from_secs_f64(age).ok());
    let age = age.map_or("no sample yet".to_owned(), |age| format!("newest sample {} old", span(age)));
    let SourceStatus { name, services, fresh, error, .. } = source;
    let error = error.as_ref().map_or_else(String::new, |error| format!("; FAILING: {error}"));
    format!("{name}: {age}, fresh for {fresh} of {}{error}", counted(*services, "service"))
}

fn whole(value: f64) -> String {
    Unit::Count.show(value.round())
}

/// Returns two lines per service: its numbers, and its last decision with its reason.
fn services(services: &[ServiceSummary], now: Timestamp) -> String {
    let width = services.iter().map(|service| service.service.as_str().len()).max().unwrap_or(0).max("SERVICE".len());
    let line = |name: &str, cells: [&str; 5]| {
        let [mode, replicas, load, peak, forecast] = cells;
        format!("{name:<width$}  {mode:<7}  {replicas:>8}  {load:>9}  {peak:<22}  {forecast}").trim_end().to_owned()
    };
    let mut out = line("SERVICE", ["MODE", "REPLICAS", "LOAD", "PEAK IN 30 MIN (95 %)", "FORECAST"]);
    for service in services {
        let replicas = match (service.ready, service.replicas) {
            (Some(ready), Some(replicas)) if ready != replicas => format!("{ready} of {replicas}"),
            (_, Some(replicas)) => replicas.to_string(),
            (_, None) => "unknown".to_owned(),
        };
        let load = service.load.map_or("-".to_owned(), |load| Unit::PerSecond.show(load.get()));
        let peak = service.peak.map_or("-".to_owned(), |peak| {
            format!("{}/s ({} to {})", whole(peak.median), whole(peak.lower), whole(peak.upper))
        });
        let authority = service.authority.map_or("-", |authority| authority.as_str());
        let cells = [service.mode.as_str(), &replicas, &load, &peak, authority];
        let _ = write!(out, "\n{}\n", line(service.service.as_str(), cells));
        let _ = write!(out, "  {}", decision(service.decision.as_ref(), now));
        if let Some(why) = &service.quarantined {
            let _ = write!(out, "\n  QUARANTINED: {why}");
        }
    }
    out
}

fn decision(decision: Option<&Glance>, now: Timestamp) -> String {
    decision.map_or("no decision yet".to_owned(), |Glance { at, what, why, .. }| {
        format!("{what}, {} ago: {why}", span(elapsed(now, *at)))
    })
}
