//! The log subscriber. Whoever starts it passes the filter in: no environment is read here.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Mutex;

use prometheus_client::metrics::counter::Counter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

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

/// Starts logs on the standard error stream for the whole process; `lost` counts the lines that it does not take.
pub fn start(format: LogFormat, filter: &str, lost: Counter) -> Result<(), LogError> {
    start_in(format, filter, Counted { writer: BoxMakeWriter::new(io::stderr), lost })
}

/// Starts logs in a file, for commands that draw on the terminal; `lost` counts the lines that it does not take.
pub fn start_in_file(filter: &str, file: File, lost: Counter) -> Result<(), LogError> {
    start_in(LogFormat::Json, filter, Counted { writer: BoxMakeWriter::new(Mutex::new(file)), lost })
}

/// What libraries say and somebody here says better: the client of the cluster calls every refused connection an error, and
/// who asked says so himself, in context; the actors of a line are known by its service and its words.
const SAID_ELSEWHERE: &str = "kube_client::client::builder=off,ractor=warn";

fn start_in(format: LogFormat, filter: &str, writer: Counted) -> Result<(), LogError> {
    subscriber(format, filter, writer)?.try_init().map_err(|_| LogError::Started)
}

fn subscriber(format: LogFormat, filter: &str, writer: Counted) -> Result<Box<dyn Subscriber + Send + Sync>, LogError> {
    let filter = EnvFilter::try_new(format!("{SAID_ELSEWHERE},{filter}"))
        .map_err(|error| LogError::Filter { filter: filter.to_owned(), reason: error.to_string() })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // What cannot be written would be told on the standard error stream, and where that is what fails (a full disk, a
    // reader that has gone) whoever logs a line would die of it.
    let logs = logs.log_internal_errors(false);
    Ok(match format {
        LogFormat::Json => {
            Box::new(logs.json().flatten_event(true).with_current_span(true).with_span_list(false).finish())
        }
        LogFormat::Text => Box::new(logs.with_target(false).compact().finish()),
    })
}

/// Counts the lines that a writer does not take.
struct Counted {
    writer: BoxMakeWriter,
    lost: Counter,
}

impl<'a> MakeWriter<'a> for Counted {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { writer: Box::new(self.writer.make_writer()), lost: &self.lost }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line { writer: Box::new(self.writer.make_writer_for(meta)), lost: &self.lost }
    }
}

/// Writes one line.
struct Line<'a> {
    writer: Box<dyn Write + 'a>,
    lost: &'a Counter,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.writer.write_all(bytes);
        if written.is_err() {
            self.lost.inc();
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_written_is_counted() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let (full, lost) = (File::options().write(true).open("/dev/full").unwrap(), Counter::default());
            let writer = Counted { writer: BoxMakeWriter::new(Mutex::new(full)), lost: lost.clone() };
            tracing::subscriber::with_default(subscriber(format, "info", writer).unwrap(), || {
                tracing::info!("one");
                tracing::debug!("not wanted");
                tracing::warn!("two");
            });
            assert_eq!(lost.get(), 2, "{format:?}");
        }
    }

    #[test]
    fn a_malformed_filter_is_named() {
        let error = start(LogFormat::Json, "flyball=loud", Counter::default()).unwrap_err();
        assert!(error.to_string().contains("`flyball=loud`"), "{error}");
    }
}
