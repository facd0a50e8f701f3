//! One exchange with the server: one at a time, within a deadline, up to a size limit, and with errors that say what
//! failed without bodies or credentials.

use std::error::Error;
use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use memchr::memmem;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, redirect};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::parse;
use super::settings::{PrometheusSettings, SetupError};
use crate::adapters::retry_after::retry_after;
use crate::adapters::whole_file::{open_regular, read_limited};
use crate::model::controls::is_unprintable;
use crate::ports::SourceError;

/// Longest back-off that a source can request.
const LONGEST_BACK_OFF: Duration = Duration::from_mins(1);

/// Most bytes read of an answer, decoded: a vector of 10,000 series is 2 to 3 MB (fault row P11).
pub(super) const MAX_ANSWER: usize = 16 << 20;
/// Most bytes read of an answer that is an error.
const MAX_ERROR: usize = 64 << 10;
/// Most characters of foreign text in one of our errors.
const MAX_TEXT: usize = 256;
/// Most bytes of a source's certificates: a machine's whole trust store is a quarter of a megabyte.
const MAX_CERTIFICATES: u64 = 4 << 20;
/// Most bytes of a token.
const MAX_TOKEN: usize = 16 << 10;

/// The connection to one server.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    settings: PrometheusSettings,
    /// The token sent last; empty before the first.
    token: parking_lot::Mutex<Token>,
    /// Held during an exchange, so that ticks and history never have two queries in flight.
    one: Mutex<()>,
}

/// A secret, which is never displayed.
#[derive(Default)]
struct Token(String);

impl Token {
    fn hidden_in(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, "***") }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// An exchange without a usable answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: SourceError,
    /// Back-off that the server requests.
    pub(super) back_off: Option<Duration>,
}

impl From<SourceError> for Refusal {
    fn from(error: SourceError) -> Self {
        Self { error, back_off: None }
    }
}

impl Http {
    pub(super) fn new(settings: PrometheusSettings) -> Result<Self, SetupError> {
        // Without one the client's builder panics, even for plain http.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(SetupError::NoTlsProvider);
        }
        let client = Client::builder()
            .user_agent(concat!("flyball/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(1)
            .default_headers(settings.headers.clone())
            .tls_certs_merge(certificates(settings.ca_file.as_deref())?)
            .build()
            .map_err(|error| SetupError::Client(reason(&error)))?;
        Ok(Self { client, settings, token: parking_lot::Mutex::default(), one: Mutex::new(()) })
    }

    /// Posts a form to `path` and returns the body of a successful answer. `left` is the remaining time of the round;
    /// the query's own deadline applies as well.
    pub(super) async fn post(&self, path: &str, form: &[(&str, &str)], left: Duration) -> Result<Vec<u8>, Refusal> {
        let asked = Instant::now();
        // Waiting for a query of our own (a history read) does not mean that the server is silent.
        let Ok(_one) = tokio::time::timeout(left, self.one.lock()).await else {
            return Err(SourceError::NotReached(left).into());
        };
        let limit = self.settings.timeout.min(left.saturating_sub(asked.elapsed()));
        match tokio::time::timeout(limit, self.exchange(path, form, limit)).await {
            Ok(answer) => answer,
            Err(_) => Err(SourceError::TimedOut(limit).into()),
        }
    }

    async fn exchange(&self, path: &str, form: &[(&str, &str)], limit: Duration) -> Result<Vec<u8>, Refusal> {
        let url = self.settings.base.join(path).map_err(|error| SourceError::Malformed(error.to_string()))?;
        // The server gives up when we do.
        let timeout = format!("{}ms", limit.as_millis());
        let form = [form, &[("timeout", timeout.as_str())]].concat();
        let request = self.authorized(self.client.post(url).form(&form)).await?;
        let response = request.send().await.map_err(|error| self.failed(&error))?;

        let status = response.status();
        let json = is_json(response.headers());
        if !status.is_success() {
            let back_off = back_off(status, response.headers());
            let text = if json { self.error_text(response).await } else { None };
            let message = text.unwrap_or_else(|| explained(status));
            return Err(Refusal { error: SourceError::Status { status: status.as_u16(), message }, back_off });
        }
        if !json {
            let found = header(response.headers(), CONTENT_TYPE).unwrap_or("none");
            let found = short(&self.token.lock().hidden_in(found));
            let text = format!("content type is {found}, expected application/json; is this the API's address?");
            return Err(SourceError::Malformed(text).into());
        }
        Ok(self.body(response, MAX_ANSWER).await?)
    }

    /// Adds the token that its file currently holds.
    async fn authorized(&self, request: RequestBuilder) -> Result<RequestBuilder, SourceError> {
        let Some(file) = &self.settings.bearer_token_file else { return Ok(request) };
        let unusable = |what: &str| SourceError::Unauthorized(format!("bearer_token_file {} {what}", file.display()));
        let path = file.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            open_regular(&path)?.take(MAX_TOKEN as u64 + 1).read_to_string(&mut text).map(|_| text)
        });
        let text = read.await.map_err(io::Error::other).flatten();
        let text = text.map_err(|error| unusable(&format!("cannot be read: {error}")))?;
        let token = text.trim();
        if token.is_empty() || token.len() > MAX_TOKEN || !token.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(unusable("does not contain exactly one token"));
        }
        token.clone_into(&mut self.token.lock().0);
        Ok(request.bearer_auth(token))
    }

    async fn error_text(&self, response: Response) -> Option<String> {
        let body = self.body(response, MAX_ERROR).await.ok()?;
        parse::error_text(&body)
    }

    /// Reads a body, decoded, up to `limit` bytes.
    async fn body(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, SourceError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&error))? {
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(SourceError::TooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(self.without_token(body))
    }

    /// Removes the token from a body, in case the server echoes it: no part of it can reach a message.
    fn without_token(&self, body: Vec<u8>) -> Vec<u8> {
        let token = self.token.lock();
        if token.0.is_empty() || memmem::find(&body, token.0.as_bytes()).is_none() {
            return body;
        }
        token.hidden_in(&String::from_utf8_lossy(&body)).into_bytes()
    }

    fn failed(&self, error: &reqwest::Error) -> SourceError {
        if is_undecodable(error) {
            return SourceError::Malformed(format!("cannot decode the body: {}", reason(error)));
        }
        SourceError::Unreachable { url: self.settings.base.to_string(), reason: reason(error) }
    }
}

