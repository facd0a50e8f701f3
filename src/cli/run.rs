//! `flyball run`

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::adapters::clock::SystemClock;
use crate::app::{Ports, Running};
use crate::instrument::{LogFormat, Metrics, logs};
use crate::ports::Control;

use super::ConfigArg;

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
    let bar = std::io::stderr().is_terminal().then(|| tokio::spawn(show_start(running.control.clone())));
    stop_signal().await?;
    tracing::info!("stopping: writes under way are waited for");
    if let Some(bar) = bar {
        bar.abort();
    }
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

/// Shows in a terminal what the start still waits for.
async fn show_start(control: Arc<dyn Control>) {
    let spinner = indicatif::ProgressBar::new_spinner();
    loop {
        let status = control.status();
        if status.ready {
            spinner.finish_with_message("ready");
            return;
        }
        spinner.set_message(format!("waiting for {}", status.waiting_for.join("; ")));
        spinner.tick();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
