//! The `flyball` program as a separate process with its own directory.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use flyball::adapters::kill_file::{self, Scope};
use tempfile::TempDir;

use super::process;

/// How long the program may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may then take to become ready.
const READY: Duration = Duration::from_secs(60);

/// What `flyball` is started with; it outlives the process.
#[derive(Debug)]
pub struct Installation {
    program: PathBuf,
    directory: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Installation {
    /// Writes settings and policies, and releases the kill switch. `settings` is appended after `state`, and after
    /// `policies` unless it sets that itself.
    pub fn new(program: &Path, settings: &str, policies: &[(&str, &str)]) -> Self {
        // Fine if another test of this process has already installed it; HTTP clients need it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = TempDir::new().expect("a scratch directory");
        let path = directory.path();
        std::fs::create_dir(path.join("policies")).expect("a new directory");
        for (name, text) in policies {
            std::fs::write(path.join("policies").join(name), text).expect("a policy is written");
        }
        let is_told = settings.lines().any(|line| line.starts_with("policies:"));
        let policies = if is_told { "" } else { "policies: policies\n" };
        std::fs::write(path.join("flyball.yaml"), format!("state: .\n{policies}{settings}"))
            .expect("the settings are written");
        kill_file::release(&path.join("killswitch.yaml"), &Scope::All, "test", "the test begins").expect("released");
        Self { program: program.to_owned(), directory, environment: Vec::new() }
    }

    /// Returns the same with additional environment variables for the program.
    pub fn with_environment(self, environment: Vec<(&'static str, String)>) -> Self {
        Self { environment, ..self }
    }

    /// Uses another program from the next start on.
    pub fn run_by(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Returns the file of the journal.
    pub fn journal(&self) -> PathBuf {
        self.directory.path().join("journal.redb")
    }

    /// Returns the path of one of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts `flyball run`; it halts at the fail point `halt_at`.
    pub fn start(&self, halt_at: Option<&str>) -> Flyball {
        let mut command = self.command(&["run"]);
        if let Some(point) = halt_at {
            command.env("FLYBALL_HALT_AT", point);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, seen) = mpsc::channel();
        let log = child.stderr.take().expect("stderr is piped");
        // Ends with the process, whose exit closes the pipe.
        std::thread::spawn(move || BufReader::new(log).lines().map_while(Result::ok).try_for_each(|l| lines.send(l)));
        Flyball { child, seen, log: Vec::new() }
    }

    /// Runs `flyball` with these arguments and returns its output.
    pub fn ask(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("flyball runs")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--config").arg(self.directory.path().join("flyball.yaml"));
        command.env_remove("FLYBALL_LISTEN").env_remove("FLYBALL_STATE").env("FLYBALL_LOG", "info");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running `flyball run`. Killed on drop.
#[derive(Debug)]
pub struct Flyball {
    child: Child,
    seen: Receiver<String>,
    log: Vec<String>,
}

impl Flyball {
    /// Waits until the log has a line with `text` and returns it; `None` after `within`.
    pub fn line(&mut self, text: &str, within: Duration) -> Option<String> {
        let end = Instant::now() + within;
        loop {
            match self.seen.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.log.push(line);
                    if let Some(line) = self.log.last().filter(|line| line.contains(text)) {
                        return Some(line.clone());
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Waits until it runs and returns the base URL of its console.
    pub fn url(&mut self) -> String {
        // No other line has it, in this version or the previous one.
        let line = self.line("\"address\":\"", PATIENCE);
        let line = line.unwrap_or_else(|| panic!("flyball does not run:\n{}", self.log()));
        let line: serde_json::Value = serde_json::from_str(&line).expect("the log is JSON");
        format!("http://{}", line["address"].as_str().expect("it names its address"))
    }

    /// Waits until it is ready and returns the base URL of its console.
    pub async fn ready(&mut self) -> String {
        let url = self.url();
        let end = Instant::now() + READY;
        while !reqwest::get(format!("{url}/readyz")).await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(Instant::now() < end, "flyball is not ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        url
    }

    /// Returns the log so far.
    pub fn log(&mut self) -> String {
        self.log.extend(self.seen.try_iter());
        self.log.join("\n")
    }

    /// Returns its exit status, if it has exited.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Returns its resident memory, MiB.
    pub fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells it");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
    }

    /// Sends it a signal: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        process::signal(self.child.id(), name);
    }

    /// Ends it by a signal, and waits for its exit.
    pub fn end(&mut self, signal: &str) {
        self.signal(signal);
        while self.ended().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// Asks it to stop, as an operator would, and waits for its exit.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < end, "flyball does not stop:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Flyball {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
