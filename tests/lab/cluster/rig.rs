//! What runs in the cluster: a workload, a load balancer in front of it, a load, a Prometheus that discovers its pods.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Cluster, directory};
use crate::prometheus::free_port;

/// Requests that a worker serves concurrently.
pub const SLOTS: u32 = 2;
/// How long each takes.
pub const SERVICE_TIME: Duration = Duration::from_millis(200);
/// Capacity of a worker, requests per second.
pub const CAPACITY: f64 = SLOTS as f64 * 1e3 / 200.0;
/// Latency that a client accepts.
pub const SLO: Duration = Duration::from_millis(800);
/// How long a worker takes to start.
pub const COLD_START: Duration = Duration::from_secs(5);

/// A process of the rig; killed on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `flyball-lab` with these arguments, at high priority on a busy machine if that is allowed: it is not
    /// supposed to measure how busy the machine is. If the kernel schedules by session, a nice value only counts within
    /// one, so that of the session is set too.
    pub fn start(arguments: &[&str]) -> Self {
        // Fails if that is not allowed or not supported.
        let _ = std::fs::write("/proc/self/autogroup", "-10");
        let mut command = Command::new("nice");
        command.args(["-n", "-10", env!("CARGO_BIN_EXE_flyball-lab")]);
        command.env("KUBECONFIG", directory().join("admin.kubeconfig"));
        let child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Self { child }
    }

    /// Waits for its end and asserts success.
    pub async fn end(mut self) {
        let ended = tokio::task::spawn_blocking(move || self.child.wait().unwrap()).await.unwrap();
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Creates a Deployment of workers and a Service of the same name in front of them.
pub async fn workload(cluster: &Cluster, namespace: &str, name: &str, replicas: u32) {
    let labels = json!({ "app": name });
    let variable = |name: &str, value: String| json!({ "name": name, "value": value });
    let container = json!({
        "name": "worker", "image": "flyball.dev/lab-worker",
        "env": [
            variable("SLOTS", SLOTS.to_string()),
            variable("SERVICE_TIME", format!("{}ms", SERVICE_TIME.as_millis())),
            variable("COLD_START", format!("{}s", COLD_START.as_secs())),
        ],
        "resources": { "requests": { "cpu": "500m" } },
    });
    let metadata = json!({ "namespace": namespace, "name": name });
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": [container] } });
    let spec = json!({ "replicas": replicas, "selector": { "matchLabels": labels }, "template": template });
    cluster.create(json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec })).await;
    let spec = json!({ "selector": labels, "ports": [{ "port": 80, "targetPort": 8080 }] });
    cluster.create(json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec })).await;
}

/// Creates a Deployment of pods that do nothing, and returns it.
pub async fn idle(cluster: &Cluster, namespace: &str, name: &str, replicas: u32) -> Value {
    cluster.create(idle_manifest(namespace, name, replicas)).await
}

/// Returns the manifest of such a Deployment.
pub fn idle_manifest(namespace: &str, name: &str, replicas: u32) -> Value {
    let labels = json!({ "app": name });
    let containers = json!([{ "name": "main", "image": "registry.k8s.io/pause:3.10" }]);
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": containers } });
    let metadata = json!({ "namespace": namespace, "name": name });
    let spec = json!({ "replicas": replicas, "selector": { "matchLabels": labels }, "template": template });
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec })
}

/// Creates an autoscaler with the Deployment's name on it, by CPU at the usual target, and returns it.
pub async fn autoscaler(cluster: &Cluster, namespace: &str, name: &str, bounds: (u32, u32)) -> Value {
    autoscaler_at(cluster, namespace, name, bounds, 60).await
}

