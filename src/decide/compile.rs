//! Policy files to a policy set: whole or not at all.
//!
//! Each file keeps an AST and an environment of its own and is never merged with another, so two files may
//! have helper functions of one name. The top level of a file runs once, here, and leaves parameters and
//! rules; afterwards every rule is tried against a service of which everything is known and one of which
//! nothing is (see [`probe`](crate::decide::probe)).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rhai::{AST, Dynamic, Engine, FnPtr, Map, Module, NativeCallContext, Position, Shared};

use crate::decide::api;
use crate::decide::api::fields::Fields;
use crate::decide::api::params::Parameter;
use crate::decide::api::quantity::{ScriptResult, register_units};
use crate::decide::api::tick::Texts;
use crate::decide::engine::{LOAD_OPERATIONS, MeteredEngine, Pool, RUN_OPERATIONS, standard_library};
use crate::decide::fault::{PolicyFault, explain, syntax_message};
use crate::decide::probe::probe;
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
/// Longest text of `otherwise`, bytes.
const MAX_OTHERWISE: usize = 256;
/// Files that end so hold the tests of a set; they are not loaded with it.
const TEST_SUFFIX: &str = "_test.rhai";
/// Reason for doing nothing where the set gives none.
const OTHERWISE: &str = "no policy matched";

/// One rule of a set.
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) priority: i64,
    pub(super) goal: Goal,
    pub(super) file: usize,
    pub(super) position: Position,
    pub(super) body: FnPtr,
}

/// One file of a set.
pub(super) struct File {
    pub(super) path: String,
    pub(super) ast: AST,
}

/// A checked policy set. Shared by all services and threads.
pub struct PolicySet {
    revision: PolicyRevision,
    pub(super) files: Vec<File>,
    pub(super) rules: Vec<Rule>,
    pub(super) parameters: Arc<[Parameter]>,
    pub(super) otherwise: Arc<str>,
    pub(super) texts: Arc<Texts>,
    pub(super) pool: Pool,
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

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.rules().collect();
        f.debug_struct("PolicySet").field("revision", &self.revision).field("rules", &names).finish_non_exhaustive()
    }
}

/// Compiles and checks a set of files, given as path and text.
///
/// # Errors
/// All faults that were found, in the order of files and lines; then there is no set.
pub fn compile<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
    vocabulary: &Vocabulary,
) -> Result<PolicySet, Vec<PolicyFault>> {
    let mut sources: Vec<_> = files.into_iter().filter(|(path, _)| !path.ends_with(TEST_SUFFIX)).collect();
    sources.sort_unstable();
    let too_large = check_sizes(&sources);
    if !too_large.is_empty() {
        return Err(too_large);
    }
    let library = standard_library();
    let (files, collected) = load(&sources, &library);
    let parameters: Arc<[Parameter]> = collected.parameters.into();
    let (known, declared) = (vocabulary.clone(), Arc::clone(&parameters));
    let set = PolicySet {
        revision: PolicyRevision::of(sources),
        files,
        rules: collected.rules,
        parameters,
        otherwise: collected.otherwise.map_or_else(|| OTHERWISE.into(), |(text, _)| text),
        texts: Arc::new(Texts::new()),
        pool: Pool::new(move || {
            MeteredEngine::new(&library, RUN_OPERATIONS, |engine| api::register(engine, &known, &declared))
        }),
    };
    let mut faults = collected.faults;
    faults.extend(probe(&set, vocabulary, faults.is_empty()));
    if faults.is_empty() && set.rules.is_empty() {
        faults.push(PolicyFault::of("", "it has no rules; a set that never acts is refused, stop flyball instead"));
    }
    faults.sort();
    if faults.is_empty() { Ok(set) } else { Err(faults) }
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

/// What the top levels of the files left behind.
#[derive(Default)]
struct Collected {
    /// Path and number of the file whose top level runs.
    path: String,
    file: usize,
    rules: Vec<Rule>,
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
fn load(sources: &[(&str, &str)], library: &Shared<Module>) -> (Vec<File>, Collected) {
    let collected = Arc::new(Mutex::new(Collected::default()));
    let engine = MeteredEngine::new(library, LOAD_OPERATIONS, |engine| {
        register_units(engine);
        register_declarations(engine, &collected);
    });
    let mut files = Vec::new();
    for (path, text) in sources {
        {
            let mut collected = collected.lock();
            (*path).clone_into(&mut collected.path);
            collected.file = files.len();
        }
        let ast = match engine.fresh().compile(text) {
            Ok(ast) => ast,
            Err(error) => {
                collected.lock().fault(error.position(), None, syntax_message(error.err_type()));
                continue;
            }
        };
        if let Err(error) = engine.fresh().run_ast(&ast) {
            let (failure, position) = explain(&error, LOAD_OPERATIONS);
            collected.lock().fault(position, None, failure.to_string());
        }
        files.push(File { path: (*path).to_owned(), ast: ast.clone_functions_only() });
    }
    let collected = std::mem::take(&mut *collected.lock());
    (files, collected)
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
        let file = collected.file;
        collected.rules.push(Rule { name: name.into(), priority, goal, file, position, body });
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
    match Parameter::read(name, default, options) {
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
