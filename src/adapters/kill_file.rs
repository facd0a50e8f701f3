//! The kill switch as a file: what the loop reads, and what `flyball kill` and `flyball resume` write.
//!
//! The file holds a [`KillOrder`] in JSON or YAML. Missing, empty, unreadable, malformed or huge: engaged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::model::kill::KillOrder;
use crate::model::{ActionClass, KillState, ServiceId};
use crate::ports::KillSwitch;

/// Largest file read.
const SIZE_LIMIT: u64 = 64 * 1024;
/// Time between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long a read may take: a volume that hangs must not keep the switch from being taken for engaged.
const READ_WITHIN: Duration = Duration::from_millis(500);
/// Age from which a look says nothing any more.
const AGE_LIMIT: Duration = Duration::from_secs(1);

/// A kill switch that is a file, looked at ten times a second. Dropping it ends that.
#[derive(Debug)]
pub struct KillFile {
    path: PathBuf,
    seen: Arc<Mutex<(Instant, KillState)>>,
    poll: JoinHandle<()>,
}

impl KillFile {
    /// Reads the file at `path` and keeps looking at it. Needs a running tokio.
    pub fn open(path: &Path) -> Self {
        let seen = Arc::new(Mutex::new((Instant::now(), read_state(path))));
        let poll = tokio::spawn(poll(path.to_owned(), Arc::clone(&seen)));
        Self { path: path.to_owned(), seen, poll }
    }
}

impl Drop for KillFile {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

impl KillSwitch for KillFile {
    fn seen(&self) -> KillState {
        let (when, state) = &*self.seen.lock();
        let age = when.elapsed();
        if age > AGE_LIMIT {
            let error = format!("{} was last read {} ms ago", self.path.display(), age.as_millis());
            return KillState::Unreadable { error };
        }
        state.clone()
    }

    fn read(&self) -> BoxFuture<'_, KillState> {
        Box::pin(async {
            let path = self.path.clone();
            let read = tokio::task::spawn_blocking(move || read_state(&path));
            let unreadable = |error: &str| KillState::Unreadable { error: format!("{} {error}", self.path.display()) };
            let state = match tokio::time::timeout(READ_WITHIN, read).await {
                Ok(Ok(state)) => state,
                Ok(Err(_)) => unreadable("could not be read"),
                Err(_) => unreadable("did not answer in time"),
            };
            *self.seen.lock() = (Instant::now(), state.clone());
            state
        })
    }
}

async fn poll(path: PathBuf, seen: Arc<Mutex<(Instant, KillState)>>) {
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (path, began) = (path.clone(), Instant::now());
        // On a thread of its own: a file system that hangs must not hang the loop, but let what is seen get old.
        let Ok(state) = tokio::task::spawn_blocking(move || read_state(&path)).await else { continue };
        let mut seen = seen.lock();
        if seen.0 <= began {
            *seen = (began, state);
        }
    }
}

/// Reads the state of the switch now.
pub fn read_state(path: &Path) -> KillState {
    match read_order(path) {
        Ok(order) => KillState::Readable { order },
        Err(error) => KillState::Unreadable { error: error.to_string() },
    }
}

/// Why the file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KillFileError {
    /// Not there.
    #[error("kill switch {path} is missing; `flyball resume` makes one that stops nothing")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Cannot be opened, read or written.
    #[error("kill switch {path} cannot be {doing}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not what it should be.
    #[error("kill switch {path} {fault}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
    /// Nobody knows later why.
    #[error("a reason is needed to turn the kill switch, have none")]
    NoReason,
}

/// What is stopped or let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// The writes for one service.
    Service(ServiceId),
    /// The writes of one class.
    Class(ActionClass),
}

/// Stops what `scope` names, on top of what is stopped already. If that cannot be read it counts as everything.
///
/// # Errors
/// `NoReason`; `Io` when the file cannot be written.
pub fn engage(path: &Path, scope: &Scope, by: &str, reason: &str) -> Result<(), KillFileError> {
    rewrite(path, by, reason, |order| {
        let mut order = order.unwrap_or_else(|_| KillOrder { all: true, ..KillOrder::default() });
        match scope {
            Scope::All => order.all = true,
            Scope::Service(service) => drop(order.services.insert(service.clone())),
            Scope::Class(class) => drop(order.classes.insert(*class)),
        }
        Ok(order)
    })
}

