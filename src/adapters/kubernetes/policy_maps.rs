//! Policy sets from ConfigMaps with the label `flyball.dev/policies`, watched: edits are announced a moment after the
//! API server has the last of them, without the delay of a mounted volume.
//!
//! Those in flyball's own namespace are the set. Those in another namespace join it for the services of that namespace,
//! and for no other. A key that starts with `lib.` is a library: keys hold no slash, so `lib.slo.rhai` stands for
//! `lib/slo.rhai`, whatever ConfigMap of the set it lies in. The annotations `flyball.dev/commit` and
//! `flyball.dev/author` say where a ConfigMap comes from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::model::policy_path::{is_of_a_set, library_of};
use crate::model::{PROVENANCE_FILE, Provenance};
use crate::ports::{Awaited, PolicyFile, PolicyFiles, PolicyStore};

use super::api_server::ApiServer;
use super::cache::{Cache, Object, Tick};
use super::config_map::ConfigMap;
use super::watch::{Informer, Selected};

/// The label, whatever its value.
pub const LABEL: &str = "flyball.dev/policies";
/// Keys of rules, libraries and tests end so.
const SCRIPT: &str = ".rhai";
/// Most files for one namespace.
const FILES_LIMIT: usize = 64;
/// Largest set for one namespace, bytes.
const SIZE_LIMIT: usize = 2 * 1024 * 1024;
/// An edit is announced once nothing has followed it for so long: what is applied together comes one by one. The set of
/// flyball's own namespace is waited for by itself, and first: whoever else edits does not keep it waiting.
const SETTLE_INTERVAL: Duration = Duration::from_millis(300);
/// Pause before each look, which copies the files: however many edits there are.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// How long it may take until edits that keep coming are announced as they are.
const SETTLE_AT_MOST: Duration = Duration::from_secs(5);
/// How long the start waits for the first list.
const FIRST_LIST: Duration = Duration::from_secs(10);

/// Policies in ConfigMaps. Dropping it ends its tasks.
pub struct PolicyMaps {
    announced: watch::Receiver<Arc<PolicyFiles>>,
    seen: Informer<ConfigMap>,
    _task: AbortOnDropHandle<()>,
}

impl PolicyMaps {
    /// Starts to watch and waits a while for what there is. Needs a running tokio.
    pub async fn start(server: &ApiServer, namespace: &str) -> Self {
        let (changes, mut news) = watch::channel(0);
        let selected = Selected { labels: Some(LABEL.to_owned()), ..Selected::default() };
        let seen = Informer::start(server, "/api/v1/configmaps".to_owned(), selected, changes);
        let cache = seen.cache.clone();
        // Late, the loop starts without a policy, says so, and takes the set when it comes.
        drop(tokio::time::timeout(FIRST_LIST, news.wait_for(|_| cache.lock().resume().is_some())).await);
        let own = namespace.to_owned();
        let (sender, announced) = watch::channel(Arc::new(files(&cache.lock(), &own)));
        let task = tokio::spawn(async move {
            let mut settling = Settling::of(PolicyFiles::clone(&sender.borrow()));
            loop {
                let heard = match settling.due() {
                    None => news.changed().await,
                    Some(due) => tokio::time::timeout_at(due, news.changed()).await.unwrap_or(Ok(())),
                };
                // Ends with the watch, which holds the sender.
                if heard.is_err() {
                    return;
                }
                tokio::time::sleep(LOOK_PAUSE).await;
                news.mark_unchanged();
                let seen = files(&cache.lock(), &own);
                if let Some(settled) = settling.look(seen, Instant::now()) {
                    sender.send_replace(Arc::new(settled));
                }
            }
        });
        Self { announced, seen, _task: AbortOnDropHandle::new(task) }
    }
}

impl PolicyStore for PolicyMaps {
    fn watch(&self) -> watch::Receiver<Arc<PolicyFiles>> {
        self.announced.clone()
    }

    fn waiting_for(&self) -> Vec<Awaited> {
        self.seen.waiting_for("policies").into_iter().collect()
    }
}

/// What was seen and is not announced yet.
struct Settling {
    announced: PolicyFiles,
    seen: PolicyFiles,
    /// The set of all services, and those of namespaces: since when they differ from what is announced, and the last
    /// change.
    all: Option<Edit>,
    namespaces: Option<Edit>,
}

