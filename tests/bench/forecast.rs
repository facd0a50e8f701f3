//! CPU of one observation: an ended minute is scored and learned, and the forecast with intervals and anomaly score is
//! made, as the loop does it.
//!
//! 10,000 signals are resident and visited in scattered order, so that the state of each visit is not in the caches.
//! p50 is thread CPU over batches of 20 visits; p99 is the time of single visits, including interruptions. Allocations
//! are the bytes that the thread requested from jemalloc, mean over all visits, with one outlook reused for all of
//! them; memory is the process memory used by 50,000 signals with their history.

use std::f64::consts::TAU;
use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Context;
use cpu_time::ThreadTime;
use flyball::forecast::params::ForecastParams;
use flyball::forecast::{Forecaster, forecast_into};
use flyball::model::{
    Bounds, Features, Finite, Minute, MinuteValue, Now, Outlook, Reading, Role, Sample, ServiceId, ServiceSpec,
    SignalFeatures, SignalName, SignalSpec, TargetReading, Unit,
};

use crate::Figures;
use crate::measure::{median, quantile, rss_mib};

/// The figures, of the loop and of forecasts.
pub const IDS: &[&str] = &[
    "forecast_update_p50_us",
    "forecast_update_p99_us",
    "update_p50_us",
    "update_p99_us",
    "update_allocations",
    "kib_per_metric",
];

const RESIDENT: usize = 10_000;
/// Coprime to [`RESIDENT`]: every signal is visited once before any is visited again.
const STRIDE: usize = 6_367;
/// Signals that are warmed; the others start as their copies.
const DISTINCT: usize = 50;
/// Slightly more than a week: all models and the season have started.
const HISTORY: i64 = 8 * 1440 + 100;
const BATCH: usize = 20;
/// Signals whose memory is measured.
const WEIGHED: usize = 50_000;
/// Minutes per cell of the week, and per page of cells; the last days are kept in pages of an hour.
const CELL: i64 = 5;
const PARTED: i64 = 60 * CELL;

