//! `flyball kill` and `flyball resume`: they write the kill switch file, so they work whatever the state of the running
//! process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::adapters::kill_file::{self, Engaged, Scope};
use crate::adapters::kubernetes::kill_map;
use crate::config::{self, Switch};
use crate::model::kill::KillOrder;
use crate::model::{ActionClass, KillState, ServiceId};
use crate::ports::Status;

use super::running::{self, Unanswered};
use super::{ConfigArg, print_finding, quoted, warn_line};

/// The ConfigMap of the switch, and the namespace that flyball is installed in unless the settings name another.
const CONFIG_MAP: &str = kill_map::NAME;
const USUAL_NAMESPACE: &str = "flyball-system";
/// How long a running flyball is asked whether it has seen the switch: it polls ten times a second.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flyball kill                            stop all writes\n  \
                        flyball kill shop/checkout              stop writes for one service\n  \
                        flyball kill --class scale -r 'drill'   stop writes of one class")]
pub struct KillArgs {
    #[command(flatten)]
    what: What,
    /// Reason; shown in every record and on the console.
    #[arg(long, short, default_value = "stopped from the command line")]
    reason: String,
    #[command(flatten)]
    switch: SwitchArg,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flyball resume --reason 'drill over'\n  \
                        flyball resume shop/checkout --reason 'load test over'")]
pub struct ResumeArgs {
    #[command(flatten)]
    what: What,
    /// Why it is safe to resume.
    #[arg(long, short)]
    reason: String,
    #[command(flatten)]
    switch: SwitchArg,
}

/// What is stopped or let go, and by whom.
#[derive(Debug, Args)]
struct What {
    /// Only this service (namespace/name). Default, without a class: everything.
    service: Option<ServiceId>,
    /// Only this class of actions: scale, traffic, rollout or external.
    #[arg(long, conflicts_with = "service", value_parser = class)]
    class: Option<ActionClass>,
    /// Author of the order; stored with the reason.
    #[arg(long, default_value_t = config::user(), hide_default_value = true)]
    by: String,
}

/// Returns the arguments for a scope.
fn typed(scope: &Scope) -> String {
    match scope {
        Scope::All => String::new(),
        Scope::Service(service) => format!(" {service}"),
        Scope::Class(class) => format!(" --class {}", class.as_str()),
    }
}

impl What {
    fn scope(&self) -> Scope {
        match (&self.service, self.class) {
            (Some(service), _) => Scope::Service(service.clone()),
            (None, Some(class)) => Scope::Class(class),
            (None, None) => Scope::All,
        }
    }
}

/// What the flyball at the configured address reports about a switch.
enum Heard {
    /// It has seen the current state of the switch.
    Seen(String),
    /// No answer, or no settings with an address.
    Nobody(String),
    /// It reads another one, or does not say.
    Other(String),
}

/// Where the switch is.
#[derive(Debug, Args)]
struct SwitchArg {
    /// Path of the kill switch file. Default: the one the settings name.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

impl SwitchArg {
    /// Finds the switch, even if the settings have faults elsewhere, or says that nothing was `done`. A service that
    /// the settings do not name is probably mistyped, and stopping it would stop nothing.
    fn place(&self, scope: &Scope, done: &str) -> anyhow::Result<Switch> {
        if let Some(file) = &self.file {
            return Ok(Switch::File(file.clone()));
        }
        if let (Scope::Service(service), Ok(settings)) = (scope, self.config.load()) {
            super::known_service(&settings, service).context("nothing was changed")?;
        }
        let place = self.config.path().and_then(|path| Ok(config::kill_switch_of(&path)?));
        place.with_context(|| {
            format!(
                "NOTHING WAS {done}; name the switch with --file FILE (killswitch.yaml in the state directory, unless \
                 the settings name another)"
            )
        })
    }

    /// Returns the options for the same switch.
    fn typed(&self) -> String {
        self.file.as_ref().map_or_else(|| self.config.typed(), |file| format!(" --file {}", quoted(file.display())))
    }

    /// Asks the flyball at the configured address, if one answers, whether it sees the current content of the switch: a
    /// user who changed the wrong one must not believe that writes are stopped, or continue. The settings may have
    /// faults elsewhere.
    async fn heard(&self, switch: &Path, goes_on: &str) -> Heard {
        let Ok(path) = self.config.path() else {
            return Heard::Nobody("there are no settings here, so no running flyball was checked".to_owned());
        };
        let unconfirmed = |why: &dyn std::fmt::Display| {
            Heard::Other(format!("NOT CONFIRMED: could not check whether a running flyball reads this switch: {why}"))
        };
        let listen = match config::listen_of(&path) {
            Ok(listen) => listen,
            Err(error) => return unconfirmed(&error),
        };
        let client = match running::client() {
            Ok(client) => client,
            Err(error) => return unconfirmed(&error),
        };
        let end = Instant::now() + HEARD_WITHIN;
        loop {
            match running::ask_at::<Status>(&client, listen, "flyball run", "status").await {
                Ok(status) if shows(&status.kill, &kill_file::read_state(switch)) => {
                    return Heard::Seen(format!("the flyball at {listen} has seen it"));
                }
                Ok(_) if Instant::now() < end => tokio::time::sleep(LOOK_INTERVAL).await,
                Ok(status) => return Heard::Other(self.other(listen, &status, switch, goes_on)),
                Err(Unanswered::Nobody(_)) => return Heard::Nobody(format!("no flyball answers at {listen}")),
                Err(Unanswered::NoFlyball(_)) => {
                    return Heard::Nobody(format!("the process listening at {listen} is not flyball"));
                }
                Err(error) => {
                    return Heard::Other(format!(
                        "NOT CONFIRMED: the process at {listen} does not report whether it reads this switch ({}): \
                         {error}",
                        switch.display()
                    ));
                }
            }
        }
    }

