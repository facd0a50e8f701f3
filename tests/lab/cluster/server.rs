//! The API server itself as a process that can be killed, restarted and paused.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Cluster, directory};
use crate::eventually;
use crate::support::process;

/// Where it listens.
const ADDRESS: &str = "127.0.0.1:6443";
/// How long it may take to be ready again.
const READY: Duration = Duration::from_secs(60);

/// The kube-apiserver of this lab. Its data is in etcd, which stays. Whoever kills it must restart it: later tests need
/// it.
#[derive(Debug)]
pub struct ApiServer {
    program: Vec<String>,
    working: PathBuf,
    pid: u32,
    /// The process, if this test started it.
    child: Option<Child>,
}

impl ApiServer {
    /// Returns the running one.
    pub fn find() -> Self {
        let recorded = fs::read_to_string(Self::record()).unwrap();
        let pid = recorded.split_whitespace().next().unwrap().parse().unwrap();
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let program = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        let program = program.map(|word| String::from_utf8(word.to_vec()).unwrap()).collect();
        Self { program, working: fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), pid, child: None }
    }

    fn record() -> PathBuf {
        directory().join("kube-apiserver.pid")
    }

    /// Kills it, and waits for its end: every connection is cut.
    pub async fn kill(&mut self) {
        process::signal(self.pid, "KILL");
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
        eventually("the API server has ended", READY, async || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
            // A zombie has exited even if it was not reaped; but its other threads may hold its port a little longer.
            let ended = stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with('Z'));
            (ended && TcpStream::connect(ADDRESS).is_err()).then_some(())
        })
        .await;
    }

    /// Restarts it, with empty caches, and waits until it is ready.
    pub async fn start(&mut self) {
        let log = File::options().append(true).open(directory().join("kube-apiserver.log")).unwrap();
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).current_dir(&self.working).process_group(0);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.pid = child.id();
        self.child = Some(child);
        // Recorded as scripts/lab/lib.sh does, so that the lab's shutdown ends it.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        let started = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned();
        fs::write(Self::record(), format!("{} {started}\n", self.pid)).unwrap();
        let cluster = Cluster::open().await;
        eventually("the API server is ready", READY, async || cluster.answers().await.then_some(())).await;
    }

    /// Pauses it: connections stay open, nothing is answered.
    pub fn halt(&self) {
        process::signal(self.pid, "STOP");
    }

    /// Resumes it.
    pub fn resume(&self) {
        process::signal(self.pid, "CONT");
    }
}
