//! The Kubernetes API as a [`Cluster`]: replicas of `Deployment`s and `StatefulSet`s, and the floors of the
//! `HorizontalPodAutoscaler`s on them.
//!
//! There are two paths to the API server, and they never mix. Watches feed caches from which the loop takes its
//! [`TargetReading`]s without I/O; the write gate reads and writes live. Nothing written is ever taken from a cache.
//!
//! | file | what |
//! |---|---|
//! | [`client`] | the connection: access, no retries |
//! | `api_server` | the path of every request: deadline, field manager, longest answer |
//! | `failure` | how a request can fail, and what that means |
//! | `workload` | the fields read of an object |
//! | `cache` | what a watch has seen, and how current it is |
//! | `pages` | a collection, read whole |
//! | `watch` | the task that feeds a cache |
//! | `config_map` | a ConfigMap, to the extent it is read |
//! | `view` | a target as the loop reads it from a cache |
//! | `annotations` | annotations on objects of any kind |
//! | [`actions`] | intents as `LoopAction` objects |
//! | [`lease`] | leadership through a Lease |
//! | [`kill_map`] | the kill switch as a ConfigMap |
//! | [`kept_policies`] | a copy of the active policies as a ConfigMap |
//! | [`policy_maps`] | policies as ConfigMaps |
//! | [`rights`], [`survey`], [`served`] | for `flyball doctor`: the account's rights, what exists, the schemas served |
//! | [`settings`] | the settings of the lease |
//! | [`loops`] | services as `ServiceLoop` objects |
//! | `autoscaler` | a `HorizontalPodAutoscaler`, and what those of a namespace mean for a target |
//! | `scale` | the live read and the one conditional write of replicas |
//! | `floor` | the same for an autoscaler's floor, and who scales a target now |

pub mod actions;
mod annotations;
mod api_server;
mod autoscaler;
mod cache;
pub mod client;
mod config_map;
mod failure;
mod floor;
pub mod kept_policies;
pub mod kill_map;
pub mod lease;
pub mod loops;
mod pages;
mod policy_map;
pub mod policy_maps;
pub mod rights;
mod scale;
pub mod served;
pub mod settings;
pub mod survey;
mod view;
mod watch;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use parking_lot::RwLock;

use crate::model::{ChangeSet, Knob, TargetKind, TargetReading, TargetRef};
use crate::ports::{Awaited, Cluster, ClusterError, Live};

pub use api_server::{ApiServer, Timeouts};
pub use client::{Access, ConnectError, connect};

use autoscaler::HorizontalPodAutoscaler;
use cache::Tick;
use watch::{Informer, Selected};
use workload::Workload;

/// Objects of one kind in one namespace: what one watch sees.
type Place = (TargetKind, String);

/// The targets of one cluster. Dropping it ends its watches.
pub struct Kubernetes {
    server: ApiServer,
    /// A single lock for all of it: two could be taken in different orders.
    seen: RwLock<Watches>,
    /// Whether all watches were current at one time.
    complete: AtomicBool,
    changes: tokio::sync::watch::Sender<u64>,
}

/// What the watches feed.
#[derive(Default)]
struct Watches {
    watched: BTreeMap<Place, Watched>,
    /// By namespace.
    autoscalers: BTreeMap<String, Informer<HorizontalPodAutoscaler>>,
}

/// What is seen of a place, and the names that are looked up there.
struct Watched {
    seen: Informer<Workload>,
    names: BTreeSet<String>,
}

impl Kubernetes {
    /// Returns an adapter that sees no targets yet; [`Cluster::follow`] names them.
    pub fn start(server: &ApiServer) -> Self {
        let (seen, complete) = (RwLock::default(), AtomicBool::new(false));
        Self { server: server.clone(), seen, complete, changes: tokio::sync::watch::Sender::new(0) }
    }

    fn watch(&self, (kind, namespace): &Place, names: BTreeSet<String>) -> Watched {
        let path = scale::collection_of(*kind, namespace);
        let seen = Informer::start(&self.server, path, Selected::default(), self.changes.clone());
        Watched { seen, names }
    }

    fn watch_autoscalers(&self, namespace: &str) -> Informer<HorizontalPodAutoscaler> {
        let path = floor::autoscalers_of(namespace);
        Informer::start(&self.server, path, Selected::default(), self.changes.clone())
    }