/// Lets go what `scope` names; everything, if it is [`Scope::All`] (this also mends or makes the file).
///
/// # Errors
/// `NoReason`; `Missing`, `Io`, `Malformed` when a part is to be let go of an order that cannot be read; `Io`
/// when the file cannot be written.
pub fn release(path: &Path, scope: &Scope, by: &str, reason: &str) -> Result<(), KillFileError> {
    rewrite(path, by, reason, |order| {
        if *scope == Scope::All {
            return Ok(KillOrder::default());
        }
        let mut order = order?;
        match scope {
            Scope::All => {}
            Scope::Service(service) => drop(order.services.remove(service)),
            Scope::Class(class) => drop(order.classes.remove(class)),
        }
        Ok(order)
    })
}

/// Replaces the order in the file by what `change` makes of it; one process at a time.
fn rewrite(
    path: &Path,
    by: &str,
    reason: &str,
    change: impl FnOnce(Result<KillOrder, KillFileError>) -> Result<KillOrder, KillFileError>,
) -> Result<(), KillFileError> {
    if reason.trim().is_empty() {
        return Err(KillFileError::NoReason);
    }
    let failed = |doing| move |source| KillFileError::Io { path: path.to_owned(), doing, source };
    let lock = beside(path, "lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(failed("locked"))?;
    lock.lock().map_err(failed("locked"))?;
    let order = KillOrder { by: by.to_owned(), reason: reason.to_owned(), ..change(read_order(path))? };
    let mut text = serde_json::to_vec_pretty(&order).map_err(|error| failed("written")(error.into()))?;
    text.push(b'\n');
    replace(path, &text).map_err(failed("written"))
}

/// Replaces a file so that every reader finds the old or the new one, whole, also after a power cut.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let temporary = beside(path, "new");
    let mut file = File::create(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory_of(path))?.sync_all()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    directory_of(path).join(format!(".{name}.{ending}"))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn read_order(path: &Path) -> Result<KillOrder, KillFileError> {
    let malformed = |fault: String| KillFileError::Malformed { path: path.to_owned(), fault };
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KillFileError::Missing { path: path.to_owned() },
        _ => KillFileError::Io { path: path.to_owned(), doing: "read", source },
    };
    // Opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(malformed("is not a file".to_owned()));
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SIZE_LIMIT.saturating_add(1)).read_to_end(&mut bytes));
    if read.map_err(failed)? as u64 > SIZE_LIMIT {
        return Err(malformed(format!("is larger than {SIZE_LIMIT} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed("is not UTF-8".to_owned()))?;
    if text.trim().is_empty() {
        return Err(malformed("is empty, expected an order such as {\"all\": false}".to_owned()));
    }
    parse(text).map_err(|error| malformed(format!("holds no order: {error}")))
}

/// Parses an order. YAML goes by way of JSON values, whose types are strict: `"no"` is a text and never a false.
fn parse(text: &str) -> Result<KillOrder, String> {
    let braced = text.trim_start().starts_with('{');
    let json = if braced { serde_json::from_str(text).map(Some) } else { Ok(None) };
    if let Ok(Some(order)) = json {
        return Ok(order);
    }
    let strict = serde_saphyr::options! { strict_booleans: true };
    match (serde_saphyr::from_str_with_options::<serde_json::Value>(text, strict), json) {
        (Ok(value), _) if value.is_object() => serde_json::from_value(value).map_err(|error| error.to_string()),
        (_, Err(json)) => Err(json.to_string()),
        (Ok(_), Ok(_)) => Err("expected fields such as all, services, classes, by, reason".to_owned()),
        (Err(yaml), Ok(_)) => Err(yaml.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kill.json");
        (directory, path)
    }

    fn service() -> ServiceId {
        "shop/checkout".parse().unwrap()
    }

    fn order(path: &Path) -> KillOrder {
        match read_state(path) {
            KillState::Readable { order } => order,
            KillState::Unreadable { error } => panic!("{error}"),
        }
    }

    #[test]
    fn what_cannot_be_read_counts_as_engaged_and_says_why() {
        let check = |text: &[u8], expected: &str| {
            let (_directory, path) = place();
            fs::write(&path, text).unwrap();
            let KillState::Unreadable { error } = read_state(&path) else { panic!("readable: {text:?}") };
            assert!(error.contains(expected), "{error}");
        };
        check(b"", "is empty");
        check(b" \n\n", "is empty");
        check(b"{\"all\": tr", "holds no order");
        check(b"{\"all\": \"no\"}", "holds no order");
        check(b"{\"everything\": true}", "holds no order");
        check(b"all: perhaps", "holds no order");
        check(b"all: no", "holds no order");
        check(b"all: 'false'", "holds no order");
        check(b"all: true\nall: false\n", "holds no order");
        check(b"{\"all\": true, \"all\": false}", "holds no order");
        check(b"# nothing but a comment\n", "holds no order");
        check(b"null", "holds no order");
        check(b"[]", "holds no order");
        check(b"services: [Not A Service]", "holds no order");
        check(b"{\"all\": \xff}", "is not UTF-8");
        check(&vec![b' '; 70_000], "is larger than 65536 bytes");
        let (directory, path) = place();
        let KillState::Unreadable { error } = read_state(&path) else { panic!() };
        assert!(error.contains("is missing; `flyball resume`"), "{error}");
        let KillState::Unreadable { error } = read_state(directory.path()) else { panic!() };
        assert!(error.contains("is not a file"), "{error}");
    }

    #[test]
    fn json_and_yaml_are_read() {
        let (_directory, path) = place();
        for text in ["{\"all\": true, \"by\": \"me\"}", "all: true\nby: me\n", "{all: true, by: me}"] {
            fs::write(&path, text).unwrap();
            assert_eq!(order(&path), KillOrder { all: true, by: "me".to_owned(), ..KillOrder::default() }, "{text}");
        }
    }

    #[test]
    fn engaging_adds_and_releasing_takes_away() {
        let (_directory, path) = place();
        release(&path, &Scope::All, "me", "first start").unwrap();
        assert_eq!(read_state(&path).stops(&service(), ActionClass::Scale), None);
        engage(&path, &Scope::Service(service()), "me", "odd latency").unwrap();
        engage(&path, &Scope::Class(ActionClass::Traffic), "you", "provider trouble").unwrap();
        let found = order(&path);
        assert_eq!((found.services.len(), found.classes.len(), found.all), (1, 1, false));
        assert_eq!((found.by.as_str(), found.reason.as_str()), ("you", "provider trouble"));
        release(&path, &Scope::Service(service()), "me", "mended").unwrap();
        assert!(order(&path).services.is_empty() && !order(&path).classes.is_empty());
        engage(&path, &Scope::All, "me", "everything is odd").unwrap();
        assert!(read_state(&path).stops_all());
        release(&path, &Scope::All, "me", "all is well").unwrap();
        assert_eq!(order(&path), KillOrder { by: "me".into(), reason: "all is well".into(), ..KillOrder::default() });
    }

    #[test]
    fn a_broken_order_is_never_loosened_by_a_part() {
        let (_directory, path) = place();
        fs::write(&path, "{").unwrap();
        assert!(release(&path, &Scope::Service(service()), "me", "mended").is_err());
        engage(&path, &Scope::Service(service()), "me", "odd latency").unwrap();
        assert!(read_state(&path).stops_all());
    }

    #[test]
    fn a_reason_is_needed() {
        let (_directory, path) = place();
        assert!(matches!(release(&path, &Scope::All, "me", " "), Err(KillFileError::NoReason)));
        assert!(matches!(engage(&path, &Scope::All, "me", ""), Err(KillFileError::NoReason)));
        assert!(!path.exists());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = engage(Path::new("/nonexistent/kill.json"), &Scope::All, "me", "test").unwrap_err();
        assert!(error.to_string().contains("/nonexistent/kill.json cannot be locked"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_seen_at_the_next_look_and_read_at_once() {
        let (_directory, path) = place();
        release(&path, &Scope::All, "me", "first start").unwrap();
        let switch = KillFile::open(&path);
        assert!(!switch.seen().stops_all());
        engage(&path, &Scope::All, "me", "test").unwrap();
        assert!(switch.read().await.stops_all());
        release(&path, &Scope::All, "me", "over").unwrap();
        assert!(switch.seen().stops_all());
        tokio::time::sleep(POLL_INTERVAL * 2).await;
        assert!(!switch.seen().stops_all());
        fs::remove_file(&path).unwrap();
        tokio::time::sleep(POLL_INTERVAL * 2).await;
        assert!(switch.seen().stops_all());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_too_long_ago_counts_as_engaged() {
        let (_directory, path) = place();
        release(&path, &Scope::All, "me", "first start").unwrap();
        let switch = KillFile::open(&path);
        tokio::time::sleep(AGE_LIMIT * 5).await;
        assert!(!switch.seen().stops_all());
        switch.poll.abort();
        tokio::time::sleep(AGE_LIMIT * 2).await;
        let KillState::Unreadable { error } = switch.seen() else { panic!("still readable") };
        assert!(error.contains("was last read 2"), "{error}");
        assert!(!switch.read().await.stops_all());
        assert!(!switch.seen().stops_all());
    }
}
