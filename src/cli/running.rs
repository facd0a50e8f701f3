//! Questions to the flyball that runs with the same settings.

use std::time::Duration;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Settings;

/// The running flyball, asked over one client.
pub(super) struct Running<'a> {
    settings: &'a Settings,
    client: reqwest::Client,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// Nothing listens at its address.
    #[error("{0}")]
    Nobody(String),
    /// It does not know what was asked for.
    #[error("{0}")]
    NotFound(String),
    /// It fails, refuses, or is of another version.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl<'a> Running<'a> {
    /// Returns the flyball of these settings, whether it runs or not.
    ///
    /// # Errors
    /// The client cannot be made.
    pub(super) fn of(settings: &'a Settings) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
        Ok(Self { settings, client })
    }

    /// Asks for `path` below `/api/v1/`.
    pub(super) async fn ask<A: DeserializeOwned>(&self, path: &str) -> Result<A, Unanswered> {
        let address = self.settings.listen;
        let answer = self.client.get(format!("http://{address}/api/v1/{path}")).send().await;
        let answer = answer.map_err(|error| {
            let is_nobody = error.is_connect();
            let why = anyhow::Error::from(error);
            let start = start_of(self.settings);
            let why = format!("no flyball answers at {address}: {}; start `{start}`", why.root_cause());
            if is_nobody { Unanswered::Nobody(why) } else { Unanswered::Failed(anyhow::anyhow!(why)) }
        })?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            let refusal: Value = answer.json().await.unwrap_or_default();
            let why = refusal["error"].as_str().unwrap_or("no such thing");
            return Err(Unanswered::NotFound(format!("the flyball at {address} says: {why}")));
        }
        let answer = answer.error_for_status().map_err(anyhow::Error::from)?;
        let read = answer.json().await;
        Ok(read.with_context(|| format!("the flyball at {address} is of another version"))?)
    }
}

/// Asks once for `path` below `/api/v1/`.
///
/// # Errors
/// None answers, it refuses, or it is of another version.
pub(super) async fn ask<A: DeserializeOwned>(settings: &Settings, path: &str) -> anyhow::Result<A> {
    Ok(Running::of(settings)?.ask(path).await?)
}

/// Returns what starts a flyball with these settings: those of a demo lie in its state directory.
fn start_of(settings: &Settings) -> &'static str {
    if settings.state.join("flyball.yaml").exists() { "flyball demo" } else { "flyball run" }
}
