//! The Kubernetes API as a [`Cluster`]: replicas of `Deployment`s and `StatefulSet`s.
//!
//! Two ways lead to the API server, and they never mix. Watches feed mirrors from which the loop takes its
//! [`TargetReading`]s without I/O; the write gate reads and writes live. Nothing written is ever taken from a mirror.
//!
//! | file | what |
//! |---|---|
//! | [`client`] | the connection: access, timeouts, no retries |
//! | `workload` | the fields read of an object |
//! | `mirror` | what a watch has seen, and how current it is |
//! | `watch` | the task that feeds a mirror |
//! | `view` | a target as the loop reads it from a mirror |
//! | [`kill_map`] | the kill switch as a ConfigMap |
//! | [`policy_maps`] | policies as ConfigMaps |
//! | [`rights`] | what flyball's account may do, for `flyball doctor` |
//! | [`loops`] | services as `ServiceLoop` objects |
//! | `scale` | the live read and the one conditional write |
//! | `failure` | what an error means |

pub mod client;
mod failure;
pub mod kill_map;
pub mod loops;
mod mirror;
pub mod policy_maps;
pub mod rights;
mod scale;
mod view;
mod watch;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::model::{ChangeSet, Knob, TargetKind, TargetReading, TargetRef};
use crate::ports::{Cluster, ClusterError, Live};

pub use client::{Access, ConnectError, Timeouts, connect};

use mirror::Mirror;
use watch::{Selected, Watcher};
use workload::Workload;

/// Objects of one kind in one namespace: what one watch sees.
type Place = (TargetKind, String);

/// The targets of one cluster. Dropping it ends its watches.
pub struct Kubernetes {
    client: Client,
    timeouts: Timeouts,
    watched: RwLock<BTreeMap<Place, Watched>>,
    changes: tokio::sync::watch::Sender<u64>,
}

/// A mirror, and the task that feeds it.
struct Watched {
    mirror: Arc<Mutex<Mirror<Workload>>>,
    names: BTreeSet<String>,
    _feeder: AbortOnDropHandle<()>,
}

impl Kubernetes {
    /// Returns an adapter that sees no target yet; [`Cluster::follow`] names them.
    pub fn start(client: Client, timeouts: Timeouts) -> Self {
        Self { client, timeouts, watched: RwLock::default(), changes: tokio::sync::watch::Sender::new(0) }
    }

    fn watch(&self, (kind, namespace): &Place, names: BTreeSet<String>) -> Watched {
        let mirror = Arc::new(Mutex::new(Mirror::new(self.timeouts.silence, Instant::now())));
        let feeder = Watcher {
            client: self.client.clone(),
            path: scale::collection_of(*kind, namespace),
            selected: Selected::default(),
            mirror: Arc::clone(&mirror),
            changes: self.changes.clone(),
            timeouts: self.timeouts,
        };
        Watched { mirror, names, _feeder: AbortOnDropHandle::new(tokio::spawn(feeder.run())) }
    }

    /// Returns a counter that moves whenever something came in from a watch.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Cluster for Kubernetes {
    fn observed(&self, target: &TargetRef) -> TargetReading {
        let watched = self.watched.read();
        match watched.get(&(target.kind, target.namespace.clone())) {
            Some(watched) if watched.names.contains(&target.name) => {
                view::reading(&watched.mirror.lock(), target.kind, &target.namespace, &target.name, Instant::now())
            }
            _ => TargetReading::Unknown { reason: "not watched".to_owned() },
        }
    }

    /// One watch for each kind and namespace; those that go on are not disturbed. Needs a running tokio.
    fn follow(&self, targets: &BTreeSet<TargetRef>) {
        let mut wanted: BTreeMap<Place, BTreeSet<String>> = BTreeMap::new();
        for target in targets {
            wanted.entry((target.kind, target.namespace.clone())).or_default().insert(target.name.clone());
        }
        let mut watched = self.watched.write();
        watched.retain(|place, _| wanted.contains_key(place));
        for (place, names) in wanted {
            match watched.get_mut(&place) {
                Some(known) => known.names = names,
                None => drop(watched.insert(place.clone(), self.watch(&place, names))),
            }
        }
    }

    fn waiting_for(&self) -> Vec<String> {
        let now = Instant::now();
        let why = |((kind, namespace), watched): (&Place, &Watched)| {
            let reason = watched.mirror.lock().waiting_for(now)?;
            Some(format!("{}s in {namespace}: {reason}", kind.as_str()))
        };
        self.watched.read().iter().filter_map(why).collect()
    }

    fn has_lever(&self, _target: &TargetRef, knob: Knob) -> bool {
        knob == Knob::Replicas
    }

    fn read<'a>(&'a self, target: &'a TargetRef, knob: Knob) -> BoxFuture<'a, Result<Live, ClusterError>> {
        Box::pin(async move {
            if !self.has_lever(target, knob) {
                return Err(ClusterError::NoLever { knob });
            }
            scale::read(&self.client, target, self.timeouts).await
        })
    }

    fn apply<'a>(&'a self, change: &'a ChangeSet, live: &'a Live) -> BoxFuture<'a, Result<Live, ClusterError>> {
        Box::pin(async move {
            if !self.has_lever(&change.target, change.knob) {
                return Err(ClusterError::NoLever { knob: change.knob });
            }
            scale::write(&self.client, &change.target, change.to, live, self.timeouts).await
        })
    }
}
