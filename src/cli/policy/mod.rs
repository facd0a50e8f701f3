//! `flyball policy ...`: policies checked, tested and tried out before they go live.
//!
//! | file | subcommand |
//! |---|---|
//! | [`check`] | `check`: faults and findings of a set |
//! | [`test`] | `test`: the set's own tests, with condition coverage |
//! | [`eval`] | `eval`: what a set would decide on what was recorded |
//! | [`source`] | where the set and the declared signals come from |
//! | [`show`] | faults with the line they are in; SARIF, JUnit |

mod check;
mod eval;
mod show;
mod source;
mod test;

use std::process::ExitCode;

use clap::Subcommand;

use super::print;
use crate::cycle::stages::reference;

pub use check::{Form, check_set};
pub use source::Source;

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Compile a set against the declared signals and list every fault with file, line, column and rule.
    Check(check::CheckArgs),
    /// Run the tests of a set (`*_test.rhai`) and say which conditions they saw true, false and unknown.
    Test(test::TestArgs),
    /// Say what a set would decide on a recorded decision's inputs, with every condition.
    Eval(eval::EvalArgs),
    /// Print every word that policies and their tests are written in, with an example.
    Words,
}

pub async fn policy(command: &PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Check(args) => check::check(args),
        PolicyCommand::Test(args) => test::test(args),
        PolicyCommand::Eval(args) => eval::eval(args).await,
        PolicyCommand::Words => {
            print(reference())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
