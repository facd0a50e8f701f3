//! The log subscriber. The caller passes the filter: this module does not read the environment.

use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line, for machines.
    Json,
    /// Text, for a terminal.
    Text,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is invalid.
    #[error("log filter `{filter}` is malformed: {reason}; expected for example `info` or `flyball=debug,warn`")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong.
        reason: String,
    },
    /// The writer thread could not be started.
    #[error("cannot start the logging thread: {reason}")]
    Thread {
        /// What the system said.
        reason: String,
    },
    /// The process is already logging.
    #[error("logging is already initialised")]
    Started,
}

/// Starts logging to standard error for the whole process; `lost` counts dropped lines. Dropping the returned value
/// writes the remaining lines.
pub fn start(format: LogFormat, filter: &str, lost: Counter) -> Result<Flush, LogError> {
    start_in(format, filter, io::stderr(), lost)
}

/// Starts logging to a file, for commands that draw on the terminal; otherwise like [`start`].
pub fn start_in_file(filter: &str, file: File, lost: Counter) -> Result<Flush, LogError> {
    start_in(LogFormat::Json, filter, file, lost)
}

/// Library messages that are better reported elsewhere: the cluster client logs every refused connection as an error,
/// which the caller reports in context; the actors behind a line are known from its service and its message.
const SAID_ELSEWHERE: &str = "kube_client::client::builder=off,ractor=warn";

fn start_in(
    format: LogFormat,
    filter: &str,
    writer: impl Write + Send + 'static,
    lost: Counter,
) -> Result<Flush, LogError> {
    let lines = Lines::start(writer, lost).map_err(|error| LogError::Thread { reason: error.to_string() })?;
    subscriber(format, filter, lines.clone())?.try_init().map_err(|_| LogError::Started)?;
    Ok(Flush(lines))
}

fn subscriber(format: LogFormat, filter: &str, lines: Lines) -> Result<Box<dyn Subscriber + Send + Sync>, LogError> {
    let filter = EnvFilter::try_new(format!("{SAID_ELSEWHERE},{filter}"))
        .map_err(|error| LogError::Filter { filter: filter.to_owned(), reason: error.to_string() })?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    // A line that cannot be formatted would be reported on standard error, which may be what fails.
    let logs = logs.log_internal_errors(false);
    Ok(match format {
        LogFormat::Json => {
            Box::new(logs.json().flatten_event(true).with_current_span(true).with_span_list(false).finish())
        }
        LogFormat::Text => Box::new(logs.with_target(false).compact().finish()),
    })
}

/// Lines that may wait for the writer thread; a longer queue would only delay the first loss.
const QUEUED: usize = 4096;
/// How long process exit waits for them.
const FLUSHED_WITHIN: Duration = Duration::from_secs(1);

enum Entry {
    Line(Vec<u8>),
    /// Answered when all lines before it are written.
    Flush(SyncSender<()>),
}

/// A queue of lines with its own writer thread. A stalled reader (a full pipe) blocks that thread, never one that logs:
/// lines that find the queue full are dropped and counted, as are those that cannot be written. The queue of
/// `tracing-appender` does not count lines that cannot be written, and prints to standard output when it shuts down
/// with a stalled reader.
#[derive(Clone)]
struct Lines {
    queue: SyncSender<Entry>,
    lost: Counter,
}

impl Lines {
    fn start(mut writer: impl Write + Send + 'static, lost: Counter) -> io::Result<Self> {
        let (queue, entries) = sync_channel(QUEUED);
        let unwritten = lost.clone();
        let write = move || {
            for entry in entries {
                match entry {
                    Entry::Line(line) if writer.write_all(&line).is_err() => {
                        unwritten.inc();
                    }
                    Entry::Line(_) => {}
                    // The caller may have given up.
                    Entry::Flush(written) => drop(written.send(())),
                }
            }
        };
        std::thread::Builder::new().name("logs".to_owned()).spawn(write)?;
        Ok(Self { queue, lost })
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &Lines {
    /// Accepts one line: the subscriber writes each as a whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Entry::Line(line.to_vec())).is_err() {
            self.lost.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the remaining lines when dropped, but gives up on a stalled reader.
#[must_use = "dropped at once it waits for nothing"]
pub struct Flush(Lines);

impl Drop for Flush {
    fn drop(&mut self) {
        let (written, waits) = sync_channel(1);
        if self.0.queue.try_send(Entry::Flush(written)).is_ok() {
            let _ = waits.recv_timeout(FLUSHED_WITHIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `log` with log lines going to `lines`.
    fn logging(format: LogFormat, lines: &Lines, log: impl FnOnce()) {
        tracing::subscriber::with_default(subscriber(format, "info", lines.clone()).unwrap(), log);
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let (full, lost) = (File::options().write(true).open("/dev/full").unwrap(), Counter::default());
            let lines = Lines::start(full, lost.clone()).unwrap();
            logging(format, &lines, || {
                tracing::info!("one");
                tracing::debug!("not wanted");
                tracing::warn!("two");
            });
            drop(Flush(lines));
            assert_eq!(lost.get(), 2, "{format:?}");
        }
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_nobody_up() {
        let ((mut reader, writer), lost) = (io::pipe().unwrap(), Counter::default());
        let lines = Lines::start(writer, lost.clone()).unwrap();
        let long = "x".repeat(1000);
        // Far more than pipe and queue can hold.
        logging(LogFormat::Json, &lines, || (0..2 * QUEUED).for_each(|_| tracing::info!(long)));
        assert!(lost.get() > 0);
        // Once the reader continues, everything not counted as lost arrives.
        let read = std::thread::spawn(move || {
            let mut text = String::new();
            io::Read::read_to_string(&mut reader, &mut text).map(|_| text.lines().count())
        });
        logging(LogFormat::Json, &lines, || tracing::info!("the last one"));
        let lost = lost.get() as usize;
        drop(Flush(lines));
        assert!(read.join().unwrap().unwrap() + lost >= 2 * QUEUED);
    }

    #[test]
    fn a_malformed_filter_is_named() {
        let error = start(LogFormat::Json, "flyball=loud", Counter::default()).err().unwrap();
        assert!(error.to_string().contains("`flyball=loud`"), "{error}");
    }
}
