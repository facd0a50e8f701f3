//! A real Prometheus in a scratch directory on a loopback port.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use crate::eventually;
use crate::load::{Load, unix_now};
use crate::support::process;
use crate::worker::Worker;

const INSTALL: &str = "run scripts/test, or: apt-get install prometheus";
const READY: Duration = Duration::from_secs(30);
/// Seconds between two backfilled samples.
pub const STEP: usize = 5;

/// A server; killed on drop.
#[derive(Debug)]
pub struct Prometheus {
    directory: TempDir,
    port: u16,
    process: Option<Child>,
    client: reqwest::Client,
}

/// One series of an answer: its labels and its points (seconds, value), oldest first.
pub type Series = (BTreeMap<String, String>, Vec<(f64, f64)>);

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
    values: Option<Vec<(f64, String)>>,
}

impl Prometheus {
    /// Returns a server, not yet started, that scrapes `workers` every `scrape_interval`, each under the labels
    /// `namespace` and `service`.
    pub fn new(workers: &[Worker], scrape_interval: Duration) -> Self {
        let mut scrapes = String::from("scrape_configs:\n  - job_name: workers\n    static_configs:\n");
        for worker in workers {
            let (namespace, service) = worker.service.split_once('/').expect("namespace/name");
            let labels = format!("namespace: {namespace}, service: {service}");
            let _ = writeln!(scrapes, "      - {{ targets: ['{}'], labels: {{ {labels} }} }}", worker.address);
        }
        Self::scraping(&scrapes, scrape_interval)
    }

    /// Returns a server, not yet started, with these `scrape_configs`.
    pub fn scraping(scrapes: &str, scrape_interval: Duration) -> Self {
        for program in ["prometheus", "promtool"] {
            let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            assert!(found.is_ok_and(|status| status.success()), "`{program}` is not installed; {INSTALL}");
        }
        // Fine if another test of this process has already installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap();
        let server = Self { directory: TempDir::new().unwrap(), port: free_port(), process: None, client };
        let interval = scrape_interval.as_millis();
        let global = format!("global: {{ scrape_interval: {interval}ms, scrape_timeout: {interval}ms }}\n");
        fs::write(server.settings(), global + scrapes).unwrap();
        server
    }

    /// Writes `days` of request counters into the storage, up to now: for each service the load it would have seen. The
    /// server must be stopped.
    pub fn backfill(&self, services: &[(&str, Load)], days: u32) {
        assert!(self.process.is_none(), "backfill goes before the start");
        let path = self.directory.path().join("history.om");
        let mut file = BufWriter::new(File::create(&path).unwrap());
        writeln!(file, "# TYPE http_requests counter").unwrap();
        let end = unix_now() as i64;
        let start = end - i64::from(days) * 86_400;
        for (service, load) in services {
            let (namespace, name) = service.split_once('/').expect("namespace/name");
            let labels = format!("job=\"workers\",instance=\"history\",namespace=\"{namespace}\",service=\"{name}\"");
            let mut count = 0.0;
            for second in (start..=end).step_by(STEP) {
                let Some(rate) = load.at(second.div_euclid(60)) else { continue };
                count += rate * STEP as f64;
                writeln!(file, "http_requests_total{{{labels},code=\"200\"}} {count} {second}").unwrap();
            }
        }
        writeln!(file, "# EOF").unwrap();
        file.into_inner().unwrap().sync_all().unwrap();
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "--max-block-duration=48h", "openmetrics"])
            .args([&path, &self.storage()])
            .output()
            .unwrap();
        assert!(made.status.success(), "promtool: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// Returns the base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts the server, under the same URL again, and waits until it is ready.
    pub async fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", self.settings().display()))
            .arg(format!("--storage.tsdb.path={}", self.storage().display()))
            .arg("--storage.tsdb.retention.time=60d")
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        let ready = format!("{}/-/ready", self.url());
        eventually("Prometheus is ready", READY, async || {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            if let Some(status) = ended {
                panic!("Prometheus ended with {status}:\n{}", fs::read_to_string(self.log()).unwrap_or_default());
            }
            let answer = self.client.get(&ready).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// Stops the server as an operator would, and waits for its end; its storage stays.
    pub fn stop(&mut self) {
        self.signal("CONT");
        self.signal("TERM");
        let mut process = self.process.take().expect("it runs");
        process.wait().unwrap();
    }

    /// Pauses the server: it accepts connections and answers nothing.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Resumes a paused server.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Returns the answer to an instant query; `None` if there is none.
    pub async fn query(&self, query: &str) -> Option<Vec<Series>> {
        self.ask("query", &[("query", query)]).await
    }

    /// Returns the answer to a range query, `from` to `to` in seconds since the epoch.
    pub async fn query_range(&self, query: &str, from: f64, to: f64, step: u32) -> Option<Vec<Series>> {
        let [from, to, step] = [from.to_string(), to.to_string(), step.to_string()];
        self.ask("query_range", &[("query", query), ("start", &from), ("end", &to), ("step", &step)]).await
    }

    /// Returns the newest value of a query that yields one series.
    pub async fn value(&self, query: &str) -> Option<f64> {
        let answer = self.query(query).await?;
        assert!(answer.len() < 2, "{query} yields {} series", answer.len());
        answer.first()?.1.last().map(|(_, value)| *value)
    }

    async fn ask(&self, endpoint: &str, parameters: &[(&str, &str)]) -> Option<Vec<Series>> {
        let url = format!("{}/api/v1/{endpoint}", self.url());
        let answer: Answer = self.client.get(url).query(parameters).send().await.ok()?.json().await.ok()?;
        let points = |row: Row| {
            let points = row.values.unwrap_or_default().into_iter().chain(row.value);
            let points = points.map(|(at, text)| (at, text.parse().expect("a value is a number"))).collect();
            (row.metric, points)
        };
        Some(answer.data.result.into_iter().map(points).collect())
    }

    fn signal(&self, name: &str) {
        process::signal(self.process.as_ref().expect("it runs").id(), name);
    }

    fn settings(&self) -> PathBuf {
        self.directory.path().join("prometheus.yml")
    }

    fn storage(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // SIGKILL reaches a stopped process too.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Returns a port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a loopback port is free").port()
}
