//! The life of one pod, from its binding to its end.

use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::place::Place;

/// The image of a pod that gets a worker.
const WORKER: &str = "flyball.dev/lab-worker";
/// The port of a worker.
pub const PORT: u16 = 8080;
/// How long a pod continues after it was asked to end: until it gets no more requests.
const GRACE: Duration = Duration::from_secs(2);

/// The state of a pod.
pub struct Life {
    place: Place,
    stage: Stage,
    worker: Option<Child>,
}

enum Stage {
    Placed,
    Starting(Instant),
    Ready,
    Ending(Instant),
}

impl Life {
    /// Returns the state of a pod that was just placed.
    pub fn new(place: Place) -> Self {
        Self { place, stage: Stage::Placed, worker: None }
    }

    /// Returns the address of the pod.
    pub fn address(&self) -> String {
        self.place.to_string()
    }

    /// Does what is due, and returns whether the pod is gone.
    pub async fn advance(&mut self, client: &Client, pod: &Pod, start: Duration, now: Instant) -> anyhow::Result<bool> {
        if pod.metadata.deletion_timestamp.is_some() && !matches!(self.stage, Stage::Ending(_)) {
            self.stage = Stage::Ending(now + GRACE);
        }
        match self.stage {
            Stage::Placed => {
                if is_worker(pod) && self.worker.is_none() {
                    self.worker = Some(self.start_worker(pod)?);
                }
                show(client, pod, &self.address(), false).await?;
                self.stage = Stage::Starting(now + start);
            }
            Stage::Starting(until) => {
                let ready = if self.worker.is_some() { self.answers().await } else { until <= now };
                if ready {
                    show(client, pod, &self.address(), true).await?;
                    self.stage = Stage::Ready;
                }
            }
            Stage::Ending(until) if until <= now => {
                let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
                let at_once = DeleteParams::default().grace_period(0);
                unless_overtaken(api.delete(&pod.name_any(), &at_once).await)?;
                return Ok(true);
            }
            Stage::Ready | Stage::Ending(_) => {}
        }
        Ok(false)
    }

    /// Ends the worker and releases the address.
    pub fn end(mut self) {
        if let Some(worker) = &mut self.worker {
            // Both fail only if it has exited; the address disappears with the network at the latest.
            let _ = worker.kill();
            let _ = worker.wait();
            let _ = address("delete", &self.address());
        }
    }

    fn start_worker(&self, pod: &Pod) -> anyhow::Result<Child> {
        address("replace", &self.address())?;
        // The same program, even after a newer one was built in its place.
        let mut command = Command::new("/proc/self/exe");
        command.args(["worker", "--listen", &format!("{}:{PORT}", self.address())]);
        let container = pod.spec.iter().flat_map(|spec| &spec.containers).next();
        for variable in container.iter().filter_map(|container| container.env.as_ref()).flatten() {
            command.env(&variable.name, variable.value.as_deref().unwrap_or_default());
        }
        // The worker exits when this pipe closes, so that none outlives its node.
        command.stdin(Stdio::piped());
        command.spawn().context("cannot start a worker")
    }

    async fn answers(&self) -> bool {
        let asked = worker(&self.address(), "readyz").timeout(Duration::from_millis(500)).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }
}

/// Returns a request to the worker at an address. One client for all: building one takes milliseconds on a busy
/// machine.
pub fn worker(address: &str, page: &str) -> reqwest::RequestBuilder {
    static CLIENT: LazyLock<reqwest::Client> =
        LazyLock::new(|| reqwest::Client::builder().no_proxy().build().unwrap_or_default());
    CLIENT.get(format!("http://{address}:{PORT}/{page}"))
}

/// Binds a pod to a node.
pub async fn bind(client: &Client, pod: &Pod, place: Place) -> anyhow::Result<()> {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let target = json!({ "apiVersion": "v1", "kind": "Node", "name": format!("lab-{}", place.node) });
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name, "uid": pod.uid() }, "target": target,
    });
    let (options, body) = (PostParams::default(), serde_json::to_vec(&binding)?);
    let collection = Request::new(format!("/api/v1/namespaces/{namespace}/pods"));
    let request = collection.create_subresource("binding", &name, &options, body)?;
    // A conflict: the watch has not shown the binding yet.
    unless_overtaken(client.request_text(request).await)
}

/// Reports that a pod fits nowhere, as the scheduler does.
pub async fn fits_nowhere(client: &Client, pod: &Pod, nodes: u8) -> anyhow::Result<()> {
    let condition = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": timestamp(),
        "message": format!("0/{nodes} nodes are available: {nodes} Too many pods."),
    });
    patch_status(client, pod, json!({ "conditions": [condition] })).await
}

/// Shows a pod as running, and ready or not.
async fn show(client: &Client, pod: &Pod, address: &str, ready: bool) -> anyhow::Result<()> {
    let (now, word) = (timestamp(), if ready { "True" } else { "False" });
    let condition = |kind: &str, status: &str| json!({ "type": kind, "status": status, "lastTransitionTime": now });
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| {
        json!({
            "name": container.name, "image": container.image, "imageID": "", "ready": ready, "started": true,
            "restartCount": 0, "state": { "running": { "startedAt": now } },
        })
    });
    let status = json!({
        "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
        "startTime": started.map_or(json!(now), |time| json!(time)),
        "conditions": [
            condition("PodScheduled", "True"), condition("Initialized", "True"), condition("ContainersReady", word),
            condition("Ready", word),
        ],
        "containerStatuses": containers.collect::<Vec<_>>(),
    });
    patch_status(client, pod, status).await
}

async fn patch_status(client: &Client, pod: &Pod, status: Value) -> anyhow::Result<()> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let patch = Patch::Merge(json!({ "metadata": { "uid": pod.uid() }, "status": status }));
    unless_overtaken(api.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await)
}

/// Counts it as done if the object was deleted, recreated or changed meanwhile, or its namespace is terminating (403):
/// the next check sees the current state.
pub fn unless_overtaken<T>(answer: Result<T, kube::Error>) -> anyhow::Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if [403, 404, 409].contains(&status.code) => Ok(()),
        answer => Ok(answer.map(drop)?),
    }
}

/// Returns whether a pod has a worker.
pub fn is_worker(pod: &Pod) -> bool {
    let container = pod.spec.iter().flat_map(|spec| &spec.containers).next();
    container.and_then(|container| container.image.as_deref()).is_some_and(|image| image.starts_with(WORKER))
}

/// Sets (`replace`) or deletes an address of this network.
fn address(what: &str, address: &str) -> anyhow::Result<()> {
    let output = Command::new("ip").args(["address", what, &format!("{address}/32"), "dev", "lo"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip address {what} {address}: {said}");
    Ok(())
}

/// Returns the present time as the API writes it.
pub fn timestamp() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
