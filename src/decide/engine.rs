//! The sandbox: script engines with every limit set. They run at load, each on one thread.
//!
//! The operation count that Rhai keeps is not enough: calls of a function pointer clone it, so what callbacks of `map`
//! or `sort` use never reaches the caller, and one operation may take long. Each engine therefore has a meter of its
//! own, which counts every operation and checks what the evaluation has used up.
//!
//! Its size limits are not enough either: they apply to one text, array or map, and miss what a function pointer
//! carries and what values of our own types hold. So functions carry nothing here (`curry` and capturing are removed
//! from the language), and the [`Deadline`] also checks the memory that an evaluation holds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rhai::module_resolvers::DummyModuleResolver;
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage, BasicStringPackage,
    LogicPackage, Package,
};
use rhai::{Dynamic, Engine, EvalAltResult, LexError, Module, OptimizationLevel, Shared, Token};

use crate::decide::api::quantity::ScriptResult;
use crate::decide::documents::Documents;
use crate::decide::fault::{DISABLED, Failure};
use crate::decide::sorting;

/// What scripts have used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// The time allowed for loading a set, or for its tests.
    Time,
    /// The memory allowed for it.
    Memory,
}

/// Aborts the load of a set, or a test, by returning what has been used up. Injected, because this stage has no access
/// to clock or allocator.
pub type Deadline = Arc<dyn Fn() -> Option<Spent> + Send + Sync>;

/// Operations of one rule; the four original rules need 28 to 40 each.
pub(super) const RULE_OPERATIONS: u64 = 5_000;
/// Operations of the top level of one file.
pub(super) const LOAD_OPERATIONS: u64 = 200_000;

/// How many operations pass between two checks of the deadline.
const LOOK_EVERY: u64 = 64;
/// How many words and signs of a text are parsed between two checks.
const LOOK_EVERY_TOKENS: u64 = 256;
const MAX_CALL_LEVELS: usize = 16;
const MAX_EXPRESSION_DEPTH: usize = 32;
/// Longest text, and all texts of one value.
pub(super) const MAX_STRING: usize = 4096;
/// Most elements of an array, and of all arrays of one value; of maps likewise.
pub(super) const MAX_ELEMENTS: usize = 256;
const MAX_VARIABLES: usize = 128;
/// Functions of one file.
pub(super) const MAX_FUNCTIONS: usize = 256;
/// Imports of one file. Each is a file of the set, loaded before.
const MAX_MODULES: usize = 16;

/// The parts of Rhai's standard library that policies get, and the documents of their set, as one module: fewer places
/// to search. Built once per policy set and shared by its engines.
pub(super) fn standard_library(documents: &Documents) -> Shared<Module> {
    let mut library = Module::new();
    ArithmeticPackage::init(&mut library);
    LogicPackage::init(&mut library);
    BasicMathPackage::init(&mut library);
    BasicArrayPackage::init(&mut library);
    BasicMapPackage::init(&mut library);
    BasicStringPackage::init(&mut library);
    BasicIteratorPackage::init(&mut library);
    sorting::register(&mut library);
    documents.register(&mut library);
    // Without these two, every call searches the manifests of all packages.
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

/// Runs an engine evaluation; a panic inside it becomes an error.
///
/// # Errors
/// The script's error, or that the engine panicked.
pub(super) fn guarded<T>(run: impl FnOnce() -> ScriptResult<T>) -> ScriptResult<T> {
    // Engines are immutable while they run, so a panic inside one leaves no partial state.
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(EvalAltResult::ErrorSystem(String::new(), "panic".into()).into()))
}

/// Counts the operations of one evaluation and checks its deadline.
struct Meter {
    operations: AtomicU64,
    limit: u64,
    /// Words and signs parsed so far.
    tokens: AtomicU64,
    expired: Deadline,
}

impl Meter {
    /// Returns what the parser reads instead of `token` once the deadline has passed: parsing is no evaluation, so no
    /// operations are counted, and a text within the size limit can take a tenth of a second.
    fn parsed(&self, token: Token) -> Token {
        let count = self.tokens.fetch_add(1, Ordering::Relaxed);
        let look = count % LOOK_EVERY_TOKENS == LOOK_EVERY_TOKENS - 1;
        let spent = look.then(|| (self.expired)()).flatten();
        spent.map_or(token, |spent| Token::LexError(LexError::Runtime(Failure::from(spent).to_string()).into()))
    }

    fn tick(&self) -> Option<Dynamic> {
        // Only one evaluation at a time uses the meter, so no update is lost between load and store.
        let count = self.operations.load(Ordering::Relaxed).saturating_add(1);
        self.operations.store(count, Ordering::Relaxed);
        if count > self.limit {
            return Some(Dynamic::UNIT);
        }
        let look = count % LOOK_EVERY == 1;
        look.then(|| (self.expired)()).flatten().map(Dynamic::from)
    }
}

/// An engine and its meter.
pub(super) struct MeteredEngine {
    engine: Engine,
    meter: Arc<Meter>,
}

impl MeteredEngine {
    /// Returns an engine with the functions that `register` adds, limited to `operations` per evaluation and aborted by
    /// `expired`.
    pub(super) fn new(
        library: &Shared<Module>,
        operations: u64,
        expired: &Deadline,
        register: impl FnOnce(&mut Engine),
    ) -> Self {
        let mut engine = bare(library, operations);
        let zero = || AtomicU64::new(0);
        let meter =
            Arc::new(Meter { operations: zero(), limit: operations, tokens: zero(), expired: Arc::clone(expired) });
        let ticking = Arc::clone(&meter);
        engine.on_progress(move |_| ticking.tick());
        let parsing = Arc::clone(&meter);
        #[expect(deprecated, reason = "marks what may change between versions; the version is pinned")]
        engine.on_parse_token(move |token, _, _| parsing.parsed(token));
        register(&mut engine);
        Self { engine, meter }
    }

    /// Returns the engine with its operation count at zero.
    pub(super) fn fresh(&self) -> &Engine {
        self.meter.operations.store(0, Ordering::Relaxed);
        &self.engine
    }
}
