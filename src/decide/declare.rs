//! The top level of policy files: runs once and leaves parameters, rules and the reason for doing nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use rhai::{AST, Dynamic, Engine, FnPtr, Map, Module, NativeCallContext, Position, Scope, Shared};

use crate::decide::api::fields::Fields;
use crate::decide::api::params;
use crate::decide::api::quantity::{ScriptResult, register_units};
use crate::decide::compile::parse;
use crate::decide::dropped::dropped;
use crate::decide::engine::{Deadline, LOAD_OPERATIONS, MeteredEngine, guarded};
use crate::decide::fault::{Failure, MOST_FAULTS, PolicyFault, RuleKind, explain};
use crate::decide::library::{LIBRARY, Libraries};
use crate::decide::plan::parameter::Parameter;
use crate::model::controls::is_unprintable;
use crate::model::{Goal, RETURN_FLOOR, SignalName, UNDO};

/// Most rules of a set.
const MAX_RULES: usize = 256;
/// Longest text of `otherwise`, bytes.
const MAX_OTHERWISE: usize = 256;

/// A rule as the top level of a file declared it.
pub(super) struct Declared {
    pub(super) name: Arc<str>,
    pub(super) priority: i64,
    pub(super) goal: Goal,
    pub(super) file: Arc<str>,
    pub(super) ast: Arc<AST>,
    pub(super) position: Position,
    pub(super) body: FnPtr,
    /// A limit may only forbid, and has no rank.
    pub(super) kind: RuleKind,
}

/// The libraries that a file imports, under the names it gives them.
pub(super) type Imports = Vec<(String, Shared<Module>)>;

/// What the top levels of the files declared.
#[derive(Default)]
pub(super) struct Declarations {
    /// Path and AST of the file whose top level is running.
    path: Arc<str>,
    ast: Arc<AST>,
    pub(super) rules: Vec<Declared>,
    pub(super) parameters: Vec<Parameter>,
    /// The text and its position.
    pub(super) otherwise: Option<(Arc<str>, String)>,
    /// Where each rule or limit (`rule or limit x`) and each parameter (`parameter x`) was declared.
    places: BTreeMap<String, String>,
    pub(super) faults: Vec<PolicyFault>,
    /// The imports of each file that has any.
    pub(super) imports: BTreeMap<Arc<str>, Imports>,
    /// Whether `conflicts("error")` appears anywhere.
    pub(super) conflicts: bool,
}

impl Declarations {
    fn fault(&mut self, position: Position, message: impl Into<String>) {
        self.note(PolicyFault::at(&self.path, position, message));
    }

    fn failed(&mut self, position: Position, failure: &Failure) {
        self.note(PolicyFault::failed(&self.path, position, failure));
    }

    fn note(&mut self, fault: PolicyFault) {
        // A loop may add one per iteration. One more than are listed tells that there are more.
        if self.faults.len() <= MOST_FAULTS {
            self.faults.push(fault);
        }
    }

    /// Records a declaration; a second one of the same name is a fault.
    fn declare(&mut self, what: &str, name: &str, position: Position) -> bool {
        let here = place(&self.path, position);
        match self.places.entry(format!("{what} {name}")) {
            Entry::Vacant(entry) => {
                entry.insert(here);
                true
            }
            Entry::Occupied(entry) => {
                let message = format!("`{name}` is already declared in {}: {what} names must be unique", entry.get());
                self.fault(position, message);
                false
            }
        }
    }
}

fn place(path: &str, position: Position) -> String {
    PolicyFault::at(path, position, "").to_string().trim_end_matches(": ").to_owned()
}

/// Loads the libraries, then parses every other file and runs its top level.
pub(super) fn load(sources: &[(&str, &str)], library: &Shared<Module>, expired: &Deadline) -> Declarations {
    let (libraries, files): (Vec<_>, Vec<_>) = sources.iter().partition(|(path, _)| path.starts_with(LIBRARY));
    let (libraries, faults) = Libraries::load(&libraries, library, expired);
    let declarations = Arc::new(Mutex::new(Declarations { faults, ..Declarations::default() }));
    let engine = MeteredEngine::new(library, LOAD_OPERATIONS, expired, |engine| {
        engine.set_module_resolver(libraries);
        register_units(engine);
        register_declarations(engine, &declarations);
    });
    for (path, text) in files {
        declarations.lock().path = (*path).into();
        // What is wrong with further files would not be listed.
        if declarations.lock().faults.len() > MOST_FAULTS {
            break;
        }
        if let Some(spent) = expired() {
            declarations.lock().failed(Position::NONE, &Failure::from(spent));
            continue;
        }
        let ast = match parse(engine.fresh(), path, text) {
            Ok(ast) => Arc::new(ast),
            Err(faults) => {
                declarations.lock().faults.extend(faults);
                continue;
            }
        };
        declarations.lock().faults.extend(dropped(path, &ast));
        declarations.lock().ast = Arc::clone(&ast);
        match guarded(|| Module::eval_ast_as_new(Scope::new(), &ast, engine.fresh())) {
            Ok(file) => {
                let imports = file.iter_sub_modules().map(|(name, module)| (name.to_owned(), Shared::clone(module)));
                let imports: Imports = imports.collect();
                if !imports.is_empty() {
                    declarations.lock().imports.insert((*path).into(), imports);
                }
            }
            Err(error) => {
                let (failure, position) = explain(&error, LOAD_OPERATIONS);
                declarations.lock().failed(position, &failure);
            }
        }
    }
    std::mem::take(&mut *declarations.lock())
}

