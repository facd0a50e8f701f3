//! The store behind the API double: objects, one version counter, a bounded log for watches, and a history of accepted
//! writes for tests to check from outside.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::resource::{self, Resource, Subresource, set, text, unset};
use super::status::Refusal;

/// Changes kept for watches that have fallen behind; older ones are compacted away.
const LOG_LENGTH: usize = 16_384;
/// Accepted writes kept.
const HISTORY_LENGTH: usize = 100_000;
/// The first version; not a small number, as in a cluster that has run for a while.
const FIRST_VERSION: u64 = 1_000;

/// One write that was accepted and changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Kind of the object.
    pub resource: Resource,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Field manager of the request.
    pub who: String,
    /// `spec.replicas`, or `spec.minReplicas` of an autoscaler, before; `None` for a creation and for other kinds.
    pub from: Option<u32>,
    /// The same value after; `None` for a deletion and for other kinds.
    pub to: Option<u32>,
    /// Version of the object after the write.
    pub resource_version: u64,
    /// When it was accepted.
    pub at: Instant,
}

/// The author of a write, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Field manager.
    pub manager: String,
    /// The subresource written to.
    pub part: Option<Subresource>,
    /// Check and answer, but store nothing.
    pub dry_run: bool,
}

impl Author {
    /// Returns an author who writes to the object itself.
    pub fn named(manager: &str) -> Self {
        Self { manager: manager.to_owned(), part: None, dry_run: false }
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// Created.
    Added,
    /// Changed.
    Modified,
    /// Deleted.
    Deleted,
}

/// A change of an object, with the object as of that change.
pub type Change = (Happening, Arc<Value>);

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The objects, in order of namespace and name.
    pub items: Vec<Arc<Value>>,
    /// Version of the whole list.
    pub version: u64,
    /// Namespace and name of the last object, if more follow.
    pub last: Option<(String, String)>,
    /// Number of objects that follow.
    pub remaining: usize,
}

/// The shared store. A clone is the same store.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<Mutex<Store>>,
    newest: watch::Sender<u64>,
}

type Key = (Resource, String, String);

#[derive(Debug)]
struct Store {
    version: u64,
    /// Changes up to this version are no longer in the log.
    compacted: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    log: VecDeque<(u64, Resource, Happening, Arc<Value>)>,
    history: VecDeque<Write>,
}

impl Default for Objects {
    fn default() -> Self {
        let store = Store {
            version: FIRST_VERSION,
            compacted: FIRST_VERSION,
            objects: BTreeMap::new(),
            log: VecDeque::new(),
            history: VecDeque::new(),
        };
        Self { store: Arc::new(Mutex::new(store)), newest: watch::Sender::new(FIRST_VERSION) }
    }
}

/// The plant's interface: the owner of the services and the kubelet in one.
impl Objects {
    /// Adds a Deployment whose pods are all running; replaces one of the same name.
    pub fn add_deployment(&self, namespace: &str, name: &str, replicas: u32) {
        // Deleting a missing object is not an error here.
        let _ = self.delete(Resource::Deployments, namespace, name, &Author::named("plant"));
        let manifest = resource::deployment(namespace, name, replicas);
        if self.create(Resource::Deployments, namespace, manifest, &Author::named("plant")).is_ok() {
            self.set_status(namespace, name, replicas, replicas);
        }
    }

    /// Returns the requested replicas of a Deployment; `None` if it does not exist.
    pub fn wanted(&self, namespace: &str, name: &str) -> Option<u32> {
        self.get(Resource::Deployments, namespace, name).ok().and_then(|object| replicas_of(&object))
    }

    /// Reports the running pods of a Deployment: present pods, and how many of them are ready. The report counts as
    /// made by a controller that has seen the newest `spec`.
    pub fn set_status(&self, namespace: &str, name: &str, replicas: u32, ready: u32) {
        let mut store = self.store.lock();
        let key = (Resource::Deployments, namespace.to_owned(), name.to_owned());
        let Some(old) = store.objects.get(&key).cloned() else { return };
        let mut status = json!({
            "observedGeneration": old.pointer("/metadata/generation").cloned().unwrap_or(json!(1)),
            "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": ready, "availableReplicas": ready,
        });
        if replicas > ready {
            set(&mut status, &["unavailableReplicas"], json!(replicas - ready));
        }
        if old.get("status") != Some(&status) {
            let mut object = Value::clone(&old);
            set(&mut object, &["status"], status);
            store.put(key, object, Happening::Modified);
            self.newest.send_replace(store.version);
        }
    }

