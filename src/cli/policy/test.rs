//! `flyball policy test`

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::show;
use super::source::{Source, SourceArgs};
use crate::app::deadline;
use crate::cli::{Output, print_finding, print_line, warn_line};
use crate::decide::{Coverage, Deadline, PolicyFault, Spent, TestReport, compile, run_tests};
use crate::model::controls::escape_controls;

/// Time between two polls of the files.
const LOOK: Duration = Duration::from_millis(200);
/// Time limit for all tests together.
const TESTS: Duration = Duration::from_mins(2);

#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 all tests passed; 1 a test failed, or coverage is below --fail-under; 2 the set or its \
     tests could not be loaded."
)]
pub struct TestArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Run only tests whose names contain this text.
    #[arg(long, value_name = "TEXT")]
    run: Option<String>,
    /// Fail if the tests cover a smaller share of the outcomes (true, false, unknown) of all conditions, 0 to 1.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    fail_under: Option<f64>,
    /// Write the results to this file as `JUnit` XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Rerun the tests whenever a file of the set changes, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number, expected 0 to 1"))?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(format!("{value} is not between 0 and 1")) }
}

pub fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let mut source = match args.source.read() {
        Ok(source) => source,
        Err(error) => {
            report(args, || show::junit_refused(&[PolicyFault::of("", format!("{error:#}"))]))?;
            return Err(error);
        }
    };
    let code = once(args, &source)?;
    if !args.watch {
        return Ok(code);
    }
    loop {
        std::thread::sleep(LOOK);
        // An unreadable set is in the middle of an edit.
        let Ok(now) = args.source.read() else { continue };
        if now.files != source.files {
            source = now;
            // For a program, one document follows the other.
            if args.output == Output::Text {
                print_line("\n---- changed ----")?;
            }
            once(args, &source)?;
        }
    }
}

fn once(args: &TestArgs, source: &Source) -> anyhow::Result<ExitCode> {
    let mut names = Vec::new();
    let ran = match run(source, args.run.as_deref(), &mut names) {
        Ok(ran) => ran,
        Err(faults) => {
            report(args, || show::junit_refused(&faults))?;
            show::refused(source, &faults, args.output)?;
            warn_line("no test ran: the set or its tests do not load");
            return Ok(ExitCode::from(2));
        }
    };
    report(args, || show::junit(&ran))?;
    if ran.tests.is_empty() {
        if args.output == Output::Json {
            print_finding(json(&ran))?;
        }
        match &args.run {
            Some(part) if !names.is_empty() => {
                let names =
                    names.iter().map(|name| format!("`{}`", escape_controls(name))).collect::<Vec<_>>().join(", ");
                warn_line(format_args!("no test name contains `{}`; the tests are {names}", escape_controls(part)));
            }
            _ => warn_line("no test ran: tests belong in files that end in _test.rhai"),
        }
        return Ok(ExitCode::from(2));
    }
    match args.output {
        Output::Text => text(source, &ran)?,
        Output::Json => print_finding(json(&ran))?,
    }
    let seen = ran.coverage.share();
    let uncovered = args.fail_under.filter(|least| seen < *least);
    if let Some(least) = uncovered {
        warn_line(format_args!("coverage {:.1} % is below --fail-under {} %", seen * 100.0, least * 100.0));
    }
    let failed = ran.failures().next().is_some() || uncovered.is_some();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Writes the report, if requested: whatever the result, an earlier report does not remain.
fn report(args: &TestArgs, document: impl FnOnce() -> String) -> anyhow::Result<()> {
    let Some(file) = &args.junit else { return Ok(()) };
    std::fs::write(file, document()).with_context(|| format!("{} cannot be written", file.display()))
}

/// Runs the tests with `part` in their names; `names` receives the names of all tests.
fn run(source: &Source, part: Option<&str>, names: &mut Vec<String>) -> Result<TestReport, Vec<PolicyFault>> {
    let set = Arc::new(compile(source.texts(), &source.vocabulary, &deadline())?);
    let names = RefCell::new(names);
    let wanted = |name: &str| {
        names.borrow_mut().push(name.to_owned());
        part.is_none_or(|part| name.contains(part))
    };
    run_tests(&set, &source.vocabulary, source.texts(), &wanted, &patience())
}

/// Returns the limits of each test, including the overall deadline.
fn patience() -> impl Fn() -> Deadline {
    let end = Instant::now() + TESTS;
    // A single test may use what the loop grants the whole set: one that takes more never becomes active.
    move || {
        let own = deadline();
        Arc::new(move || own().or_else(|| (Instant::now() >= end).then_some(Spent::Time)))
    }
}

fn text(source: &Source, report: &TestReport) -> anyhow::Result<()> {
    for test in &report.tests {
        let word = if test.failure.is_some() { "FAILED" } else { "ok" };
        let idle = if test.expects || test.failure.is_some() { "" } else { " (it expects nothing)" };
        print_finding(format!("{word:<6} {}: {}{idle}", escape_controls(&test.file), escape_controls(&test.name)))?;
        if let Some(failure) = &test.failure {
            print_finding(show::fault(source, failure, false))?;
        }
    }
    let failed = report.failures().count();
    print_finding(format!("\n{} passed, {failed} failed", report.tests.len().saturating_sub(failed)))?;
    coverage(&report.coverage)
}

fn coverage(coverage: &Coverage) -> anyhow::Result<()> {
    print_finding(format!("condition coverage {:.1} %", coverage.share() * 100.0))?;
    for rule in &coverage.rules {
        for condition in &rule.conditions {
            let missing = condition.missing();
            if !missing.is_empty() {
                print_finding(format!("  {}: {} was never {missing}", rule.rule, condition.text))?;
            }
        }
    }
    Ok(())
}

fn json(report: &TestReport) -> serde_json::Value {
    let tests = report.tests.iter().map(|test| {
        let failure = test.failure.as_ref().map(|failure| show::json(failure, None));
        json!({ "name": test.name, "file": test.file, "line": test.line, "expects": test.expects, "failure": failure })
    });
    let conditions = report.coverage.rules.iter().flat_map(|rule| {
        rule.conditions.iter().map(|condition| {
            json!({
                "rule": &*rule.rule,
                "condition": condition.text,
                "true": condition.seen_true,
                "false": condition.seen_false,
                "unknown": condition.seen_unknown,
            })
        })
    });
    json!({
        "tests": tests.collect::<Vec<_>>(),
        "coverage": report.coverage.share(),
        "conditions": conditions.collect::<Vec<_>>(),
    })
}
