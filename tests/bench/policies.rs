//! The figures of policies: decisions compared with a Rego interpreter, reload, parity, hostile scripts, memory,
//! coverage.

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cpu_time::{ProcessTime, ThreadTime};
use flyball::actors::policy_library::InForce;
use flyball::adapters::policy_dir::PolicyDir;
use flyball::decide::{Deadline, Decider, Spent, Vocabulary, compile, decide, run_tests};
use flyball::instrument::Metrics;
use flyball::model::{Capacity, Role};
use flyball::ports::PolicyStore;

use crate::Figures;
use crate::measure::{median, ms, rss_mib};
use crate::parity::opa::Opa;
use crate::parity::{ACTIONS, Facts, Outcome, Rego, SHIPPED, Source, compare, load};
use crate::policy::{deadline, record_us, spec};

/// The figures.
pub const IDS: &[&str] = &[
    "decision_us",
    "decision_10x20_us",
    "vs_regorus",
    "vs_opa_eval",
    "reload_60_files_ms",
    "save_to_in_force_ms",
    "parity_inputs",
    "parity_differences",
    "hostile_classes",
    "hostile_scripts",
    "hostile_over_deadline_ms_max",
    "bytes_per_extra_service",
    "condition_coverage_shipped_policies",
];

/// Inputs compared with Rego.
const PARITY: usize = 1_000_000;
/// Number of runs for the median.
const RUNS: usize = 5;

/// Measures all of them.
pub fn run() -> anyhow::Result<Figures> {
    let mut figures = vec![
        ("decision_us", record_us(SHIPPED)?),
        ("decision_10x20_us", record_us([("wide.rhai", ten_by_twenty().as_str())])?),
        ("vs_regorus", beside_regorus()?),
        ("vs_opa_eval", beside_opa()?),
        ("reload_60_files_ms", reload()?),
        ("save_to_in_force_ms", save_to_in_force()?),
        ("bytes_per_extra_service", bytes_per_service()?),
        ("condition_coverage_shipped_policies", coverage()?),
    ];
    figures.extend(parity()?);
    figures.extend(hostile()?);
    Ok(figures)
}

/// Returns ten rules of twenty conditions each.
fn ten_by_twenty() -> String {
    let mut text = String::new();
    for rule in 0..10 {
        // Writing into a String does not fail.
        let _ = writeln!(text, "rule(\"r{rule}\", #{{ priority: {rule}, goal: \"protect\" }}, |s, p| [");
        for part in 0..4 {
            let (percent, rate) = (rule * 4 + part + 10, rule * 100 + part);
            let _ = writeln!(
                text,
                "when(s.p99.predicted > ms({rate})), when(s.cpu.current > pct({percent})), \
                 when(s.rps.forecast_change > pct({percent})), unless(s.errors.predicted > pct({percent})), \
                 unless(s.maintenance),"
            );
        }
        text.push_str("scale_by(1.5)]);\n");
    }
    text
}

/// Returns our decision time relative to the interpreter's: CPU on the same inputs, alternating, in one run. The
/// interpreter takes its input and evaluates; ours decides and produces the proposal with every condition.
fn beside_regorus() -> anyhow::Result<f64> {
    const INPUTS: usize = 2_000;
    const ROUNDS: usize = 10;
    let mut source = Source::new(11);
    let facts: Vec<Facts> = (0..INPUTS).map(|_| source.next()).collect();
    let theirs: Vec<_> = facts.iter().map(Facts::rego).collect();
    let ours: Vec<_> = facts.iter().map(Facts::flyball).collect();
    let (mut rego, set, mut decider) = (Rego::new()?, load(SHIPPED)?, Decider::new());
    let (mut ratios, mut each) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let started = ThreadTime::now();
        for input in theirs.iter().cycle().take(INPUTS * ROUNDS) {
            // A conflict is an error there, but a result here.
            let _ = black_box(rego.evaluate(input.clone()));
        }
        let interpreter = started.elapsed();
        let started = ThreadTime::now();
        for (spec, features, outlook) in ours.iter().cycle().take(INPUTS * ROUNDS) {
            black_box(decide(&mut decider, &set, spec, features, outlook, Facts::now()));
        }
        let own = started.elapsed();
        ratios.push(own.as_secs_f64() / interpreter.as_secs_f64());
        each.push(interpreter.as_secs_f64() * 1e6 / (INPUTS * ROUNDS) as f64);
    }
    eprintln!("score:   the Rego interpreter takes {:.2} us a decision", median(&mut each));
    Ok(median(&mut ratios))
}

