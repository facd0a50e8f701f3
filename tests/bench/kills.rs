//! Intents after SIGKILL at each step of a write: runs the lab's test and reads its printed report.

use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::Figures;

/// The figures.
pub const IDS: &[&str] = &["kills_lost_or_doubled"];

const KILLS: u32 = 50;

/// The relevant part of the test's report line.
#[derive(Deserialize)]
struct Report {
    kills: std::collections::BTreeMap<String, u32>,
    lost: u32,
    doubled: u32,
}

/// Runs the test in its own debug build: the named steps are not in a release binary.
pub fn run() -> anyhow::Result<Figures> {
    let output = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--features", "failpoints", "--test", "lab", "--", "--nocapture", "kills"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report = text.lines().find_map(|line| serde_json::from_str::<Report>(line.get(line.find('{')?..)?).ok());
    let errors = String::from_utf8_lossy(&output.stderr);
    let report = report.with_context(|| format!("the lab reported no kills: {errors}{text}"))?;
    let killed: u32 = report.kills.values().sum();
    ensure!(killed == KILLS, "{killed} kills, expected {KILLS}");
    Ok(vec![("kills_lost_or_doubled", f64::from(report.lost + report.doubled))])
}
