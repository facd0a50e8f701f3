//! Policy sets from ConfigMaps with the label `flyball.dev/policies`, watched: edits are announced shortly after the
//! last one reaches the API server, without the delay of a mounted volume.
//!
//! ConfigMaps in flyball's own namespace form the policy set. Those in another namespace add to it for the services of
//! that namespace only. A key that starts with `lib.` is a library: keys cannot contain a slash, so `lib.slo.rhai`
//! stands for `lib/slo.rhai`, whichever ConfigMap of the set holds it. The annotations `flyball.dev/commit` and
//! `flyball.dev/author` say where a ConfigMap comes from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::adapters::policy_set::{SetSize, check_set};
use crate::model::policy_path::library_of;
use crate::model::{PROVENANCE_FILE, Provenance};
use crate::ports::{Awaited, PolicyFile, PolicyFiles, PolicyStore};

use super::api_server::ApiServer;
use super::cache::{Cache, Object, Tick};
use super::policy_map::PolicyMap;
use super::watch::{Informer, Selected};

/// The label, whatever its value.
pub const LABEL: &str = "flyball.dev/policies";
/// Suffix of the keys of rules, libraries and tests.
const SCRIPT: &str = ".rhai";
/// ConfigMaps per page of a list: each may have a MiB, most of it not policies.
const PAGE: u32 = 20;
/// An edit is announced once nothing has followed it for this long: objects applied together arrive one by one. The set
/// of flyball's own namespace settles first and on its own: edits elsewhere do not delay it.
const SETTLE_INTERVAL: Duration = Duration::from_millis(300);
/// Pause before each check, which copies the files, regardless of the number of edits.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Longest time until edits that keep coming are announced as they are.
const SETTLE_AT_MOST: Duration = Duration::from_secs(5);
/// How long the start waits for the first list.
const FIRST_LIST: Duration = Duration::from_secs(10);

/// Policies in ConfigMaps. Dropping it ends its tasks.
pub struct PolicyMaps {
    announced: watch::Receiver<Arc<PolicyFiles>>,
    seen: Informer<PolicyMap>,
    _task: AbortOnDropHandle<()>,
}

impl PolicyMaps {
    /// Starts to watch and waits a while for the first list. Needs a running tokio.
    pub async fn start(server: &ApiServer, namespace: &str) -> Self {
        let (changes, mut news) = watch::channel(0);
        let selected = Selected { labels: Some(LABEL.to_owned()), page: Some(PAGE), ..Selected::default() };
        let seen = Informer::start(server, "/api/v1/configmaps".to_owned(), selected, changes);
        let cache = seen.cache.clone();
        // If the list is late, the loop starts without policies, says so, and loads the set when it arrives.
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
                // The watch holds the sender, and ends only with this store.
                if heard.is_err() {
                    return warn!("the watch of policies has ended: no edit is seen until a restart");
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

/// What was seen but not announced yet.
struct Settling {
    announced: PolicyFiles,
    seen: PolicyFiles,
    /// The set of all services, and those of namespaces: since when they differ from the announced ones, and the last
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

    /// Returns when to check again in any case.
    fn due(&self) -> Option<Instant> {
        self.all.or(self.namespaces).map(Edit::due)
    }

    /// Takes the current sets and returns what is to be announced. The sets of namespaces wait while the set of all
    /// services is being edited.
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

/// Returns the current sets in the ConfigMaps.
fn files(cache: &Cache<PolicyMap>, own: &str) -> PolicyFiles {
    let origin = format!("ConfigMaps labelled {LABEL}");
    let Some(maps) = cache.objects() else {
        let why = cache.waiting_for(Tick::now()).map_or_else(String::new, |stale| stale.to_string());
        return PolicyFiles {
            origin,
            files: Err(format!("{why}; no decisions until then")),
            namespaces: BTreeMap::new(),
        };
    };
    let mut sets: BTreeMap<String, Set> = BTreeMap::new();
    for map in maps {
        sets.entry(map.metadata().namespace.clone()).or_default().add(map);
    }
    let none = || format!("no ConfigMap in {own} has the label {LABEL} and a key that ends in .rhai");
    let files = sets.remove(own).ok_or_else(none).and_then(Set::files);
    let files = files.and_then(|files| if files.iter().any(has_rules) { Ok(files) } else { Err(none()) });
    let namespaces = sets.into_iter().map(|(namespace, set)| (namespace, set.files())).collect();
    PolicyFiles { origin, files, namespaces }
}

/// The ConfigMaps of one namespace.
#[derive(Default)]
struct Set {
    size: SetSize,
    files: Vec<PolicyFile>,
    /// Whether files are missing because there were too many.
    is_short: bool,
}

impl Set {
    fn add(&mut self, map: &PolicyMap) {
        let metadata = map.metadata();
        self.size = self.size.with(map.size());
        let Some(files) = map.files() else {
            self.is_short = true;
            return;
        };
        self.files.extend(files.map(|(key, text)| PolicyFile {
            path: path(&metadata.namespace, &metadata.name, key),
            text: text.clone(),
        }));
        let (commit, author) = (metadata.annotations.commit(), metadata.annotations.author());
        self.files.extend(Provenance::text(commit, author).map(|text| PolicyFile {
            path: format!("{}/{}/annotations/{PROVENANCE_FILE}", metadata.namespace, metadata.name),
            text: text.into(),
        }));
    }

    fn files(self) -> Result<Vec<PolicyFile>, String> {
        self.size.check()?;
        if self.is_short {
            return Err("the policies were too large, and are being listed again".to_owned());
        }
        check_set(&self.files)?;
        Ok(self.files)
    }
}

fn has_rules(file: &PolicyFile) -> bool {
    file.path.strip_suffix(SCRIPT).is_some()
}

/// Returns the path of a key within its set: a library is known by its own name, everything else also by its
/// ConfigMap's.
fn path(namespace: &str, map: &str, key: &str) -> String {
    library_of(key).unwrap_or_else(|| format!("{namespace}/{map}/{key}"))
}
