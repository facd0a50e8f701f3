//! Policy files to a policy set: whole or not at all.
//!
//! Each file keeps an AST and an environment of its own and is never merged with another, so two files may
//! have helper functions of one name. The top level of a file runs once and leaves parameters and rules; then
//! every rule is called once and leaves its conditions and its action. After that no script is needed.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rhai::{AST, Dynamic, Engine, FnPtr, Map, Module, NativeCallContext, Position, Shared};

use crate::decide::api;
use crate::decide::api::clause::Body;
use crate::decide::api::fields::Fields;
use crate::decide::api::params;
use crate::decide::api::quantity::{ScriptResult, register_units};
use crate::decide::build::build;
use crate::decide::engine::{Deadline, LOAD_OPERATIONS, MeteredEngine, RULE_OPERATIONS, standard_library};
use crate::decide::fault::{Failure, PolicyFault, explain, syntax_message};
use crate::decide::plan::inputs::Texts;
use crate::decide::plan::parameter::Parameter;
use crate::decide::vocabulary::Vocabulary;
use crate::model::{Goal, PolicyRevision, SignalName};

/// Largest file, bytes.
const MAX_FILE: usize = 256 * 1024;
/// Largest set, bytes.
const MAX_SET: usize = 2 * 1024 * 1024;
/// Most files of a set.
const MAX_FILES: usize = 64;
/// Most rules of a set.
const MAX_RULES: usize = 256;
/// Most parts of all conditions of a set; a decision evaluates each of them.
const MAX_SET_PARTS: usize = 10_000;
/// Longest text of `otherwise`, bytes.
const MAX_OTHERWISE: usize = 256;
/// Files that end so hold the tests of a set; they are not loaded with it.
const TEST_SUFFIX: &str = "_test.rhai";
/// Reason for doing nothing where the set gives none.
const OTHERWISE: &str = "no policy matched";

/// One rule of a set, ready to be evaluated.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) priority: i64,
    pub(super) goal: Goal,
    /// Path of its file.
    pub(super) file: Arc<str>,
    pub(super) position: Position,
    pub(super) body: Body,
    /// Positions of the parameters that it depends on.
    pub(super) parameters: Vec<usize>,
    pub(super) backed_by_arrivals: bool,
}

/// A checked policy set. Shared by all services and threads; holds no script.
#[derive(Debug)]
pub struct PolicySet {
    revision: PolicyRevision,
    pub(super) rules: Vec<Rule>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) otherwise: Arc<str>,
    pub(super) texts: Texts,
}

impl PolicySet {
    /// Returns the revision of the set's content.
    pub fn revision(&self) -> &PolicyRevision {
        &self.revision
    }

    /// Returns the names of the rules, in path order and within a file in the order of the text.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.name)
    }

    /// Returns the parameters that services may set.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }
}

/// Compiles and checks a set of files, given as path and text. `expired` ends it when it answers true; it is
/// asked before each file and every 64 operations.
///
/// # Errors
/// All faults that were found, in the order of files and lines; then there is no set.
pub fn compile<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
    vocabulary: &Vocabulary,
    expired: &Deadline,
) -> Result<PolicySet, Vec<PolicyFault>> {
    let mut sources: Vec<_> = files.into_iter().filter(|(path, _)| !path.ends_with(TEST_SUFFIX)).collect();
    sources.sort_unstable();
    let too_large = check_sizes(&sources);
    if !too_large.is_empty() {
        return Err(too_large);
    }
    let library = standard_library();
    let Collected { rules, parameters, otherwise, mut faults, .. } = load(&sources, &library, expired);
    let engine = MeteredEngine::new(&library, RULE_OPERATIONS, expired, |engine| {
        api::register(engine, vocabulary, &parameters);
    });
    // When a file did not load, a parameter that is missing may have been declared there.
    let complete = faults.is_empty();
    let texts = Texts::new();
    let mut built = Vec::new();
    for declared in rules {
        match build(declared, &engine, &parameters, &texts) {
            Ok(rule) => built.push(rule),
            Err(fault) if complete || !fault.message.starts_with("unknown parameter") => faults.push(fault),
            Err(_) => (),
        }
    }
    faults.extend(check_set(&built, faults.is_empty()));
    faults.sort();
    if !faults.is_empty() {
        return Err(faults);
    }
    let otherwise = otherwise.map_or_else(|| OTHERWISE.into(), |(text, _)| text);
    Ok(PolicySet { revision: PolicyRevision::of(sources), rules: built, parameters, otherwise, texts })
}

