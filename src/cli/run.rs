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

/// Time between two looks at what the start waits for.
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
    // Before anything else: the first process of a container does not hear a signal that it does not wait for.
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
    // Waits for nobody: it may be seen to its end.
    let mut running = match Running::start(&settings, opened, metrics).await {
        Ok(running) => running,
        Err(error) => {
            leadership.release().await;
            return Err(error);
        }
    };
    tracing::info!(address = %running.address, services = settings.services.len(), "flyball started");
    // Read anew: what is seen of a ConfigMap is unknown until its first list has come.
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
    // Whoever starts processes starts this one again.
    anyhow::ensure!(!died, "the control loop panicked (see above), exiting; please report it");
    Ok(ExitCode::SUCCESS)
}

/// Completes with SIGTERM or SIGINT, which are heard from this call on, and not only once it is waited for. Needs a
/// running tokio.
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

/// Says what a switch that nobody has made yet, or that stops something, means.
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

/// Says what the start still waits for, whenever that is something else (a count that went on is not), and that it is
/// over.
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
