//! The layer table and the bans, as data. A new module gets a row here before it gets a line of code.

/// How much of the world a module may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// Nothing: a function of its inputs.
    Pure,
    /// Files and environment in only one file.
    OneFile(&'static str),
    /// Whatever its duty requires.
    Open,
}

/// One row of the layer table.
#[derive(Debug)]
pub struct Layer {
    /// Module below the crate root.
    pub module: &'static str,
    /// What it may import from the crate besides itself; `*` stands for one segment or, alone, for everything.
    pub may: &'static [&'static str],
    /// How much of the world it may touch.
    pub world: World,
}

const STAGE: &[&str] = &["model"];
const STAGES_AND_MODEL: &[&str] = &["model", "observe", "forecast", "decide", "guard", "act", "verify"];
const EDGE: &[&str] = &["model", "ports", "instrument"];
const CONFIG: &[&str] = &["model", "forecast::params", "adapters::*::settings"];
const ACTORS: &[&str] = &["model", "forecast", "decide", "guard", "act", "cycle", "ports", "instrument"];
const APP: &[&str] = &[
    "model",
    "observe",
    "forecast",
    "decide",
    "guard",
    "act",
    "verify",
    "cycle",
    "ports",
    "instrument",
    "sim",
    "demo",
    "adapters",
    "console",
    "actors",
    "config",
];

/// Which module may import which.
pub const LAYERS: &[Layer] = &[
    Layer { module: "model", may: &[], world: World::Pure },
    Layer { module: "observe", may: STAGE, world: World::Pure },
    Layer { module: "forecast", may: STAGE, world: World::Pure },
    Layer { module: "decide", may: STAGE, world: World::Pure },
    Layer { module: "guard", may: STAGE, world: World::Pure },
    Layer { module: "act", may: STAGE, world: World::Pure },
    Layer { module: "verify", may: STAGE, world: World::Pure },
    Layer { module: "cycle", may: STAGES_AND_MODEL, world: World::Pure },
    Layer { module: "ports", may: &["model"], world: World::Open },
    Layer { module: "instrument", may: &["model"], world: World::Open },
    Layer { module: "sim", may: STAGE, world: World::Pure },
    Layer { module: "demo", may: &["model", "sim"], world: World::Open },
    Layer { module: "adapters", may: EDGE, world: World::Open },
    Layer { module: "console", may: EDGE, world: World::Open },
    Layer { module: "actors", may: ACTORS, world: World::Open },
    Layer { module: "config", may: CONFIG, world: World::OneFile("src/config/load.rs") },
    Layer { module: "app", may: APP, world: World::Open },
    Layer { module: "cli", may: &["*"], world: World::Open },
    Layer { module: "main", may: &["app", "cli"], world: World::Open },
];

/// Two modules that only one file may bring together.
pub const MEET: (&str, &str, &str) = ("adapters", "actors", "app");

/// The only module that reads environment variables.
pub const ENVIRONMENT: &str = "config";

/// Environment variables.
pub const ENV_READS: &[&str] =
    &["std::env::var", "std::env::var_os", "std::env::vars", "std::env::vars_os", "std::env::set_var"];

/// Crates that a pure module may use; all others bring time, I/O, tasks or nondeterministic order. A lock does not: the
/// script engine shares its records behind one. Nor does the description of a type (`schemars`), which derives from its
/// serde form.
pub const PURE_CRATES: &[&str] = &[
    "std",
    "serde",
    "serde_json",
    "schemars",
    "thiserror",
    "jiff",
    "sha2",
    "rhai",
    "parking_lot",
    "ndarray",
    "statrs",
    "argmin",
    "argmin_math",
    "strsim",
];

/// I/O, tasks and processes of the standard library.
pub const IO: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net",
    "std::io",
    "std::process",
    "std::thread",
    "std::os",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
];

/// Further names of the standard library that no pure module uses: tasks, and nondeterministic order.
pub const IMPURE: &[&str] = &[
    "std::future",
    "std::task",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::collections::hash_map",
    "std::collections::hash_set",
    "std::hash::RandomState",
];

/// Calls that read a clock or the environment, wherever their type was imported from.
pub const CLOCK_READS: &[&str] =
    &["Timestamp::now", "Zoned::now", "Instant::now", "SystemTime::now", "TimeZone::system", "TimeZone::try_system"];

/// Files and environment, for a module that keeps its I/O in one file.
pub const FILES: &[&str] = &["std::env", "std::fs", "std::io", "std::process", "tokio", "reqwest"];

/// Macros that print.
pub const PRINTS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// Macros that panic.
pub const PANICS: &[&str] = &["panic", "todo", "unimplemented", "unreachable"];

/// Methods that panic.
pub const UNWRAPS: &[&str] = &["unwrap", "expect", "unwrap_err", "expect_err"];

/// Macros that include text which this test would not see.
pub const INCLUDES: &[&str] = &["include"];
