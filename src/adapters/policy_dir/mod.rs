//! Policy sets from a directory: every `*.rhai` below it, `*.data.json` with data, and `*.jsonl` with recorded inputs
//! for their tests, read in full whenever something changed. `lib.slo.rhai` at the top level is `lib/slo.rhai`, as in
//! ConfigMaps. `REVISION` says where they come from; without it, the commit of a checkout and its author do
//! ([`checkout`]).
//!
//! A ConfigMap volume swaps a symlink, an editor writes a temporary file and renames it, a copy writes half a file
//! first. So the directory is watched rather than the files, only content counts, and a change is announced once two
//! reads agree. The watch only accelerates a poll, which finds every change within a second.
//!
//! The directory itself may be a link, and links within it may point anywhere inside it, as those of a ConfigMap volume
//! do; a link that leaves it is refused.

mod checkout;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::adapters::policy_set::{SetSize, check_set, file_limit};
use crate::adapters::whole_file::read_limited;
use crate::model::PROVENANCE_FILE;
use crate::model::controls::{escape_controls, is_unprintable};
use crate::model::policy_path::{is_of_a_set, library_of};
use crate::ports::{PolicyFile, PolicyFiles, PolicyStore};

/// Deepest directory below the root; deeper ones are taken for a loop of symlinks.
const DEPTH_LIMIT: usize = 8;
/// Time between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Time between two reads that have to agree.
const SETTLE_INTERVAL: Duration = Duration::from_millis(100);
/// Reads after which a set that keeps changing is left until the next poll.
const SETTLE_READS: usize = 20;

/// A directory of policies. Dropping it ends the watch.
#[derive(Debug)]
pub struct PolicyDir {
    announced: watch::Receiver<Arc<PolicyFiles>>,
    _task: AbortOnDropHandle<()>,
}

impl PolicyDir {
    /// Reads the directory `root` and watches it. Needs a running tokio.
    pub fn open(root: &Path) -> Self {
        let (sender, announced) = watch::channel(Arc::new(read_set(root)));
        let task = tokio::spawn(follow(root.to_owned(), sender));
        Self { announced, _task: AbortOnDropHandle::new(task) }
    }
}

impl PolicyStore for PolicyDir {
    fn watch(&self) -> watch::Receiver<Arc<PolicyFiles>> {
        self.announced.clone()
    }
}

async fn follow(root: PathBuf, announced: watch::Sender<Arc<PolicyFiles>>) {
    let stirred = Arc::new(Notify::new());
    // Kept alive as long as the task; without it there is only the poll.
    let _watcher = stir_on_change(&root, Arc::clone(&stirred));
    loop {
        // Continues either way: something may have changed, or the poll is due.
        let _ = tokio::time::timeout(POLL_INTERVAL, stirred.notified()).await;
        if let Some(set) = settled(&root, &announced).await {
            announced.send_replace(Arc::new(set));
        }
    }
}

/// Returns a set that differs from the announced one, once two reads agree.
async fn settled(root: &Path, announced: &watch::Sender<Arc<PolicyFiles>>) -> Option<PolicyFiles> {
    let mut last = read_aside(root).await?;
    for _ in 0..SETTLE_READS {
        if last == **announced.borrow() {
            return None;
        }
        tokio::time::sleep(SETTLE_INTERVAL).await;
        let next = read_aside(root).await?;
        if next == last {
            return Some(next);
        }
        last = next;
    }
    warn!(root = %root.display(), "policies keep changing; waiting for them to settle");
    None
}

/// Reads the set on a thread that may block on disk.
async fn read_aside(root: &Path) -> Option<PolicyFiles> {
    let root = root.to_owned();
    tokio::task::spawn_blocking(move || read_set(&root)).await.ok()
}

