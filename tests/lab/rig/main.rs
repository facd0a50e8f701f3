//! The rig of the lab: the parts of a cluster besides its API server that a scaling loop sees. Never shipped.
//!
//! | file | what |
//! |---|---|
//! | `nodes` | binds pods to nodes, runs a worker for each, serves `metrics.k8s.io` |
//! | `worker` | a small HTTP server with a set capacity |
//! | `balance` | a load balancer over the ready endpoints of a service |
//! | `play` | an open-loop load player with a request log |
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to people")]

mod balance;
mod nodes;
mod play;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Nodes, workers, load balancer and load of the lab.
#[derive(Debug, Parser)]
#[command(name = "flyball-lab")]
struct Rig {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Run nodes: every pod of the cluster is placed, started and ended.
    Nodes(nodes::Arguments),
    /// Serve requests, each of which holds a slot for a while.
    Worker(worker::Arguments),
    /// Spread requests over the ready endpoints of a service.
    Balance(balance::Arguments),
    /// Send requests by a plan, whatever becomes of them.
    Play(play::Arguments),
}

fn main() -> ExitCode {
    // None was installed before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            match Rig::parse().part {
                Part::Nodes(arguments) => Box::pin(nodes::run(arguments)).await,
                Part::Worker(arguments) => worker::run(arguments).await,
                Part::Balance(arguments) => balance::run(arguments).await,
                Part::Play(arguments) => play::run(arguments).await,
            }
        })
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads a duration with its unit, as in `200ms`.
fn span(text: &str) -> Result<Duration, String> {
    let span: jiff::Span = text.parse().map_err(|_| format!("`{text}` is not a span of time such as 200ms or 5s"))?;
    let seconds = span.total(jiff::Unit::Second).map_err(|error| error.to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