/// Returns the certificates in a file; none if no file is named.
fn certificates(file: Option<&Path>) -> Result<Vec<Certificate>, SetupError> {
    let Some(path) = file else { return Ok(Vec::new()) };
    let unusable = |reason: String| SetupError::Certificates { path: path.to_owned(), reason };
    let pem = read_limited(path, MAX_CERTIFICATES).map_err(|error| unusable(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(reason(&error)))?;
    if found.is_empty() { Err(unusable("contains no certificate".to_owned())) } else { Ok(found) }
}

/// Returns foreign text fit for one of our errors: cut, on one line.
pub(super) fn short(text: &str) -> String {
    text.chars().map(|letter| if is_unprintable(letter) { ' ' } else { letter }).take(MAX_TEXT).collect()
}

/// Distinguishes a body that cannot be decoded from a connection that broke within it; the client calls both a decoding
/// error.
fn is_undecodable(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source());
    let mut kinds = causes.filter_map(|cause| cause.downcast_ref()).map(io::Error::kind);
    error.is_decode() && kinds.any(|kind| matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}

/// Returns the innermost cause, the most useful one; the outer ones repeat the address.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    short(&cause.to_string())
}

fn explained(status: StatusCode) -> String {
    let name = status.canonical_reason().unwrap_or("unknown status");
    if status.is_redirection() {
        format!("{name}; redirects are not followed, use the final address")
    } else {
        name.to_owned()
    }
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = header(headers, CONTENT_TYPE).and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

/// Returns the back-off that the server requests, capped.
fn back_off(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    retry_after(headers).map(|asked| asked.min(LONGEST_BACK_OFF))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{DATE, RETRY_AFTER};

    use super::*;

    fn check(status: u16, retry_after: &str, expected: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        headers.insert(DATE, "Tue, 24 Nov 2026 12:00:00 GMT".parse().unwrap());
        let found = back_off(StatusCode::from_u16(status).unwrap(), &headers);
        assert_eq!(found, expected.map(Duration::from_secs), "{status} {retry_after}");
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms_and_capped() {
        check(429, "0", Some(0));
        check(429, " 7 ", Some(7));
        check(503, "86400", Some(60));
        check(503, "18446744073709551615", Some(60));
        check(429, "18446744073709551616", Some(60));
        check(429, "-1", None);
        check(429, "soon", None);
        check(429, "", None);
        check(429, "1.5", None);
        check(503, "Tue, 24 Nov 2026 12:00:30 GMT", Some(30));
        check(503, "Wed, 25 Nov 2026 12:00:00 GMT", Some(60));
        check(503, "Mon, 23 Nov 2026 12:00:00 GMT", Some(0));
        check(500, "7", None);
    }

    #[test]
    fn foreign_text_is_cut_and_stays_on_one_line() {
        assert_eq!(short("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(short(&"ä".repeat(1000)).chars().count(), 256);
    }
}
