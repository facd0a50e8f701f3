//! This version and the previous one, as an operator upgrades and downgrades: on one journal, and side by side on one
//! Lease. `scripts/lab/build previous` builds the other one. Judged by etcd's history, request logs and API objects.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::governed::{DECLARED, Governed, NAME, PER_POD};
use super::replicas::{Fence, Prepared};
use super::rig::{self, Load, SLO, violation_seconds};
use super::{Cluster, PATIENCE};
use crate::eventually;
use crate::replicas::{assert_kept, mixed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flyball");
/// Longer than the time from ready to a write, if one is wanted.
const QUIET: Duration = Duration::from_secs(8);

/// Returns the previous version's program; what it shipped is next to it, in `deploy`.
fn previous() -> PathBuf {
    let program = std::env::var_os("FLYBALL_LAB_PREVIOUS");
    program.expect("the version before is not built; scripts/lab/test upgrade builds it, or says why it cannot").into()
}

/// Starts `program` on the state left by the other one, under load, and waits long enough for an unwanted write. It can
/// explain what the other one did last.
async fn changes_to(governed: &mut Governed, program: &Path, signal: &str) {
    let before = governed.written().await;
    governed.end(signal);
    governed.installation.run_by(program);
    let told = governed.installation.ask(&["explain", &format!("{NAMESPACE}/{NAME}"), "--last", "50"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let last = before.last().unwrap();
    assert!(told.contains(&format!("from {} to {}", last.from.unwrap(), last.to)), "what the other one did: {told}");
    governed.flyball = governed.installation.start(None);
    governed.flyball.ready().await;
    governed.shows("Deciding").await;
    sleep(QUIET).await;
    assert_eq!(governed.written().await, before, "a write that the change of versions caused");
}

/// Seconds of the load, which outlasts all changes.
const PLAYED: u32 = 120;
const NAMESPACE: &str = "versions";

/// Real requests to real workers, more with each step. flyball is given their nominal rate: the measured rate
/// fluctuates, which would be a reason to write.
struct Requests {
    begin: Instant,
    url: String,
    _balancer: rig::Process,
    loads: Vec<Load>,
}

impl Requests {
    async fn start(cluster: &Cluster, pods: u32) -> Self {
        rig::workload(cluster, NAMESPACE, NAME, pods).await;
        Self::until_ready(cluster, pods).await;
        let (balancer, url) = rig::balancer(NAMESPACE, NAME);
        sleep(Duration::from_secs(1)).await;
        let mut requests = Self { begin: Instant::now(), url, _balancer: balancer, loads: Vec::new() };
        requests.more(f64::from(pods));
        requests
    }

    async fn until_ready(cluster: &Cluster, pods: u32) {
        eventually(&format!("{pods} pods"), PATIENCE, async || {
            (rig::ready(cluster, NAMESPACE, NAME).await == pods).then_some(())
        })
        .await;
    }

    /// Adds two thirds of the capacity of this many pods.
    fn more(&mut self, pods: f64) {
        let left = PLAYED.saturating_sub(u32::try_from(self.begin.elapsed().as_secs()).unwrap());
        assert!(left > 1, "the changes took longer than the load");
        let at = Timestamp::now().as_millisecond() + 500;
        self.loads.push(Load::start(&self.url, at, &[(0, pods * PER_POD * 0.66), (left, 0.0)]));
    }

    /// Waits for their end; none has failed, and hardly any took too long.
    async fn end(self) {
        assert!(self.begin.elapsed() < Duration::from_secs(u64::from(PLAYED)), "the changes took longer than the load");
        for load in self.loads {
            let seen = load.end().await;
            let failed: Vec<_> = seen.iter().filter(|request| request.status != 200).collect();
            assert!(failed.is_empty(), "{failed:?}");
            let violated = violation_seconds(&seen, SLO, 0, u64::from(PLAYED));
            assert!(violated <= 2, "{violated} seconds outside the objective");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_and_a_downgrade_under_load_cause_no_write_and_go_on_with_journal_and_policies() {
    let previous = previous();
    let policy = previous.with_file_name("deploy").join("policies/capacity.rhai");
    let policy = std::fs::read_to_string(policy).unwrap();
    let cluster = Cluster::open().await;
    cluster.namespaces(&[NAMESPACE.to_owned()]).await;
    let mut requests = Requests::start(&cluster, 2).await;
    let mut governed = Governed::start_over(cluster.clone(), NAMESPACE, 2, &policy, DECLARED, "").await;
    // The previous version starts, without a journal.
    governed.end("KILL");
    std::fs::remove_file(governed.installation.journal()).unwrap();
    governed.installation.run_by(&previous);
    governed.flyball = governed.installation.start(None);
    let new = Path::new(PROGRAM);
    // One raise each, and one more at the end: as many as a service may have in ten minutes.
    for (replicas, next, signal) in [(4, new, "TERM"), (6, previous.as_path(), "TERM"), (8, new, "KILL")] {
        governed.needs(replicas);
        governed.wants(replicas).await;
        Requests::until_ready(&cluster, replicas).await;
        requests.more(2.0);
        changes_to(&mut governed, next, signal).await;
    }
    governed.needs(10);
    governed.wants(10).await;
    let moves: Vec<_> = governed.written().await.into_iter().map(|it| (it.from, it.to)).collect();
    assert_eq!(moves, [2, 4, 6, 8].map(|from| (Some(from), from + 2)));
    governed.nothing_refused();
    governed.stop();
    requests.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn l2_two_versions_on_one_lease_hand_over_and_fail_over_and_write_once() {
    let prepared = Prepared::start(Fence::None).await;
    let report = mixed(&previous(), Path::new(PROGRAM), &prepared.server).await;
    println!("{}", serde_json::to_string(&report).unwrap());
    assert_kept(&report);
}
