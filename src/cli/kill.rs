//! `flyball kill` and `flyball resume`: they write the kill switch's file, so they work whatever state the
//! running process is in.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::adapters::kill_file::{self, Engaged, Scope};
use crate::adapters::kubernetes::kill_map;
use crate::config::{self, Switch};
use crate::model::kill::KillOrder;
use crate::model::{ActionClass, KillState, ServiceId};
use crate::ports::Status;

use super::running::Running;
use super::{ConfigArg, tell};

/// The ConfigMap of the switch, and the namespace that flyball is installed in unless the settings name another.
const CONFIG_MAP: &str = kill_map::NAME;
const USUAL_NAMESPACE: &str = "flyball-system";

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flyball kill                            stop all writes\n  \
                        flyball kill shop/checkout              stop those for one service\n  \
                        flyball kill --class scale -r 'drill'   stop those of one class")]
pub struct KillArgs {
    #[command(flatten)]
    what: What,
    /// Why; shown in every record and on the console.
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
    /// Why it is safe to go on.
    #[arg(long, short)]
    reason: String,
    #[command(flatten)]
    switch: SwitchArg,
}

/// What is stopped or let go, and by whom.
#[derive(Debug, Args)]
struct What {
    /// Only this service (namespace/name); without it and without a class, everything.
    service: Option<ServiceId>,
    /// Only this class of actions: scale, traffic, rollout or external.
    #[arg(long, conflicts_with = "service", value_parser = class)]
    class: Option<ActionClass>,
    /// Who; kept beside the reason.
    #[arg(long, default_value_t = config::user(), hide_default_value = true)]
    by: String,
}

/// Returns the arguments that name a scope.
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

/// Where the switch is.
#[derive(Debug, Args)]
struct SwitchArg {
    /// The kill switch's file itself; without it, the one that the settings name.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

impl SwitchArg {
    /// Finds the switch, also by settings that are faulty elsewhere. A service that the settings do not name is
    /// most likely mistyped, and stopping it would stop nothing.
    fn place(&self, scope: &Scope) -> anyhow::Result<Switch> {
        if let Some(file) = &self.file {
            return Ok(Switch::File(file.clone()));
        }
        if let (Scope::Service(service), Ok(settings)) = (scope, self.config.load()) {
            super::known_service(&settings, service).context("nothing was changed")?;
        }
        Ok(config::kill_switch_of(&self.config.path()?)?)
    }

    /// Returns the options that name the same switch.
    fn typed(&self) -> String {
        self.file.as_ref().map_or_else(|| self.config.typed(), |file| format!(" --file {}", file.display()))
    }

