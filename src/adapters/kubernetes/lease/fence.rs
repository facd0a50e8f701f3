//! What the API server checks a write against, if `deploy/overlays/replicas/fence.yaml` is installed: a `LoopLeader`
//! that names the holder of the Lease. It is a separate object because an admission policy that is deleted and
//! recreated no longer sees changes of a built-in kind, such as the Lease, until the server restarts
//! (kubernetes/kubernetes#133827).

use serde_json::{Value, json};

use crate::adapters::kubernetes::cache::Metadata;
use crate::adapters::kubernetes::failure::Failure;
use crate::model::Epoch;

use super::Shared;

/// A `LoopLeader`, to the extent it is read.
#[derive(serde::Deserialize)]
struct Leader {
    metadata: Metadata,
}

impl Shared {
    /// Tells the server that this process writes in the term `epoch`. A process that was paused since it claimed the
    /// lease cannot undo that: its version of the object is outdated, or its clock shows that it no longer leads.
    ///
    /// # Errors
    /// When that is not known to have succeeded. A server that does not know the kind, or does not let this account
    /// write it, has no such policy: then there is nothing to do.
    pub(super) async fn fence(&self, epoch: Epoch) -> Result<(), String> {
        let path = format!("/apis/flyball.dev/v1alpha1/namespaces/{}/loopleaders", self.namespace);
        let object = format!("{path}/{}", self.name);
        let known = match self.server.get::<Leader>(&object).await {
            Ok(leader) => Some(leader.metadata.resource_version),
            Err(Failure::Status { code: 404, .. }) => None,
            Err(failure) => return self.unfenced(&failure),
        };
        // Checked after the read: any write in between makes this one a conflict.
        if self.candidate.lock().lead(self.now()).epoch() != Some(epoch) {
            return Err(format!("term {epoch} has ended"));
        }
        let holder = self.candidate.lock().identity().to_owned();
        let spec = json!({ "holder": holder, "epoch": epoch.number() });
        let written: Result<Value, Failure> = if let Some(version) = known {
            let patch = json!({ "metadata": { "resourceVersion": version }, "spec": spec });
            self.server.merge(&object, &patch).await
        } else {
            let (version, metadata) =
                ("flyball.dev/v1alpha1", json!({ "name": self.name, "namespace": self.namespace }));
            let leader = json!({ "apiVersion": version, "kind": "LoopLeader", "metadata": metadata, "spec": spec });
            self.server.create(&path, &leader).await
        };
        written.map(drop).or_else(|failure| self.unfenced(&failure))
    }

    fn unfenced(&self, failure: &Failure) -> Result<(), String> {
        match failure {
            Failure::Status { code: 403 | 404, .. } => {
                tracing::warn!(lease = self.name, reason = %failure, "the leader is not recorded at the API server");
                Ok(())
            }
            failure => Err(format!("the leader is not recorded at the API server: {failure}")),
        }
    }
}
