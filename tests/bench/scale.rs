//! The release binary at 10,000 services and at 1,000, against doubles in this process.
//!
//! CPU is that of the flyball process alone, from `/proc`, over five ticks after the warm start.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::Figures;
use crate::measure::{cpu_seconds, rss_mib};
use crate::process::{Doubles, Flyball, Metrics, binary, grown};

/// The figures.
pub const IDS: &[&str] =
    &["cpu_cores_10k", "rss_mib_10k", "queries_per_tick_10k", "cpu_growth_1k_to_10k", "tick_lateness_p99_ms_10k"];

/// Five ticks.
const WINDOW: Duration = Duration::from_secs(75);
/// Time after the warm start before anything is measured.
const SETTLE: Duration = Duration::from_secs(20);

/// What one size costs.
struct Cost {
    cores: f64,
    rss_mib: f64,
    queries_per_tick: f64,
    lateness_ms: f64,
}

/// Measures both sizes.
pub fn run() -> anyhow::Result<Figures> {
    let small = cost(1_000)?;
    let large = cost(10_000)?;
    Ok(vec![
        ("cpu_cores_10k", large.cores),
        ("rss_mib_10k", large.rss_mib),
        ("queries_per_tick_10k", large.queries_per_tick),
        ("cpu_growth_1k_to_10k", large.cores / 10.0 / small.cores),
        ("tick_lateness_p99_ms_10k", large.lateness_ms),
    ])
}

fn cost(services: usize) -> anyhow::Result<Cost> {
    let doubles = Doubles::start(services)?;
    let mut flyball = Flyball::start(&binary()?, &doubles, services, "5m")?;
    let ready = flyball.wait_ready(Duration::from_secs(240), Duration::from_secs(1))?;
    std::thread::sleep(SETTLE);
    let before = flyball.metrics()?;
    let (started, cpu) = (Instant::now(), cpu_seconds(flyball.id())?);
    std::thread::sleep(WINDOW);
    let cores = (cpu_seconds(flyball.id())? - cpu) / started.elapsed().as_secs_f64();
    let rss_mib = rss_mib(flyball.id())?;
    let after = flyball.metrics()?;
    let ticks = grown(&before, &after, "flyball_tick_lateness_seconds_count")?;
    let cycles = grown(&before, &after, "flyball_cycles_total")?;
    let skipped = grown(&before, &after, "flyball_skipped_ticks_total")?
        + grown(&before, &after, "flyball_skipped_inputs_total")?;
    let queries = grown(&before, &after, "flyball_source_queries_total")?;
    eprintln!(
        "score:   {services} services: ready after {:.1} s, {cores:.3} cores, {rss_mib:.0} MiB, {ticks} ticks, {cycles} cycles, \
         {skipped} skipped",
        ready.as_secs_f64()
    );
    ensure!(ticks >= 4.0, "{ticks} ticks in {WINDOW:?}, expected 5: {}", flyball.log());
    ensure!(cycles >= ticks * services as f64 * 0.99, "{cycles} cycles in {ticks} ticks: {}", flyball.log());
    Ok(Cost { cores, rss_mib, queries_per_tick: queries / ticks, lateness_ms: lateness(&before, &after)? * 1e3 })
}

/// Returns the upper bound of the histogram bucket containing the p99 of the window: never less than the true value.
fn lateness(before: &Metrics, after: &Metrics) -> anyhow::Result<f64> {
    let name = "flyball_tick_lateness_seconds";
    let (before, after) = (before.buckets(name)?, after.buckets(name)?);
    let counts: Vec<(f64, f64)> =
        after.iter().zip(&before).map(|((bound, after), (_, before))| (*bound, after - before)).collect();
    let all = counts.iter().fold(0.0, |most: f64, (_, count)| most.max(*count));
    let bucket = counts.iter().find(|(_, count)| *count >= 0.99 * all);
    Ok(bucket.map_or(f64::NAN, |(bound, _)| *bound))
}