/// Creates such an autoscaler with a target in percent.
pub async fn autoscaler_at(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    (floor, ceiling): (u32, u32),
    target: u32,
) -> Value {
    let cpu = json!({ "name": "cpu", "target": { "type": "Utilization", "averageUtilization": target } });
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": name });
    let spec = json!({
        "scaleTargetRef": target, "minReplicas": floor, "maxReplicas": ceiling,
        "metrics": [{ "type": "Resource", "resource": cpu }],
    });
    let (kind, metadata) = ("HorizontalPodAutoscaler", json!({ "namespace": namespace, "name": name }));
    cluster.create(json!({ "apiVersion": "autoscaling/v2", "kind": kind, "metadata": metadata, "spec": spec })).await
}

/// Returns the path of an autoscaler.
pub fn autoscaler_path(namespace: &str, name: &str) -> String {
    format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}")
}

/// Returns how many pods of a Deployment are ready.
pub async fn ready(cluster: &Cluster, namespace: &str, name: &str) -> u32 {
    let ready = cluster.deployment(namespace, name).await["status"]["readyReplicas"].as_u64().unwrap_or(0);
    u32::try_from(ready).unwrap()
}

/// Starts a load balancer in front of a service and returns it with its URL.
pub fn balancer(namespace: &str, service: &str) -> (Process, String) {
    let listen = format!("127.0.0.1:{}", free_port());
    let process = Process::start(&["balance", "--namespace", namespace, "--service", service, "--listen", &listen]);
    (process, format!("http://{listen}/"))
}

/// A load and its request log.
#[derive(Debug)]
pub struct Load {
    player: Process,
    directory: TempDir,
}

/// A request as its client saw it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Planned send time, since the start of the play.
    pub planned: Duration,
    /// Status; 0 without an answer.
    pub status: u16,
    /// Time from then to its end.
    pub latency: Duration,
}

impl Load {
    /// Starts to play `plan` (second, requests per second from then on) at a time in milliseconds since 1970.
    pub fn start(url: &str, at: i64, plan: &[(u32, f64)]) -> Self {
        let directory = TempDir::new().unwrap();
        let lines: Vec<String> = plan.iter().map(|(second, rate)| format!("{second},{rate}\n")).collect();
        std::fs::write(directory.path().join("plan"), lines.concat()).unwrap();
        let [plan, log] = ["plan", "log"].map(|name| directory.path().join(name).display().to_string());
        let player =
            Process::start(&["play", "--plan", &plan, "--target", url, "--log", &log, "--at", &at.to_string()]);
        Self { player, directory }
    }

    /// Waits for the end and returns all requests; a player that was late fails the test.
    pub async fn end(self) -> Vec<Seen> {
        self.player.end().await;
        read(&self.directory.path().join("log"))
    }
}

fn read(log: &Path) -> Vec<Seen> {
    let text = std::fs::read_to_string(log).unwrap();
    let ms = |text: &str| Duration::from_secs_f64(text.parse::<f64>().unwrap() / 1e3);
    let seen = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        Seen { planned: ms(fields[0]), status: fields[2].parse().unwrap(), latency: ms(fields[3]) }
    };
    text.lines().map(seen).collect()
}

/// Returns the number of seconds from `from` to `to` in which more than one in a hundred requests failed or took longer
/// than `slo`.
pub fn violation_seconds(seen: &[Seen], slo: Duration, from: u64, to: u64) -> usize {
    let bad = |request: &&Seen| request.status != 200 || request.latency > slo;
    let violated = |second: &u64| {
        let of: Vec<&Seen> = seen.iter().filter(|request| request.planned.as_secs() == *second).collect();
        of.iter().copied().filter(bad).count() * 100 > of.len()
    };
    (from..to).filter(violated).count()
}

/// Returns the scrape settings with which Prometheus discovers the workers of a namespace, or of several, as in `a|b`.
/// The service is the label `app` of the pod.
pub fn discovery(namespace: &str) -> String {
    let targets = directory().join("targets.json");
    format!(
        "scrape_configs:\n  - job_name: workers\n    file_sd_configs: [{{ files: ['{}'] }}]\n    relabel_configs:\n      \
         - {{ source_labels: [namespace], regex: {namespace}, action: keep }}\n",
        targets.display()
    )
}
