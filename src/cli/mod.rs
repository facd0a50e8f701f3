//! The command line: one file per subcommand. Errors say what to do.

#![expect(clippy::print_stderr, reason = "a command line talks to people")]

mod anomalies;
mod check;
mod crds;
mod demo;
mod doctor;
mod explain;
mod forecast;
#[cfg(feature = "failpoints")]
mod halt;
mod init;
mod kill;
mod policy;
mod run;
mod running;
mod status;
pub mod svg;
mod terminal;

pub use forecast::csv;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::config::{self, Settings};
use crate::model::{Mode, ServiceId, build};

/// How long a command waits at exit for threads that are no longer needed.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// Autoscaling governor for Kubernetes services: observes, forecasts, decides by policy, acts safely, explains.
#[derive(Debug, Parser)]
#[command(name = "flyball", version = build::FULL, max_term_width = 110)]
#[command(
    after_help = "New here? `flyball demo` runs the whole loop on this machine; `flyball init` is the first step with \
     your own services.\n\n\
                  Environment:\n  \
                  FLYBALL_CONFIG      settings file, like --config\n  \
                  FLYBALL_LOG         log filter of `flyball run`, like --log\n  \
                  FLYBALL_LISTEN      overrides `listen` in the settings\n  \
                  FLYBALL_STATE       overrides `state`\n  \
                  FLYBALL_LEADERSHIP  overrides `leadership`: the name of the Lease\n  \
                  FLYBALL_INTENTS     overrides `intents`: state or loopactions\n  \
                  KUBECONFIG          kubeconfig to use when the settings have no `cluster`"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The named stop at which the process halts (`stop:` before it: is stopped until SIGCONT), for the kill tests.
    #[cfg(feature = "failpoints")]
    #[arg(long, hide = true, env = "FLYBALL_HALT_AT")]
    halt_at: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control loop against the sources and the cluster in the settings.
    Run(run::RunArgs),
    /// Run the whole loop without a cluster, live on services simulated on this machine.
    Demo(demo::DemoArgs),
    /// Write starter settings and a policy for one service, observed but not written to.
    Init(init::InitArgs),
    /// Validate the settings and the policies they name. Read-only; contacts only a flyball already running with them.
    Check(check::CheckArgs),
    /// Show the health of the running flyball and its services.
    Status(status::StatusArgs),
    /// Explain why a service was changed, or why not.
    Explain(explain::ExplainArgs),
    /// Forecast a series as the loop would, or backtest the forecast on its history.
    Forecast(forecast::ForecastArgs),
    /// Run the loop's anomaly detector over recorded series and score it.
    #[command(subcommand)]
    Anomalies(anomalies::AnomaliesCommand),
    /// Check, test and stage policies before they go live.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Stop writes within a second: all, or those for one service or class.
    Kill(kill::KillArgs),
    /// Allow writes again (requires a reason).
    Resume(kill::ResumeArgs),
    /// Check that everything the loop needs is in place: sources, permissions, custom resources.
    Doctor(doctor::DoctorArgs),
    /// Print the custom resource definitions, for `kubectl apply`.
    Crds,
    /// Print shell completions.
    Completions(crds::CompletionsArgs),
}

/// Where the settings are.
#[derive(Debug, Clone, Args)]
pub struct ConfigArg {
    /// Settings file. Default: the first that exists of `./flyball.yaml`, `./flyball-demo/flyball.yaml` (a demo started
    /// here), `/etc/flyball/flyball.yaml`.
    #[arg(long, short, value_name = "FILE", env = "FLYBALL_CONFIG")]
    config: Option<PathBuf>,
}

const USUAL_PLACES: [&str; 3] = ["flyball.yaml", "flyball-demo/flyball.yaml", "/etc/flyball/flyball.yaml"];

impl ConfigArg {
    fn path(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.config {
            return Ok(path.clone());
        }
        usual_settings().map(Path::to_path_buf).ok_or_else(|| {
            anyhow::anyhow!(
                "no settings file: tried {}; name one with --config FILE, create one with `flyball init`, or start \
                 `flyball demo` here",
                USUAL_PLACES.join(", ")
            )
        })
    }

    /// Returns whether a file was named.
    fn is_named(&self) -> bool {
        self.config.is_some()
    }

    /// Returns the option for the same file, as typed; empty if none was needed.
    fn typed(&self) -> String {
        self.config.as_ref().map_or(String::new(), |path| format!(" --config {}", quoted(path.display())))
    }

    fn load(&self) -> anyhow::Result<Settings> {
        Ok(config::load(&self.path()?)?)
    }
}

/// Returns the default settings file.
fn usual_settings() -> Option<&'static Path> {
    USUAL_PLACES.iter().map(Path::new).find(|path| path.exists())
}

