//! Start, idle memory and size of the release binary.

use std::time::Duration;

use crate::Figures;
use crate::measure::{median, ms, rss_mib};
use crate::process::{Doubles, Flyball, binary};

/// The figures.
pub const IDS: &[&str] = &["start_ready_ms", "idle_rss_mib", "binary_mb"];

const STARTS: usize = 10;
const SERVICES: usize = 10;
/// How long a process idles before its memory is read: two ticks.
const IDLE: Duration = Duration::from_secs(20);

/// Starts the binary ten times for a handful of services without history; the median is from exec to the first
/// 200 of `/readyz`. The last one idles, and its memory is read.
pub fn run() -> anyhow::Result<Figures> {
    let binary = binary()?;
    let doubles = Doubles::start(SERVICES)?;
    let mut starts = Vec::new();
    let mut idle = f64::NAN;
    for start in 1..=STARTS {
        let mut flyball = Flyball::start(&binary, &doubles, SERVICES, "0s")?;
        starts.push(ms(flyball.wait_ready(Duration::from_secs(20), Duration::from_millis(1))?));
        if start == STARTS {
            std::thread::sleep(IDLE);
            idle = rss_mib(flyball.id())?;
        }
    }
    let size = std::fs::metadata(&binary)?.len() as f64 / 1e6;
    Ok(vec![("start_ready_ms", median(&mut starts)), ("idle_rss_mib", idle), ("binary_mb", size)])
}