/// Watches the directory; `None`, with a warning, if the system refuses.
fn stir_on_change(root: &Path, stirred: Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let started = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reads are not changes, and would make every poll trigger the next.
        let reading = |kind: EventKind| matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write));
        if !event.is_ok_and(|event| reading(event.kind)) {
            stirred.notify_one();
        }
    });
    let watching = started.and_then(|mut watcher| {
        watcher.watch(root, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    watching
        .inspect_err(|error| warn!(root = %root.display(), %error, "cannot watch the policies; polling instead"))
        .ok()
}

/// Reads the set now.
pub fn read_set(root: &Path) -> PolicyFiles {
    let mut files = BTreeMap::new();
    let inside = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let read = usable(root).and_then(|()| collect(root, "", &inside, &mut files)).and_then(|()| {
        if !files.contains_key(PROVENANCE_FILE)
            && let Some(text) = checkout::provenance(root)
        {
            files.insert(PROVENANCE_FILE.to_owned(), text);
        }
        if !files.keys().any(|path| ends_in(Path::new(path), "rhai")) {
            return Err(format!("no *.rhai file in {}, a policy set needs at least one; {START}", root.display()));
        }
        let files = files.into_iter().map(|(path, text)| PolicyFile { path, text: text.into() });
        let files: Vec<PolicyFile> = files.collect();
        check_set(&files).map_err(|fault| format!("{}: {fault}", root.display()))?;
        Ok(files)
    });
    PolicyFiles { origin: root.display().to_string(), files: read, namespaces: BTreeMap::new() }
}

/// The remedy if there are no policies.
const START: &str = "copy some into it (start with deploy/policies from flyball's source), or name another directory";

/// Refuses an unusable root.
fn usable(root: &Path) -> Result<(), String> {
    match fs::metadata(root) {
        Ok(found) if !found.is_dir() => {
            Err(format!("{} is a file, expected a directory of *.rhai files", root.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("the directory {} does not exist; create it and {START}", root.display()))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Adds the policies below `directory` to `files`; `prefix` is its path within the set, `root` the resolved path of the
/// set.
fn collect(directory: &Path, prefix: &str, root: &Path, files: &mut BTreeMap<String, String>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", directory.display());
    if prefix.matches('/').count() >= DEPTH_LIMIT {
        return Err(format!("{} is more than {DEPTH_LIMIT} directories deep", directory.display()));
    }
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            return Err(format!("the name of {} is not UTF-8", path.display()));
        };
        if is_of_a_set(&name) && name.contains(is_unprintable) {
            let path = path.display().to_string();
            return Err(format!("the name of {} contains a control character: rename it", escape_controls(&path)));
        }
        // Hidden: an editor's file, or the internals of a ConfigMap volume, whose files are linked from outside.
        if name.starts_with('.') {
            continue;
        }
        // At the top level, as in a ConfigMap that may be mounted here.
        let top = || library_of(&name).unwrap_or_else(|| name.clone());
        let within = if prefix.is_empty() { top() } else { format!("{prefix}/{name}") };
        let policy = is_of_a_set(&name);
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => {
                own(&path, root)?;
                collect(&path, &within, root, files)?;
            }
            Ok(found) if policy && found.is_file() => {
                let text = read_file(&path, &own(&path, root)?)?;
                // Checked per file, so that no more than the limit is read.
                let read = files.iter().map(|(path, text)| (path.as_str(), text.len()));
                SetSize::of(read).check().map_err(|fault| format!("{}: {fault}", root.display()))?;
                if files.insert(within.clone(), text).is_some() {
                    let directory = root.display();
                    return Err(format!(
                        "two files in {directory} are {within} of the set: rename one, and update its imports"
                    ));
                }
            }
            Ok(_) if policy => return Err(format!("{} is not a file", path.display())),
            // Gone since the directory was read, or a dangling link: ignored unless it is a policy.
            Err(error) if policy => return Err(format!("{} cannot be read: {error}", path.display())),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Returns the target of a path that may be a link. A target outside the set is refused: its content would end up in
/// messages and records.
fn own(path: &Path, root: &Path) -> Result<PathBuf, String> {
    let target = path.canonicalize().map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if target.starts_with(root) {
        return Ok(target);
    }
    let (path, root) = (path.display(), root.display());
    Err(format!("{path} is a link that leaves the set's directory {root}: copy the file into it"))
}

fn ends_in(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension == ending)
}

/// Reads a file that a path of the set resolves to.
fn read_file(path: &Path, target: &Path) -> Result<String, String> {
    let limit = file_limit(&path.to_string_lossy());
    let bytes = read_limited(target, limit as u64).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => format!("{} is larger than {limit} bytes", path.display()),
        _ => format!("{} cannot be read: {error}", path.display()),
    })?;
    let text = String::from_utf8(bytes);
    text.map_err(|error| format!("{} is not UTF-8 ({})", path.display(), error.utf8_error()))
}

#[cfg(test)]
mod tests;