    /// Says that a flyball does not read this switch, and which one it does.
    fn other(&self, listen: SocketAddr, status: &Status, switch: &Path, goes_on: &str) -> String {
        let its = status.kill_switch.as_ref().map(|its| format!("; it reads {its}")).unwrap_or_default();
        // Faulty settings do not show whose they are.
        let settings = self.config.load().ok();
        let stranger = settings.as_ref().and_then(|settings| {
            let state = status.state.as_ref()?;
            (*state != settings.place()).then_some(state)
        });
        let why = if stranger.is_some() { "it runs with different settings and" } else { "it" };
        let of = match &self.file {
            Some(_) => String::new(),
            None => format!(", of {}", self.config.path().unwrap_or_default().display()),
        };
        let is_outdated = settings.as_ref().is_some_and(|settings| running::outdated(settings, status).is_some());
        let remedy = match stranger {
            Some(state) => format!("its state directory is {}, name its settings with --config", state.display()),
            None if is_outdated => {
                "its settings changed after it started; restart it, or name its switch with --file".to_owned()
            }
            None => "name its switch with --file".to_owned(),
        };
        format!(
            "THE FLYBALL AT {listen} {goes_on}: {why} does not read this switch ({}{of}){its}; {remedy}",
            switch.display(),
        )
    }

