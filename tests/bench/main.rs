//! The figures: measures each, prints one table, and writes `target/scores/loop.json`, `policy.json`, `forecast.json`
//! and `anomaly.json`.
//!
//! `scripts/score` builds the release binary and runs this; ids as arguments measure only those. Every figure is CPU
//! time where work is meant, wall time only where waiting matters. A figure that could not be measured is shown as
//! failed.
//!
//! | file | figures |
//! |---|---|
//! | `table` | the list of figures with bars and aims; the table, the JSON |
//! | `measure` | quantiles, CPU clocks |
//! | `world` | the actor tree inside this process, over doubles that record the time |
//! | `reaction` | sample to PATCH, a batch of 1,000 decisions |
//! | `process`, `scale` | the release binary as a separate process: 10,000 services, 1,000 services |
//! | `start` | start, with an empty journal and with a full one, idle memory, size |
//! | `full_journal` | a journal filled to its default limit |
//! | `policy`, `forecast` | CPU of one decision, of one observation |
//! | `series` | the series that forecasts and alarms are measured on |
//! | `forecasts`, `robustness` | the quality of forecasts; what bad data costs them |
//! | `m4` | forecasts of the M4 competition's hourly series |
//! | `anomalies` | the quality of alarms |
//! | `policies` | decisions compared with Rego, reload, parity, hostile scripts, memory, coverage |
//! | `kill_switch` | from engaging to the last write started |
//! | `neighbours` | what faulty services cost the others |
//! | `kills` | intents after SIGKILL at each step of a write; runs the lab |
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to people")]

mod anomalies;
#[path = "../support/delegating.rs"]
mod delegating;
mod forecast;
mod forecasts;
mod full_journal;
#[path = "../suite/hostile/mod.rs"]
mod hostile;
mod kill_switch;
mod kills;
mod m4;
mod measure;
mod neighbours;
#[path = "../suite/parity/mod.rs"]
mod parity;
mod policies;
mod policy;
mod process;
mod reaction;
mod robustness;
mod scale;
mod series;
mod start;
mod table;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use table::{ANOMALY_FIGURES, FIGURES, FORECAST_FIGURES, POLICY_FIGURES, Row};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Values by id.
type Figures = Vec<(&'static str, f64)>;

/// Figures measured together.
struct Group {
    name: &'static str,
    ids: &'static [&'static str],
    seconds: u32,
    run: fn() -> anyhow::Result<Figures>,
}

/// All groups; those most sensitive to a loaded machine first.
const GROUPS: [Group; 14] = [
    Group { name: "policy", ids: policy::IDS, seconds: 5, run: policy::run },
    Group { name: "policies", ids: policies::IDS, seconds: 120, run: policies::run },
    Group { name: "forecast", ids: forecast::IDS, seconds: 15, run: forecast::run },
    Group { name: "forecasts", ids: forecasts::IDS, seconds: 45, run: forecasts::run },
    Group { name: "robustness", ids: robustness::IDS, seconds: 10, run: robustness::run },
    Group { name: "anomalies", ids: anomalies::IDS, seconds: 10, run: anomalies::run },
    Group { name: "m4", ids: m4::IDS, seconds: 10, run: m4::run },
    Group { name: "start", ids: start::IDS, seconds: 50, run: start::run },
    Group { name: "batch", ids: reaction::BATCH_IDS, seconds: 35, run: reaction::batch },
    Group { name: "reaction", ids: reaction::IDS, seconds: 115, run: reaction::run },
    Group { name: "neighbours", ids: neighbours::IDS, seconds: 130, run: neighbours::run },
    Group { name: "kill switch", ids: kill_switch::IDS, seconds: 60, run: kill_switch::run },
    Group { name: "scale", ids: scale::IDS, seconds: 240, run: scale::run },
    Group { name: "kills", ids: kills::IDS, seconds: 180, run: kills::run },
];

fn main() -> anyhow::Result<ExitCode> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let figures = || FIGURES.iter().chain(&POLICY_FIGURES).chain(&FORECAST_FIGURES).chain(&ANOMALY_FIGURES);
    let known: Vec<&str> = figures().map(|figure| figure.id).collect();
    if let Some(unknown) = asked.iter().find(|id| !known.contains(&id.as_str())) {
        anyhow::bail!("no figure `{unknown}`; there are {}", known.join(", "));
    }
    // Fails only if one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wanted = |id: &str| asked.is_empty() || asked.iter().any(|asked| asked == id);
    let mut values = Figures::new();
    for group in GROUPS.iter().filter(|group| group.ids.iter().any(|id| wanted(id))) {
        eprintln!("score: {} (about {} s)", group.name, group.seconds);
        values.extend(measured(group));
    }
    let rows: Vec<Row> = figures().filter(|figure| wanted(figure.id)).map(|figure| figure.row(&values)).collect();
    table::print(&rows);
    // Complete sets are written: all of the loop, of the policies, of the forecasts, of the alarms.
    let files = [
        (&FIGURES[..], "loop.json"),
        (&POLICY_FIGURES[..], "policy.json"),
        (&FORECAST_FIGURES[..], "forecast.json"),
        (&ANOMALY_FIGURES[..], "anomaly.json"),
    ];
    for (figures, name) in files {
        let rows: Vec<&Row> = rows.iter().filter(|row| figures.iter().any(|figure| figure.id == row.id)).collect();
        if rows.len() == figures.len() {
            println!("written to {}", table::write(&rows, name)?.display());
        }
    }
    Ok(if rows.iter().all(|row| row.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a group; errors are printed and leave its figures without values.
fn measured(group: &Group) -> Figures {
    let started = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(group.run)).unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")));
    match result {
        Ok(figures) => {
            eprintln!("score: {} took {:.0} s", group.name, started.elapsed().as_secs_f64());
            figures
        }
        Err(error) => {
            eprintln!("score: {} FAILED: {error:#}", group.name);
            Figures::new()
        }
    }
}
