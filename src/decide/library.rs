//! Files below `lib/`: functions that other files of the set import. They declare no rules and no parameters.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use rhai::{Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};

use crate::decide::api::quantity::{ScriptResult, register_units};
use crate::decide::compile::parse;
use crate::decide::dropped::dropped;
use crate::decide::engine::{Deadline, LOAD_OPERATIONS, MeteredEngine, guarded};
use crate::decide::fault::{Failure, PolicyFault, explain};

/// Where libraries live within a set.
pub(super) const LIBRARY: &str = "lib/";
/// How deeply libraries may import each other: deep enough for any reader, shallow enough for the stack.
const MAX_DEPTH: usize = 8;

/// The libraries of a set, by the path that `import` gives (`lib/slo`).
#[derive(Debug, Clone, Default)]
pub(super) struct Libraries(Shared<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Texts that were not requested yet.
    waiting: BTreeMap<String, String>,
    loaded: BTreeMap<String, Shared<Module>>,
    /// Libraries being loaded, the first requested one in front.
    loading: Vec<String>,
    faults: Vec<PolicyFault>,
}

impl Libraries {
    /// Loads every library, its imports first.
    pub(super) fn load(
        sources: &[&(&str, &str)],
        standard: &Shared<Module>,
        expired: &Deadline,
    ) -> (Self, Vec<PolicyFault>) {
        let libraries = Self::default();
        let name = |path: &str| path.trim_end_matches(".rhai").to_owned();
        libraries.0.lock().waiting = sources.iter().map(|(path, text)| (name(path), (*text).to_owned())).collect();
        let engine = MeteredEngine::new(standard, LOAD_OPERATIONS, expired, |engine| {
            engine.set_module_resolver(libraries.clone());
            register_units(engine);
            refuse_declarations(engine);
        });
        for (path, _) in sources {
            if let Some(spent) = expired() {
                libraries.0.lock().faults.push(PolicyFault::of(path, Failure::from(spent).to_string()));
                break;
            }
            libraries.load_one(engine.fresh(), &name(path));
        }
        let faults = libraries.0.lock().faults.clone();
        (libraries, faults)
    }

    /// Loads a library unless it was loaded or tried before; errors become faults.
    fn load_one(&self, engine: &Engine, name: &str) {
        let Some(text) = self.0.lock().waiting.remove(name) else { return };
        let path = format!("{name}.rhai");
        let ast = match parse(engine, &path, &text) {
            Ok(ast) => ast,
            Err(faults) => return self.0.lock().faults.extend(faults),
        };
        self.0.lock().faults.extend(dropped(&path, &ast));
        self.0.lock().loading.push(name.to_owned());
        let module = guarded(|| Module::eval_ast_as_new(Scope::new(), &ast, engine)).map_err(|error| {
            let (failure, position) = explain(&error, LOAD_OPERATIONS);
            PolicyFault::failed(&path, position, &failure)
        });
        let mut state = self.0.lock();
        state.loading.pop();
        match module {
            Ok(module) => drop(state.loaded.insert(name.to_owned(), module.into())),
            Err(fault) => state.faults.push(fault),
        }
    }

    /// Returns why a library cannot be loaded now.
    fn hindrance(&self, name: &str) -> Option<String> {
        let state = self.0.lock();
        if state.loading.iter().any(|loading| loading == name) {
            return Some(format!("`{name}` imports itself, via {}", state.loading.join(", ")));
        }
        (state.loading.len() >= MAX_DEPTH)
            .then(|| format!("imports of libraries are nested more than {MAX_DEPTH} levels deep"))
    }
}

impl ModuleResolver for Libraries {
    fn resolve(
        &self,
        engine: &Engine,
        _source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        if let Some(message) = self.hindrance(path) {
            return Err(EvalAltResult::ErrorRuntime(message.into(), position).into());
        }
        self.load_one(engine, path);
        let state = self.0.lock();
        let failed = || state.faults.iter().any(|fault| fault.file == format!("{path}.rhai"));
        match state.loaded.get(path) {
            Some(module) => Ok(Shared::clone(module)),
            None if failed() => {
                Err(EvalAltResult::ErrorRuntime(format!("`{path}` did not load").into(), position).into())
            }
            None => Err(EvalAltResult::ErrorModuleNotFound(path.to_owned(), position).into()),
        }
    }
}

fn refuse_declarations(engine: &mut Engine) {
    for name in ["rule", "param", "limit", "otherwise", "conflicts"] {
        let refuse = move || -> ScriptResult<()> {
            Err(format!("{name}(..) belongs in a file outside {LIBRARY}: a library contains only functions").into())
        };
        engine.register_fn(name, move |_: rhai::Dynamic| refuse());
        engine.register_fn(name, move |_: rhai::Dynamic, _: rhai::Dynamic| refuse());
        engine.register_fn(name, move |_: rhai::Dynamic, _: rhai::Dynamic, _: rhai::Dynamic| refuse());
    }
}