/// Walks over all signals: one minute to diverge the copies, then a minute for each of the two figures.
pub fn run() -> anyhow::Result<Figures> {
    let (spec, params) = (spec()?, ForecastParams::default());
    let start = 1_700_000_000 / 60;
    let warmed: Vec<Forecaster> = (0..DISTINCT)
        .map(|signal| {
            let mut state = Forecaster::new(&spec, &params);
            let minutes: Vec<MinuteValue> = (start - HISTORY..start).map(|minute| value(signal, minute)).collect();
            state.warm(0, &minutes);
            state
        })
        .collect();
    let mut resident: Vec<Forecaster> = warmed.iter().cycle().take(RESIDENT).cloned().collect();
    drop(warmed);
    // The observer's output is made before timing starts.
    let seen = |numbers: Range<usize>, minute: i64| -> Vec<(usize, Features, Now)> {
        let now = Now { wall: Minute(minute + 1).start(), mono: Duration::from_secs(minute as u64 * 60) };
        let signals = numbers.map(|number| number * STRIDE % RESIDENT);
        signals.map(|signal| (signal, features(signal, minute), now)).collect()
    };
    let mut outlook = Outlook::default();
    let mut visit = |(signal, features, now): &(usize, Features, Now)| -> anyhow::Result<()> {
        let state = resident.get_mut(*signal).context("a signal")?;
        forecast_into(state, &spec, &params, features, *now, &mut outlook);
        black_box(&outlook);
        Ok(())
    };
    seen(0..RESIDENT, start).iter().try_for_each(&mut visit)?;
    let mut batches = Vec::new();
    for batch in 0..RESIDENT / BATCH {
        let seen = seen(batch * BATCH..(batch + 1) * BATCH, start + 1);
        let begun = ThreadTime::now();
        seen.iter().try_for_each(&mut visit)?;
        batches.push(begun.elapsed().as_secs_f64() * 1e6 / BATCH as f64);
    }
    let mut single = Vec::new();
    for number in 0..RESIDENT {
        let seen = seen(number..number + 1, start + 2);
        let begun = Instant::now();
        seen.iter().try_for_each(&mut visit)?;
        single.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    let allocated = tikv_jemalloc_ctl::thread::allocatedp::read().map_err(|error| anyhow::anyhow!("{error}"))?;
    let seen = seen(0..RESIDENT, start + 3);
    let before = allocated.get();
    seen.iter().try_for_each(&mut visit)?;
    let allocations = (allocated.get() - before) as f64 / RESIDENT as f64;
    let (p50, p99) = (median(&mut batches), quantile(&mut single, 0.99));
    Ok(IDS.iter().copied().zip([p50, p99, p50, p99, allocations, memory(&spec, &params, start)?]).collect())
}

/// Returns the memory of one signal, KiB.
fn memory(spec: &ServiceSpec, params: &ForecastParams, start: i64) -> anyhow::Result<f64> {
    let mut one = Forecaster::new(spec, params);
    let parted = start.div_euclid(PARTED) * PARTED;
    let history: Vec<MinuteValue> = (parted - HISTORY..parted).map(|minute| value(0, minute)).collect();
    one.warm(0, &history);
    let own = std::process::id();
    let before = rss_mib(own)?;
    // A copy shares what was learned until it changes: the last days per hour, the last week per page.
    let minutes: Vec<MinuteValue> = (parted..=parted + CELL).map(|minute| value(0, minute)).collect();
    let resident: Vec<Forecaster> = (0..WEIGHED)
        .map(|_| {
            let mut state = one.clone();
            state.warm(0, &minutes);
            state
        })
        .collect();
    let taken = rss_mib(own)? - before;
    drop(black_box(resident));
    Ok(taken * 1024.0 / WEIGHED as f64)
}

/// Returns the value of a signal in a minute: a daily wave, out of phase with the other signals, and a ripple.
fn value(signal: usize, minute: i64) -> MinuteValue {
    let phase = (signal % DISTINCT) as f64 * 0.618;
    let day = (TAU * (minute as f64 / 1440.0 + phase)).sin();
    let ripple = (minute as f64 * 2.399 + phase).sin();
    MinuteValue { minute: Minute(minute), value: Finite::new(300.0 + 150.0 * day + 20.0 * ripple) }
}

/// Returns the features of a cycle in which `minute` has ended.
fn features(signal: usize, minute: i64) -> Features {
    let closed = value(signal, minute);
    let newest = closed.value.unwrap_or(Finite::ZERO);
    let running = MinuteValue { minute: Minute(minute + 1), value: closed.value };
    let signal = SignalFeatures {
        reading: Reading::Fresh {
            sample: Sample { at: Minute(minute + 1).start(), value: newest },
            staleness: Duration::ZERO,
        },
        mean_1m: closed.value,
        p99_5m: closed.value,
        change_5m: None,
        max_5m: closed.value,
        confirmed: closed.value,
        rising: None,
        slope: None,
        suspect: false,
        provisional: Some(running),
        closed: vec![closed],
    };
    Features { signals: vec![signal], target: TargetReading::Unknown { reason: String::new() } }
}

/// Returns a service with one signal that is forecast.
pub fn spec() -> anyhow::Result<ServiceSpec> {
    let signal = SignalSpec {
        name: SignalName::new("rps").context("a name")?,
        unit: Unit::PerSecond,
        role: Some(Role::ArrivalRate),
        range: (0.0, 1e6),
        forecast: true,
        scrape_interval: Duration::from_secs(15),
        window: Duration::ZERO,
    };
    Ok(ServiceSpec {
        signals: vec![signal],
        bounds: Bounds { min: 2, max: 20 },
        allow_lowering: true,
        ..ServiceSpec::blank(ServiceId::new("shop", "checkout")?)
    })
}
