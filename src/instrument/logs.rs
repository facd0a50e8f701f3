//! The log subscriber. Whoever starts it passes the filter in: no environment is read here.

use std::fs::File;
use std::io;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// Words, for a terminal.
    Text,
}

/// Why logs cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("log filter `{filter}` is malformed: {reason}; expected for example `info` or `flyball=debug,warn`")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong.
        reason: String,
    },
    /// The process logs already.
    #[error("logs were started already")]
    Started,
}

/// Starts logs on the standard error stream for the whole process.
pub fn start(format: LogFormat, filter: &str) -> Result<(), LogError> {
    start_in(format, filter, BoxMakeWriter::new(io::stderr))
}

/// Starts logs in a file, for commands that draw on the terminal.
pub fn start_in_file(filter: &str, file: File) -> Result<(), LogError> {
    start_in(LogFormat::Json, filter, BoxMakeWriter::new(Mutex::new(file)))
}

/// What libraries say and somebody here says better: the client of the cluster calls every refused connection an error, and
/// who asked says so himself, in context; the actors of a line are known by its service and its words.
const SAID_ELSEWHERE: &str = "kube_client::client::builder=off,ractor=warn";

fn start_in(format: LogFormat, filter: &str, writer: BoxMakeWriter) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(format!("{SAID_ELSEWHERE},{filter}"))
        .map_err(|error| LogError::Filter { filter: filter.to_owned(), reason: error.to_string() })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let started = match format {
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
        LogFormat::Text => logs.with_target(false).compact().try_init(),
    };
    started.map_err(|_| LogError::Started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_filter_is_named() {
        let error = start(LogFormat::Json, "flyball=loud").unwrap_err();
        assert!(error.to_string().contains("`flyball=loud`"), "{error}");
    }
}
