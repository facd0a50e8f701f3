//! Start, with an empty and with a full journal, idle memory and size of the release binary.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use flyball::config::Settings;

use crate::measure::{median, ms, rss_mib};
use crate::process::{Doubles, Flyball, binary, scratch};
use crate::{Figures, full_journal};

/// The figures.
pub const IDS: &[&str] = &["start_ready_ms", "start_ready_full_journal_ms", "idle_rss_mib", "binary_mb"];

/// Name of the journal in the state directory.
const JOURNAL: &str = "journal.redb";
const STARTS: usize = 10;
const SERVICES: usize = 10;
/// How long a process idles before its memory is read: two ticks.
const IDLE: Duration = Duration::from_secs(20);

/// Starts the binary ten times for a handful of services without history; the median is from exec to the first 200 of
/// `/readyz`. The last one idles, and its memory is read. Then ten more times, each with a copy of a journal filled to
/// its default limit, which is fully checked at each start.
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
    let directory = scratch()?;
    let full = directory.path().join(JOURNAL);
    let text = doubles.settings(directory.path(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SERVICES, "0s")?;
    full_journal::make(&full, &Settings::parse(&text).map_err(|faults| anyhow::anyhow!("{faults}"))?)?;
    eprintln!("score:   a full journal has {:.1} MB", fs::metadata(&full)?.len() as f64 / 1e6);
    let mut full_starts = Vec::new();
    for _ in 0..STARTS {
        full_starts.push(start_over(&full, &binary, &doubles)?);
    }
    let size = fs::metadata(&binary)?.len() as f64 / 1e6;
    Ok(vec![
        ("start_ready_ms", median(&mut starts)),
        ("start_ready_full_journal_ms", median(&mut full_starts)),
        ("idle_rss_mib", idle),
        ("binary_mb", size),
    ])
}

/// Returns the duration of a start with a copy of this journal, ms.
fn start_over(journal: &Path, binary: &Path, doubles: &Doubles) -> anyhow::Result<f64> {
    let directory = scratch()?;
    fs::copy(journal, directory.path().join(JOURNAL))?;
    let mut flyball = Flyball::start_in(directory, binary, doubles, SERVICES, "0s")?;
    Ok(ms(flyball.wait_ready(Duration::from_secs(20), Duration::from_millis(1))?))
}
