//! Quantiles and CPU clocks.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// Ticks per second in `/proc/PID/stat`: the same on every Linux that flyball runs on.
const TICKS: f64 = 100.0;

/// Returns the quantile of `values` at `level`; NaN without values.
pub fn quantile(values: &mut [f64], level: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (level * values.len() as f64).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

/// Returns the median.
pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// Returns a duration in milliseconds.
pub fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// Returns the CPU seconds that a process has used, in user and kernel mode, over all its threads.
pub fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The program name is in parentheses and may contain anything.
    let (_, fields) = stat.rsplit_once(") ").context("no fields in stat")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS)
}

/// Returns the resident memory of a process, MiB.
pub fn rss_mib(process: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
