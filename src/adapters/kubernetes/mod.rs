//! The Kubernetes API as a [`Cluster`]: replicas of `Deployment`s and `StatefulSet`s.
//!
//! Two ways lead to the API server, and they never mix. Watches feed a view from which the loop takes its
//! [`TargetReading`]s without I/O; the write gate reads and writes live. Nothing written is ever taken from a view.
//!
//! | file | what |
//! |---|---|
//! | [`client`] | the connection: access, timeouts, no retries |
//! | `workload` | the fields read of an object |
//! | `view` | what a watch has seen, and how current it is |
//! | `watch` | the task that feeds a view |
//! | `scale` | the live read and the one conditional write |
//! | `failure` | what an error means |

pub mod client;
mod failure;
mod scale;
mod view;
mod watch;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::model::{ChangeSet, Knob, TargetKind, TargetReading, TargetRef};
use crate::ports::{Cluster, ClusterError, Live};

pub use client::{Access, ConnectError, Timeouts, connect};

use view::View;
use watch::Watcher;

/// The targets of one cluster. Dropping it ends its watches.
pub struct Kubernetes {
    client: Client,
    timeouts: Timeouts,
    views: BTreeMap<(TargetKind, String), Arc<Mutex<View>>>,
    changes: tokio::sync::watch::Sender<u64>,
    _watches: JoinSet<()>,
}

impl Kubernetes {
    /// Starts to watch `targets`, one watch for each kind and namespace. Needs a running tokio.
    pub fn start(client: Client, targets: impl IntoIterator<Item = TargetRef>, timeouts: Timeouts) -> Self {
        let mut wanted: BTreeMap<(TargetKind, String), BTreeSet<String>> = BTreeMap::new();
        for target in targets {
            wanted.entry((target.kind, target.namespace)).or_default().insert(target.name);
        }
        let changes = tokio::sync::watch::Sender::new(0);
        let (mut views, mut watches) = (BTreeMap::new(), JoinSet::new());
        for ((kind, namespace), names) in wanted {
            let view = Arc::new(Mutex::new(View::new(kind, names, timeouts.silence, Instant::now())));
            let feeder = Watcher {
                client: client.clone(),
                path: scale::collection_of(kind, &namespace),
                view: Arc::clone(&view),
                changes: changes.clone(),
                timeouts,
            };
            watches.spawn(feeder.run());
            views.insert((kind, namespace), view);
        }
        Self { client, timeouts, views, changes, _watches: watches }
    }

    /// Returns a counter that moves whenever something came in from a watch.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Cluster for Kubernetes {
    fn observed(&self, target: &TargetRef) -> TargetReading {
        match self.views.get(&(target.kind, target.namespace.clone())) {
            Some(view) => view.lock().reading(&target.name, Instant::now()),
            None => TargetReading::Unknown { reason: "not watched".to_owned() },
        }
    }

    fn waiting_for(&self) -> Vec<String> {
        let now = Instant::now();
        let why = |((kind, namespace), view): (&(TargetKind, String), &Arc<Mutex<View>>)| {
            let reason = view.lock().waiting_for(now)?;
            Some(format!("{}s in {namespace}: {reason}", kind.as_str()))
        };
        self.views.iter().filter_map(why).collect()
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
