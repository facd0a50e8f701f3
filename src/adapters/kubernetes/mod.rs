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
//! | `config_map` | a ConfigMap, as far as it is read |
//! | `view` | a target as the loop reads it from a mirror |
//! | [`actions`] | intents as `LoopAction` objects |
//! | [`lease`] | leadership by a Lease |
//! | [`kill_map`] | the kill switch as a ConfigMap |
//! | [`policy_maps`] | policies as ConfigMaps |
//! | [`rights`] | what flyball's account may do, for `flyball doctor` |
//! | [`settings`] | what the settings say of the lease |
//! | [`loops`] | services as `ServiceLoop` objects |
//! | `scale` | the live read and the one conditional write |
//! | `failure` | what an error means |

pub mod actions;
pub mod client;
mod config_map;
mod failure;
pub mod kill_map;
pub mod lease;
pub mod loops;
mod mirror;
pub mod policy_maps;
pub mod rights;
mod scale;
pub mod settings;
mod view;
mod watch;
mod workload;

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use kube::Client;
use parking_lot::RwLock;
use tokio::time::Instant;

use crate::model::{ChangeSet, Knob, TargetKind, TargetReading, TargetRef};
use crate::ports::{Cluster, ClusterError, Live};

pub use client::{Access, ConnectError, Timeouts, connect};

use watch::{Fed, Selected};
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

/// What is seen of a place, and the names that are looked for there.
struct Watched {
    seen: Fed<Workload>,
    names: BTreeSet<String>,
}

impl Kubernetes {
    /// Returns an adapter that sees no target yet; [`Cluster::follow`] names them.
    pub fn start(client: Client, timeouts: Timeouts) -> Self {
        Self { client, timeouts, watched: RwLock::default(), changes: tokio::sync::watch::Sender::new(0) }
    }

    fn watch(&self, (kind, namespace): &Place, names: BTreeSet<String>) -> Watched {
        let path = scale::collection_of(*kind, namespace);
        let (client, changes) = (self.client.clone(), self.changes.clone());
        Watched { seen: Fed::start(client, self.timeouts, path, Selected::default(), changes), names }
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
                view::reading(&watched.seen.mirror.lock(), target.kind, &target.namespace, &target.name, Instant::now())
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
        let watched = self.watched.read();
        let why = |((kind, namespace), watched): (&Place, &Watched)| {
            watched.seen.waiting_for(&format!("{}s in {namespace}", kind.as_str()))
        };
        watched.iter().filter_map(why).collect()
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