    /// Returns every accepted write in order.
    pub fn history(&self) -> Vec<Write> {
        self.store.lock().history.iter().cloned().collect()
    }

    /// Forgets all changes so far: watches that have not seen them get "gone".
    pub fn compact(&self) {
        let mut store = self.store.lock();
        store.log.clear();
        store.compacted = store.version;
    }
}

/// The API's interface.
impl Objects {
    /// Returns one object.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get(&self, resource: Resource, namespace: &str, name: &str) -> Result<Arc<Value>, Refusal> {
        let key = (resource, namespace.to_owned(), name.to_owned());
        self.store.lock().objects.get(&key).cloned().ok_or(Refusal::NotFound { resource, name: key.2 })
    }

    /// Returns up to `limit` objects after `after` (namespace and name), from one namespace or all.
    pub fn list(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        after: Option<&(String, String)>,
        limit: usize,
    ) -> Page {
        let store = self.store.lock();
        let start = match (after, namespace) {
            (Some((namespace, name)), _) => Bound::Excluded((resource, namespace.clone(), name.clone())),
            (None, Some(namespace)) => Bound::Included((resource, namespace.to_owned(), String::new())),
            (None, None) => Bound::Included((resource, String::new(), String::new())),
        };
        let all: Vec<_> = store
            .objects
            .range((start, Bound::Unbounded))
            .take_while(|((kind, place, _), _)| *kind == resource && namespace.is_none_or(|wanted| wanted == place))
            .collect();
        let items: Vec<_> = all.iter().take(limit).map(|(_, object)| Arc::clone(object)).collect();
        let remaining = all.len().saturating_sub(items.len());
        let last = if remaining == 0 { None } else { all.get(items.len().saturating_sub(1)) };
        let last = last.map(|((_, namespace, name), _)| (namespace.clone(), name.clone()));
        Page { items, version: store.version, last, remaining }
    }

    /// Creates an object and returns it as stored.
    ///
    /// # Errors
    /// `Exists`, `Invalid`, `Bad`, `Undecodable`.
    pub fn create(
        &self,
        resource: Resource,
        namespace: &str,
        mut object: Value,
        author: &Author,
    ) -> Result<Arc<Value>, Refusal> {
        resource::check(resource, &mut object)?;
        let mut store = self.store.lock();
        let key = (resource, namespace.to_owned(), text(&object, "/metadata/name").to_owned());
        if store.objects.contains_key(&key) {
            return Err(Refusal::Exists { resource, name: key.2 });
        }
        let time = seconds_now();
        let uid = resource::uid(&format!("{key:?} {}", store.version));
        set(&mut object, &["kind"], json!(resource.kind()));
        set(&mut object, &["apiVersion"], json!(resource.api_version()));
        if resource.namespaced() {
            set(&mut object, &["metadata", "namespace"], json!(namespace));
        }
        set(&mut object, &["metadata", "uid"], json!(uid));
        set(&mut object, &["metadata", "creationTimestamp"], json!(time));
        if resource.has_status() {
            unset(&mut object, &["status"]);
            set(&mut object, &["metadata", "generation"], json!(1));
        }
        if resource.scales() {
            set(&mut object, &["status"], json!({}));
        }
        if let Some(field) = resource.counted() {
            resource::own_count(&mut object, field, &author.manager, false, &time);
        }
        if author.dry_run {
            return Ok(Arc::new(object));
        }
        let to = replicas_of(&object);
        let stored = store.put(key.clone(), object, Happening::Added);
        store.remember(key, author, None, to);
        self.newest.send_replace(store.version);
        Ok(stored)
    }

    /// Replaces an object with the result of `change` and returns it as stored. A resource version in the result is a
    /// precondition. A no-op change stores nothing.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `Invalid`, `Bad`, `Undecodable`, and the refusals of `change`.
    pub fn update(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        author: &Author,
        change: impl FnOnce(&Value) -> Result<Value, Refusal>,
    ) -> Result<Arc<Value>, Refusal> {
        let mut store = self.store.lock();
        let key = (resource, namespace.to_owned(), name.to_owned());
        let not_found = || Refusal::NotFound { resource, name: name.to_owned() };
        let old = store.objects.get(&key).cloned().ok_or_else(not_found)?;
        let mut new = change(&old)?;
        for (field, must_match) in [("resourceVersion", true), ("uid", true), ("name", false)] {
            let pointer = format!("/metadata/{field}");
            let given = text(&new, &pointer);
            if !given.is_empty() && given != text(&old, &pointer) {
                let name = name.to_owned();
                return Err(if must_match {
                    Refusal::Conflict { resource, name }
                } else {
                    Refusal::Bad("the name of the object does not match the name on the URL".to_owned())
                });
            }
        }
        for field in ["name", "namespace", "uid", "creationTimestamp", "generation", "resourceVersion", "managedFields"]
        {
            if let Some(value) = old.pointer(&format!("/metadata/{field}")) {
                set(&mut new, &["metadata", field], value.clone());
            }
        }
        let apart = resource.has_status() && author.part != Some(Subresource::Status);
        for field in ["kind", "apiVersion"].into_iter().chain(apart.then_some("status")) {
            match old.get(field) {
                Some(value) => set(&mut new, &[field], value.clone()),
                None => unset(&mut new, &[field]),
            }
        }
        resource::check(resource, &mut new)?;
        if new == *old {
            return Ok(old);
        }
        let (from, to) = (replicas_of(&old), replicas_of(&new));
        if resource.has_status() && new.get("spec") != old.get("spec") {
            let generation = old.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or(0);
            set(&mut new, &["metadata", "generation"], json!(generation.saturating_add(1)));
        }
        if let Some(field) = resource.counted().filter(|_| from != to) {
            let through_scale = author.part == Some(Subresource::Scale);
            resource::own_count(&mut new, field, &author.manager, through_scale, &seconds_now());
        }
        if author.dry_run {
            return Ok(Arc::new(new));
        }
        let stored = store.put(key.clone(), new, Happening::Modified);
        store.remember(key, author, from, to);
        self.newest.send_replace(store.version);
        Ok(stored)
    }

    /// Deletes an object and returns its last state.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        author: &Author,
    ) -> Result<Arc<Value>, Refusal> {
        let mut store = self.store.lock();
        let key = (resource, namespace.to_owned(), name.to_owned());
        let Some(old) = store.objects.get(&key).cloned() else {
            return Err(Refusal::NotFound { resource, name: key.2 });
        };
        if author.dry_run {
            return Ok(old);
        }
        let from = replicas_of(&old);
        let gone = store.put(key.clone(), Value::clone(&old), Happening::Deleted);
        store.remember(key, author, from, None);
        self.newest.send_replace(store.version);
        Ok(gone)
    }

    /// Returns the changes after version `seen`, in order, and the version they lead to.
    ///
    /// # Errors
    /// `Expired` when some of them have been compacted away.
    pub fn changes(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        seen: u64,
    ) -> Result<(Vec<Change>, u64), Refusal> {
        let store = self.store.lock();
        if seen < store.compacted {
            return Err(Refusal::Expired);
        }
        let start = store.log.partition_point(|(version, ..)| *version <= seen);
        let matching = store.log.range(start..).filter(|(_, kind, _, object)| {
            *kind == resource && namespace.is_none_or(|wanted| wanted == text(object, "/metadata/namespace"))
        });
        let changes = matching.map(|(_, _, happening, object)| (*happening, Arc::clone(object))).collect();
        Ok((changes, store.version))
    }

    /// Returns a receiver of the newest version.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

