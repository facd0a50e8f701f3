//! The process is killed at every step of a write to the real API server; etcd's history is the witness.

use std::path::Path;

use serde_json::json;

use super::witness::{moves_since, revision};
use super::{Cluster, account};
use crate::support::kills::{Server, Step, kills, places};
use crate::support::kubernetes::faults::Faults;

/// How often the process is killed, unless `FLYBALL_LAB_KILLS` says otherwise.
const KILLS: usize = 40;

/// The lab's API server, and its revision before the first kill.
pub struct Real {
    cluster: Cluster,
    revision: u64,
}

impl Real {
    /// Empties the services' namespaces.
    pub async fn start() -> Self {
        let cluster = Cluster::open().await;
        let mut namespaces: Vec<String> = places().map(|(namespace, _)| namespace).collect();
        namespaces.sort();
        namespaces.dedup();
        cluster.namespaces(&namespaces).await;
        Self { revision: revision(&cluster).await, cluster }
    }
}

impl Server for Real {
    fn settings(&self) -> String {
        String::new()
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![account()]
    }

    /// A paused Deployment has no pods, which do not matter here; its controller still reports its status.
    async fn add(&self, namespace: &str, name: &str, replicas: u32) {
        let labels = json!({ "app": name });
        let containers = json!([{ "name": "main", "image": "registry.k8s.io/pause:3.10" }]);
        let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": containers } });
        let manifest = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "namespace": namespace, "name": name },
            "spec": {
                "replicas": replicas, "paused": true, "selector": { "matchLabels": labels }, "template": template,
            },
        });
        self.cluster.create(manifest).await;
    }

    async fn wanted(&self, namespace: &str, name: &str) -> u32 {
        let object = self.cluster.deployment(namespace, name).await;
        u32::try_from(object["spec"]["replicas"].as_u64().unwrap()).unwrap()
    }

    async fn writes(&self) -> Vec<Step> {
        let moves = moves_since(self.revision).await.into_iter().filter(|it| it.manager == "flyball");
        moves.map(|it| (it.namespace, it.name, it.from.unwrap(), it.to)).collect()
    }

    fn faults(&self) -> Option<&Faults> {
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_k2_kills_on_a_real_server_lose_no_write_and_double_none() {
    let count = std::env::var("FLYBALL_LAB_KILLS").map_or(KILLS, |count| count.parse().unwrap());
    let report = kills(Path::new(env!("CARGO_BIN_EXE_flyball")), count, &Real::start().await).await;
    println!("{}", serde_json::to_string(&report).unwrap());
    assert_eq!((report.killed(), report.lost, report.doubled), (count, 0, 0), "{report:?}");
    assert!(report.writes * 4 > count && report.kills.len() > 5, "too little happened: {report:?}");
}
