//! Nodes without machines: they place, start and end every pod of the cluster, as scheduler and kubelet would.
//!
//! A pod whose image is `flyball.dev/lab-worker` gets its own address and a worker process that listens there; it is
//! ready when the worker reports so. Any other pod becomes ready after a while, and nothing runs in it.
//!
//! | file | what |
//! |---|---|
//! | `place` | which pod fits where, and when another node is needed |
//! | `pod` | the life of one pod |
//! | `metrics` | the CPU of the workers, as `metrics.k8s.io` |
//! | `targets` | the workers, as Prometheus finds them |

mod metrics;
mod place;
mod pod;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use place::Room;
use pod::Life;
use targets::Targets;

/// How often all pods are checked: simpler than reacting to each change, and cheap at this size.
const LOOK: Duration = Duration::from_millis(100);

/// How many nodes there are, and how fast.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Nodes at first.
    #[arg(long, default_value_t = 2)]
    nodes: u8,
    /// Nodes at most; one more is started when a pod fits nowhere.
    #[arg(long, default_value_t = 4)]
    most_nodes: u8,
    /// Pods that fit on a node.
    #[arg(long, default_value_t = 10)]
    pods_per_node: u8,
    /// How long a node needs to start.
    #[arg(long, value_parser = crate::span, default_value = "20s")]
    node_start: Duration,
    /// How long a pod without a worker needs to start.
    #[arg(long, value_parser = crate::span, default_value = "1s")]
    pod_start: Duration,
    /// Where `metrics.k8s.io` is served.
    #[arg(long, default_value = "127.0.0.1:8443")]
    metrics: SocketAddr,
    /// Certificate of that server, PEM.
    #[arg(long)]
    certificate: PathBuf,
    /// Its key, PEM.
    #[arg(long)]
    key: PathBuf,
    /// How often the CPU of the workers is measured; a metrics server does it every 15 s.
    #[arg(long, value_parser = crate::span, default_value = "15s")]
    resolution: Duration,
    /// Written: the workers, for the `file_sd_configs` of a Prometheus.
    #[arg(long)]
    targets: PathBuf,
}

/// All nodes, and what runs on them.
struct Nodes {
    arguments: Arguments,
    client: Client,
    pods: Store<Pod>,
    room: Room,
    lives: BTreeMap<String, Life>,
    unplaced: BTreeSet<String>,
    usage: metrics::Usage,
    targets: Targets,
}

/// Runs until it is killed; the workers end with it.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("no API server; KUBECONFIG names one")?;
    let (pods, writer) = reflector::store();
    let changes = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default()).default_backoff();
    let watching = reflector::reflector(writer, changes).for_each(async |_| ());
    let usage = metrics::Usage::default();
    let serving = metrics::serve(arguments.metrics, &arguments.certificate, &arguments.key, usage.clone()).await?;
    let measuring = metrics::measure(pods.clone(), arguments.resolution, usage.clone());
    let nodes = Nodes {
        room: Room::new(arguments.nodes, arguments.most_nodes, arguments.pods_per_node),
        targets: Targets::new(arguments.targets.clone()),
        arguments,
        client,
        pods,
        lives: BTreeMap::new(),
        unplaced: BTreeSet::new(),
        usage,
    };
    tokio::select! {
        ended = nodes.live() => ended,
        ended = serving => ended,
        () = measuring => Ok(()),
        () = watching => anyhow::bail!("the watch of the pods ended"),
    }
}

impl Nodes {
    async fn live(mut self) -> anyhow::Result<()> {
        for node in 1..=self.arguments.nodes {
            self.show_node(node, true).await?;
        }
        self.pods.wait_until_ready().await?;
        println!("nodes are up");
        loop {
            tokio::time::sleep(LOOK).await;
            self.look().await;
        }
    }

    /// Advances every pod by what is due.
    async fn look(&mut self) {
        let now = Instant::now();
        if let Some(node) = self.room.started(now) {
            tell(&format!("node lab-{node}"), self.show_node(node, true).await);
        }
        let pods = self.pods.state();
        tell("targets", self.targets.show(&pods));
        let present: BTreeSet<String> = pods.iter().map(|pod| pod.uid().unwrap_or_default()).collect();
        self.unplaced.retain(|uid| present.contains(uid));
        for uid in self.room.placed().filter(|uid| !present.contains(uid)).collect::<Vec<_>>() {
            // Its end was not seen; nothing of it may remain.
            self.forget(&uid);
        }
        for pod in &pods {
            let moved = self.advance(pod, now).await;
            tell(&format!("pod {}/{}", pod.namespace().unwrap_or_default(), pod.name_any()), moved);
        }
    }

    async fn advance(&mut self, pod: &Pod, now: Instant) -> anyhow::Result<()> {
        let uid = pod.uid().unwrap_or_default();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let Some(node) = node else {
            return if pod.metadata.deletion_timestamp.is_some() { Ok(()) } else { self.place(pod, &uid, now).await };
        };
        let Some(node) = node.strip_prefix("lab-").and_then(|number| number.parse().ok()) else { return Ok(()) };
        // A pod placed by an earlier process has no place here yet.
        let Some(place) = self.room.take(&uid, node) else { anyhow::bail!("no room left on lab-{node}") };
        let life = self.lives.entry(uid.clone()).or_insert_with(|| Life::new(place));
        let ended = life.advance(&self.client, pod, self.arguments.pod_start, now).await?;
        if ended {
            self.forget(&uid);
        }
        Ok(())
    }

    /// Binds a pod to a node, or reports that it fits nowhere and starts another node.
    async fn place(&mut self, pod: &Pod, uid: &str, now: Instant) -> anyhow::Result<()> {
        if let Some(place) = self.room.find(uid) {
            self.unplaced.remove(uid);
            return pod::bind(&self.client, pod, place).await;
        }
        if self.unplaced.insert(uid.to_owned()) {
            pod::fits_nowhere(&self.client, pod, self.room.nodes()).await?;
        }
        if let Some(node) = self.room.grow(now + self.arguments.node_start) {
            self.show_node(node, false).await?;
        }
        Ok(())
    }

    fn forget(&mut self, uid: &str) {
        self.room.free(uid);
        if let Some(life) = self.lives.remove(uid) {
            self.usage.forget(&life.address());
            life.end();
        }
    }

    /// Creates the object of a node, or updates its status.
    async fn show_node(&self, node: u8, ready: bool) -> anyhow::Result<()> {
        let (api, name) = (Api::<Node>::all(self.client.clone()), format!("lab-{node}"));
        let object = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        pod::unless_overtaken(api.create(&PostParams::default(), &object).await)?;
        let capacity = json!({
            "pods": self.arguments.pods_per_node.to_string(), "cpu": self.arguments.pods_per_node.to_string(),
            "memory": "16Gi",
        });
        let condition = json!({
            "type": "Ready", "status": if ready { "True" } else { "False" },
            "reason": if ready { "KubeletReady" } else { "Starting" },
            "lastTransitionTime": pod::timestamp(), "lastHeartbeatTime": pod::timestamp(),
        });
        let status = json!({ "capacity": capacity, "allocatable": capacity, "conditions": [condition] });
        let patch = Patch::Merge(json!({ "status": status }));
        api.patch_status(&name, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

/// Failures are logged and retried at the next check.
fn tell(what: &str, ended: anyhow::Result<()>) {
    if let Err(error) = ended {
        eprintln!("{what}: {error:#}");
    }
}