    /// Returns the command that releases what `scope` names.
    fn way_back(&self, scope: &Scope) -> String {
        format!("{} resume{} --reason '...'{}", super::program(), typed(scope), self.typed())
    }
}

pub async fn kill(args: &KillArgs) -> anyhow::Result<ExitCode> {
    let scope = args.what.scope();
    let path = match args.switch.place(&scope, "STOPPED")? {
        Switch::File(path) => path,
        Switch::ConfigMap { namespace } => {
            return by_kubectl(namespace.as_deref(), &scope, "engaged", &args.what.by, &args.reason);
        }
    };
    let before = kill_file::read_state(&path);
    match kill_file::engage(&path, &scope, &args.what.by, &args.reason) {
        Ok(Engaged::Written(order)) => {
            print_done(format!("kill switch engaged for {} ({})", said(&scope), path.display()));
            if order.all && scope != Scope::All {
                print_done(format!("everything is stopped, {}", order.given()));
            }
            if let KillState::Missing { .. } = before {
                print_done(
                    "the file did not exist, and flyball stops all writes when its switch is missing. If it was \
                     writing until now, it reads a different file",
                );
            }
            if let Some(replaced) = replaced(&before, &order) {
                print_done(replaced);
            }
            let code = stopped(&args.switch, &path).await;
            let scope = if order.all { Scope::All } else { scope };
            print_done(format!("to resume: {}", args.switch.way_back(&scope)));
            Ok(code)
        }
        Ok(Engaged::Removed(error)) => {
            print_done(format!("everything is stopped: {:#}", anyhow::Error::from(error)));
            print_done("so it was removed: a missing switch stops all writes; the reason is lost");
            let code = stopped(&args.switch, &path).await;
            print_done(format!("to resume, once it can be written: {}", args.switch.way_back(&Scope::All)));
            Ok(code)
        }
        // In its current state it stops everything, for a flyball that reads it.
        Err(error) if kill_file::read_state(&path).stops_all() => {
            Err(match args.switch.heard(&path, "KEEPS WRITING").await {
                Heard::Seen(_) | Heard::Nobody(_) => error.into(),
                Heard::Other(why) => anyhow::anyhow!("NOTHING WAS STOPPED; {why}"),
            })
        }
        Err(error) => {
            let remedy = format!("NOTHING WAS STOPPED; `rm {}` stops everything", quoted(path.display()));
            Err(anyhow::Error::from(error).context(remedy))
        }
    }
}

/// Reports the effect on writes, and returns whether it is the requested one.
async fn stopped(switch: &SwitchArg, path: &Path) -> ExitCode {
    let holds = "no such write will start after one second; a write already in flight completes";
    match switch.heard(path, "KEEPS WRITING").await {
        Heard::Seen(by) => print_done(format!("{by}: {holds}")),
        Heard::Nobody(why) => print_done(format!("{why}; for any flyball that reads this switch, {holds}")),
        Heard::Other(why) => {
            print_done(why);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Returns whether a flyball that reads the switch at `held` would report `seen`.
fn shows(seen: &KillState, held: &KillState) -> bool {
    match (seen, held) {
        (KillState::Readable { order: seen, .. }, KillState::Readable { order: held, .. }) => seen == held,
        (KillState::Readable { .. }, _) | (_, KillState::Readable { .. }) => false,
        _ => true,
    }
}

/// Prints the result. The change is done, and its exit code holds even if the output is closed.
fn print_done(line: impl std::fmt::Display) {
    if let Err(error) = print_finding(&line) {
        warn_line(format_args!("{line} (output lost: {error})"));
    }
}

/// Says whose order the new one replaced, if something else was stopped before: a switch keeps one name and one reason
/// for everything that it stops.
fn replaced(before: &KillState, order: &KillOrder) -> Option<String> {
    let KillState::Readable { order: before, .. } = before else { return None };
    let stopped = before.stopped().filter(|_| before.given() != order.given())?;
    Some(format!(
        "{stopped} remains stopped; its reason is replaced by this one (was: {}), since a switch stores only one",
        before.given()
    ))
}

pub async fn resume(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    let scope = args.what.scope();
    let path = match args.switch.place(&scope, "RELEASED")? {
        Switch::File(path) => path,
        Switch::ConfigMap { namespace } => {
            return by_kubectl(namespace.as_deref(), &scope, "released", &args.what.by, &args.reason);
        }
    };
    if let (None, Some(directory)) = (&args.switch.file, path.parent()) {
        // The state directory before the first start; a failure to create it is reported below.
        drop(std::fs::create_dir(directory));
    }
    let order = match kill_file::release(&path, &scope, &args.what.by, &args.reason) {
        Ok(order) => order,
        Err(error) => {
            return Err(match args.switch.heard(&path, "IS UNAFFECTED").await {
                Heard::Seen(_) | Heard::Nobody(_) => error.into(),
                Heard::Other(why) => anyhow::anyhow!("NOTHING WAS RELEASED; {why}"),
            });
        }
    };
    let code = released(args, &scope, &path, &order);
    match args.switch.heard(&path, "IS UNAFFECTED").await {
        Heard::Seen(_) => Ok(code),
        Heard::Nobody(why) => {
            print_done(format!("{why}; any flyball that reads this switch follows it within a second"));
            Ok(code)
        }
        Heard::Other(why) => {
            print_done(why);
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Reports what is released, and what remains stopped.
fn released(args: &ResumeArgs, scope: &Scope, path: &Path, order: &KillOrder) -> ExitCode {
    let Some(stopped) = order.stopped() else {
        print_done(format!("kill switch released for {}; nothing is stopped ({})", said(scope), path.display()));
        return ExitCode::SUCCESS;
    };
    let in_its_way = match scope {
        Scope::All => None,
        _ if order.all => Some(Scope::All),
        Scope::Service(_) => order.classes.first().copied().map(Scope::Class),
        Scope::Class(_) => None,
    };
    let Some(other) = in_its_way else {
        print_done(format!("kill switch released for {} ({})", said(scope), path.display()));
        print_done(format!("still stopped: {stopped}, {}", order.given()));
        return ExitCode::SUCCESS;
    };
    print_done(format!("{} is no longer stopped by name ({})", said(scope), path.display()));
    print_done(format!("STILL STOPPED: {stopped}, {}", order.given()));
    print_done(format!("to release: {}", args.switch.way_back(&other)));
    ExitCode::FAILURE
}

/// Says how to change a switch that is a ConfigMap: the cluster decides who may.
fn by_kubectl(namespace: Option<&str>, scope: &Scope, word: &str, by: &str, reason: &str) -> anyhow::Result<ExitCode> {
    let key = match scope {
        Scope::All => "global".to_owned(),
        Scope::Service(service) => format!("service.{}.{}", service.namespace(), service.name()),
        Scope::Class(class) => format!("class.{}", class.as_str()),
    };
    let patch = json!({ "data": { key: word, "by": by, "reason": reason } }).to_string();
    let (patch, namespace) = (quoted(patch), namespace.unwrap_or(USUAL_NAMESPACE));
    anyhow::bail!(
        "NOTHING WAS CHANGED; the kill switch is the ConfigMap {namespace}/{CONFIG_MAP}, change it with\n  \
         kubectl -n {namespace} patch configmap {CONFIG_MAP} --type merge -p {patch}"
    )
}

fn said(scope: &Scope) -> String {
    match scope {
        Scope::All => "everything".to_owned(),
        Scope::Service(service) => service.to_string(),
        Scope::Class(class) => format!("actions of class {}", class.as_str()),
    }
}

fn class(text: &str) -> Result<ActionClass, String> {
    let found = ActionClass::ALL.into_iter().find(|class| class.as_str() == text);
    found.ok_or_else(|| {
        format!("`{text}` is not a class, expected one of {}", ActionClass::ALL.map(ActionClass::as_str).join(", "))
    })
}
