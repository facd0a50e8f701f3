//! The `flyball` binary.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    flyball::cli::main(&flyball::cli::Cli::parse())
}
