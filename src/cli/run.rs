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
use crate::ports::{Awaited, Control};

use super::ConfigArg;

/// Time between two checks of what the start waits for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Log filter, such as `info` or `flyball=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "FLYBALL_LOG")]
    log: String,
}

pub async fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    // Before anything else: PID 1 of a container ignores signals without a handler.
    let mut stopped = std::pin::pin!(stop_signal());
    let settings = args.config.load()?;
    let format = if std::io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    let metrics = Arc::new(Metrics::new());
    let _flush = logs::start(format, &args.log, metrics.process().lost_log_lines)?;
    for fault in super::policy::unfit_settings(&settings) {
        tracing::warn!(%fault, "the settings do not fit the policies");
    }
    let opened = tokio::select! {
        biased;
        ended = &mut stopped => {
            ended?;
            tracing::info!("stopped during startup, nothing was started");
            return Ok(ExitCode::SUCCESS);
        }
        opened = Ports::open(&settings, Arc::new(SystemClock::start()), &metrics) => opened?,
    };
    let (kill, leadership) = (opened.kill.clone(), opened.leadership.clone());
    // Depends on nothing external, so it may run to completion.
    let mut running = match Running::start(&settings, opened, metrics).await {
        Ok(running) => running,
        Err(error) => {
            leadership.release().await;
            return Err(error);
        }
    };
    tracing::info!(address = %running.address, services = settings.listed().len(), "flyball started");
    // Read again: a ConfigMap is unknown until its first list has arrived.
    announce(&kill.read().await);
    let start = tokio::spawn(tell_start(running.control.clone()));
    let died = tokio::select! {
        biased;
        ended = &mut stopped => {
            ended?;
            tracing::info!("stopping: waiting for writes in flight");
            false
        }
        () = running.ended() => true,
    };
    start.abort();
    running.stop().await;
    // The process supervisor starts it again.
    anyhow::ensure!(!died, "the control loop panicked (see above), exiting; please report it");
    Ok(ExitCode::SUCCESS)
}

/// Completes on SIGTERM or SIGINT, which are caught from this call on, not only once it is awaited. Needs a running
/// tokio.
pub fn stop_signal() -> impl Future<Output = anyhow::Result<()>> {
    let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    async move {
        let (mut terminate, mut interrupt) = signals?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    }
}

/// Explains a switch that does not exist yet or that stops something.
fn announce(kill: &KillState) {
    match kill {
        KillState::Missing { error } => tracing::warn!(%error, "the kill switch is missing, so NOTHING IS WRITTEN"),
        KillState::Unreadable { error } => {
            tracing::warn!(%error, "the kill switch cannot be read, so NOTHING IS WRITTEN");
        }
        KillState::Readable { order, .. } => {
            if let Some(stopped) = order.stopped() {
                tracing::warn!(stopped, by = order.by, reason = order.reason, "the kill switch is engaged");
            }
        }
    }
}

/// Reports what the start still waits for, whenever that changes (other than in a count), and its completion.
async fn tell_start(control: Arc<dyn Control>) {
    let mut told: Vec<Awaited> = Vec::new();
    loop {
        let status = control.status();
        if status.ready {
            tracing::info!("ready");
            return;
        }
        let waits = &status.waiting_for;
        if !(told.len() == waits.len() && told.iter().zip(waits).all(|(before, now)| before.is_same(now))) {
            let words: Vec<String> = waits.iter().map(ToString::to_string).collect();
            tracing::info!(waiting_for = words.join("; "), "starting");
            told.clone_from(waits);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
