//! Queries to the flyball that runs with the same settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::config::Settings;
use crate::ports::Status;

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The running flyball, queried over one client.
pub(super) struct Running<'a> {
    settings: &'a Settings,
    client: reqwest::Client,
    /// The state directory of one that runs with other settings.
    stranger: OnceCell<Option<PathBuf>>,
}

/// What identifies a flyball; earlier versions do not report it.
#[derive(Debug, Deserialize)]
struct Identity {
    state: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// Nothing listens at its address.
    #[error("{0}")]
    Nobody(String),
    /// The requested thing is unknown to it.
    #[error("{0}")]
    NotFound(String),
    /// Something else answers at its address.
    #[error("{0}")]
    NoFlyball(String),
    /// It fails, refuses, has another version, or runs with other settings.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl<'a> Running<'a> {
    /// Returns the flyball of these settings, whether it runs or not.
    ///
    /// # Errors
    /// The client cannot be created.
    pub(super) fn of(settings: &'a Settings) -> anyhow::Result<Self> {
        Ok(Self { settings, client: client()?, stranger: OnceCell::new() })
    }

    /// Queries `path` below `/api/v1/`, once it is known that the answering flyball runs with these settings.
    pub(super) async fn ask<A: DeserializeOwned>(&self, path: &str) -> Result<A, Unanswered> {
        self.is_own().await?;
        self.ask_any(path).await
    }

    /// Refuses the answering flyball, if any, if it runs with other settings: its answers are not about these.
    ///
    /// # Errors
    /// That one does, and what to do.
    pub(super) async fn is_own(&self) -> anyhow::Result<()> {
        let settings = self.settings;
        match self.stranger().await {
            None => Ok(()),
            Some(state) => anyhow::bail!(
                "the flyball at {} is a different one: its state directory is {}, that of these settings is {}; name \
                 its settings with --config, stop it, or set `listen` of one of the two to another address",
                settings.listen,
                state.display(),
                settings.place().display()
            ),
        }
    }

    /// Returns the state directory of the answering flyball, if it is not that of these settings.
    pub(super) async fn stranger(&self) -> Option<&PathBuf> {
        let asked = self.stranger.get_or_init(async || {
            let identity: Identity = self.ask_any("status").await.ok()?;
            identity.state.filter(|state| *state != self.settings.place())
        });
        asked.await.as_ref()
    }

    /// Queries whichever flyball answers.
    pub(super) async fn ask_any<A: DeserializeOwned>(&self, path: &str) -> Result<A, Unanswered> {
        ask_at(&self.client, self.settings.listen, start_of(self.settings), path).await
    }
}

/// Queries whichever flyball answers at `address`, where `start` would start one.
pub(super) async fn ask_at<A: DeserializeOwned>(
    client: &reqwest::Client,
    address: SocketAddr,
    start: &str,
    path: &str,
) -> Result<A, Unanswered> {
    let answer = client.get(format!("http://{address}/api/v1/{path}")).send().await;
    let answer = answer.map_err(|error| {
        let is_nobody = error.is_connect();
        let why = anyhow::Error::from(error);
        let why = format!("no flyball answers at {address}: {}; start `{start}`", why.root_cause());
        if is_nobody { Unanswered::Nobody(why) } else { Unanswered::Failed(anyhow::anyhow!(why)) }
    })?;
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        let refusal: Value = answer.json().await.unwrap_or_default();
        return Err(match (refusal["error"].as_str(), refusal["remedy"].as_str()) {
            (Some(why), Some(_)) => Unanswered::NotFound(format!("the flyball at {address} reports: {why}")),
            _ => Unanswered::NoFlyball(format!(
                "the process listening at {address} is not flyball: stop it, or set `listen` or FLYBALL_LISTEN to a \
                 free address and start `{start}`"
            )),
        });
    }
    let answer = answer.error_for_status().map_err(anyhow::Error::from)?;
    let read = answer.json().await;
    Ok(read.with_context(|| {
        format!("the process listening at {address} is a flyball of another version, or not flyball")
    })?)
}

/// Returns the client for such queries.
///
/// # Errors
/// It cannot be created.
pub(super) fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?)
}

/// Says that the answering flyball runs with older settings than the file now holds, if so: they are read only at its
/// start. Earlier versions do not report it.
pub(super) fn outdated(settings: &Settings, status: &Status) -> Option<String> {
    let in_force = status.settings.as_ref()?;
    let is_own = status.state.as_ref().is_none_or(|state| *state == settings.place());
    (is_own && *in_force != settings.revision)
        .then(|| "flyball is running with older settings; restart it to apply the file".to_owned())
}

/// Queries `path` once below `/api/v1/`.
///
/// # Errors
/// None answers, it refuses, it has another version, or it runs with other settings.
pub(super) async fn ask<A: DeserializeOwned>(settings: &Settings, path: &str) -> anyhow::Result<A> {
    Ok(Running::of(settings)?.ask(path).await?)
}

/// Returns the command that starts a flyball with these settings: those of a demo are in its state directory.
fn start_of(settings: &Settings) -> &'static str {
    if settings.state.join("flyball.yaml").exists() { "flyball demo" } else { "flyball run" }
}
