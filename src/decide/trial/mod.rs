//! The tests of a policy set: `*_test.rhai` files, run against the set before it goes live, and by hand.
//!
//! A test states what is known ([`given`], [`timeline`]), decides, and expects. It runs the same `decide` as the loop,
//! over features and an outlook built from its statements; everything else is unknown. Every decision that it expects
//! something of counts towards the [`Coverage`] of the set.
//!
//! | file | duty |
//! |---|---|
//! | [`given`] | from a test's statements to features and an outlook |
//! | [`seen`] | one signal of those |
//! | [`timeline`] | consecutive decisions, with a past |
//! | [`replay`] | decisions on recorded inputs |
//! | [`decision`] | what a test may expect of them |
//! | [`words`] | the functions that test files are written in |
//! | [`coverage`] | which conditions were seen true, false, unknown |

mod coverage;
mod decision;
mod given;
mod replay;
mod seen;
mod timeline;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rhai::{AST, Dynamic, FnPtr, NativeCallContext, Position};

use coverage::Truths;
pub use coverage::{ConditionCoverage, Coverage, RuleCoverage};

use crate::decide::compile::{PolicySet, parse};
use crate::decide::documents::Documents;
use crate::decide::engine::{Deadline, LOAD_OPERATIONS, MeteredEngine, Spent, guarded, standard_library};
use crate::decide::fault::{Failure, PolicyFault, explain};
use crate::decide::lint::Lint;
use crate::decide::vocabulary::Vocabulary;
use crate::model::policy_path::{DATA_SUFFIX, RECORDING_SUFFIX, TEST_SUFFIX};
use crate::model::{Role, ServiceId, SignalName, SignalSpec, Unit};

/// Scrape interval of the sources if a test makes its decisions one by one.
const INTERVAL: Duration = Duration::from_secs(15);
/// Most tests of a set.
const MAX_TESTS: usize = 1024;

/// How one test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// Its name.
    pub name: String,
    /// Path of its file.
    pub file: String,
    /// Line where it starts, from 1.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// Whether it expected anything of a decision.
    pub expects: bool,
    /// The failed expectation and its place; `None`: it passed.
    pub failure: Option<PolicyFault>,
}

/// How the tests of a set ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TestReport {
    /// Each test that ran, in the order of files and lines.
    pub tests: Vec<TestResult>,
    /// Their coverage of the set.
    pub coverage: Coverage,
}

impl TestReport {
    /// Returns the failures.
    pub fn failures(&self) -> impl Iterator<Item = &PolicyFault> {
        self.tests.iter().filter_map(|test| test.failure.as_ref())
    }

    /// Returns a finding for each test that passed without expecting anything.
    pub fn idle(&self) -> impl Iterator<Item = Lint> {
        self.tests.iter().filter(|test| test.failure.is_none() && !test.expects).map(|test| {
            let message = format!(
                "test `{}` expects nothing, so it cannot fail: expect something of what it decides, or delete it",
                test.name
            );
            let (line, column) = (test.line, test.column);
            Lint { fault: PolicyFault { line, column, ..PolicyFault::of(&test.file, message) }, id: "no-expectation" }
        })
    }
}

/// Returns a signal for tests: with any value, and forecast unless it is a flag.
fn signal(name: &SignalName, unit: Unit, role: Option<Role>, scrape_interval: Duration) -> SignalSpec {
    SignalSpec {
        name: name.clone(),
        unit,
        role,
        range: (f64::MIN, f64::MAX),
        forecast: unit != Unit::Flag,
        scrape_interval,
        window: Duration::ZERO,
    }
}

/// A test as its file declared it.
struct Test {
    name: String,
    file: Arc<str>,
    ast: Arc<AST>,
    position: Position,
    body: Body,
}

/// What a test does.
enum Body {
    Script(FnPtr),
    Replay(replay::Replay),
}

/// What the functions of test files share.
pub(super) struct Bench {
    set: Arc<PolicySet>,
    /// The service under test.
    service: ServiceId,
    vocabulary: Vocabulary,
    /// Recorded inputs by path.
    recordings: BTreeMap<String, String>,
    /// Deadline of the running test.
    expired: Mutex<Deadline>,
    coverage: Mutex<Coverage>,
    written: Mutex<Vec<Test>>,
    faults: Mutex<Vec<PolicyFault>>,
    /// Whether the running test expected anything of a decision.
    expects: Mutex<bool>,
    /// Where the running test made its first change that it did not use.
    unused: Mutex<Option<Position>>,
    /// Path and AST of the file whose top level is running.
    file: Mutex<(Arc<str>, Arc<AST>)>,
}

impl Bench {
    /// Returns what the running test has used up, if anything.
    fn spent(&self) -> Option<Spent> {
        let expired = Arc::clone(&self.expired.lock());
        expired()
    }

    /// Counts decisions that an expectation looks at.
    fn looked_at(&self, seen: &Truths) {
        *self.expects.lock() = true;
        self.coverage.lock().add(seen);
    }

    fn declare(&self, context: &NativeCallContext<'_>, name: &str, body: Body) {
        let (file, ast) = self.file.lock().clone();
        let mut written = self.written.lock();
        let position = context.call_position();
        let fault = |message: String| self.faults.lock().push(PolicyFault::at(&file, position, message));
        if written.iter().any(|test| test.name == name && test.file == file) {
            fault(format!("test `{name}` already exists in this file: test names must be unique"));
        } else if written.len() >= MAX_TESTS {
            fault(format!("a set can have at most {MAX_TESTS} tests"));
        } else {
            written.push(Test { name: name.to_owned(), file, ast, position, body });
        }
    }
}

