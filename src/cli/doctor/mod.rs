//! `flyball doctor`: does everything exist that the loop will need? Writes nothing.
//!
//! `here` checks what this machine needs, `services` what services need in the cluster; this file checks telemetry
//! sources and the rights of flyball's account.

mod here;
mod services;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::adapters::kill_file::read_state;
use crate::adapters::kubernetes::kept_policies;
use crate::adapters::kubernetes::kill_map::{self, KillMap};
use crate::adapters::kubernetes::rights::{
    self, INTENT_RIGHTS, KEPT_POLICIES_RIGHTS, KILL_SWITCH_RIGHTS, LEASE_RIGHTS, RIGHTS, Right,
};
use crate::adapters::kubernetes::{ApiServer, Timeouts, connect, survey};
use crate::adapters::registry;
use crate::app::{access, question, volatile_state};
use crate::config::{IntentStore, PolicySource, Settings, SourceSettings, Switch};
use crate::model::explain::counted;
use crate::ports::{KillSwitch, Round, TelemetrySource, Template};

use super::{ConfigArg, Output, print_finding};

#[derive(Debug, Args)]
#[command(
    after_help = "Checks the kill switch, the state directory (writable, version, free space), the policies and\n\
                        the address. At the API server, checks the permissions of the account (SelfSubjectAccessReview),\n\
                        the custom resources and the PlatformBound. Queries each telemetry source for its signals. Checks\n\
                        that the targets of services exist, that no two services share one, and which autoscalers scale\n\
                        them. Exits with 1 if something is missing."
)]
pub struct DoctorArgs {
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    config: ConfigArg,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Note,
    Fail,
}

/// The result of one check.
#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    what: String,
    /// What to do about it; absent if nothing is wrong, or if `what` says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// What does not work until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    consequence: Option<&'static str>,
}

/// The consequence of what `flyball run` cannot open.
const DOES_NOT_START: &str = "until this is fixed, `flyball run` does not start";
/// The consequence of what stops every write.
const NOTHING_IS_WRITTEN: &str = "until this is fixed, NOTHING IS WRITTEN";
/// The remedy for a collection that cannot be listed.
const MAKE_LISTABLE: &str = "try again; if it is forbidden, bind the roles in deploy/base/rbac.yaml";

/// The findings in order; text output shows each at once.
#[derive(Debug)]
struct Findings {
    output: Output,
    all: Vec<Finding>,
}

impl Findings {
    fn good(&mut self, what: impl std::fmt::Display) -> anyhow::Result<()> {
        self.add(Level::Ok, what, None, None)
    }

    fn note(&mut self, what: impl std::fmt::Display) -> anyhow::Result<()> {
        self.add(Level::Note, what, None, None)
    }

    fn bad(&mut self, what: impl std::fmt::Display, remedy: &str) -> anyhow::Result<()> {
        self.add(Level::Fail, what, Some(remedy), None)
    }

    /// Adds a fault with its consequence. Without a `remedy`, `what` must say it.
    fn bad_until_fixed(
        &mut self,
        what: impl std::fmt::Display,
        remedy: Option<&str>,
        consequence: &'static str,
    ) -> anyhow::Result<()> {
        self.add(Level::Fail, what, remedy, Some(consequence))
    }

    fn add(
        &mut self,
        level: Level,
        what: impl std::fmt::Display,
        remedy: Option<&str>,
        consequence: Option<&'static str>,
    ) -> anyhow::Result<()> {
        let what = what.to_string();
        if self.output == Output::Text {
            let level = match level {
                Level::Ok => "ok",
                Level::Note => "note",
                Level::Fail => "FAIL",
            };
            let more = remedy.into_iter().chain(consequence).map(|more| format!("; {more}"));
            print_finding(format!("{level:<5} {what}{}", more.collect::<String>()))?;
        }
        self.all.push(Finding { level, what, remedy: remedy.map(str::to_owned), consequence });
        Ok(())
    }