/// Returns our decision time relative to Open Policy Agent's on the same inputs in one run, one input for each outcome
/// without a conflict: our CPU with every condition traced, against the median evaluation reported by `opa bench`.
fn beside_opa() -> anyhow::Result<f64> {
    const DECISIONS: u32 = 100_000;
    let opa = Opa::new()?.context("OPA cannot be had")?;
    let (mut rego, set, mut decider) = (Rego::new()?, load(SHIPPED)?, Decider::new());
    let (mut source, mut theirs, mut own) = (Source::new(11), 0.0, 0.0);
    let outcomes = ACTIONS.into_iter().chain([Outcome::Nothing]);
    for outcome in outcomes {
        let facts = loop {
            let facts = source.next();
            if rego.decide(facts.rego())? == outcome {
                break facts;
            }
        };
        let mut benches: Vec<f64> = (0..3).map(|_| opa.bench(&facts)).collect::<Result<_, _>>()?;
        theirs += median(&mut benches);
        let (spec, features, outlook) = facts.flyball();
        let started = ThreadTime::now();
        for _ in 0..DECISIONS {
            black_box(decide(&mut decider, &set, &spec, &features, &outlook, Facts::now()));
        }
        own += started.elapsed().as_secs_f64() * 1e6 / f64::from(DECISIONS);
    }
    eprintln!("score:   five inputs: {theirs:.1} us by opa bench, {own:.1} us by flyball");
    Ok(own / theirs)
}

/// Returns the CPU of compiling sixty files of four rules, ms.
fn reload() -> anyhow::Result<f64> {
    let names = ["scale_up", "scale_down", "shift_traffic", "throttle", "p99_max", "up_factor"];
    let text: String = SHIPPED.iter().map(|(_, text)| text.replace("otherwise(", "// otherwise(")).collect();
    let files: Vec<(String, String)> = (0..60)
        .map(|number| {
            // Rules and parameters have different names in each file; signals keep theirs.
            let text = names.iter().fold(text.clone(), |text, name| {
                let own = format!("{name}_{number}");
                text.replace(&format!("\"{name}\""), &format!("\"{own}\""))
                    .replace(&format!("p.{name}"), &format!("p.{own}"))
            });
            (format!("f{number}.rhai"), text)
        })
        .collect();
    let words = Vocabulary::of([])?;
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let started = ThreadTime::now();
        let never: Deadline = Arc::new(|| None);
        let set = compile(files.iter().map(|(path, text)| (path.as_str(), text.as_str())), &words, &never);
        let set = set.map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
        runs.push(started.elapsed().as_secs_f64() * 1e3);
        ensure!(set.rules().count() == 240, "{} rules", set.rules().count());
    }
    Ok(median(&mut runs))
}

/// Returns the slowest of twenty saves, from the write of a file to the active set, wall ms: the watch of the
/// directory, two equal reads, compiling, the set's own tests, the swap.
fn save_to_in_force() -> anyhow::Result<f64> {
    const SAVES: usize = 20;
    let directory = tempfile::tempdir()?;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policies"))? {
        let entry = entry?;
        fs::copy(entry.path(), directory.path().join(entry.file_name()))?;
    }
    let file = directory.path().join("traffic.rhai");
    let text = fs::read_to_string(&file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let store = PolicyDir::open(directory.path());
        let (in_force, words, metrics) = (InForce::default(), Vocabulary::of([])?, Metrics::new());
        let mut announced = store.watch();
        let files = announced.borrow_and_update().clone();
        in_force.take(&files, &words, deadline, &metrics.process());
        let mut slowest: f64 = 0.0;
        for save in 0..SAVES {
            let before = in_force.load().context("a set in force")?.revision().clone();
            fs::write(&file, format!("{text}\n// save {save}\n"))?;
            let saved = Instant::now();
            loop {
                tokio::time::timeout(Duration::from_secs(10), announced.changed()).await??;
                let files = announced.borrow_and_update().clone();
                in_force.take(&files, &words, deadline, &metrics.process());
                if in_force.load().is_some_and(|set| *set.revision() != before) {
                    break;
                }
            }
            slowest = slowest.max(ms(saved.elapsed()));
            // Saves are spread between two polls of the directory.
            tokio::time::sleep(Duration::from_millis(137 * (save as u64 % 5) + 200)).await;
        }
        Ok(slowest)
    })
}

