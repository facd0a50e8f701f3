//! How fast the loop reacts: the real actor tree with 1,000 services, the real journal on disk, the real Kubernetes
//! adapter, and the API double over loopback on a separate thread.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use flyball::demo::kubernetes::KubernetesDouble;
use flyball::demo::kubernetes::objects::{Objects, Write};
use flyball::guard::FleetLimits;
use flyball::instrument::Metrics;
use flyball::ports::TelemetrySource;
use tokio::sync::oneshot;

use crate::Figures;
use crate::measure::{median, ms, quantile};
use crate::process::scratch;
use crate::world::{NotingJournal, Source, lateness, name, ports, run_for, settings};

/// The figures of [`run`].
pub const IDS: &[&str] = &["sample_to_patch_p50_ms", "sample_to_patch_p99_ms", "disk_sync_p50_ms"];
/// The figures of [`batch`].
pub const BATCH_IDS: &[&str] = &["batch_1k_decided_ms"];

const SERVICES: usize = 1_000;
/// Services that decide at the same time.
const AT_ONCE: usize = 8;
const GROUPS: usize = SERVICES / AT_ONCE;
/// Rounds of each group; the first two confirm the first rise, and each later one writes. The last write allowed to a
/// service in ten minutes is kept for later.
const ROUNDS: u32 = 5;
/// Just above the cooldown between two raises backed by the arrival rate.
const INTERVAL: Duration = Duration::from_secs(16);

/// The fleet's write budget is not what is measured.
const UNBOUNDED: FleetLimits =
    FleetLimits { namespace_per_min: usize::MAX, fleet_per_min: usize::MAX, removal_share: 1.0 };

/// Raises the load of eight services at a time, every 100 ms, and measures the time from the source delivering the
/// sample to the API double accepting the PATCH.
pub fn run() -> anyhow::Result<Figures> {
    let api = Api::start()?;
    let directory = scratch()?;
    let defaults = "mode: auto";
    let settings = settings(directory.path(), &api.url, GROUPS, AT_ONCE, defaults)?;
    let slot = INTERVAL.mul_f64(0.8) / GROUPS as u32;
    let sources: Vec<_> = (0..GROUPS).map(|group| Source::rising(slot * group as u32)).collect();
    block_on(async {
        let metrics = Arc::new(Metrics::new());
        let by_name = sources.iter().enumerate();
        let by_name = by_name.map(|(group, source)| (format!("s{group}"), source.clone() as Arc<dyn TelemetrySource>));
        let mut ports = ports(&settings, &metrics, by_name.collect()).await?;
        ports.budgets = UNBOUNDED;
        run_for(&settings, ports, metrics, INTERVAL * ROUNDS).await
    })?;
    let handed_over: BTreeMap<String, Vec<Instant>> =
        (0..SERVICES).map(|index| (name(index), sources[index / AT_ONCE].handed_over())).collect();
    let writes: Vec<Write> = api.objects.history().into_iter().filter(|write| write.who == "flyball").collect();
    let expected = SERVICES * (ROUNDS as usize - 2);
    ensure!(writes.len() >= expected * 9 / 10, "{} writes, expected about {expected}", writes.len());
    let latency = |write: &Write| {
        let before = handed_over.get(&write.name)?.iter().rev().find(|answer| **answer <= write.at)?;
        Some(ms(write.at - *before))
    };
    let mut latencies: Vec<f64> = writes.iter().filter_map(latency).collect();
    eprintln!("score:   {} writes, worst {:.1} ms", latencies.len(), quantile(&mut latencies, 1.0));
    Ok(vec![
        ("sample_to_patch_p50_ms", median(&mut latencies)),
        ("sample_to_patch_p99_ms", quantile(&mut latencies, 0.99)),
        ("disk_sync_p50_ms", disk_sync(directory.path())?),
    ])
}

/// Returns how long the disk below `directory` takes for the sync that makes an intent durable, ms: the part of
/// `sample_to_patch_p50_ms` that no program can shorten. Median over page writes into a file of fixed size.
fn disk_sync(directory: &Path) -> anyhow::Result<f64> {
    const SYNCS: u64 = 200;
    const PAGE: [u8; 4096] = [1; 4096];
    let mut file = File::create(directory.join("sync"))?;
    (0..SYNCS).try_for_each(|_| file.write_all(&PAGE))?;
    file.sync_all()?;
    let mut spans = Vec::new();
    for page in 0..SYNCS {
        file.seek(SeekFrom::Start(page * PAGE.len() as u64))?;
        let started = Instant::now();
        file.write_all(&PAGE)?;
        file.sync_data()?;
        spans.push(ms(started.elapsed()));
    }
    Ok(median(&mut spans))
}

/// Lets one source answer for all services each second, and measures the time from the answer to the last of their
/// decisions being passed to the journal. The load rises in each round, so every decision is new and is stored: the
/// worst possible round, not the usual one.
pub fn batch() -> anyhow::Result<Figures> {
    let api = Api::start()?;
    let directory = scratch()?;
    let mut settings = settings(directory.path(), &api.url, 1, SERVICES, "mode: shadow")?;
    settings.sources.iter_mut().for_each(|source| source.interval = Duration::from_secs(1));
    let source = Source::rising(Duration::from_millis(1));
    let journal = block_on(async {
        let metrics = Arc::new(Metrics::new());
        let sources = BTreeMap::from([("s0".to_owned(), source.clone() as Arc<dyn TelemetrySource>)]);
        let mut ports = ports(&settings, &metrics, sources).await?;
        let journal = NotingJournal::over(ports.journal.clone());
        ports.journal = journal.clone();
        run_for(&settings, ports, metrics, Duration::from_secs(32)).await?;
        Ok(journal)
    })?;
    let rounds = lateness(&source.handed_over(), journal.0.kept(|_| true));
    let whole = rounds.iter().skip(2).filter(|round| round.len() == SERVICES);
    let mut last: Vec<f64> = whole.filter_map(|round| round.iter().max()).map(|last| ms(*last)).collect();
    ensure!(last.len() >= 20, "{} rounds in which all decided, of {}", last.len(), rounds.len());
    Ok(vec![("batch_1k_decided_ms", median(&mut last))])
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// The API double with all targets, two replicas each; its controller reports pods as soon as they are requested.
struct Api {
    url: String,
    objects: Objects,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Api {
    fn start() -> anyhow::Result<Self> {
        let objects = Objects::default();
        (0..SERVICES).for_each(|index| objects.add_deployment("bench", &name(index), 2));
        let (url_to, url_from) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let served = objects.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let double = KubernetesDouble::start(served.clone()).await;
                let _ = url_to.send(double.as_ref().map(KubernetesDouble::url).map_err(ToString::to_string));
                tokio::select! {
                    _ = stopped => {}
                    () = report(&served) => {}
                }
            });
        });
        let url = url_from.recv().context("the API double did not start")?.map_err(anyhow::Error::msg)?;
        Ok(Self { url, objects, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Plays the controller that starts pods.
async fn report(objects: &Objects) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for index in 0..SERVICES {
            // As a separate controller would: no client waits until all are reported.
            tokio::task::yield_now().await;
            let name = name(index);
            if let Some(wanted) = objects.wanted("bench", &name) {
                objects.set_status("bench", &name, wanted, wanted);
            }
        }
    }
}
