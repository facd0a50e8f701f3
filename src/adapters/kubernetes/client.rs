//! The connection to the API server: where it is, how long anything may take, and no hidden retries.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::api_server::{ApiServer, Timeouts};

/// How the API server is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// At a URL, without credentials: the demo, a proxy.
    Url(String),
    /// As a kubeconfig says.
    Kubeconfig {
        /// The file; `None` for `$KUBECONFIG` or `~/.kube/config`.
        path: Option<PathBuf>,
        /// The context; `None` for the current one.
        context: Option<String>,
    },
    /// The service account of the pod.
    InCluster,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not a URL.
    #[error("`{url}` is not an API server URL, expected http://host:port or https://host:port")]
    BadUrl {
        /// What was given.
        url: String,
    },
    /// The kubeconfig cannot be used.
    #[error(
        "kubeconfig {path} cannot be used: {reason}; set KUBECONFIG, or `cluster: {{ url: ... }}` in the settings, for \
         example for `kubectl proxy`"
    )]
    Kubeconfig {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Not in a pod with a service account.
    #[error("no service account found ({reason}); outside a cluster, set a url or a kubeconfig")]
    InCluster {
        /// Why.
        reason: String,
    },
    /// TLS or authentication cannot be set up.
    #[error(
        "cannot set up the connection to the API server: {reason}; check the certificates and credentials in the kubeconfig"
    )]
    Client {
        /// Why.
        reason: String,
    },
}

/// Returns the API server. Opens no connection yet; needs a running tokio.
///
/// # Errors
/// When `access` cannot be used.
pub async fn connect(access: &Access, timeouts: Timeouts) -> Result<ApiServer, ConnectError> {
    let mut config = configure(access).await?;
    config.connect_timeout = Some(timeouts.connect);
    config.write_timeout = Some(timeouts.answer);
    // Longer than any silence of a healthy watch: shorter requests have a deadline of their own.
    config.read_timeout = Some(timeouts.watch.saturating_add(Duration::from_secs(30)).max(timeouts.list));
    // Otherwise time spent idle in the pool counts too.
    config.reset_reader_on_write = true;
    // kube repeats a request up to 15 times on 429, 503 and 504; the loop reads and decides again instead.
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|error| ConnectError::Client { reason: error.to_string() })?;
    Ok(ApiServer::new(client, timeouts))
}

async fn configure(access: &Access) -> Result<Config, ConnectError> {
    match access {
        Access::Url(url) => {
            let known_scheme = url.starts_with("http://") || url.starts_with("https://");
            let bad_url = || ConnectError::BadUrl { url: url.clone() };
            let parsed = known_scheme.then(|| url.parse().ok()).flatten().ok_or_else(bad_url)?;
            Ok(Config::new(parsed))
        }
        Access::Kubeconfig { path, context } => {
            let shown =
                path.as_ref().map_or("($KUBECONFIG or ~/.kube/config)".to_owned(), |path| path.display().to_string());
            let failed = |error: kube::config::KubeconfigError| ConnectError::Kubeconfig {
                path: shown.clone(),
                reason: error.to_string(),
            };
            let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
            match path {
                Some(path) => {
                    let file = Kubeconfig::read_from(path).map_err(failed)?;
                    Config::from_custom_kubeconfig(file, &options).await.map_err(failed)
                }
                None => Config::from_kubeconfig(&options).await.map_err(failed),
            }
        }
        Access::InCluster => Config::incluster().map_err(|error| ConnectError::InCluster { reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv_17_the_margin_of_a_write_is_its_deadline_and_a_second() {
        assert_eq!(Timeouts::default().answer + Duration::from_secs(1), crate::model::WRITE_MARGIN);
    }

    /// A request reaches the server before its sender gives up and drops the connection, and the server's own deadline
    /// starts from there.
    #[test]
    fn what_was_sent_has_landed_before_it_is_believed_not_to() {
        assert_eq!(Timeouts::default().lands_within(), crate::model::LANDS_WITHIN);
    }

    #[test]
    fn inv_08_a_write_starts_within_a_second_of_the_last_read_of_the_switch() {
        assert!(crate::model::KILL_READ_HOLDS + Timeouts::default().connect <= Duration::from_secs(1));
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named() {
        let check = async |access: Access, expected: &str| {
            let error = connect(&access, Timeouts::default()).await.err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(Access::Url("localhost:8001".to_owned()), "`localhost:8001` is not an API server URL").await;
        check(Access::Url("http://a b".to_owned()), "is not an API server URL").await;
        let path = Some(PathBuf::from("/nonexistent/kubeconfig"));
        check(Access::Kubeconfig { path, context: None }, "kubeconfig /nonexistent/kubeconfig cannot be used").await;
    }

    #[tokio::test]
    async fn a_client_opens_no_connection() {
        assert!(connect(&Access::Url("http://127.0.0.1:1".to_owned()), Timeouts::default()).await.is_ok());
    }
}