/// Compares a million inputs; each action has to be the only outcome of at least 5 % of them.
fn parity() -> anyhow::Result<Figures> {
    let tally = compare(2026, PARITY)?;
    for action in ACTIONS {
        let share = tally.outcomes.get(&action).copied().unwrap_or(0) as f64 / tally.inputs as f64;
        ensure!(share >= 0.05, "{action:?} is the outcome of {share} of the inputs: {:?}", tally.outcomes);
    }
    eprintln!(
        "score:   outcomes {:?}, {} inputs with a missing field, {} with a value on a bound",
        tally.outcomes, tally.with_missing, tally.on_a_bound
    );
    Ok(vec![("parity_inputs", tally.inputs as f64), ("parity_differences", tally.differing as f64)])
}

/// Loads every hostile script with a deadline of 20 ms and measures by how much CPU time the slowest exceeds it. A stop
/// is the median of three: a script does the same each time, while the cost of a page fault on a shared machine varies
/// by milliseconds.
fn hostile() -> anyhow::Result<Figures> {
    const DEADLINE: Duration = Duration::from_millis(20);
    fn twenty() -> Deadline {
        // Of the process, because a deadline may be checked from any thread; here only one is busy.
        let started = ProcessTime::now();
        Arc::new(move || (started.elapsed() >= DEADLINE).then_some(Spent::Time))
    }
    let (in_force, words, metrics) = (InForce::default(), Vocabulary::of([])?, Metrics::new());
    let all = crate::hostile::all();
    let (mut slowest, mut name): (f64, &str) = (0.0, "none");
    for hostile in &all {
        let mut tries = [(); 3].map(|()| {
            let started = ProcessTime::now();
            in_force.take(&hostile.files, &words, twenty, &metrics.process());
            ms(started.elapsed().saturating_sub(DEADLINE))
        });
        let over = median(&mut tries);
        ensure!(in_force.load().is_none(), "{}: {} is in force", hostile.class, hostile.name);
        if over > slowest {
            (slowest, name) = (over, &hostile.name);
        }
    }
    eprintln!("score:   {slowest:.2} ms over the deadline: {name:.80}");
    Ok(vec![
        ("hostile_classes", crate::hostile::CLASSES.len() as f64),
        ("hostile_scripts", all.len() as f64),
        ("hostile_over_deadline_ms_max", slowest),
    ])
}

/// Returns the cost of one more service that uses an existing set: its decider's memory, after decisions in which
/// conditions are being held.
fn bytes_per_service() -> anyhow::Result<f64> {
    const SERVICES: usize = 10_000;
    let capacity = include_str!("../../deploy/policies/capacity.rhai");
    let files = SHIPPED.into_iter().chain([("capacity.rhai", capacity)]);
    let set = load(files)?;
    let mut spec = spec()?;
    spec.signals.iter_mut().filter(|signal| signal.name.as_str() == "rps").for_each(|signal| {
        signal.role = Some(Role::ArrivalRate);
    });
    let (features, mut outlook) = crate::policy::input(&spec, 1, Facts::now());
    let (per_pod, lead_time) = (100.0, Duration::from_mins(2));
    // Less is needed than is running: `held_for` of lower_capacity counts.
    outlook.capacity = Some(Capacity {
        per_pod,
        lead_time,
        lasts: lead_time,
        rate_now: None,
        needed_now: Some(2),
        rate_ahead: None,
        needed_ahead: Some(2),
        floor: Some(2),
    });
    let mut deciders: Vec<Decider> = Vec::with_capacity(SERVICES);
    let decided = |decider: &mut Decider| {
        black_box(decide(decider, &set, &spec, &features, &outlook, Facts::now()));
    };
    // Warms up what the allocator keeps for the work itself.
    (0..100).for_each(|_| decided(&mut Decider::new()));
    let before = rss_mib(std::process::id())?;
    for _ in 0..SERVICES {
        let mut decider = Decider::new();
        decided(&mut decider);
        deciders.push(decider);
    }
    let grown = (rss_mib(std::process::id())? - before).max(0.0);
    black_box(&deciders);
    Ok(grown * 1024.0 * 1024.0 / SERVICES as f64)
}

/// Returns the share of all truth values of all conditions of the shipped policies that their own tests see.
fn coverage() -> anyhow::Result<f64> {
    let mut files = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policies"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|kind| kind != "rhai") {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).context("a name")?.to_owned();
        files.push((name, fs::read_to_string(&path)?));
    }
    let texts = || files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    let words = Vocabulary::of([])?;
    let never: Deadline = Arc::new(|| None);
    let set = Arc::new(compile(texts(), &words, &never).map_err(|faults| anyhow::anyhow!("{faults:?}"))?);
    let report = run_tests(&set, &words, texts(), &|_| true, &|| never.clone())
        .map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
    ensure!(report.failures().next().is_none(), "a shipped test fails");
    Ok(report.coverage.share())
}
