//! `flyball run`

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::adapters::clock::SystemClock;
use crate::app::{Ports, Running};
use crate::instrument::{LogFormat, Metrics, logs};
use crate::model::KillState;
use crate::ports::Control;

use super::ConfigArg;

/// Time between two looks at what the start waits for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// What is logged, as in `info`, `flyball=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "FLYBALL_LOG")]
    log: String,
}

pub async fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let settings = args.config.load()?;
    let format = if std::io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    logs::start(format, &args.log)?;
    for fault in super::policy::unfit_settings(&settings) {
        tracing::warn!(%fault, "the settings do not fit the policies");
    }
    let metrics = Arc::new(Metrics::new());
    let ports = Ports::open(&settings, Arc::new(SystemClock::start()), &metrics).await?;
    let running = Running::start(&settings, ports, metrics).await?;
    tracing::info!(address = %running.address, services = settings.services.len(), "flyball runs");
    announce(&running.control.status().kill);
    let start = tokio::spawn(tell_start(running.control.clone()));
    stop_signal().await?;
    tracing::info!("stopping: writes under way are waited for");
    start.abort();
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Waits for SIGTERM or SIGINT.
pub async fn stop_signal() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Says what a switch that nobody has made yet, or that stops something, means.
fn announce(kill: &KillState) {
    match kill {
        KillState::Missing { error } => tracing::warn!(%error, "no kill switch, so NOTHING IS WRITTEN"),
        KillState::Unreadable { error } => {
            tracing::warn!(%error, "the kill switch cannot be read, so NOTHING IS WRITTEN");
        }
        KillState::Readable { order } => {
            if let Some(stopped) = order.stopped() {
                tracing::warn!(stopped, by = order.by, reason = order.reason, "the kill switch is engaged");
            }
        }
    }
}

/// Says what the start still waits for, whenever that has changed, and that it is over.
async fn tell_start(control: Arc<dyn Control>) {
    let mut told = Vec::new();
    loop {
        let status = control.status();
        if status.ready {
            tracing::info!("ready");
            return;
        }
        if told != status.waiting_for {
            tracing::info!(waiting_for = status.waiting_for.join("; "), "starting");
            told = status.waiting_for;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
