//! The running workers as a file for Prometheus service discovery: Debian's build has no Kubernetes discovery.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::pod::{PORT, is_worker};

/// The file, and its last content.
#[derive(Debug)]
pub struct Targets {
    path: PathBuf,
    written: Value,
}

impl Targets {
    /// Returns the file at `path`, not yet written.
    pub fn new(path: PathBuf) -> Self {
        Self { path, written: Value::Null }
    }

    /// Writes the file if the workers changed.
    pub fn show(&mut self, pods: &[Arc<Pod>]) -> anyhow::Result<()> {
        let targets: Vec<Value> = pods.iter().filter_map(|pod| target(pod)).collect();
        let targets = Value::from(targets);
        if targets != self.written {
            replace(&self.path, &targets.to_string()).with_context(|| self.path.display().to_string())?;
            self.written = targets;
        }
        Ok(())
    }
}

/// Replaces a file atomically: a reader sees the old or the new one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, text)?;
    std::fs::rename(part, path)
}

/// Returns the target of a pod with a worker; the service is its label `app`.
fn target(pod: &Pod) -> Option<Value> {
    let address = pod.status.as_ref()?.pod_ip.as_ref().filter(|_| is_worker(pod))?;
    let labels = json!({ "namespace": pod.namespace(), "service": pod.labels().get("app"), "pod": pod.name_any() });
    Some(json!({ "targets": [format!("{address}:{PORT}")], "labels": labels }))
}