    /// Says that the flyball that answers at the address of the settings does not read this switch, where that is so: who
    /// turned the one of the wrong settings must not believe that writes are stopped, or that they go on.
    async fn another(&self, switch: &Path, order: &KillOrder, goes_on: &str) -> Option<String> {
        let settings = self.config.load().ok().filter(|_| self.file.is_none())?;
        let running = Running::of(&settings).ok()?;
        let state = running.stranger().await?;
        // One file may be the switch of both, which the other one sees within a second.
        for _ in 0..12 {
            let status = running.ask_any::<Status>("status").await;
            if status
                .is_ok_and(|status| matches!(status.kill, KillState::Readable { order: seen, .. } if seen == *order))
            {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Some(format!(
            "THE FLYBALL AT {} {goes_on}: it runs by other settings and does not read this switch ({}, of {}); its state \
             directory is {}, name its settings with --config",
            settings.listen,
            switch.display(),
            self.config.path().map_or_else(|_| "the settings".to_owned(), |path| path.display().to_string()),
            state.display()
        ))
    }

    /// Returns how what `scope` names is let go.
    fn way_back(&self, scope: &Scope) -> String {
        format!("{} resume{} --reason '...'{}", super::program(), typed(scope), self.typed())
    }
}

pub async fn kill(args: &KillArgs) -> anyhow::Result<ExitCode> {
    let scope = args.what.scope();
    let path = match args.switch.place(&scope)? {
        Switch::File(path) => path,
        Switch::ConfigMap { namespace } => {
            return by_kubectl(namespace.as_deref(), &scope, "engaged", &args.what.by, &args.reason);
        }
    };
    let before = kill_file::read_state(&path);
    match kill_file::engage(&path, &scope, &args.what.by, &args.reason) {
        Ok(Engaged::Written(order)) => {
            tell(format!("kill switch engaged for {} ({})", said(&scope), path.display()))?;
            if order.all && scope != Scope::All {
                tell(format!("everything is stopped, {}", order.given()))?;
            }
            if let Some(replaced) = replaced(&before, &order) {
                tell(replaced)?;
            }
            let another = args.switch.another(&path, &order, "GOES ON").await;
            match &another {
                None => tell("no such write starts more than a second from now; one under way ends as it would have")?,
                Some(another) => tell(another)?,
            }
            let scope = if order.all { Scope::All } else { scope };
            tell(format!("to go on: {}", args.switch.way_back(&scope)))?;
            Ok(if another.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Ok(Engaged::Removed(error)) => {
            tell(format!("everything is stopped: {:#}", anyhow::Error::from(error)))?;
            tell("so it was removed, and a missing switch stops every write; the reason is not kept")?;
            tell(format!("to go on, once it can be written: {}", args.switch.way_back(&Scope::All)))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if kill_file::read_state(&path).stops_all() => Err(error.into()),
        Err(error) => {
            let remedy = format!("NOTHING WAS STOPPED; `rm {}` stops everything", path.display());
            Err(anyhow::Error::from(error).context(remedy))
        }
    }
}

/// Says whose order the new one took the place of, where something else was stopped before: a switch keeps one name and one
/// reason for all that it stops.
fn replaced(before: &KillState, order: &KillOrder) -> Option<String> {
    let KillState::Readable { order: before, .. } = before else { return None };
    let stopped = before.stopped().filter(|_| before.given() != order.given())?;
    Some(format!(
        "{stopped} stays stopped, from now on under this reason, too (before: {}): a switch keeps one for all",
        before.given()
    ))
}

pub async fn resume(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    let scope = args.what.scope();
    let path = match args.switch.place(&scope)? {
        Switch::File(path) => path,
        Switch::ConfigMap { namespace } => {
            return by_kubectl(namespace.as_deref(), &scope, "released", &args.what.by, &args.reason);
        }
    };
    let order = kill_file::release(&path, &scope, &args.what.by, &args.reason)?;
    let code = released(args, &scope, &path, &order)?;
    match args.switch.another(&path, &order, "STAYS AS IT IS").await {
        None => Ok(code),
        Some(another) => {
            tell(another)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Says what is let go, and what stays stopped.
fn released(args: &ResumeArgs, scope: &Scope, path: &Path, order: &KillOrder) -> anyhow::Result<ExitCode> {
    let Some(stopped) = order.stopped() else {
        tell(format!("kill switch released for {}; nothing is stopped ({})", said(scope), path.display()))?;
        return Ok(ExitCode::SUCCESS);
    };
    let in_its_way = match scope {
        Scope::All => None,
        _ if order.all => Some(Scope::All),
        Scope::Service(_) => order.classes.first().copied().map(Scope::Class),
        Scope::Class(_) => None,
    };
    let Some(other) = in_its_way else {
        tell(format!("kill switch released for {} ({})", said(scope), path.display()))?;
        tell(format!("still stopped: {stopped}, {}", order.given()))?;
        return Ok(ExitCode::SUCCESS);
    };
    tell(format!("{} is no longer stopped by name ({})", said(scope), path.display()))?;
    tell(format!("STILL STOPPED: {stopped}, {}", order.given()))?;
    tell(format!("to release: {}", args.switch.way_back(&other)))?;
    Ok(ExitCode::FAILURE)
}

/// Says how a switch that is a ConfigMap is turned: it obeys whoever the cluster lets.
fn by_kubectl(namespace: Option<&str>, scope: &Scope, word: &str, by: &str, reason: &str) -> anyhow::Result<ExitCode> {
    let key = match scope {
        Scope::All => "global".to_owned(),
        Scope::Service(service) => format!("service.{}.{}", service.namespace(), service.name()),
        Scope::Class(class) => format!("class.{}", class.as_str()),
    };
    let patch = json!({ "data": { key: word, "by": by, "reason": reason } }).to_string().replace('\'', r"'\''");
    let namespace = namespace.unwrap_or(USUAL_NAMESPACE);
    anyhow::bail!(
        "NOTHING WAS CHANGED; the kill switch is the ConfigMap {namespace}/{CONFIG_MAP}, turn it with\n  \
         kubectl -n {namespace} patch configmap {CONFIG_MAP} --type merge -p '{patch}'"
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
        format!("`{text}` is no class, expected one of {}", ActionClass::ALL.map(ActionClass::as_str).join(", "))
    })
}
