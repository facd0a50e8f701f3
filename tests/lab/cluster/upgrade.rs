//! This version and the one before, as an operator goes from one to the other and back: on one journal, and side by side
//! on one Lease. `scripts/lab/build previous` builds the other one. Judged by etcd's history and by the objects of the API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use super::governed::{DECLARED, Governed};
use super::replicas::{Fence, Prepared};
use crate::replicas::{assert_kept, mixed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flyball");
/// Longer than it takes from ready to a write, where one is wanted.
const QUIET: Duration = Duration::from_secs(8);

/// Returns the program of the version before; what it shipped lies beside it, in `deploy`.
fn previous() -> PathBuf {
    let program = std::env::var_os("FLYBALL_LAB_PREVIOUS");
    program.expect("the version before is not built; scripts/lab/test upgrade builds it, or says why it cannot").into()
}

/// Starts `program` on what the other one left, under load, and waits long enough for a write that nobody asked for. It can
/// explain what the other one did last.
async fn changes_to(governed: &mut Governed, program: &Path, signal: &str) {
    let before = governed.written().await;
    governed.end(signal);
    governed.installation.run_by(program);
    let told = governed.installation.ask(&["explain", "versions/checkout", "--last", "50"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let last = before.last().unwrap();
    assert!(told.contains(&format!("from {} to {}", last.from.unwrap(), last.to)), "what the other one did: {told}");
    governed.flyball = governed.installation.start(None);
    governed.flyball.ready().await;
    governed.shows("Deciding").await;
    sleep(QUIET).await;
    assert_eq!(governed.written().await, before, "a write that the change of versions caused");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_and_a_downgrade_under_load_cause_no_write_and_go_on_with_journal_and_policies() {
    let previous = previous();
    let policy = previous.with_file_name("deploy").join("policies/capacity.rhai");
    let policy = std::fs::read_to_string(policy).unwrap();
    let mut governed = Governed::start("versions", 2, &policy, DECLARED).await;
    // The one before begins, without a journal.
    governed.end("KILL");
    std::fs::remove_file(governed.installation.journal()).unwrap();
    governed.installation.run_by(&previous);
    governed.flyball = governed.installation.start(None);
    let new = Path::new(PROGRAM);
    // One raise each, and one more at the end: as many as a service may have in ten minutes.
    for (replicas, next, signal) in [(4, new, "TERM"), (6, previous.as_path(), "TERM"), (8, new, "KILL")] {
        governed.needs(replicas);
        governed.wants(replicas).await;
        changes_to(&mut governed, next, signal).await;
    }
    governed.needs(10);
    governed.wants(10).await;
    let moves: Vec<_> = governed.written().await.into_iter().map(|it| (it.from, it.to)).collect();
    assert_eq!(moves, [2, 4, 6, 8].map(|from| (Some(from), from + 2)));
    governed.nothing_refused();
    governed.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn l2_two_versions_on_one_lease_hand_over_and_fail_over_and_write_once() {
    let prepared = Prepared::start(Fence::None).await;
    let report = mixed(&previous(), Path::new(PROGRAM), &prepared.server).await;
    println!("{}", serde_json::to_string(&report).unwrap());
    assert_kept(&report);
}
