//! Scripts that mean harm, or do it by accident, in twelve classes: each is stopped, the process goes on, and the
//! last good set stays in force. Used by the tests and by the figures.

#![allow(dead_code, reason = "the tests use one part of it, the figures another")]

mod scripts;

pub use scripts::CLASSES;

use flyball::ports::{PolicyFile, PolicyFiles};

/// A set whose only rule is harmless.
pub const GOOD: &str =
    "rule(\"good\", #{ priority: 1, goal: \"protect\" }, |s, p| [when(s.can_scale_up), restart()]);\n";

/// One class of scripts.
pub struct Class {
    /// What they try.
    pub name: &'static str,
    /// Statements; each is tried at the top level, in a rule, in a library and in a test.
    pub bodies: &'static [&'static str],
    /// Whole sets, for what no single statement can do.
    pub sets: fn() -> Vec<Set>,
}

/// Paths and texts.
pub type Set = Vec<(String, String)>;

/// A script of a class.
pub struct Hostile {
    /// Its class.
    pub class: &'static str,
    /// For messages: the statement, or the start of the set.
    pub name: String,
    /// The files.
    pub files: PolicyFiles,
}

/// What the statements may call.
const HELPERS: &str = "fn deeper(n) { 1 + deeper(n + 1) }\n\
                       fn ping(n) { pong(n + 1) }\n\
                       fn pong(n) { ping(n + 1) }\n\
                       fn wide(n) { [wide(n + 1), wide(n + 1)] }\n";

/// Returns every script. Each ends in an error if nothing stops it before.
pub fn all() -> Vec<Hostile> {
    let mut all = Vec::new();
    for class in &CLASSES {
        for body in class.bodies {
            for set in placed(body) {
                all.push(hostile(class.name, (*body).to_owned(), set));
            }
        }
        for set in (class.sets)() {
            let name = set.iter().map(|(path, text)| format!("{path}: {text:.60}")).collect::<Vec<_>>().join("; ");
            all.push(hostile(class.name, name, set));
        }
    }
    all
}

fn hostile(class: &'static str, name: String, set: Set) -> Hostile {
    let files = set.into_iter().map(|(path, text)| PolicyFile { path, text }).collect();
    Hostile {
        class,
        name,
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
    let rule = format!("{HELPERS}rule(\"r\", #{{ priority: 1, goal: \"cost\" }}, |s, p| {{\n{body}\n[]\n}});");
    let library = format!("{HELPERS}fn harm(s, p) {{\n{body}\n[]\n}}");
    let user = "import \"lib/h\" as h;\nrule(\"r\", #{ priority: 1, goal: \"cost\" }, |s, p| h::harm(s, p));";
    let test = format!("{HELPERS}test(\"t\", || {{\n{body}\nthrow \"the end was reached\";\n}});");
    [
        set(&[("t.rhai", format!("{HELPERS}{body}\nthrow \"the end was reached\";\n{GOOD}"))]),
        set(&[("t.rhai", rule)]),
        set(&[("lib/h.rhai", library), ("t.rhai", user.to_owned())]),
        set(&[("t.rhai", GOOD.to_owned()), ("t_test.rhai", test)]),
    ]
}
