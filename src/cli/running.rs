//! Questions to the flyball that runs with the same settings.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Settings;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What tells one flyball from another; earlier versions do not say it.
#[derive(Debug, Deserialize)]
struct Identity {
    state: Option<PathBuf>,
}

/// Asks for `path` below `/api/v1/`.
///
/// # Errors
/// None answers, it refuses, it is of another version, or it runs by other settings.
pub(super) async fn ask<A: DeserializeOwned>(settings: &Settings, path: &str) -> anyhow::Result<A> {
    is_own(settings).await?;
    ask_any(settings, path).await
}

/// Refuses the flyball that answers, if one does, where it runs by other settings: what it says is not about these.
///
/// # Errors
/// That one does, and what to do.
pub(super) async fn is_own(settings: &Settings) -> anyhow::Result<()> {
    match stranger(settings).await {
        None => Ok(()),
        Some(state) => anyhow::bail!(
            "the flyball at {} is another one: its state directory is {}, that of these settings {}; name its settings with \
             --config, or end it, or set `listen` of one of the two to another address",
            settings.listen,
            state.display(),
            settings.place().display()
        ),
    }
}

/// Returns the state directory of the flyball that answers, where it is not that of these settings.
pub(super) async fn stranger(settings: &Settings) -> Option<PathBuf> {
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().ok()?;
    let answer = client.get(format!("http://{}/api/v1/status", settings.listen)).send().await.ok()?;
    let identity: Identity = answer.error_for_status().ok()?.json().await.ok()?;
    identity.state.filter(|state| *state != settings.place())
}

/// Asks whichever flyball answers.
///
/// # Errors
/// None answers, it refuses, or it is of another version.
pub(super) async fn ask_any<A: DeserializeOwned>(settings: &Settings, path: &str) -> anyhow::Result<A> {
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
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
