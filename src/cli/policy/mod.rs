//! `flyball policy ...`: policies checked, tested and tried out before they go live.
//!
//! | file | subcommand |
//! |---|---|
//! | [`check`] | `check`: faults and findings of a set |
//! | [`test`] | `test`: the set's own tests, with condition coverage |
//! | [`eval`] | `eval`: what a set would decide on what was recorded |
//! | [`whatif`] | `whatif`: what would have to be otherwise for a rule to match, or not |
//! | [`bench`] | `bench`: how long a decision takes |
//! | [`signals`] | `signals`: what policies may name, with live values |
//! | [`inputs`] | the recorded inputs that those decide on |
//! | [`staged`] | `status`, `diff`, `promote`, `rollback`: which revision is in force |
//! | [`source`] | where the set and the declared signals come from |
//! | [`show`] | faults with the line they are in; SARIF, JUnit |

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

use super::print;
use crate::decide::reference;
use crate::ports::policy_memory::PolicyOperation;

pub use check::{Form, check_set, refuse_set, unfit_settings};
pub use source::Source;
pub use staged::{release_named, with_origin};

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Compile a set against the declared signals and list all its faults with file, line, column and rule.
    Check(check::CheckArgs),
    /// Run the tests of a set (`*_test.rhai`) and say which conditions they saw true, false and unknown.
    Test(test::TestArgs),
    /// Say what a set would decide on a recorded decision's inputs, with every condition.
    Eval(eval::EvalArgs),
    /// Say what would have to be otherwise for a rule to match, or not to.
    Whatif(whatif::WhatIfArgs),
    /// Measure how long a decision by a set takes, on recorded inputs.
    Bench(bench::BenchArgs),
    /// List what policies may name; of a service, with what is known of it now.
    Signals(signals::SignalsArgs),
    /// Say which revision is in force, for whom, and what stands beside it.
    Status(staged::StatusArgs),
    /// Say what the set beside the one in force would have done otherwise.
    Diff(staged::DiffArgs),
    /// Put the set that stands beside in force now, for all services or one.
    Promote(staged::OrderArgs),
    /// Go back to the set that was in force before, within a second, for all services or one.
    Rollback(staged::OrderArgs),
    /// Print every word that policies and their tests are written in, with an example.
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
            print(reference())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
