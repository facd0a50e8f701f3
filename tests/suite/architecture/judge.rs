//! What a path means under the rules, and the findings.

use std::collections::BTreeSet;
use std::fmt;

use super::rules::{self, Layer, World};

/// The rule that a finding breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The layer table.
    Layer,
    /// Adapters meet actors outside the composition root.
    Meeting,
    /// A pure module touches the world.
    Purity,
    /// I/O outside the one file that may.
    OneFile,
    /// Environment variables outside the settings.
    Environment,
    /// `super::super`.
    SuperSuper,
    /// Code that can panic outside tests.
    Panics,
    /// Text that this test cannot see.
    Unseen,
    /// A directory without a documented `mod.rs`.
    ModuleDoc,
}

/// One breach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path from the root of the repository.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The path or name that breaks the rule.
    pub what: String,
    /// The rule.
    pub rule: Rule,
    /// Why, or what to do.
    pub why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} breaks {:?}: {}", self.file, self.line, self.what, self.rule, self.why)
    }
}

/// Judges what a scanner finds in one file.
pub struct Judge {
    file: String,
    layer: Option<&'static Layer>,
    imported: BTreeSet<String>,
    findings: BTreeSet<Finding>,
}

impl Judge {
    /// Returns the judge of the file of `module`.
    pub fn new(file: &str, module: &[String]) -> Self {
        let top = module.first().map_or("", String::as_str);
        let layer = rules::LAYERS.iter().find(|layer| layer.module == top);
        let mut judge = Self { file: file.to_owned(), layer, imported: BTreeSet::new(), findings: BTreeSet::new() };
        if layer.is_none() && !top.is_empty() {
            judge.find(1, top, Rule::Layer, "this module has no row in the layer table");
        }
        judge
    }

    /// Returns the findings, by line.
    pub fn finish(self) -> Vec<Finding> {
        self.findings.into_iter().collect()
    }

    /// Records a breach.
    pub fn find(&mut self, line: usize, what: &str, rule: Rule, why: &str) {
        let finding = Finding { file: self.file.clone(), line, what: what.to_owned(), rule, why: why.to_owned() };
        self.findings.insert(finding);
    }

    /// Judges an absolute path: `crate` or the name of a crate first.
    pub fn path(&mut self, path: &[String], in_test: bool, line: usize) {
        match path.split_first() {
            Some((head, rest)) if head == "crate" => self.within(rest, line),
            Some((head, _)) if !in_test => self.outside(head, &path.join("::"), line),
            _ => {}
        }
        self.call(path, in_test, line);
    }

    /// Judges a call by its last two names, wherever they come from.
    pub fn call(&mut self, path: &[String], in_test: bool, line: usize) {
        let Some([kind, name]) = path.last_chunk::<2>() else { return };
        let called = format!("{kind}::{name}");
        let pure = self.world() == World::Pure;
        if pure && !in_test && rules::CLOCK_READS.contains(&called.as_str()) {
            self.find(line, &path.join("::"), Rule::Purity, "it reads a clock; take `now` as a parameter");
        }
    }

    /// Judges a glob import: one that may bring in something banned hides it.
    pub fn glob(&mut self, path: &[String], in_test: bool, line: usize) {
        let written = path.join("::");
        let hides = |ban: &&str| ban.strip_prefix(&written).is_some_and(|rest| rest.starts_with("::"));
        let pure = self.world() == World::Pure;
        if pure && !in_test && rules::IO.iter().chain(rules::IMPURE).any(hides) {
            self.find(line, &format!("{written}::*"), Rule::Purity, "a glob hides what it imports; name it");
        }
    }

    /// Judges `async` and `await`.
    pub fn async_code(&mut self, what: &str, in_test: bool, line: usize) {
        if !in_test && self.world() == World::Pure {
            self.find(line, what, Rule::Purity, "a pure module waits for nothing");
        }
    }

    /// Judges the name of a macro.
    pub fn macro_name(&mut self, name: &str, in_test: bool, excused: bool, line: usize) {
        let call = format!("{name}!");
        let pure = self.world() == World::Pure;
        if pure && !in_test && rules::PRINTS.contains(&name) {
            self.find(line, &call, Rule::Purity, "a pure module prints nothing");
        }
        if !in_test && !excused && rules::PANICS.contains(&name) {
            self.find(line, &call, Rule::Panics, "return an error or a typed absence");
        }
        if rules::INCLUDES.contains(&name) {
            self.find(line, &call, Rule::Unseen, "write the code where the architecture test reads it");
        }
    }

    fn world(&self) -> World {
        self.layer.map_or(World::Open, |layer| layer.world)
    }

    /// Judges a path of the crate, given without `crate`.
    fn within(&mut self, path: &[String], line: usize) {
        let (Some(layer), Some(top)) = (self.layer, path.first()) else { return };
        if top == layer.module || top == "self" {
            return;
        }
        let written = format!("crate::{}", path.join("::"));
        if !rules::LAYERS.iter().any(|layer| layer.module == top) {
            self.find(line, &written, Rule::Layer, "the crate root holds modules of the layer table alone");
        } else if !layer.may.iter().any(|allowed| permits(allowed, path)) {
            let may = if layer.may.is_empty() { "nothing".to_owned() } else { layer.may.join(", ") };
            self.find(line, &written, Rule::Layer, &format!("`{}` may import {may}", layer.module));
        }
        self.imported.insert(top.clone());
        let (one, other, place) = rules::MEET;
        let meets = (top == one && self.imported.contains(other)) || (top == other && self.imported.contains(one));
        if layer.module != place && meets {
            let why = format!("only `{place}` brings {one} and {other} together");
            self.find(line, &written, Rule::Meeting, &why);
        }
    }

    /// Judges a path outside the crate.
    fn outside(&mut self, head: &str, path: &str, line: usize) {
        let within = |bans: &[&str]| bans.iter().any(|ban| covers(ban, path));
        match self.world() {
            World::Pure => {
                if !rules::PURE_CRATES.contains(&head) {
                    self.find(line, path, Rule::Purity, "this crate is not on the list for pure modules");
                } else if within(rules::IO) || within(rules::IMPURE) {
                    self.find(line, path, Rule::Purity, "no clock, I/O, task or unordered map in a pure module");
                }
            }
            World::OneFile(file) if file != self.file && within(rules::FILES) => {
                self.find(line, path, Rule::OneFile, &format!("I/O of this module lives in {file}"));
            }
            World::OneFile(_) | World::Open => {}
        }
        let settings = self.layer.is_some_and(|layer| layer.module == rules::ENVIRONMENT);
        if !settings && within(rules::ENV_READS) {
            self.find(line, path, Rule::Environment, "environment variables are read in `config` alone");
        }
    }
}

/// Returns whether `path` is what `ban` names, or is below it.
fn covers(ban: &str, path: &str) -> bool {
    path.strip_prefix(ban).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Returns whether an entry of the table permits a path: `model`, `forecast::params`, `adapters::*::settings`, `*`.
fn permits(allowed: &str, path: &[String]) -> bool {
    let pattern: Vec<&str> = allowed.split("::").collect();
    pattern.len() <= path.len() && pattern.iter().zip(path).all(|(part, segment)| *part == "*" || part == segment)
}
