//! `flyball kill` and `flyball resume`: they write the kill switch's file, so they work whatever state the
//! running process is in, and also while the settings are being edited and wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::adapters::kill_file::{self, Scope};
use crate::config;
use crate::model::{ActionClass, ServiceId};

use super::{ConfigArg, print, unknown_service};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flyball kill                      stop all writes\n  \
                        flyball kill shop/checkout        stop those for one service\n  \
                        flyball kill --class scale -r drill")]
pub struct KillArgs {
    #[command(flatten)]
    what: What,
    /// Why; shown in every record and on the console.
    #[arg(long, short, default_value = "stopped from the command line")]
    reason: String,
    #[command(flatten)]
    config: ConfigArg,
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
    config: ConfigArg,
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
    #[arg(long, env = "USER", hide_env_values = true, default_value = "unknown")]
    by: String,
}

pub fn kill(args: &KillArgs) -> anyhow::Result<ExitCode> {
    let path = switch(&args.config, &args.what)?;
    kill_file::engage(&path, &args.what.scope(), &args.what.by, &args.reason)?;
    print(format!("stopped: writes {} ({})", args.what.words(), path.display()))?;
    print("no such write starts later than a second from now; one under way ends as it would have")?;
    print(format!("to go on: {} resume{} --reason '...'{}", super::program(), args.what.typed(), args.config.typed()))?;
    Ok(ExitCode::SUCCESS)
}

pub fn resume(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    let path = switch(&args.config, &args.what)?;
    kill_file::release(&path, &args.what.scope(), &args.what.by, &args.reason)?;
    print(format!("let go: writes {} ({})", args.what.words(), path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the file of the switch. Settings that are wrong elsewhere do not stand in the way.
fn switch(config: &ConfigArg, what: &What) -> anyhow::Result<PathBuf> {
    let path = config.path()?;
    match config::load(&path) {
        Ok(settings) => match &what.service {
            Some(service) if settings.services.iter().all(|known| known.id != *service) => {
                Err(unknown_service(service.as_str(), &settings).context("nothing was changed"))
            }
            _ => Ok(settings.kill_switch),
        },
        Err(error) => {
            let switch = config::kill_switch(&path).map_err(|_| error)?;
            eprintln!("flyball: {} is not valid (see `flyball check`); its kill switch is turned", path.display());
            Ok(switch)
        }
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

    fn words(&self) -> String {
        match self.scope() {
            Scope::All => "of all kinds, for all services".to_owned(),
            Scope::Service(service) => format!("for {service}"),
            Scope::Class(class) => format!("of class {}", class.as_str()),
        }
    }

    /// Returns the arguments that name the same.
    fn typed(&self) -> String {
        match self.scope() {
            Scope::All => String::new(),
            Scope::Service(service) => format!(" {service}"),
            Scope::Class(class) => format!(" --class {}", class.as_str()),
        }
    }
}

fn class(text: &str) -> Result<ActionClass, String> {
    match text {
        "scale" => Ok(ActionClass::Scale),
        "traffic" => Ok(ActionClass::Traffic),
        "rollout" => Ok(ActionClass::Rollout),
        "external" => Ok(ActionClass::External),
        other => Err(format!("`{other}` is no class, expected scale, traffic, rollout or external")),
    }
}
