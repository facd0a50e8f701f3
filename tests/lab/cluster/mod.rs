//! The lab's cluster: a real API server and controllers, nodes that run real workers. `scripts/lab/test` starts it and
//! runs these tests inside its network; verdicts come from the API, etcd's history, the audit log and request logs.
//!
//! | file | part |
//! |---|---|
//! | `contract` | the contract of the Cluster port, as on the double |
//! | `deploy` | what `deploy/` ships is accepted, and bounds flyball's own account |
//! | `double` | the API double answers as this server does |
//! | `witness` | what etcd and the audit log saw |
//! | `rig` | workloads, load balancer and load |
//! | `compare` | the same load on several workloads, each under its own controller |
//! | `governed` | a loop over idle pods, sized by rates from the test |
//! | `trace`, `picture` | a recorded load, compressed; its result as a picture |
//! | `nodes` | tests of the parts above |
//! | `floor` | an autoscaler on the workload: flyball moves only its floor |
//! | `others` | a person, a tool, a rollout, a recreated target |
//! | `step` | an unpredictable step |
//! | `surge` | a surge that recurs: replicas come before it |
//! | `server` | the API server as a process that can be killed and paused |
//! | `outages` | Prometheus and the API server go and come back |
//! | `policies` | a policy edited while flyball runs |
//! | `trough` | flyball killed at night; the morning comes |
//! | `upgrade` | this version and the previous one, in sequence and side by side |
//! | `uninstall` | loops, namespaces, and everything shipped is deleted while flyball runs |
//! | `room` | no node has room for what was raised |
//! | `accepted` | from the decision to the server's answer |
//! | `play` | a trace through the lab: record and picture |
//! | `kill_switch` | no write starts after the kill switch |
//! | `kills` | flyball killed at every step of a write |
//! | `rest` | what it costs while nothing happens |
//! | `replicas` | two flyballs on one Lease |

mod accepted;
mod compare;
#[path = "../../suite/contract_cluster.rs"]
mod contract;
mod deploy;
mod double;
mod floor;
mod governed;
mod kill_switch;
mod kills;
mod nodes;
mod others;
mod outages;
mod picture;
mod play;
mod policies;
mod replicas;
mod rest;
mod rig;
mod room;
mod server;
mod step;
mod surge;
mod trace;
mod trough;
mod uninstall;
mod upgrade;
mod witness;

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::discovery::ApiResource;
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::eventually;

/// How long the cluster may take for anything that is not measured.
const PATIENCE: Duration = Duration::from_secs(60);

/// Label of the namespaces of the tests.
const LABEL: &str = "flyball.dev/lab-test";

/// The API server, accessed as administrator unless another account is named.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl Cluster {
    /// Returns the cluster that this test runs inside.
    pub async fn open() -> Self {
        Self::with(directory().join("admin.kubeconfig")).await
    }

    /// Returns the cluster with the account of a kubeconfig.
    pub async fn with(kubeconfig: impl AsRef<Path>) -> Self {
        // Fine if another test of this process has already installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = Kubeconfig::read_from(kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        Self { client: Client::try_from(config).unwrap() }
    }

    /// Creates these namespaces, after everything left by earlier tests is gone.
    pub async fn namespaces(&self, names: &[String]) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let ours = ListParams::default().labels(LABEL);
        for left in api.list(&ours).await.unwrap() {
            api.delete(&left.metadata.name.unwrap(), &DeleteParams::default()).await.unwrap();
        }
        eventually("what earlier tests left is gone", PATIENCE, async || {
            api.list(&ours).await.unwrap().items.is_empty().then_some(())
        })
        .await;
        for name in names {
            let metadata = json!({ "name": name, "labels": { LABEL: "" } });
            let namespace: Namespace = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
            api.create(&PostParams::default(), &namespace).await.unwrap();
        }
    }

    /// Creates an object.
    pub async fn create(&self, object: Value) -> Value {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let types = object.types.clone().unwrap();
        let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
        let plural = format!("{}s", types.kind.to_lowercase());
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: types.api_version.clone(),
            kind: types.kind.clone(),
            plural,
        };
        let namespace = object.metadata.namespace.clone().unwrap();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &namespace, &resource);
        let made = api.create(&PostParams::default(), &object).await.unwrap();
        serde_json::to_value(made).unwrap()
    }

    /// Returns the Deployment as it is now.
    pub async fn deployment(&self, namespace: &str, name: &str) -> Value {
        self.get(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}")).await
    }

    /// Returns the object at a path of the API.
    pub async fn get(&self, path: &str) -> Value {
        let request = axum::http::Request::get(path).body(Vec::new()).unwrap();
        self.client.request(request).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Returns the text at a path of the API; for a refusal its status, as a watch writes it.
    pub async fn text(&self, path: &str) -> String {
        let request = axum::http::Request::get(path).body(Vec::new()).unwrap();
        match self.client.request_text(request).await {
            Ok(text) => text,
            Err(kube::Error::Api(status)) => json!({ "type": "ERROR", "object": { "code": status.code } }).to_string(),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Returns whether the API server is ready.
    pub async fn answers(&self) -> bool {
        let request = axum::http::Request::get("/readyz").body(Vec::new()).unwrap();
        self.client.request_text(request).await.is_ok()
    }

    /// Patches the object at a path and returns the status of the answer.
    pub async fn patch(&self, path: &str, patch: Value) -> u16 {
        self.refusal(path, patch).await.map_or(200, |(code, _)| code)
    }

    /// Patches the object at a path; returns status and message if the server refuses.
    pub async fn refusal(&self, path: &str, patch: Value) -> Option<(u16, String)> {
        let request = axum::http::Request::patch(path).header("content-type", "application/merge-patch+json");
        match self.client.request_text(request.body(patch.to_string().into_bytes()).unwrap()).await {
            Ok(_) => None,
            Err(kube::Error::Api(status)) => Some((status.code, status.message)),
            Err(error) => panic!("{path}: {error}"),
        }
    }
}

/// Returns the directory of the lab.
pub fn directory() -> PathBuf {
    let directory = std::env::var_os("FLYBALL_LAB_RUN");
    directory.expect("not inside the lab; run these tests by scripts/lab/test").into()
}

/// Returns the settings with which a program finds the API server as flyball's account.
pub fn account() -> (&'static str, String) {
    ("KUBECONFIG", directory().join("flyball.kubeconfig").display().to_string())
}