impl Store {
    /// Stores (or removes) an object under the next version and logs the change.
    fn put(&mut self, key: Key, mut object: Value, happening: Happening) -> Arc<Value> {
        self.version = self.version.saturating_add(1);
        set(&mut object, &["metadata", "resourceVersion"], json!(self.version.to_string()));
        let object = Arc::new(object);
        self.log.push_back((self.version, key.0, happening, Arc::clone(&object)));
        if self.log.len() > LOG_LENGTH
            && let Some((version, ..)) = self.log.pop_front()
        {
            self.compacted = version;
        }
        if happening == Happening::Deleted {
            self.objects.remove(&key);
        } else {
            self.objects.insert(key, Arc::clone(&object));
        }
        object
    }

    fn remember(&mut self, key: Key, author: &Author, from: Option<u32>, to: Option<u32>) {
        let (resource, namespace, name) = key;
        let who = author.manager.clone();
        self.history.push_back(Write {
            resource,
            namespace,
            name,
            who,
            from,
            to,
            resource_version: self.version,
            at: Instant::now(),
        });
        if self.history.len() > HISTORY_LENGTH {
            self.history.pop_front();
        }
    }
}

fn replicas_of(object: &Value) -> Option<u32> {
    let count = object.pointer("/spec/replicas").or_else(|| object.pointer("/spec/minReplicas"));
    count.and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
}

/// Returns the wall-clock time as the API writes it: whole seconds.
fn seconds_now() -> String {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
