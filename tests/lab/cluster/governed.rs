//! A loop in `auto` over a Deployment of idle pods, sized by rates from the test, declared by a `ServiceLoop` on the
//! real API server; and what the API, etcd and the audit log show of it.

use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::witness::{Move, moves_since, requests, revision};
use super::{Cluster, PATIENCE, account, directory, rig};
use crate::eventually;
use crate::support::flyball::{Flyball, Installation};
use crate::support::kills::Rates;

/// Name of the Deployment and of its loop.
pub const NAME: &str = "checkout";
/// Declared capacity of a pod, requests per second.
pub const PER_POD: f64 = 10.0;

/// The shipped policy that sizes by arrival rate.
pub const POLICY: &str = include_str!("../../../deploy/policies/capacity.rhai");
/// The capacity declaration of a pod.
pub const DECLARED: &str = "  capacity: { per_pod_rate: 10, utilisation: 1.0, start_time: 1s }\n";

/// A loop in `auto` over a Deployment, sized by the rate set by the test.
pub struct Governed {
    /// The API server.
    pub cluster: Cluster,
    /// Where Deployment and loop are.
    pub namespace: String,
    /// What the loop measures.
    pub rates: Rates,
    /// What flyball is started with.
    pub installation: Installation,
    /// The process.
    pub flyball: Flyball,
    /// Revision and time before the first decision.
    pub since: (u64, Timestamp),
}

impl Governed {
    /// Starts with `replicas` requested and needed.
    pub async fn start(namespace: &str, replicas: u32, policy: &str, capacity: &str) -> Self {
        Self::start_with(namespace, replicas, policy, capacity, "").await
    }

    /// The same with additional settings lines.
    pub async fn start_with(namespace: &str, replicas: u32, policy: &str, capacity: &str, more: &str) -> Self {
        let cluster = Cluster::open().await;
        cluster.namespaces(&[namespace.to_owned()]).await;
        let deployment = rig::idle(&cluster, namespace, NAME, replicas).await;
        assert_eq!(deployment["spec"]["replicas"], replicas);
        Self::start_over(cluster, namespace, replicas, policy, capacity, more).await
    }

    /// The same over an existing Deployment.
    pub async fn start_over(
        cluster: Cluster,
        namespace: &str,
        replicas: u32,
        policy: &str,
        capacity: &str,
        more: &str,
    ) -> Self {
        custom_resources();
        let since = (revision(&cluster).await, Timestamp::now());
        let rates = Rates::start().await;
        rates.set(namespace, NAME, f64::from(replicas) * PER_POD - 5.0);
        let installation = Installation::new(
            Path::new(env!("CARGO_BIN_EXE_flyball")),
            &format!("{more}{}", settings(&rates.url, capacity)),
            &[("p.rhai", policy)],
        );
        let installation = installation.with_environment(vec![account()]);
        let flyball = installation.start(None);
        declare(&cluster, namespace).await;
        Self { cluster, namespace: namespace.to_owned(), rates, installation, flyball, since }
    }

    /// Returns the status of the loop.
    pub async fn status(&self) -> Value {
        let path = format!("/apis/flyball.dev/v1alpha1/namespaces/{}/serviceloops/{NAME}", self.namespace);
        self.cluster.get(&path).await["status"].clone()
    }

    /// Waits until the loop shows `text` in its status.
    pub async fn shows(&self, text: &str) {
        eventually(&format!("the status says `{text}`"), PATIENCE, async || {
            self.status().await.to_string().contains(text).then_some(())
        })
        .await;
    }

