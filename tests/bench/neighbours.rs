//! What a faulty service costs the 99 others: the lateness of their decisions next to a panicking and a slow service,
//! and while endless policies are saved for it, against a run in which all are healthy. Runs alternate; medians over
//! repetitions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use flyball::adapters::store::MemoryJournal;
use flyball::config::PolicySource;
use flyball::instrument::Metrics;
use flyball::model::{ChangeSet, TargetReading, TargetRef, TargetState};
use flyball::ports::{Awaited, Cluster, ClusterError, Live, TelemetrySource};
use futures::future::BoxFuture;

use crate::Figures;
use crate::measure::{median, ms, quantile};
use crate::process::scratch;
use crate::world::{NotingJournal, Source, lateness, name, ports, run_for, settings};

/// The figures.
pub const IDS: &[&str] = &["neighbours_added_p99_ms", "neighbours_added_max_ms"];

const SERVICES: usize = 100;
const TICK: Duration = Duration::from_millis(100);
const RUN: Duration = Duration::from_secs(10);
const REPETITIONS: usize = 3;
/// How long the slow one blocks its thread in each cycle.
const BLOCKED: Duration = Duration::from_millis(50);

/// What is wrong with service 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Panicking,
    Endless,
    Slow,
}

const RUNS: [Trouble; 4] = [Trouble::None, Trouble::Panicking, Trouble::Endless, Trouble::Slow];

/// Measures all runs; the figures are the worst of the three troubles.
pub fn run() -> anyhow::Result<Figures> {
    // The panic is intentional; its message on each tick would only hide others.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = measure();
    std::panic::set_hook(hook);
    let (p99, max) = result?;
    let added = |values: &[f64; 4]| values[1..].iter().fold(0.0, |most: f64, value| most.max(value - values[0]));
    for (trouble, (p99, max)) in RUNS.iter().zip(p99.iter().zip(&max)) {
        eprintln!("score:   {trouble:?}: p99 {p99:.2} ms, max {max:.2} ms");
    }
    Ok(vec![("neighbours_added_p99_ms", added(&p99)), ("neighbours_added_max_ms", added(&max))])
}

/// Returns p99 and maximum for each of [`RUNS`].
fn measure() -> anyhow::Result<([f64; 4], [f64; 4])> {
    let mut all = RUNS.map(|_| (Vec::new(), Vec::new()));
    for _ in 0..REPETITIONS {
        for (trouble, (p99, max)) in RUNS.into_iter().zip(&mut all) {
            let mut lateness = latenesses(trouble)?;
            p99.push(quantile(&mut lateness, 0.99));
            max.push(quantile(&mut lateness, 1.0));
        }
    }
    let p99 = all.each_mut().map(|(p99, _)| median(p99));
    Ok((p99, all.each_mut().map(|(_, max)| median(max))))
}

fn latenesses(trouble: Trouble) -> anyhow::Result<Vec<f64>> {
    let directory = scratch()?;
    let policies = directory.path().join("policies");
    copy_policies(&policies)?;
    let mut settings = settings(directory.path(), "http://127.0.0.1:9", 1, SERVICES, "mode: shadow")?;
    settings.policies = PolicySource::Directory(policies.clone());
    settings.sources.iter_mut().for_each(|source| source.interval = TICK);
    let source = Source::rising(Duration::from_millis(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let journal = runtime.block_on(async {
        let metrics = Arc::new(Metrics::new());
        let sources = BTreeMap::from([("s0".to_owned(), source.clone() as Arc<dyn TelemetrySource>)]);
        let mut ports = ports(&settings, &metrics, sources).await?;
        let journal = NotingJournal::over(Arc::new(MemoryJournal::new()));
        ports.journal = journal.clone();
        ports.cluster = Arc::new(Still { trouble });
        let saving = (trouble == Trouble::Endless).then(|| tokio::spawn(keep_saving(policies)));
        run_for(&settings, ports, metrics, RUN).await?;
        saving.inspect(tokio::task::JoinHandle::abort);
        anyhow::Ok(journal)
    })?;
    let rounds = lateness(&source.handed_over(), journal.0.kept(|service| service.name() != name(0)));
    let lateness: Vec<f64> = rounds.iter().skip(5).flatten().map(|lateness| ms(*lateness)).collect();
    let expected = (SERVICES - 1) * 80;
    ensure!(lateness.len() >= expected, "{trouble:?}: {} decisions, expected at least {expected}", lateness.len());
    Ok(lateness)
}

/// Repeatedly saves another endless rule: each is run, stopped and refused, and the good set stays.
async fn keep_saving(policies: PathBuf) {
    for edit in 0_u32.. {
        let rule = format!(
            "rule(\"edit_{edit}\", #{{ priority: 1, goal: \"protect\" }}, |s, p| \
             [ when({{ while true {{}} s.cpu.current > pct(1) }}), scale_to(5) ]);\n"
        );
        // A failed save looks like a run without trouble, which the other figures do not hide.
        let _ = tokio::fs::write(policies.join("endless.rhai"), rule).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Puts the shipped policies into a directory.
fn copy_policies(to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["deploy/policies/capacity.rhai", "deploy/policies/traffic.rhai"] {
        let file = root.join(file);
        std::fs::copy(&file, to.join(file.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// A cluster in which nothing changes, and in which reading service 0 is trouble.
struct Still {
    trouble: Trouble,
}

impl Cluster for Still {
    #[expect(clippy::panic, reason = "the trouble that is ordered")]
    fn observed(&self, target: &TargetRef) -> TargetReading {
        if target.name == name(0) {
            match self.trouble {
                Trouble::Panicking => panic!("ordered"),
                Trouble::Slow => std::thread::sleep(BLOCKED),
                Trouble::None | Trouble::Endless => {}
            }
        }
        let uid = format!("uid-{}", target.name);
        let target = TargetState::calm(&uid, 2);
        TargetReading::Known { target }
    }

    fn waiting_for(&self) -> Vec<Awaited> {
        Vec::new()
    }

    fn read<'a>(&'a self, change: &'a ChangeSet) -> BoxFuture<'a, Result<Live, ClusterError>> {
        Box::pin(async move { Err(ClusterError::NoLever { knob: change.knob }) })
    }

    fn apply<'a>(&'a self, change: &'a ChangeSet, _: &'a Live) -> BoxFuture<'a, Result<Live, ClusterError>> {
        Box::pin(async { Err(ClusterError::NoLever { knob: change.knob }) })
    }
}