/// Runs the tests among `files` (path and text) whose names `wanted` accepts, against `set`. `deadline` is called for a
/// new deadline before the files are read and before each test.
///
/// # Errors
/// All faults of test files that could not be loaded; no test was run then.
pub fn run_tests<'a>(
    set: &Arc<PolicySet>,
    vocabulary: &Vocabulary,
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
    wanted: &dyn Fn(&str) -> bool,
    deadline: &dyn Fn() -> Deadline,
) -> Result<TestReport, Vec<PolicyFault>> {
    let all: Vec<_> = files.into_iter().collect();
    let recordings = all.iter().filter(|(path, _)| path.ends_with(RECORDING_SUFFIX));
    let recordings = recordings.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let data: Vec<_> = all.iter().copied().filter(|(path, _)| path.ends_with(DATA_SUFFIX)).collect();
    let (documents, odd) = Documents::read(&data);
    if !odd.is_empty() {
        return Err(odd);
    }
    let mut files: Vec<_> = all.into_iter().filter(|(path, _)| path.ends_with(TEST_SUFFIX)).collect();
    files.sort_unstable();
    let service = ServiceId::new("policy", "test").map_err(|error| vec![PolicyFault::of("", error.to_string())])?;
    let bench = Arc::new(Bench {
        set: Arc::clone(set),
        service,
        vocabulary: vocabulary.clone(),
        recordings,
        expired: Mutex::new(deadline()),
        coverage: Mutex::new(Coverage::of(set)),
        written: Mutex::default(),
        faults: Mutex::default(),
        expects: Mutex::default(),
        unused: Mutex::default(),
        file: Mutex::default(),
    });
    let asked = Arc::clone(&bench);
    let expired: Deadline = Arc::new(move || asked.spent());
    let engine = MeteredEngine::new(&standard_library(&documents), LOAD_OPERATIONS, &expired, |engine| {
        words::register(engine, &bench);
    });
    for (path, text) in files {
        declare(&bench, &engine, path, text);
    }
    let mut faults = std::mem::take(&mut *bench.faults.lock());
    if !faults.is_empty() {
        faults.sort();
        return Err(faults);
    }
    let written = std::mem::take(&mut *bench.written.lock());
    let mut tests: Vec<TestResult> = Vec::new();
    // The test during which the total time ran out: those after it are not at fault.
    let mut last: Option<&Test> = None;
    for test in written.iter().filter(|test| wanted(&test.name)) {
        *bench.expired.lock() = deadline();
        tests.push(match last {
            None => run(test, &engine, &bench),
            Some(last) => not_run(test, last),
        });
        // The limits of another test would be used up at once.
        if last.is_none() && deadline()().is_some() {
            last = Some(test);
        }
    }
    let coverage = bench.coverage.lock().clone();
    Ok(TestReport { tests, coverage })
}

/// Runs the top level of a test file, which declares its tests.
fn declare(bench: &Bench, engine: &MeteredEngine, path: &str, text: &str) {
    match parse(engine.fresh(), path, text) {
        Err(faults) => bench.faults.lock().extend(faults),
        Ok(ast) => {
            let ast = Arc::new(ast);
            *bench.file.lock() = (path.into(), Arc::clone(&ast));
            if let Err(error) = guarded(|| engine.fresh().run_ast(&ast)) {
                let (failure, position) = explain(&error, LOAD_OPERATIONS);
                bench.faults.lock().push(PolicyFault::at(path, position, failure.to_string()));
            }
        }
    }
}

/// The fault of an unused change.
const UNUSED: &str = "the result of set(..) or without(..) is unused, and they change nothing in place: decide on it, \
 or assign it as in busy = busy.set(..)";

fn not_run(test: &Test, last: &Test) -> TestResult {
    let message = format!("not run: the time limit for all tests was reached in `{}` of {}", last.name, last.file);
    let failure = PolicyFault::at(&test.file, test.position, message);
    result(test, false, Some(failure))
}

fn result(test: &Test, expects: bool, failure: Option<PolicyFault>) -> TestResult {
    let (line, column) = (test.position.line(), test.position.position());
    TestResult { name: test.name.clone(), file: test.file.to_string(), line, column, expects, failure }
}

fn run(test: &Test, engine: &MeteredEngine, bench: &Bench) -> TestResult {
    *bench.unused.lock() = None;
    *bench.expects.lock() = false;
    let ended = match &test.body {
        Body::Script(body) => guarded(|| body.call::<Dynamic>(engine.fresh(), &test.ast, ()).map(drop)),
        Body::Replay(replay) => guarded(|| replay.run(bench)),
    };
    let failure = match ended {
        Ok(()) => bench.unused.lock().take().map(|position| PolicyFault::at(&test.file, position, UNUSED)),
        Err(error) => {
            let (failure, position) = explain(&error, LOAD_OPERATIONS);
            let position = if position.is_none() { test.position } else { position };
            let message = match failure {
                Failure::Deadline => "deadline: the tests took too long".to_owned(),
                other => other.to_string(),
            };
            Some(PolicyFault::at(&test.file, position, message))
        }
    };
    let expects = *bench.expects.lock();
    result(test, expects, failure)
}
