//! Questions to the flyball that runs with the same settings.

use std::time::Duration;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Settings;

/// Asks for `path` below `/api/v1/`.
///
/// # Errors
/// None answers, it refuses, or it is of another version.
pub(super) async fn ask<A: DeserializeOwned>(settings: &Settings, path: &str) -> anyhow::Result<A> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
    let answer = client.get(format!("http://{}/api/v1/{path}", settings.listen)).send().await;
    let answer = answer.map_err(|error| {
        let why = anyhow::Error::from(error);
        let start = start_of(settings);
        anyhow::anyhow!("no flyball answers at {}: {}; start `{start}`", settings.listen, why.root_cause())
    })?;
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        let refusal: Value = answer.json().await.unwrap_or_default();
        let why = refusal["error"].as_str().unwrap_or("no such thing");
        anyhow::bail!("the flyball at {} says: {why}", settings.listen);
    }
    let answer = answer.error_for_status()?;
    answer.json().await.with_context(|| format!("the flyball at {} is of another version", settings.listen))
}

/// Returns what starts a flyball with these settings: those of a demo lie in its state directory.
fn start_of(settings: &Settings) -> &'static str {
    if settings.state.join("flyball.yaml").exists() { "flyball demo" } else { "flyball run" }
}