/// Registers what is allowed at the top level of a file.
fn register_declarations(engine: &mut Engine, declarations: &Arc<Mutex<Declarations>>) {
    let into = Arc::clone(declarations);
    engine.register_fn("rule", move |context: NativeCallContext, name: &str, options: Map, body: FnPtr| {
        declare_rule(&mut into.lock(), name, Some(options), body, context.call_position());
    });
    let into = Arc::clone(declarations);
    engine.register_fn("limit", move |context: NativeCallContext, name: &str, body: FnPtr| {
        declare_rule(&mut into.lock(), name, None, body, context.call_position());
    });
    let into = Arc::clone(declarations);
    engine.register_fn("param", move |context: NativeCallContext, name: &str, default: Dynamic| {
        declare_parameter(&mut into.lock(), name, &default, Map::new(), context.call_position());
    });
    let into = Arc::clone(declarations);
    engine.register_fn("param", move |context: NativeCallContext, name: &str, default: Dynamic, options: Map| {
        declare_parameter(&mut into.lock(), name, &default, options, context.call_position());
    });
    let into = Arc::clone(declarations);
    engine.register_fn("otherwise", move |context: NativeCallContext, text: &str| {
        declare_otherwise(&mut into.lock(), text, context.call_position());
    });
    let into = Arc::clone(declarations);
    engine.register_fn("conflicts", move |context: NativeCallContext, word: &str| {
        declare_conflicts(&mut into.lock(), word, context.call_position());
    });
}

/// Declares a rule, or, without options, a limit, which has no rank.
fn declare_rule(declarations: &mut Declarations, name: &str, options: Option<Map>, body: FnPtr, position: Position) {
    let kind = if options.is_none() { RuleKind::Limit } else { RuleKind::Rule };
    if SignalName::new(name).is_none() {
        declarations.fault(position, format!("`{name}` is not a valid name (a-z, 0-9, _, a letter first)"));
        return;
    }
    let fault = |path: &str, message: String| PolicyFault::at(path, position, message).within(kind, name);
    if [UNDO, RETURN_FLOOR].contains(&name) {
        let message = "the name is reserved for decisions without a rule; choose another name";
        return declarations.note(fault(&declarations.path, message.to_owned()));
    }
    if declarations.rules.len() >= MAX_RULES {
        let message = format!("a set can have at most {MAX_RULES} rules and limits");
        return declarations.note(fault(&declarations.path, message));
    }
    let (priority, goal) = match options.map_or(Ok((0, Goal::Protect)), rule_options) {
        Ok(options) => options,
        Err(message) => return declarations.note(fault(&declarations.path, message)),
    };
    if declarations.declare("rule or limit", name, position) {
        let (file, ast) = (Arc::clone(&declarations.path), Arc::clone(&declarations.ast));
        declarations.rules.push(Declared { name: name.into(), priority, goal, file, ast, position, body, kind });
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
        other => Err(format!("rule: unknown goal `{other}`, expected protect or cost")),
    }
}

fn declare_parameter(declarations: &mut Declarations, name: &str, default: &Dynamic, options: Map, position: Position) {
    match params::read(name, default, options, (&declarations.path, position)) {
        Ok(parameter) if declarations.declare("parameter", name, position) => declarations.parameters.push(parameter),
        Ok(_) => (),
        Err(error) => declarations.failed(position, &explain(&error, LOAD_OPERATIONS).0),
    }
}

fn declare_conflicts(declarations: &mut Declarations, word: &str, position: Position) {
    if word == "error" {
        declarations.conflicts = true;
    } else {
        let message = format!("conflicts(\"{word}\"): expected \"error\"; without it the higher priority wins");
        declarations.fault(position, message);
    }
}

fn declare_otherwise(declarations: &mut Declarations, text: &str, position: Position) {
    if text.is_empty() || text.len() > MAX_OTHERWISE || text.contains(is_unprintable) {
        declarations.fault(position, format!("otherwise: the text must be one line of 1 to {MAX_OTHERWISE} bytes"));
    } else if let Some((_, first)) = &declarations.otherwise {
        let message = format!("otherwise(..) is already declared in {first}: a set has only one");
        declarations.fault(position, message);
    } else {
        declarations.otherwise = Some((text.into(), place(&declarations.path, position)));
    }
}