    /// Waits for an Event with this reason and text.
    pub async fn tells(&self, reason: &str, text: &str) {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.namespace);
        eventually(&format!("an Event {reason} that says `{text}`"), PATIENCE, async || {
            let events = self.cluster.get(&path).await;
            let told =
                |event: &&Value| event["reason"] == reason && event["note"].as_str().unwrap_or("").contains(text);
            events["items"].as_array()?.iter().find(told).map(drop)
        })
        .await;
    }

    /// Waits until the Deployment requests this many.
    pub async fn wants(&self, replicas: u32) {
        eventually(&format!("{replicas} replicas"), PATIENCE, async || {
            (self.cluster.deployment(&self.namespace, NAME).await["spec"]["replicas"] == replicas).then_some(())
        })
        .await;
    }

    /// Sets the rate to what this many pods carry.
    pub fn needs(&self, replicas: u32) {
        self.rates.set(&self.namespace, NAME, f64::from(replicas) * PER_POD - 5.0);
    }

    /// Returns every write of the replicas by flyball, as recorded in etcd.
    pub async fn written(&self) -> Vec<Move> {
        moves_since(self.since.0).await.into_iter().filter(|it| it.manager == "flyball").collect()
    }

    /// Asserts that the server refused no write of flyball.
    pub fn nothing_refused(&self) {
        let patches = requests().into_iter().filter(|it| it.verb == "patch" && it.arrived > self.since.1);
        let refused: Vec<_> = patches.filter(|it| it.uri.contains("/scale") && it.status != 200).collect();
        assert!(refused.is_empty(), "{refused:?}");
    }

    /// Kills and restarts flyball.
    pub fn restart(&mut self) {
        self.end("KILL");
        self.flyball = self.installation.start(None);
    }

    /// Ends flyball by a signal, and waits for its exit.
    pub fn end(&mut self, signal: &str) {
        self.flyball.end(signal);
    }

    /// Stops flyball; the CLI can still explain afterwards.
    pub fn stop(self) {
        assert!(self.flyball.stop().success());
        let why = self.installation.ask(&["explain", &format!("{}/{NAME}", self.namespace)]);
        assert!(why.status.success(), "{}", String::from_utf8_lossy(&why.stderr));
    }
}

fn settings(telemetry: &str, capacity: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\n\
         sources:\n  rates: {{ kind: prometheus, url: \"{telemetry}\", interval: 1s, history: 0s }}\n\
         signals:\n  rps:\n    source: rates\n    query: 'sum by (namespace, service) (x{{$selector}})'\n    \
         samples: 'x{{$selector}}'\n    labels: [namespace, service]\n    unit: per_second\n    role: arrival_rate\n    \
         range: [0, 1e6]\n    scrape_interval: 1s\n\
         defaults:\n  signals: [rps]\n  slo: {{ p99: 200ms, error_ratio: 0.01 }}\n  \
         guards: {{ stabilisation: 60s, reversal_lock: 60s, lower_cooldown: 60s }}\n{capacity}\
         services: serviceloops\n"
    )
}

/// Declares a loop over the Deployment of a namespace.
pub async fn declare(cluster: &Cluster, namespace: &str) {
    let metadata = json!({ "namespace": namespace, "name": NAME });
    let spec = json!({ "mode": "auto", "bounds": { "min": 1, "max": 100 }, "allowLowering": true });
    let (version, kind) = ("flyball.dev/v1alpha1", "ServiceLoop");
    cluster.create(json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec })).await;
}

/// Installs the custom resources, and a bound that limits nothing.
pub fn custom_resources() {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base");
    kubectl(&format!("apply --server-side --force-conflicts -f {base}/crds.yaml"));
    kubectl(
        "wait --for condition=established --timeout 30s crd/serviceloops.flyball.dev crd/platformbounds.flyball.dev",
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let spec = json!({ "maxReplicas": 100, "maxMode": "auto" });
    let bound = json!({ "apiVersion": "flyball.dev/v1alpha1", "kind": "PlatformBound", "metadata": { "name": "flyball" }, "spec": spec });
    std::fs::write(file.path(), bound.to_string()).unwrap();
    kubectl(&format!("apply --server-side --force-conflicts -f {}", file.path().display()));
}

/// Runs kubectl as administrator and returns its output.
pub fn kubectl(arguments: &str) -> String {
    let mut command = Command::new("kubectl");
    command.env("KUBECONFIG", directory().join("admin.kubeconfig"));
    let output = command.args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
