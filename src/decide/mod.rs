//! DECIDE: features and outlook to a proposal, by policies in a sandbox.
//!
//! Policies are Rhai files. Their rules only propose; guards dispose. A rule sees a service as typed signals, whose
//! comparisons are true, false or unknown, and unknown never acts. Every condition of every rule is evaluated and
//! traced, also when nothing is done.
//!
//! What a rule's script does cannot depend on data, only its outcome can. So scripts run only at load, in a sandbox,
//! and leave trees of conditions; a decision evaluates those. A script that never ends, fails or names something
//! unknown never gets into a set.
//!
//! | file | duty |
//! |---|---|
//! | `vocabulary` | which signals policies may name |
//! | `compile` | files to a checked set, all or none |
//! | `declare` | the top level of the files |
//! | `cost` | what a decision by a set costs, and may cost |
//! | `documents` | data alongside the rules |
//! | `library` | files below `lib/`, which others import |
//! | `engine` | the sandbox and its limits |
//! | `sorting` | the functions that sort a list, none of which panics |
//! | `api` | what policies are written in |
//! | `build` | the one call of each rule |
//! | `apart` | if that fails, each of its clauses separately |
//! | `dropped` | conditions whose value is not used |
//! | `uncalled` | names read only by functions that no rule calls |
//! | `plan` | the result: conditions and an action as trees |
//! | `evaluate` | one decision over those trees |
//! | `held`, `mute` | what a service's decider remembers |
//! | `select` | one action among all matching rules |
//! | `mask` | what may be shown |
//! | `trial` | the tests of a set |
//! | `needs` | signals that a rule requires |
//! | `lint` | what loads but is likely a mistake |
//! | `reference` | every word of the language, for the page in docs |
//! | `syntax` | what a syntax error means |
//! | `fault` | what can be wrong, with file, line, column and rule |
//!
//! ```
//! use std::sync::Arc;
//! use flyball::decide::{Deadline, Vocabulary, compile};
//!
//! let policy = r#"
//!     rule("scale_up", #{ priority: 300, goal: "protect" }, |s, p| [
//!         when(s.cpu.current > pct(60)),
//!         scale_by(1.5),
//!     ]);
//! "#;
//! let (words, never): (_, Deadline) = (Vocabulary::of([]).unwrap(), Arc::new(|| None));
//! let set = compile([("traffic.rhai", policy)], &words, &never).unwrap();
//! assert_eq!(set.rules().collect::<Vec<_>>(), ["scale_up"]);
//!
//! let faults = compile([("traffic.rhai", &*policy.replace("cpu", "cpx"))], &words, &never).unwrap_err();
//! assert!(faults[0].to_string().starts_with("traffic.rhai:3:15: rule scale_up: unknown signal `cpx`"));
//! ```

mod apart;
mod api;
mod build;
mod compile;
mod cost;
mod declare;
mod documents;
mod dropped;
mod engine;
mod evaluate;
mod fault;
mod held;
mod library;
mod lint;
mod mask;
mod mute;
mod needs;
mod plan;
mod reference;
mod select;
mod sorting;
mod syntax;
mod trial;
mod uncalled;
mod vocabulary;

pub use compile::{PolicySet, compile};
pub use engine::{Deadline, Spent};
pub use evaluate::{Decider, decide};
pub use fault::{FaultKind, PolicyFault, RuleKind};
pub use lint::{LINTS, Lint, lint};
pub use plan::condition::{TARGET_FLAGS, target_flags};
pub use plan::parameter::Parameter;
pub use reference::{Place, WORDS, Word, reference};
pub use trial::{ConditionCoverage, Coverage, RuleCoverage, TestReport, TestResult, run_tests};
pub use vocabulary::{STANDARD, Standard, Vocabulary, VocabularyError};

#[cfg(test)]
mod tests;
