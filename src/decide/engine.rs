//! The sandbox: script engines with every limit set. They run at load, each on one thread.
//!
//! The operation count that Rhai keeps is not enough: calls of a function pointer clone it, so what
//! callbacks of `map` or `sort` do never reaches the caller, and one operation may take long. Each engine
//! therefore has a meter of its own, which counts every operation and asks for the deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rhai::module_resolvers::DummyModuleResolver;
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage, BasicStringPackage,
    LogicPackage, Package,
};
use rhai::{Dynamic, Engine, Module, OptimizationLevel, Shared};

use crate::decide::documents::Documents;
use crate::decide::fault::{DEADLINE_TOKEN, DISABLED};

/// Tells whether the time for loading a set is over. Injected, because this stage reads no clock.
pub type Deadline = Arc<dyn Fn() -> bool + Send + Sync>;

/// Operations of one rule; the four original rules need 28 to 40 each.
pub(super) const RULE_OPERATIONS: u64 = 5_000;
/// Operations of the top level of one file.
pub(super) const LOAD_OPERATIONS: u64 = 200_000;

/// How many operations pass between two looks at the deadline.
const DEADLINE_EVERY: u64 = 64;
const MAX_CALL_LEVELS: usize = 16;
const MAX_EXPRESSION_DEPTH: usize = 32;
const MAX_STRING: usize = 4096;
const MAX_ELEMENTS: usize = 256;
const MAX_VARIABLES: usize = 128;
const MAX_FUNCTIONS: usize = 256;
/// Imports of one file. Each is a file of the set, loaded before.
const MAX_MODULES: usize = 16;

/// The parts of Rhai's standard library that policies get, and the documents of their set, as one module: fewer places to
/// search in. Made once per policy set and shared by its engines.
pub(super) fn standard_library(documents: &Documents) -> Shared<Module> {
    let mut library = Module::new();
    ArithmeticPackage::init(&mut library);
    LogicPackage::init(&mut library);
    BasicMathPackage::init(&mut library);
    BasicArrayPackage::init(&mut library);
    BasicMapPackage::init(&mut library);
    BasicStringPackage::init(&mut library);
    BasicIteratorPackage::init(&mut library);
    documents.register(&mut library);
    // Without these two every call searches the packages' manifests from end to end.
    library.register_lazy_functions();
    library.build_index();
    Shared::new(library)
}

/// Returns an engine without any of our functions. The one place where limits are set.
pub(super) fn bare(library: &Shared<Module>, operations: u64) -> Engine {
    let mut engine = Engine::new_raw();
    engine.register_global_module(Shared::clone(library));
    for (keyword, _) in DISABLED {
        engine.disable_symbol(keyword);
    }
    engine
        .set_optimization_level(OptimizationLevel::None)
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .set_fast_operators(false)
        .set_max_operations(operations)
        .set_max_call_levels(MAX_CALL_LEVELS)
        .set_max_expr_depths(MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_DEPTH)
        .set_max_string_size(MAX_STRING)
        .set_max_array_size(MAX_ELEMENTS)
        .set_max_map_size(MAX_ELEMENTS)
        .set_max_variables(MAX_VARIABLES)
        .set_max_functions(MAX_FUNCTIONS)
        .set_max_modules(MAX_MODULES)
        .set_module_resolver(DummyModuleResolver::new());
    engine
}

/// Counts the operations of one evaluation and looks at the deadline.
struct Meter {
    operations: AtomicU64,
    limit: u64,
    deadline: Deadline,
}

impl Meter {
    fn tick(&self) -> Option<Dynamic> {
        // One evaluation at a time uses the meter, so nothing is lost between the load and the store.
        let count = self.operations.load(Ordering::Relaxed).saturating_add(1);
        self.operations.store(count, Ordering::Relaxed);
        if count > self.limit {
            return Some(Dynamic::from(!DEADLINE_TOKEN));
        }
        let look = count % DEADLINE_EVERY == 1;
        (look && (self.deadline)()).then(|| Dynamic::from(DEADLINE_TOKEN))
    }
}

/// An engine and its meter.
pub(super) struct MeteredEngine {
    engine: Engine,
    meter: Arc<Meter>,
}

impl MeteredEngine {
    /// Returns an engine with the functions that `register` adds, limited to `operations` an evaluation and
    /// ended by `deadline`.
    pub(super) fn new(
        library: &Shared<Module>,
        operations: u64,
        deadline: &Deadline,
        register: impl FnOnce(&mut Engine),
    ) -> Self {
        let mut engine = bare(library, operations);
        let deadline = Arc::clone(deadline);
        let meter = Arc::new(Meter { operations: AtomicU64::new(0), limit: operations, deadline });
        let ticking = Arc::clone(&meter);
        engine.on_progress(move |_| ticking.tick());
        register(&mut engine);
        Self { engine, meter }
    }

    /// Returns the engine with its operation count at zero.
    pub(super) fn fresh(&self) -> &Engine {
        self.meter.operations.store(0, Ordering::Relaxed);
        &self.engine
    }
}