/// Returns how this program was called, as typed.
fn program() -> String {
    std::env::args_os().next().map_or("flyball".to_owned(), |name| quoted(name.to_string_lossy()))
}

/// Returns a word quoted for a shell.
fn quoted(word: impl std::fmt::Display) -> String {
    let word = word.to_string();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Refuses a service that the settings do not name, if they name any: `ServiceLoop` objects may declare others.
fn known_service(settings: &Settings, service: &ServiceId) -> anyhow::Result<()> {
    let known = settings.declarations().is_some() || settings.listed().iter().any(|spec| spec.id == *service);
    if known { Ok(()) } else { Err(unknown_service(service.as_str(), settings)) }
}

/// Says that the service does not exist, and which ones do.
fn unknown_service(name: &str, settings: &Settings) -> anyhow::Error {
    /// Most names listed.
    const LISTED: usize = 10;
    if settings.declarations().is_some() {
        return anyhow::anyhow!(
            "no service `{name}`; `kubectl get serviceloops -A` lists the ServiceLoops that declare services"
        );
    }
    let known = settings.listed().iter().take(LISTED).map(|service| service.id.as_str());
    let known = known.collect::<Vec<_>>().join(", ");
    let more = settings.listed().len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    anyhow::anyhow!("no service `{name}` in the settings, expected one of {known}{more}")
}

/// Writes a line to standard output. If the reader is gone the command ends, as by SIGPIPE.
fn print_line(line: impl std::fmt::Display) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{}", terminal::safe(&line.to_string()))
}

/// Writes a finding. If the reader is gone the command continues without output: its exit code says the same.
fn print_finding(line: impl std::fmt::Display) -> std::io::Result<()> {
    print_line(line).or_else(|error| if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// Writes a line to standard error, if it is open.
fn warn_line(line: impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "flyball: {}", terminal::safe(&line.to_string()));
}

/// A series excluded from an evaluation, and why.
#[derive(Debug, Serialize)]
struct LeftOut {
    series: String,
    why: String,
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Human-readable.
    #[value(alias = "table")]
    Text,
    /// Machine-readable.
    Json,
}

/// The exit code a shell reports for a program killed by SIGPIPE.
const CUT_OFF: u8 = 141;

/// Runs the command; 0 is success, 1 a finding or failure, 2 (from the parser) a usage error. For `policy`, whose
/// commands are gates, 1 is only a finding, and 2 means that nothing could be determined; likewise for `status`,
/// `forecast evaluate` and `anomalies evaluate`. 141: the output was closed before anything was found.
pub fn main(cli: &Cli) -> ExitCode {
    // Fails only if a provider is already installed, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    #[cfg(feature = "failpoints")]
    if let Some(Err(error)) = cli.halt_at.as_deref().map(halt::arm) {
        warn_line(format_args!("{error:#}"));
        return ExitCode::FAILURE;
    }
    let result = match &cli.command {
        Command::Run(args) => block_on(run::run(args)),
        Command::Demo(args) => block_on(demo::demo(args)),
        Command::Init(args) => init::init(args),
        Command::Check(args) => block_on(check::check(args)),
        Command::Status(args) => block_on(status::status(args)),
        Command::Explain(args) => block_on(explain::explain(args)),
        Command::Forecast(args) => block_on(forecast::forecast(args)),
        Command::Anomalies(command) => anomalies::anomalies(command),
        Command::Policy(command) => block_on(policy::policy(command)),
        Command::Kill(args) => block_on(kill::kill(args)),
        Command::Resume(args) => block_on(kill::resume(args)),
        Command::Doctor(args) => block_on(doctor::doctor(args)),
        Command::Crds => crds::crds(),
        Command::Completions(args) => crds::completions(args),
    };
    match result {
        Ok(code) => code,
        // The reader has closed the output, as in `flyball explain ... | head`. Nothing was found by then: gates
        // continue to their finding (`print_finding`).
        Err(error) if is_closed_pipe(&error) => ExitCode::from(CUT_OFF),
        Err(error) => {
            warn_line(format_args!("{error:#}"));
            let tells_by_code = match &cli.command {
                Command::Policy(_) | Command::Status(_) | Command::Anomalies(_) => true,
                Command::Forecast(args) => args.evaluates(),
                _ => false,
            };
            if tells_by_code { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(command);
    // What a thread still waits for (a silent name server) is no longer needed.
    runtime.shutdown_timeout(SHUTDOWN);
    result
}

/// Returns how many services are in each mode, highest first; `None` without services.
fn modes(services: impl Iterator<Item = Mode>) -> Option<String> {
    let services: Vec<Mode> = services.collect();
    let counts = Mode::ALL.map(|mode| (services.iter().filter(|one| **one == mode).count(), mode));
    let parts = counts.iter().rev().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, mode)| format!("{count} {}", mode.as_str())).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
