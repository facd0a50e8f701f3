//! `flyball policy ...`: policies checked, tested and tried out before they go live.
//!
//! | file | subcommand |
//! |---|---|
//! | [`check`] | `check`: faults and findings of a set |
//! | [`test`] | `test`: the set's own tests, with condition coverage |
//! | [`eval`] | `eval`: what a set would decide on recorded inputs |
//! | [`whatif`] | `whatif`: what would have to change for a rule to match, or not |
//! | [`bench`] | `bench`: how long a decision takes |
//! | [`signals`] | `signals`: the names policies may use, with live values |
//! | [`inputs`] | the recorded inputs for these decisions |
//! | [`staged`] | `status`, `diff`, `promote`, `rollback`: which revision is active |
//! | [`source`] | where the set and the declared signals come from |
//! | [`show`] | faults with their source line; SARIF, JUnit |

mod bench;
mod check;
mod eval;
mod inputs;
mod show;
mod signals;
mod source;
mod staged;
mod test;
mod whatif;

use std::process::ExitCode;

use clap::Subcommand;

use super::print_line;
use crate::decide::reference;
use crate::ports::policy_memory::PolicyOperation;

pub use check::{Form, check_set, refuse_set, unfit_settings};
pub use source::Source;
pub use staged::{release_named, with_origin};

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Compile a policy set against the declared signals and list all faults with file, line, column and rule.
    Check(check::CheckArgs),
    /// Run the tests of a policy set (`*_test.rhai`) and report which conditions they covered as true, false and
    /// unknown.
    Test(test::TestArgs),
    /// Show what a policy set would decide on the inputs of a recorded decision, with every condition.
    Eval(eval::EvalArgs),
    /// Show what would have to change for a rule to match, or to stop matching.
    Whatif(whatif::WhatIfArgs),
    /// Measure how long a policy set takes to decide, on recorded inputs.
    Bench(bench::BenchArgs),
    /// List the names policies may use; with a service, also their current values.
    Signals(signals::SignalsArgs),
    /// Show the active revision per service, and any candidate.
    Status(staged::StatusArgs),
    /// Show what the candidate would have decided differently.
    Diff(staged::DiffArgs),
    /// Activate the candidate now, for one service or all.
    Promote(staged::OrderArgs),
    /// Roll back to the previously active policy set within a second, for one service or all.
    Rollback(staged::OrderArgs),
    /// Print the vocabulary of policies and their tests, with examples.
    Words,
}

pub async fn policy(command: &PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Check(args) => check::check(args),
        PolicyCommand::Test(args) => test::test(args),
        PolicyCommand::Eval(args) => eval::eval(args).await,
        PolicyCommand::Whatif(args) => whatif::what_if(args).await,
        PolicyCommand::Bench(args) => bench::bench(args).await,
        PolicyCommand::Signals(args) => signals::signals(args).await,
        PolicyCommand::Status(args) => staged::status(args).await,
        PolicyCommand::Diff(args) => staged::diff(args).await,
        PolicyCommand::Promote(args) => staged::order(args, PolicyOperation::Promote).await,
        PolicyCommand::Rollback(args) => staged::order(args, PolicyOperation::Rollback).await,
        PolicyCommand::Words => {
            print_line(reference())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