    /// Prints how many things are missing, or all findings as JSON.
    fn end(self) -> anyhow::Result<ExitCode> {
        let failed = self.all.iter().filter(|finding| finding.level == Level::Fail).count();
        match (self.output, failed) {
            (Output::Json, _) => print_finding(serde_json::json!({ "failed": failed, "findings": self.all }))?,
            (Output::Text, 0) => print_finding("all checks passed")?,
            (Output::Text, 1) => print_finding("1 thing is missing")?,
            (Output::Text, failed) => print_finding(format!("{failed} things are missing"))?,
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

pub async fn doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut findings = Findings { output: args.output, all: Vec::new() };
    let settings = match args.config.load() {
        Ok(settings) => settings,
        Err(error) if args.output == Output::Json => {
            findings.bad(format!("{error:#}"), "`flyball check` lists all faults in the settings")?;
            return findings.end();
        }
        Err(error) => return Err(error),
    };
    findings.good("settings are valid")?;
    if let Some(why) = settings.unfit_for_auto(volatile_state(&settings).as_deref()) {
        findings.bad_until_fixed(why, None, DOES_NOT_START)?;
    }
    here::state(&settings, &mut findings)?;
    here::policies(&settings, &mut findings)?;
    here::listen(&settings, &mut findings).await?;
    if let Switch::File(path) = &settings.kill_switch {
        here::kill_switch(&settings, &read_state(path), &mut findings)?;
    }
    for source in &settings.sources {
        telemetry(&settings, source, &mut findings).await?;
    }
    match connect(&access(&settings), Timeouts::default()).await {
        Err(error) => {
            findings.bad_until_fixed(format!("API server: {error}"), None, DOES_NOT_START)?;
        }
        Ok(server) => cluster(&settings, &server, &mut findings).await?,
    }
    findings.end()
}

/// Checks everything that the loop needs from the API server.
async fn cluster(settings: &Settings, server: &ApiServer, findings: &mut Findings) -> anyhow::Result<()> {
    let version = match survey::server_version(server).await {
        Err(error) => {
            let what = format!("API server: {error}");
            return findings.bad(what, "check that it is running and that the address is right");
        }
        Ok(version) => version,
    };
    findings.good(format!("API server {version}"))?;
    if let Switch::ConfigMap { .. } = settings.kill_switch {
        let own = settings.namespace.as_deref().unwrap_or_else(|| server.default_namespace());
        let state = KillMap::start(server, own).read().await;
        here::kill_switch(settings, &state, findings)?;
    }
    services::custom_resources(settings, server, findings).await?;
    account(settings, server, findings).await?;
    services::bound(settings, server, findings).await?;
    services::targets(settings, server, findings).await
}

/// Sends each query of a source once.
async fn telemetry(settings: &Settings, source: &SourceSettings, findings: &mut Findings) -> anyhow::Result<()> {
    let asked = settings.signals.iter().filter(|signal| signal.source == source.name);
    let templates: Vec<Template> = asked.map(question).collect();
    let opened = registry::telemetry_source(source.kind, &source.url, source.timeout, &source.access);
    let opened: Arc<dyn TelemetrySource> = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let what = format!("source {} ({}): {:#}", source.name, source.url, anyhow::Error::from(error));
            let remedy = format!("fix `sources.{}` in the settings", source.name);
            return findings.bad_until_fixed(what, Some(&remedy), DOES_NOT_START);
        }
    };
    let count = templates.len();
    let round = Round { templates, deadline: Duration::from_secs(15) };
    let answer = opened.read(&round).await;
    if let Some(error) = answer.error {
        let what = format!("source {} ({}): {error}", source.name, source.url);
        let remedy = "check its `url` and credentials, and that it is running";
        return findings.bad_until_fixed(what, Some(remedy), "until it answers, its services hold their replicas");
    }
    let faults = round.templates.iter().zip(&answer.faults).filter_map(|(asked, fault)| Some((asked, fault.as_ref()?)));
    let mut answered = count;
    for (asked, fault) in faults {
        answered -= 1;
        let what = format!("source {} ({}), signal {}: {fault}", source.name, source.url, asked.signal);
        findings.bad(what, "fix its query: until it is answered, the signal is unknown")?;
    }
    if answered > 0 || count == 0 {
        findings.good(format!(
            "source {} answers for {} ({})",
            source.name,
            counted(answered, "signal"),
            source.url
        ))?;
    }
    Ok(())
}

/// Checks every right that these settings need.
async fn account(settings: &Settings, server: &ApiServer, findings: &mut Findings) -> anyhow::Result<()> {
    let is_switch_in_cluster = matches!(settings.kill_switch, Switch::ConfigMap { .. });
    let reads_config_maps = is_switch_in_cluster || settings.policies == PolicySource::ConfigMaps;
    let needed = |right: &&Right| match right.group {
        "" => reads_config_maps,
        "flyball.dev" | "events.k8s.io" => settings.declarations().is_some(),
        _ => true,
    };
    let (mut granted, mut asked) = (0, 0);
    let mut rights: Vec<(&Right, Option<&str>)> = RIGHTS.iter().filter(needed).map(|right| (right, None)).collect();
    // Each applies to all objects, or to the object of that name in flyball's own namespace.
    let mut need = |more: &'static [Right], object| rights.extend(more.iter().map(|right| (right, object)));
    if is_switch_in_cluster {
        need(&KILL_SWITCH_RIGHTS, Some(kill_map::NAME));
    }
    if settings.intents == IntentStore::LoopActions {
        need(&INTENT_RIGHTS, None);
    }
    if let Some(lease) = &settings.leadership {
        need(&LEASE_RIGHTS, Some(lease.name.as_str()));
        need(&KEPT_POLICIES_RIGHTS, Some(kept_policies::NAME));
    }
    let own = settings.namespace.as_deref().unwrap_or_else(|| server.default_namespace());
    for (right, object) in rights {
        asked += 1;
        let named = format!("{} {}", right.verb, qualified(right));
        let allowed = match object {
            Some(object) => rights::allowed_on(server, right, own, object).await,
            None => rights::allowed(server, right).await,
        };
        match allowed {
            Ok(true) => granted += 1,
            Ok(false) => {
                let what = format!("not allowed to {named}, needed to {}", right.purpose);
                findings.bad(
                    what,
                    "bind the roles in deploy/base/rbac.yaml (several replicas: deploy/overlays/replicas/rbac.yaml)",
                )?;
            }
            Err(error) => findings.bad(format!("whether {named} is allowed: {error}"), "try again")?,
        }
    }
    let told = format!("{granted} of {asked} permissions granted");
    if granted == asked { findings.good(told) } else { findings.note(told) }
}

fn qualified(right: &Right) -> String {
    if right.group.is_empty() { right.resource.to_owned() } else { format!("{}.{}", right.resource, right.group) }
}
