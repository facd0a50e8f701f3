//! Scripts that do harm, intentionally or by accident, in twelve classes: each reaches what it attacks and is stopped
//! there, the process continues, and the last good set stays active. Used by the tests and by the figures.

#![allow(dead_code, reason = "the tests use one part of it, the figures another")]

mod scripts;
mod sets;

pub use scripts::CLASSES;

use flyball::ports::{PolicyFile, PolicyFiles};

/// A set whose only rule is harmless.
pub const GOOD: &str =
    "rule(\"good\", #{ priority: 1, goal: \"protect\" }, |s, p| [when(s.can_scale_up), restart()]);\n";

/// One class of scripts.
pub struct Class {
    /// What they try.
    pub name: &'static str,
    /// Statements, each with what stops it; each runs at the top level, in a rule, in a library and in a test.
    pub bodies: &'static [(&'static str, Stop)],
    /// Whole sets, for what no single statement can do.
    pub sets: fn() -> Vec<(Set, Stop)>,
}

/// What stops a script: a part of the fault that it ends in.
pub type Stop = &'static str;

/// The meter. On a machine so slow that the deadline comes first, that counts as well.
pub const OPERATIONS: Stop = "operations: more than";
/// The nesting of calls.
pub const DEPTH: Stop = "depth: calls are nested too deeply";
/// The length of a text.
pub const TEXT: Stop = "limit: a string grew too long";
/// The size of an array, with all that is in it.
pub const ARRAY: Stop = "limit: an array grew too large";
/// The size of a map, with all that is in it.
pub const MAP: Stop = "limit: a map grew too large";
/// The number of faults that are listed. On a machine so slow that the deadline comes first, that counts as well.
pub const FAULTS: Stop = "there are more faults than these";
/// Nothing needs to: the attempt did no harm, and the script ran to its end.
pub const SURVIVED: Stop = "the end was reached";

/// Stops a script that its operations or its faults would stop, on a slow machine.
pub const LATE: Stop = "deadline: ";

/// Paths and texts.
pub type Set = Vec<(String, String)>;

/// A script of a class.
pub struct Hostile {
    /// Its class.
    pub class: &'static str,
    /// For messages: the statement, or the start of the set.
    pub name: String,
    /// What stops it.
    pub stop: Stop,
    /// The files.
    pub files: PolicyFiles,
}

/// What the statements may call.
const HELPERS: &str = "fn deeper(n) { 1 + deeper(n + 1) }\n\
                       fn ping(n) { pong(n + 1) }\n\
                       fn pong(n) { ping(n + 1) }\n\
                       fn wide(n) { [wide(n + 1), wide(n + 1)] }\n\
                       fn grow(list) { list.push(1); grow(list) }\n\
                       fn tree(map) { #{ a: tree(map), b: tree(map) } }\n\
                       fn again(f, x) { f.call(f, x) }\n\
                       fn id(a) { a }\n";

/// Returns every script.
pub fn all() -> Vec<Hostile> {
    CLASSES.iter().flat_map(of_class).collect()
}

/// Returns the scripts of a class. Each ends in an error if nothing stops it before.
pub fn of_class(class: &Class) -> Vec<Hostile> {
    let mut all = Vec::new();
    for (body, stop) in class.bodies {
        for set in placed(body) {
            all.push(hostile(class.name, (*body).to_owned(), stop, set));
        }
    }
    for (set, stop) in (class.sets)() {
        let name = set.iter().map(|(path, text)| format!("{path}: {text:.60}")).collect::<Vec<_>>().join("; ");
        all.push(hostile(class.name, name, stop, set));
    }
    all
}

fn hostile(class: &'static str, name: String, stop: Stop, set: Set) -> Hostile {
    let files = set.into_iter().map(|(path, text)| PolicyFile { path, text: text.into() }).collect();
    Hostile {
        class,
        name,
        stop,
        files: PolicyFiles {
            origin: "hostile".to_owned(),
            files: Ok(files),
            namespaces: std::collections::BTreeMap::new(),
        },
    }
}

/// Returns a statement in each place where scripts run.
fn placed(body: &str) -> [Set; 4] {
    let set = |files: &[(&str, String)]| files.iter().map(|(path, text)| ((*path).to_owned(), text.clone())).collect();
    let body = format!("{body}\nthrow \"{SURVIVED}\";");
    let rule = format!("{HELPERS}rule(\"r\", #{{ priority: 1, goal: \"cost\" }}, |s, p| {{\n{body}\n}});");
    let library = format!("{HELPERS}fn harm() {{\n{body}\n}}");
    let user = "import \"lib/h\" as h;\nrule(\"r\", #{ priority: 1, goal: \"cost\" }, |s, p| h::harm());";
    let test = format!("{HELPERS}test(\"t\", || {{\n{body}\n}});");
    [
        set(&[("t.rhai", format!("{HELPERS}{body}\n{GOOD}"))]),
        set(&[("t.rhai", rule)]),
        set(&[("lib/h.rhai", library), ("t.rhai", user.to_owned())]),
        set(&[("t.rhai", GOOD.to_owned()), ("t_test.rhai", test)]),
    ]
}
