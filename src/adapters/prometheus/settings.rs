//! Where a Prometheus server is and how long a query may take.

use std::fmt;
use std::time::Duration;

use reqwest::Url;

/// Why a source cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The address cannot be used. The text does not repeat it: it may hold a password.
    #[error("url is not usable: {0}; expected http(s)://[user:password@]host[:port][/path]")]
    Url(String),
    /// A deadline under which no answer can arrive.
    #[error("timeout is {0:?}, expected 1ms to 60s")]
    Timeout(Duration),
    /// Install one (`rustls::crypto::ring`) at the start of the process.
    #[error("no TLS provider is installed in this process; install one before sources are set up")]
    NoTlsProvider,
    /// The HTTP client cannot be built, for instance because the trusted certificates cannot be read.
    #[error("cannot build the HTTP client: {0}")]
    Client(String),
}

/// Settings of a Prometheus source, valid by construction.
#[derive(Clone, PartialEq, Eq)]
pub struct PrometheusSettings {
    /// Base address, with credentials and a slash at its end.
    pub(super) base: Url,
    /// Deadline of one query.
    pub(super) timeout: Duration,
}

impl PrometheusSettings {
    /// Deadline of a query unless set otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// Returns settings for the server at `url`: scheme `http` or `https`, a host, and where the API does not lie at
    /// the root, a path. `timeout` is the deadline of one query, connecting and reading included.
    ///
    /// # Errors
    /// [`SetupError::Url`] and [`SetupError::Timeout`].
    pub fn new(url: &str, timeout: Duration) -> Result<Self, SetupError> {
        let mut base = Url::parse(url).map_err(|error| SetupError::Url(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(SetupError::Url(format!("scheme {}", base.scheme())));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(SetupError::Url("it has a query or a fragment".to_owned()));
        }
        if !(Duration::from_millis(1)..=Duration::from_mins(1)).contains(&timeout) {
            return Err(SetupError::Timeout(timeout));
        }
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        Ok(Self { base, timeout })
    }

    /// Returns the address without credentials, for texts.
    pub fn shown(&self) -> String {
        let mut shown = self.base.clone();
        // Both fail only on addresses without a host, which have no credentials.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.to_string()
    }
}

impl fmt::Debug for PrometheusSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusSettings").field("base", &self.shown()).field("timeout", &self.timeout).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_and_its_credentials_are_never_shown() {
        let settings = PrometheusSettings::new("https://bob:s3cret@mimir:9009/prometheus", PrometheusSettings::TIMEOUT);
        let settings = settings.unwrap();
        assert_eq!(settings.shown(), "https://mimir:9009/prometheus/");
        assert!(!format!("{settings:?}").contains("s3cret"));
        for bad in ["", "mimir:9009", "ftp://mimir", "http://", "http://mimir?x=1", "http://mimir#x", "/etc/passwd"] {
            let error = PrometheusSettings::new(bad, PrometheusSettings::TIMEOUT).unwrap_err();
            assert!(matches!(error, SetupError::Url(_)), "{bad}: {error}");
        }
        for bad in [Duration::ZERO, Duration::from_hours(1)] {
            assert_eq!(PrometheusSettings::new("http://a", bad), Err(SetupError::Timeout(bad)));
        }
    }
}
