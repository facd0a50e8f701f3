//! The load player: an open loop. Each request is sent at its planned time, whatever happened to earlier ones, and its
//! latency counts from that time, so that a stall shows in all requests that it delays.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Requests per second at most, in total: the players of a lab share a small machine.
const MOST: f64 = 200.0;
/// Requests that may be in flight at once.
const UNDER_WAY: usize = 2000;
/// A player later than this at the 99th percentile measured only itself.
const LATE: Duration = Duration::from_millis(20);

/// What is played.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Lines `seconds,rate`: from that second on, so many requests a second; the last line ends the play.
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// The load balancer, on this machine.
    #[arg(long, value_name = "URL")]
    target: reqwest::Url,
    /// Written: a line `planned_ms,late_ms,status,latency_ms` for each request; status 0 is no answer.
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// When the first second begins, in milliseconds since 1970; now if it is left out.
    #[arg(long)]
    at: Option<i64>,
    /// How long a client waits for its answer.
    #[arg(long, value_parser = crate::span, default_value = "5s")]
    timeout: Duration,
    /// Of the random arrivals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A request that has ended.
struct Ended {
    planned: Duration,
    late: Duration,
    status: u16,
    latency: Duration,
}

/// Plays the plan, writes the log and prints a summary; fails if the player itself was late.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let local = arguments.target.host_str().is_some_and(|host| ["127.0.0.1", "localhost"].contains(&host));
    ensure!(local, "{} is not on this machine; load goes to 127.0.0.1 alone", arguments.target);
    let plan = read(&arguments.plan)?;
    let client = reqwest::Client::builder().no_proxy().timeout(arguments.timeout).build()?;
    let begin = begin(arguments.at)?;
    let (ended, log) = mpsc::channel(UNDER_WAY);
    let writer = tokio::task::spawn_blocking({
        let path = arguments.log.clone();
        move || write(&path, log)
    });
    for planned in arrivals(&plan, arguments.seed) {
        sleep_until(begin + planned).await;
        let late = begin.elapsed().saturating_sub(planned);
        // A full channel delays the player, which then reports so.
        let place = ended.clone().reserve_owned().await?;
        let request = client.get(arguments.target.clone());
        tokio::spawn(async move {
            let status = match request.send().await {
                Ok(answer) => answer.status().as_u16(),
                Err(_) => 0,
            };
            place.send(Ended { planned, late, status, latency: begin.elapsed().saturating_sub(planned) });
        });
    }
    drop(ended);
    let (requests, failed, late) = writer.await??;
    let void = late > LATE;
    let late_ms = late.as_secs_f64() * 1e3;
    println!("{}", json!({ "requests": requests, "failed": failed, "late_p99_ms": late_ms, "void": void }));
    ensure!(!void, "the player was late by {late_ms:.0} ms at p99, allowed are {} ms", LATE.as_millis());
    Ok(())
}

/// Returns the time of the first second.
fn begin(at: Option<i64>) -> anyhow::Result<Instant> {
    let Some(at) = at else { return Ok(Instant::now()) };
    let ahead = at - jiff::Timestamp::now().as_millisecond();
    let ahead = u64::try_from(ahead).with_context(|| format!("--at {at} is {} ms ago", -ahead))?;
    Ok(Instant::now() + Duration::from_millis(ahead))
}

/// Writes requests as they end; returns the count, the failures, and the lateness at the 99th percentile.
fn write(path: &Path, mut ended: mpsc::Receiver<Ended>) -> anyhow::Result<(usize, usize, Duration)> {
    let mut file = BufWriter::new(File::create(path).with_context(|| path.display().to_string())?);
    let (mut failed, mut lates) = (0, Vec::new());
    while let Some(request) = ended.blocking_recv() {
        let ms = |span: Duration| span.as_secs_f64() * 1e3;
        let (planned, late, latency) = (ms(request.planned), ms(request.late), ms(request.latency));
        writeln!(file, "{planned:.1},{late:.1},{},{latency:.1}", request.status)?;
        failed += usize::from(request.status != 200);
        lates.push(request.late);
    }
    file.flush()?;
    lates.sort_unstable();
    let p99 = lates.get((lates.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default();
    Ok((lates.len(), failed, p99))
}

/// Reads a plan with increasing seconds and bounded rates.
fn read(path: &Path) -> anyhow::Result<Vec<(f64, f64)>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> anyhow::Result<Vec<(f64, f64)>> {
    let mut plan: Vec<(f64, f64)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let step =
            line.split_once(',').and_then(|(at, rate)| Some((at.trim().parse().ok()?, rate.trim().parse().ok()?)));
        let Some((at, rate)) = step else { bail!("line {}: `{line}`, expected seconds,rate", number + 1) };
        ensure!((0.0..=MOST).contains(&rate), "line {}: {rate} requests a second, expected 0 to {MOST}", number + 1);
        let grows = plan.last().map_or(at >= 0.0, |(before, _)| at > *before);
        ensure!(grows && at < 86_400.0, "line {}: second {at} does not come after the line before", number + 1);
        plan.push((at, rate));
    }
    ensure!(plan.len() > 1, "{} lines, expected at least two: a rate and the end", plan.len());
    Ok(plan)
}

/// Returns the send times of all requests, with random gaps.
fn arrivals(plan: &[(f64, f64)], seed: u64) -> Vec<Duration> {
    let mut moments = Vec::new();
    for (index, (&(from, rate), &(to, _))) in plan.iter().zip(plan.iter().skip(1)).enumerate() {
        if rate == 0.0 {
            continue;
        }
        let distances = (0..).map(|draw| -uniform(seed, index as u64, draw).ln() / rate);
        let times = distances.scan(from, |at, distance| {
            *at += distance;
            Some(*at)
        });
        moments.extend(times.take_while(|at| *at < to).map(Duration::from_secs_f64));
    }
    moments
}

/// Returns a deterministic number above 0 and at most 1 for its input (`SplitMix64`).
fn uniform(seed: u64, step: u64, draw: u64) -> f64 {
    let mut state = (seed << 48) ^ (step << 32) ^ draw;
    state = state.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (((state ^ (state >> 31)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_follow_the_plan() {
        let moments = arrivals(&parse("0,10\n100,0\n150,150\n160,0").unwrap(), 7);
        assert!(moments.is_sorted());
        let within = |from: u64, to: u64| moments.iter().filter(|at| (from..to).contains(&at.as_secs())).count();
        assert!((900..1100).contains(&within(0, 100)), "{}", within(0, 100));
        assert_eq!(within(100, 150), 0);
        assert!((1350..1650).contains(&within(150, 160)), "{}", within(150, 160));
        assert_eq!(moments, arrivals(&parse("0,10\n100,0\n150,150\n160,0").unwrap(), 7));
    }

    #[test]
    fn a_plan_that_cannot_be_played_is_named() {
        let check = |text: &str, expected: &str| {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("0,10\n5", "line 2: `5`, expected seconds,rate");
        check("0,201\n5,0", "line 1: 201 requests a second, expected 0 to 200");
        check("0,10\n0,5", "line 2: second 0 does not come after");
        check("0,10", "1 lines, expected at least two");
    }
}
