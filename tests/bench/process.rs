//! The release binary as a separate process.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use flyball::adapters::kill_file::{Scope, release};
use flyball::demo::kubernetes::{KubernetesDouble, Objects};
use flyball::demo::prometheus::PrometheusDouble;
use flyball::demo::prometheus::fleet::{Fleet, NAMESPACE, REPLICAS};
use flyball::demo::prometheus::queries::{LABELS, QUERIES, SAMPLES};
use flyball::model::Timestamp;
use tempfile::TempDir;

/// Returns the directory that cargo builds into.
pub fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Path::new(env!("CARGO_MANIFEST_DIR")).join(target)
}

/// Returns where `scripts/score` keeps the binary of `cargo build --release`: building the benchmarks replaces the
/// original with one that has the test features.
pub fn binary() -> anyhow::Result<PathBuf> {
    let path = target().join("score/flyball");
    ensure!(path.is_file(), "{} is missing; run scripts/score", path.display());
    Ok(path)
}

/// A scratch directory on the disk of the repository.
pub fn scratch() -> anyhow::Result<TempDir> {
    Ok(TempDir::new_in(target())?)
}

/// Telemetry and API of a fleet over loopback, on a separate thread.
pub struct Doubles {
    prometheus: PrometheusDouble,
    api: KubernetesDouble,
    _runtime: tokio::runtime::Runtime,
}

impl Doubles {
    /// Serves `count` services.
    pub fn start(count: usize) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let objects = Objects::default();
        for index in 0..count {
            objects.add_deployment(NAMESPACE, &format!("svc-{index:05}"), REPLICAS);
        }
        let fleet = Fleet::new(count, || Timestamp::now().as_second())?;
        let prometheus = runtime.block_on(PrometheusDouble::start(fleet))?;
        let api = runtime.block_on(KubernetesDouble::start(objects))?;
        Ok(Self { prometheus, api, _runtime: runtime })
    }

    /// Returns settings for `count` services with the five signals of the demo, with `history` read at startup.
    pub fn settings(&self, state: &Path, listen: SocketAddr, count: usize, history: &str) -> anyhow::Result<String> {
        let (prometheus, api) = (self.prometheus.url(), self.api.url());
        let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policies");
        let mut text = format!(
            "state: {}\npolicies: {}\nlisten: {listen}\ncluster: {{ url: '{api}' }}\nsources:\n  \
             fleet: {{ kind: prometheus, url: '{prometheus}', interval: 15s, timeout: 5s, history: {history} }}\n\
             signals:\n",
            state.display(),
            policies.display(),
        );
        for row in &QUERIES {
            let role =
                row.role.map(|role| Ok::<_, serde_json::Error>(format!(", role: {}", word(&role)?))).transpose()?;
            writeln!(
                text,
                "  {}: {{ source: fleet, query: '{}', samples: '{SAMPLES}', labels: [{}], unit: {}{}, forecast: {}, \
                 range: [{:?}, {:?}] }}",
                row.name,
                row.query,
                LABELS.join(", "),
                word(&row.unit)?,
                role.unwrap_or_default(),
                row.forecast,
                row.range.0,
                row.range.1,
            )?;
        }
        let names: Vec<&str> = QUERIES.iter().map(|row| row.name).collect();
        writeln!(
            text,
            "defaults: {{ mode: auto, signals: [{}], slo: {{ p99: 200ms, error_ratio: 0.01 }}, \
             bounds: {{ min: 2, max: 40 }}, capacity: {{ per_pod_rate: 100, utilisation: 0.75, start_time: 60s }} }}\n\
             services:",
            names.join(", ")
        )?;
        for index in 0..count {
            writeln!(text, "  - name: {NAMESPACE}/svc-{index:05}")?;
        }
        Ok(text)
    }
}

/// Returns the word that settings use for a unit variant.
fn word(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string(value)?.trim_matches('"').to_owned())
}

/// A running flyball; killed on drop.
pub struct Flyball {
    child: Child,
    address: SocketAddr,
    started: Instant,
    directory: TempDir,
}

impl Flyball {
    /// Starts the binary for `count` services of `doubles`.
    pub fn start(binary: &Path, doubles: &Doubles, count: usize, history: &str) -> anyhow::Result<Self> {
        Self::start_in(scratch()?, binary, doubles, count, history)
    }

    /// Starts it in a directory that may already hold a journal.
    pub fn start_in(
        directory: TempDir,
        binary: &Path,
        doubles: &Doubles,
        count: usize,
        history: &str,
    ) -> anyhow::Result<Self> {
        let path = directory.path();
        // Free now; nothing else on this machine requests ports at this rate.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let settings = path.join("flyball.yaml");
        fs::write(&settings, doubles.settings(path, address, count, history)?)?;
        release(&path.join("killswitch.yaml"), &Scope::All, "score", "a benchmark begins")?;
        let log = File::create(path.join("log"))?;
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(&settings).args(["--log", "warn"]);
        command.stdout(Stdio::null()).stderr(log);
        let started = Instant::now();
        Ok(Self { child: command.spawn()?, address, started, directory })
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Polls `/readyz` every `pause` until it succeeds, and returns the time since the start of the process.
    pub fn wait_ready(&mut self, within: Duration, pause: Duration) -> anyhow::Result<Duration> {
        let mut last = String::new();
        while self.started.elapsed() < within {
            if let Ok(answer) = self.get("/readyz") {
                if answer.starts_with("HTTP/1.1 200") {
                    return Ok(self.started.elapsed());
                }
                last = answer;
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("flyball ended with {status}: {}", self.log());
            }
            std::thread::sleep(pause);
        }
        bail!("not ready within {within:?}: {} {}", last.lines().last().unwrap_or_default(), self.log())
    }

    /// Returns the metrics page.
    pub fn metrics(&self) -> anyhow::Result<Metrics> {
        Ok(Metrics(self.get("/metrics")?))
    }

    fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Returns the end of its log.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Flyball {
    fn drop(&mut self) {
        // Both fail only if it has exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A metrics page.
pub struct Metrics(String);

impl Metrics {
    /// Returns the sum of all series whose name is `name`.
    pub fn sum(&self, name: &str) -> anyhow::Result<f64> {
        let values = self.series(name).map(|(_, value)| value);
        let (count, sum) = values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value));
        ensure!(count > 0, "no series {name} on the metrics page");
        Ok(sum)
    }

    /// Returns the cumulative counts of a histogram without labels, by upper bound.
    pub fn buckets(&self, name: &str) -> anyhow::Result<Vec<(f64, f64)>> {
        let bucket = |(labels, count): (&str, f64)| {
            let bound = labels.split("le=\"").nth(1)?.split('"').next()?;
            Some((if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? }, count))
        };
        let buckets: Vec<_> = self.series(&format!("{name}_bucket")).filter_map(bucket).collect();
        ensure!(!buckets.is_empty(), "no histogram {name} on the metrics page");
        Ok(buckets)
    }

    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.split_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            Some((labels, value.split(' ').next()?.parse().ok()?))
        })
    }
}

/// Returns the difference of a counter between two pages.
pub fn grown(before: &Metrics, after: &Metrics, name: &str) -> anyhow::Result<f64> {
    Ok(after.sum(name).with_context(|| name.to_owned())? - before.sum(name)?)
}
