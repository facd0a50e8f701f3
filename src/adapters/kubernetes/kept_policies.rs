//! The active policies in the ConfigMap `flyball-kept-policies`, for a process whose state directory is empty: of
//! several replicas the leader writes it, and a replica that starts with nothing uses it.
//!
//! The announced policies are not enough: they may be a policy set that people rolled back, and a process that never
//! saw its predecessor could then not act. Nothing else depends on this copy, so a server that rejects it is only
//! logged.

use std::sync::Arc;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::ports::policy_memory::{KeptPolicies, PolicyMemory, PolicyOrder};

use super::api_server::ApiServer;
use super::config_map::ConfigMap;
use super::failure::Failure;

/// Name of the ConfigMap. It is shipped because a role cannot restrict creation to a name.
pub const NAME: &str = "flyball-kept-policies";
/// The key that holds them, as JSON.
const KEY: &str = "policies.json";
/// Pause before a rejected write is retried.
const PAUSE: Duration = Duration::from_secs(10);

/// What one process keeps for itself, plus a shared copy. Dropping it ends its task.
pub struct SharedPolicies {
    local: Arc<dyn PolicyMemory>,
    /// What the ConfigMap held at the start.
    found: KeptPolicies,
    shared: watch::Sender<KeptPolicies>,
    _task: AbortOnDropHandle<()>,
}

impl SharedPolicies {
    /// Reads the ConfigMap in `namespace`, flyball's own, and keeps everything else in `local`. Needs a running tokio.
    pub async fn over(local: Arc<dyn PolicyMemory>, server: &ApiServer, namespace: &str) -> Self {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{NAME}");
        let map = Map { server: server.clone(), path };
        let found = map.read().await.unwrap_or_else(|why| {
            tracing::warn!(
                why,
                "{namespace}/{NAME} cannot be read: a start with an empty state directory may have no policies"
            );
            KeptPolicies::default()
        });
        let (shared, next) = watch::channel(KeptPolicies::default());
        Self { local, found, shared, _task: AbortOnDropHandle::new(tokio::spawn(map.follow(next))) }
    }
}

impl PolicyMemory for SharedPolicies {
    /// What this process kept takes precedence over the copy: it may be newer, and never omits what this process
    /// decided by.
    fn kept(&self) -> KeptPolicies {
        let local = self.local.kept();
        if local.in_force.is_some() { local } else { self.found.clone() }
    }

    fn keep(&self, policies: &KeptPolicies) -> Result<(), String> {
        self.local.keep(policies)
    }

    fn share(&self, policies: &KeptPolicies) {
        self.shared.send_replace(policies.clone());
    }

    fn orders(&self) -> watch::Receiver<Option<PolicyOrder>> {
        self.local.orders()
    }
}

/// The ConfigMap.
struct Map {
    server: ApiServer,
    path: String,
}

impl Map {
    async fn read(&self) -> Result<KeptPolicies, String> {
        let map: ConfigMap = self.server.get(&self.path).await.map_err(|failure| failure.to_string())?;
        map.data.get(KEY).map_or_else(
            || Ok(KeptPolicies::default()),
            |text| serde_json::from_str(text).map_err(|error| format!("{KEY} cannot be parsed: {error}")),
        )
    }

    /// Writes the newest shared state until the sender is dropped.
    async fn follow(self, mut next: watch::Receiver<KeptPolicies>) {
        while next.changed().await.is_ok() {
            loop {
                let policies = next.borrow_and_update().clone();
                let Err(why) = self.write(&policies).await else { break };
                tracing::warn!(why, "{NAME} not written: a start with an empty state directory may have no policies");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn write(&self, policies: &KeptPolicies) -> Result<(), String> {
        let text = serde_json::to_string(policies).map_err(|error| error.to_string())?;
        let written: Result<IgnoredAny, Failure> =
            self.server.merge(&self.path, &json!({ "data": { KEY: text } })).await;
        written.map(drop).map_err(|failure| failure.to_string())
    }
}