fn check_set(rules: &[Rule], complete: bool) -> Option<PolicyFault> {
    let conditions = rules.iter().flat_map(|rule| &rule.body.conditions);
    let parts: usize = conditions.map(|(condition, _)| condition.parts()).sum();
    if parts > MAX_SET_PARTS {
        let message = format!("its conditions have {parts} parts, at most {MAX_SET_PARTS} are evaluated in a cycle");
        return Some(PolicyFault::of("", message));
    }
    let empty = complete && rules.is_empty();
    empty.then(|| PolicyFault::of("", "it has no rules; a set that never acts is refused, stop flyball instead"))
}

fn check_sizes(sources: &[(&str, &str)]) -> Vec<PolicyFault> {
    let mut faults = Vec::new();
    if sources.len() > MAX_FILES {
        faults.push(PolicyFault::of("", format!("it has {} files, at most {MAX_FILES} are loaded", sources.len())));
    }
    for (path, text) in sources {
        if text.len() > MAX_FILE {
            faults.push(PolicyFault::of(path, format!("it has {} bytes, at most {MAX_FILE} are read", text.len())));
        }
    }
    let total: usize = sources.iter().map(|(_, text)| text.len()).sum();
    if total > MAX_SET {
        faults.push(PolicyFault::of("", format!("it has {total} bytes, at most {MAX_SET} are read")));
    }
    faults
}

/// A rule as the top level of a file declared it.
pub(super) struct Declared {
    pub(super) name: Arc<str>,
    pub(super) priority: i64,
    pub(super) goal: Goal,
    pub(super) file: Arc<str>,
    pub(super) ast: Arc<AST>,
    pub(super) position: Position,
    pub(super) body: FnPtr,
}

/// What the top levels of the files left behind.
#[derive(Default)]
struct Collected {
    /// Path and AST of the file whose top level runs.
    path: Arc<str>,
    ast: Arc<AST>,
    rules: Vec<Declared>,
    parameters: Vec<Parameter>,
    otherwise: Option<(Arc<str>, String)>,
    /// Where each rule (`rule x`) and parameter (`parameter x`) was declared.
    declared: BTreeMap<String, String>,
    faults: Vec<PolicyFault>,
}

impl Collected {
    fn fault(&mut self, position: Position, rule: Option<&str>, message: impl Into<String>) {
        self.faults.push(PolicyFault::at(&self.path, position, rule, message));
    }

    /// Notes a declaration; a second one of the same name is a fault.
    fn declare(&mut self, what: &str, name: &str, position: Position) -> bool {
        let here = place(&self.path, position);
        let first = self.declared.entry(format!("{what} {name}")).or_insert_with(|| here.clone()).clone();
        if first != here {
            self.fault(position, None, format!("{what} `{name}` is declared in {first} already: one name, one {what}"));
        }
        first == here
    }
}

fn place(path: &str, position: Position) -> String {
    PolicyFault::at(path, position, None, "").to_string().trim_end_matches(": ").to_owned()
}

/// Parses every file and runs its top level.
fn load(sources: &[(&str, &str)], library: &Shared<Module>, expired: &Deadline) -> Collected {
    let collected = Arc::new(Mutex::new(Collected::default()));
    let engine = MeteredEngine::new(library, LOAD_OPERATIONS, expired, |engine| {
        register_units(engine);
        register_declarations(engine, &collected);
    });
    for (path, text) in sources {
        collected.lock().path = (*path).into();
        if expired() {
            collected.lock().fault(Position::NONE, None, Failure::Deadline.to_string());
            continue;
        }
        let ast = match engine.fresh().compile(text) {
            Ok(ast) => Arc::new(ast),
            Err(error) => {
                collected.lock().fault(error.position(), None, syntax_message(error.err_type()));
                continue;
            }
        };
        collected.lock().ast = Arc::clone(&ast);
        if let Err(error) = engine.fresh().run_ast(&ast) {
            let (failure, position) = explain(&error, LOAD_OPERATIONS);
            collected.lock().fault(position, None, failure.to_string());
        }
    }
    std::mem::take(&mut *collected.lock())
}