    /// Returns the watches that are not current and why, among those `wanted` given whether they have listed once.
    fn outdated(&self, wanted: impl Fn(bool) -> bool) -> Vec<Awaited> {
        let seen = self.seen.read();
        let of_targets = seen.watched.iter().filter(|(_, watched)| wanted(watched.seen.has_listed()));
        let of_targets = of_targets.filter_map(|((kind, namespace), watched)| {
            watched.seen.waiting_for(&format!("{}s in {namespace}", kind.as_str()))
        });
        let of_autoscalers = seen.autoscalers.iter().filter(|(_, seen)| wanted(seen.has_listed()));
        let of_autoscalers = of_autoscalers
            .filter_map(|(namespace, seen)| seen.waiting_for(&format!("HorizontalPodAutoscalers in {namespace}")));
        of_targets.chain(of_autoscalers).collect()
    }

    /// Returns a counter that changes whenever a watch delivers something.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Cluster for Kubernetes {
    fn observed(&self, target: &TargetRef) -> TargetReading {
        let seen = self.seen.read();
        let of = seen.watched.get(&(target.kind, target.namespace.clone()));
        match of.zip(seen.autoscalers.get(&target.namespace)) {
            Some((watched, autoscalers)) if watched.names.contains(&target.name) => {
                view::reading(&watched.seen.cache.lock(), &autoscalers.cache.lock(), target, Tick::now())
            }
            _ => TargetReading::Unknown { reason: "not watched".to_owned() },
        }
    }

    /// One watch for each kind and namespace, and one for the autoscalers of each namespace; continuing watches are not
    /// disturbed. Needs a running tokio.
    fn follow(&self, targets: &BTreeSet<TargetRef>) {
        let mut wanted: BTreeMap<Place, BTreeSet<String>> = BTreeMap::new();
        for target in targets {
            wanted.entry((target.kind, target.namespace.clone())).or_default().insert(target.name.clone());
        }
        let namespaces: BTreeSet<&String> = targets.iter().map(|target| &target.namespace).collect();
        let mut seen = self.seen.write();
        let Watches { watched, autoscalers } = &mut *seen;
        autoscalers.retain(|namespace, _| namespaces.contains(namespace));
        for namespace in namespaces {
            if !autoscalers.contains_key(namespace) {
                autoscalers.insert(namespace.clone(), self.watch_autoscalers(namespace));
            }
        }
        watched.retain(|place, _| wanted.contains_key(place));
        for (place, names) in wanted {
            match watched.get_mut(&place) {
                Some(known) => known.names = names,
                None => drop(watched.insert(place.clone(), self.watch(&place, names))),
            }
        }
    }

    fn waiting_for(&self) -> Vec<Awaited> {
        let is_complete = self.complete.load(Ordering::Relaxed);
        let waiting = self.outdated(|has_listed| has_listed || !is_complete);
        if waiting.is_empty() && !self.seen.read().watched.is_empty() {
            self.complete.store(true, Ordering::Relaxed);
        }
        waiting
    }

    fn newly_waiting_for(&self) -> Vec<Awaited> {
        let is_complete = self.complete.load(Ordering::Relaxed);
        self.outdated(|has_listed| !has_listed && is_complete)
    }

    /// The autoscalers of the namespace are listed each time: one created since the decision makes it void.
    fn read<'a>(&'a self, change: &'a ChangeSet) -> BoxFuture<'a, Result<Live, ClusterError>> {
        Box::pin(async move {
            let autoscalers = floor::list(&self.server, &change.target);
            match change.knob {
                Knob::Replicas => {
                    let scale = scale::read(&self.server, &change.target);
                    let (live, autoscalers) = futures::try_join!(scale, autoscalers)?;
                    Ok(Live { displaced: floor::displaced(change, &autoscalers), ..live })
                }
                Knob::AutoscalerFloor => floor::find(change, &autoscalers.await?),
                knob => Err(ClusterError::NoLever { knob }),
            }
        })
    }

    fn apply<'a>(&'a self, change: &'a ChangeSet, live: &'a Live) -> BoxFuture<'a, Result<Live, ClusterError>> {
        Box::pin(async move {
            match (change.knob, &change.floor) {
                (Knob::Replicas, _) => scale::write(&self.server, &change.target, change.to, live).await,
                (Knob::AutoscalerFloor, Some(of)) => floor::write(&self.server, change, of, live).await,
                (knob, _) => Err(ClusterError::NoLever { knob }),
            }
        })
    }
}
