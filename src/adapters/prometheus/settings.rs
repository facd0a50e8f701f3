//! Where a Prometheus server is, how long a query may take, and the identity flyball queries with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Why a source cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The address cannot be used. The text does not repeat it: it may contain a password.
    #[error("url is not usable: {0}; expected http(s)://host[:port][/path]")]
    Url(String),
    /// A header that cannot be sent.
    #[error("header `{0}` cannot be sent: names are letters, digits and -, values are one line of ASCII")]
    Header(String),
    /// The certificates cannot be used.
    #[error("ca_file {path}: {reason}; expected certificates in PEM form", path = path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A deadline under which no answer can arrive.
    #[error("timeout is {0:?}, expected 1ms to 60s")]
    Timeout(Duration),
    /// Install one (`rustls::crypto::ring`) at the start of the process.
    #[error("no TLS provider is installed in this process; install one before setting up sources")]
    NoTlsProvider,
    /// The HTTP client cannot be built, for instance because the trusted certificates cannot be read.
    #[error("cannot build the HTTP client: {0}")]
    Client(String),
}

/// The identity a server is queried with, and the certificates it is verified by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// File with the bearer token of each query. Read again each time, since tokens are rotated.
    pub bearer_token_file: Option<PathBuf>,
    /// File with certificates (PEM) to trust for the server, in addition to those of the system. Read at the start.
    pub ca_file: Option<PathBuf>,
    /// Headers sent with each query, such as the tenant; no secrets.
    pub headers: BTreeMap<String, String>,
}

/// Settings of a Prometheus source, valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusSettings {
    /// Base address, with a trailing slash.
    pub(super) base: Url,
    /// Deadline of one query.
    pub(super) timeout: Duration,
    /// See [`Access::bearer_token_file`].
    pub(super) bearer_token_file: Option<PathBuf>,
    /// See [`Access::ca_file`].
    pub(super) ca_file: Option<PathBuf>,
    /// See [`Access::headers`].
    pub(super) headers: HeaderMap,
}

impl PrometheusSettings {
    /// Deadline of a query unless set otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// Returns settings for the server at `url`: scheme `http` or `https`, a host, and a path if the API is not at the
    /// root. `timeout` is the deadline of one query, connecting and reading included.
    ///
    /// # Errors
    /// [`SetupError::Url`] and [`SetupError::Timeout`].
    pub fn new(url: &str, timeout: Duration) -> Result<Self, SetupError> {
        let mut base = Url::parse(url).map_err(|error| SetupError::Url(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(SetupError::Url(format!("scheme {}", base.scheme())));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(SetupError::Url("it contains credentials, which would end up in logs".to_owned()));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(SetupError::Url("it has a query or a fragment".to_owned()));
        }
        if !(Duration::from_millis(1)..=Duration::from_mins(1)).contains(&timeout) {
            return Err(SetupError::Timeout(timeout));
        }
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        Ok(Self { base, timeout, bearer_token_file: None, ca_file: None, headers: HeaderMap::new() })
    }

    /// Returns the same settings with this access. The files are read when needed.
    ///
    /// # Errors
    /// [`SetupError::Header`].
    pub fn with_access(self, access: &Access) -> Result<Self, SetupError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &access.headers {
            let (known, value) = header(name, value).ok_or_else(|| SetupError::Header(name.clone()))?;
            headers.insert(known, value);
        }
        let (bearer_token_file, ca_file) = (access.bearer_token_file.clone(), access.ca_file.clone());
        Ok(Self { bearer_token_file, ca_file, headers, ..self })
    }
}

/// Returns whether a header can be sent.
pub fn can_be_sent(name: &str, value: &str) -> bool {
    header(name, value).is_some()
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    HeaderName::try_from(name).ok().zip(HeaderValue::from_str(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_and_takes_no_credentials() {
        let settings = PrometheusSettings::new("https://mimir:9009/prometheus", PrometheusSettings::TIMEOUT).unwrap();
        assert_eq!(settings.base.as_str(), "https://mimir:9009/prometheus/");
        for bad in [
            "",
            "mimir:9009",
            "ftp://mimir",
            "http://",
            "http://mimir?x=1",
            "http://mimir#x",
            "/etc/passwd",
            "https://bob:s3cret@mimir",
            "https://bob@mimir",
        ] {
            let error = PrometheusSettings::new(bad, PrometheusSettings::TIMEOUT).unwrap_err();
            assert!(matches!(error, SetupError::Url(_)) && !error.to_string().contains("s3cret"), "{bad}: {error}");
        }
        for bad in [Duration::ZERO, Duration::from_hours(1)] {
            assert_eq!(PrometheusSettings::new("http://a", bad), Err(SetupError::Timeout(bad)));
        }
    }

    #[test]
    fn headers_are_checked() {
        let plain = PrometheusSettings::new("https://mimir", PrometheusSettings::TIMEOUT).unwrap();
        let with = |name: &str, value: &str| {
            let headers = [(name.to_owned(), value.to_owned())].into();
            plain.clone().with_access(&Access { headers, ..Access::default() })
        };
        assert_eq!(with("X-Scope-OrgID", "shop").unwrap().headers["x-scope-orgid"], "shop");
        for (name, value) in [("", "x"), ("a b", "x"), ("tenant", "a\nb")] {
            assert_eq!(with(name, value), Err(SetupError::Header(name.to_owned())), "{name}");
        }
    }
}
