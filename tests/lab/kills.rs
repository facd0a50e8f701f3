//! The process is killed at every step of a write, and nothing is lost or doubled.

use std::path::Path;

use flyball::demo::kubernetes::Objects;

use crate::support::kills::kills;
use crate::support::kubernetes::BreakableDouble;

const KILLS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn r1_k2_k3_fifty_kills_lose_no_write_and_double_none() {
    let double = BreakableDouble::start(Objects::default()).await.unwrap();
    let report = kills(Path::new(env!("CARGO_BIN_EXE_flyball")), KILLS, &double).await;
    println!("{}", serde_json::to_string(&report).unwrap());
    assert_eq!((report.killed(), report.lost, report.doubled), (KILLS, 0, 0), "{report:?}");
    assert!(report.writes > KILLS / 2 && report.kills.len() > 10, "too little happened: {report:?}");
}
