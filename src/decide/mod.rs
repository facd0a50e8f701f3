//! DECIDE: features and outlook to a proposal, by policies in a sandbox.
//!
//! Policies are Rhai files. Their rules only propose; guards dispose. A rule sees a service as typed signals,
//! whose comparisons are true, false or unknown, and unknown never acts. Every condition of every rule is
//! evaluated and traced, also when nothing is done.
//!
//! | file | duty |
//! |---|---|
//! | [`vocabulary`] | which signals policies may name |
//! | [`compile`](mod@compile) | files to a checked set, whole or not at all |
//! | `probe` | every rule tried once at load |
//! | [`engine`] | the sandbox and its limits |
//! | `api` | what policies are written in |
//! | [`evaluate`] | one decision |
//! | `held`, `mute` | what a service's decider remembers |
//! | `select` | one action out of all that matched |
//! | [`fault`] | what can be wrong, with file, line, column and rule |
//!
//! ```
//! use flyball::decide::{Vocabulary, compile};
//!
//! let policy = r#"
//!     rule("scale_up", #{ priority: 300, goal: "protect" }, |s, p| [
//!         when(s.cpu.current > pct(60)),
//!         scale_by(1.5),
//!     ]);
//! "#;
//! let set = compile([("traffic.rhai", policy)], &Vocabulary::of([]).unwrap()).unwrap();
//! assert_eq!(set.rules().collect::<Vec<_>>(), ["scale_up"]);
//!
//! let faults = compile([("traffic.rhai", &policy.replace("cpu", "cpx"))], &Vocabulary::of([]).unwrap()).unwrap_err();
//! assert!(faults[0].to_string().starts_with("traffic.rhai:3:14: rule scale_up: unknown signal `cpx`"));
//! ```

mod api;
pub mod compile;
pub mod engine;
pub mod evaluate;
pub mod fault;
mod held;
mod mute;
mod probe;
mod select;
pub mod vocabulary;

pub use api::params::Parameter;
pub use compile::{PolicySet, compile};
pub use engine::Deadline;
pub use evaluate::{Decider, decide};
pub use fault::PolicyFault;
pub use vocabulary::{Vocabulary, VocabularyError};

#[cfg(test)]
mod tests;