#[derive(Clone, Copy)]
struct Edit {
    began: Instant,
    changed: Instant,
}

impl Edit {
    fn due(self) -> Instant {
        (self.changed + SETTLE_INTERVAL).min(self.began + SETTLE_AT_MOST)
    }
}

impl Settling {
    fn of(announced: PolicyFiles) -> Self {
        Self { seen: announced.clone(), announced, all: None, namespaces: None }
    }

    /// Returns when to look again whatever comes.
    fn due(&self) -> Option<Instant> {
        self.all.or(self.namespaces).map(Edit::due)
    }

    /// Takes in what is seen now, and returns what is to be announced. The sets of namespaces stand beside that of all:
    /// while it is edited they wait for it.
    fn look(&mut self, seen: PolicyFiles, now: Instant) -> Option<PolicyFiles> {
        let edit = |known: Option<Edit>, changed: bool| match known {
            Some(Edit { began, .. }) if changed => Some(Edit { began, changed: now }),
            None if changed => Some(Edit { began: now, changed: now }),
            known => known,
        };
        self.all = edit(self.all, seen.files != self.seen.files);
        self.namespaces = edit(self.namespaces, seen.namespaces != self.seen.namespaces);
        self.seen = seen;
        let is_due = |edit: Edit| edit.due() <= now;
        let mut next = self.announced.clone();
        if self.all.is_some_and(is_due) {
            self.all = None;
            (next.origin, next.files) = (self.seen.origin.clone(), self.seen.files.clone());
        }
        if self.all.is_none() && self.namespaces.is_some_and(is_due) {
            self.namespaces = None;
            next.namespaces.clone_from(&self.seen.namespaces);
        }
        let is_new = next != self.announced;
        self.announced.clone_from(&next);
        is_new.then_some(next)
    }
}

/// Returns the sets that the ConfigMaps hold now.
fn files(cache: &Cache<ConfigMap>, own: &str) -> PolicyFiles {
    let origin = format!("ConfigMaps labelled {LABEL}");
    let Some(maps) = cache.objects() else {
        let why = cache.waiting_for(Tick::now()).map_or_else(String::new, |stale| stale.to_string());
        return PolicyFiles {
            origin,
            files: Err(format!("{why}; no decisions until then")),
            namespaces: BTreeMap::new(),
        };
    };
    let mut sets: BTreeMap<String, Vec<PolicyFile>> = BTreeMap::new();
    for map in maps {
        let metadata = map.metadata();
        let policies = map.data.iter().filter(|(key, _)| is_of_a_set(key));
        let file = |(key, text): (&String, &String)| PolicyFile {
            path: path(&metadata.namespace, &metadata.name, key),
            text: text.clone(),
        };
        let set = sets.entry(metadata.namespace.clone()).or_default();
        set.extend(policies.map(file));
        let (commit, author) = (metadata.annotations.commit(), metadata.annotations.author());
        set.extend(Provenance::text(commit, author).map(|text| {
            let path = format!("{}/{}/annotations/{PROVENANCE_FILE}", metadata.namespace, metadata.name);
            PolicyFile { path, text }
        }));
    }
    let none = || format!("no ConfigMap in {own} has the label {LABEL} and a key that ends in .rhai");
    let files = sets.remove(own).filter(|files| files.iter().any(has_rules)).ok_or_else(none).and_then(limited);
    let namespaces = sets.into_iter().map(|(namespace, files)| (namespace, limited(files))).collect();
    PolicyFiles { origin, files, namespaces }
}

fn has_rules(file: &PolicyFile) -> bool {
    file.path.strip_suffix(SCRIPT).is_some()
}

/// Returns the path of a key within its set: a library is known by its own name, everything else by its ConfigMap's,
/// too.
fn path(namespace: &str, map: &str, key: &str) -> String {
    library_of(key).unwrap_or_else(|| format!("{namespace}/{map}/{key}"))
}

fn limited(files: Vec<PolicyFile>) -> Result<Vec<PolicyFile>, String> {
    let size: usize = files.iter().map(|file| file.text.len()).sum();
    if files.len() > FILES_LIMIT || size > SIZE_LIMIT {
        let count = files.len();
        return Err(format!("{count} files with {size} bytes in total, the limits are {FILES_LIMIT} and {SIZE_LIMIT}"));
    }
    Ok(files)
}