/// Adds what may stand at the top level of a file.
fn register_declarations(engine: &mut Engine, collected: &Arc<Mutex<Collected>>) {
    let into = Arc::clone(collected);
    engine.register_fn("rule", move |context: NativeCallContext, name: &str, options: Map, body: FnPtr| {
        declare_rule(&mut into.lock(), name, options, body, context.call_position());
    });
    let into = Arc::clone(collected);
    engine.register_fn("param", move |context: NativeCallContext, name: &str, default: Dynamic| {
        declare_parameter(&mut into.lock(), name, &default, Map::new(), context.call_position());
    });
    let into = Arc::clone(collected);
    engine.register_fn("param", move |context: NativeCallContext, name: &str, default: Dynamic, options: Map| {
        declare_parameter(&mut into.lock(), name, &default, options, context.call_position());
    });
    let into = Arc::clone(collected);
    engine.register_fn("otherwise", move |context: NativeCallContext, text: &str| {
        declare_otherwise(&mut into.lock(), text, context.call_position());
    });
}

fn declare_rule(collected: &mut Collected, name: &str, options: Map, body: FnPtr, position: Position) {
    if SignalName::new(name).is_none() {
        collected.fault(position, None, format!("rule name `{name}` is not a name (a-z, 0-9, _, a letter first)"));
        return;
    }
    if body.is_curried() {
        let message = "it captures a variable of the file, which would be shared between services: \
                       use param(..), or a function of the file";
        collected.fault(position, Some(name), message);
        return;
    }
    if collected.rules.len() >= MAX_RULES {
        collected.fault(position, Some(name), format!("a set has at most {MAX_RULES} rules"));
        return;
    }
    let (priority, goal) = match rule_options(options) {
        Ok(options) => options,
        Err(message) => return collected.fault(position, Some(name), message),
    };
    if collected.declare("rule", name, position) {
        let (file, ast) = (Arc::clone(&collected.path), Arc::clone(&collected.ast));
        collected.rules.push(Declared { name: name.into(), priority, goal, file, ast, position, body });
    }
}

fn rule_options(options: Map) -> Result<(i64, Goal), String> {
    let read = |options| -> ScriptResult<(i64, String)> {
        let mut fields = Fields::new("rule", &["priority", "goal"], options)?;
        Ok((fields.integer("priority")?, fields.text("goal")?))
    };
    let (priority, goal) = read(options).map_err(|error| explain(&error, LOAD_OPERATIONS).0.to_string())?;
    match goal.as_str() {
        "protect" => Ok((priority, Goal::Protect)),
        "cost" => Ok((priority, Goal::Cost)),
        other => Err(format!("rule: goal `{other}` is not known, there is protect and cost")),
    }
}

fn declare_parameter(collected: &mut Collected, name: &str, default: &Dynamic, options: Map, position: Position) {
    match params::read(name, default, options) {
        Ok(parameter) if collected.declare("parameter", name, position) => collected.parameters.push(parameter),
        Ok(_) => (),
        Err(error) => collected.fault(position, None, explain(&error, LOAD_OPERATIONS).0.to_string()),
    }
}

fn declare_otherwise(collected: &mut Collected, text: &str, position: Position) {
    if text.is_empty() || text.len() > MAX_OTHERWISE {
        collected.fault(position, None, format!("otherwise: the text has 1 to {MAX_OTHERWISE} bytes"));
    } else if let Some((_, first)) = &collected.otherwise {
        let message = format!("otherwise(..) stands in {first} already: a set has one");
        collected.fault(position, None, message);
    } else {
        collected.otherwise = Some((text.into(), place(&collected.path, position)));
    }
}
