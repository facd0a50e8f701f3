//! The only way to the API server: each request is sent once, has a deadline, names its field manager, and fails as one
//! of the variants of [`Failure`]. The caller decides what a failure means.

use std::time::Duration;

use futures::TryStream;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::api::{ListParams, WatchEvent, WatchParams};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::cache::Object;
use super::failure::Failure;

/// The field manager of every write.
pub(super) const FIELD_MANAGER: &str = "flyball";
/// Longest answer about one object; the server itself refuses objects larger than a few MiB.
const LONGEST_OBJECT: usize = 32 << 20;
/// Longest page of a list: hundreds of the largest objects that the server accepts.
const LONGEST_PAGE: usize = 1 << 30;

/// Timeouts. Real time: none of it follows the clock of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To open a connection: what remains of one second after the last read of the kill switch, so that no write starts
    /// later than one second after that read.
    pub connect: Duration,
    /// From sending a read or a write of one object to its answer.
    pub answer: Duration,
    /// For a page of a list.
    pub list: Duration,
    /// Length of one watch, in whole seconds; the server sends a bookmark at least at its end.
    pub watch: Duration,
    /// Silence after which a watch counts as outdated: a real server would have sent two bookmarks.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(450),
            answer: Duration::from_secs(5),
            list: Duration::from_secs(30),
            watch: Duration::from_mins(1),
            silence: Duration::from_mins(2),
        }
    }
}

impl Timeouts {
    /// Returns the time after which a write has landed or never will ([`crate::model::LANDS_WITHIN`]).
    pub(super) fn lands_within(&self) -> Duration {
        self.answer.saturating_mul(2).saturating_add(Duration::from_secs(1))
    }
}

/// An API server and its timeouts. A clone shares the connections.
#[derive(Clone)]
pub struct ApiServer {
    client: Client,
    pub(super) timeouts: Timeouts,
}

impl ApiServer {
    pub(super) fn new(client: Client, timeouts: Timeouts) -> Self {
        Self { client, timeouts }
    }

    /// Returns the namespace of the account; `default` if the access names none.
    pub fn default_namespace(&self) -> &str {
        self.client.default_namespace()
    }

    /// Returns the same server with answers due `within` that time, if that is shorter.
    pub(super) fn within(&self, within: Duration) -> Self {
        let timeouts = Timeouts { answer: self.timeouts.answer.min(within), ..self.timeouts };
        Self { client: self.client.clone(), timeouts }
    }

    /// Reads what is at `path`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let request = Request::get(checked(path)?).body(Vec::new()).map_err(Failure::unbuildable)?;
        self.ask(request, self.timeouts.answer, LONGEST_OBJECT).await
    }

    /// Creates `object` in the collection at `path`.
    pub(super) async fn create<T: DeserializeOwned>(&self, path: &str, object: &Value) -> Result<T, Failure> {
        self.write(Method::POST, path, "application/json", object).await
    }

    /// Merges `patch` into the object or subresource at `path`.
    pub(super) async fn merge<T: DeserializeOwned>(&self, path: &str, patch: &Value) -> Result<T, Failure> {
        self.write(Method::PATCH, path, "application/merge-patch+json", patch).await
    }

    /// Deletes the object at `path`.
    pub(super) async fn delete(&self, path: &str) -> Result<(), Failure> {
        let options = Value::Object(serde_json::Map::new());
        self.write::<IgnoredAny>(Method::DELETE, path, "application/json", &options).await.map(drop)
    }

    /// Reads one page of the collection at `path`.
    pub(super) async fn page<T: DeserializeOwned>(&self, path: &str, of: &ListParams) -> Result<T, Failure> {
        let request = kube::core::Request::new(path).list(of).map_err(Failure::unbuildable)?;
        self.ask(request, self.timeouts.list, LONGEST_PAGE).await
    }

    /// Watches the collection at `path` from `version` on. The only request without a deadline: it ends as `of` says,
    /// which the caller enforces.
    pub(super) async fn events<T: Object>(
        &self,
        path: &str,
        of: &WatchParams,
        version: u64,
    ) -> kube::Result<impl TryStream<Item = kube::Result<WatchEvent<T>>> + use<T>> {
        let request = kube::core::Request::new(path).watch(of, &version.to_string());
        self.client.request_events(request.map_err(kube::Error::BuildRequest)?).await
    }

    /// The server must give up with us: what it has not done by then it never does.
    async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        let within = self.timeouts.answer;
        let uri = format!("{}?fieldManager={FIELD_MANAGER}&timeout={}ms", checked(path)?, within.as_millis());
        let request = Request::builder().method(method).uri(uri).header(CONTENT_TYPE, media_type);
        let request = request.body(body.to_string().into_bytes()).map_err(Failure::unbuildable)?;
        self.ask(request, within, LONGEST_OBJECT).await
    }

    /// Sends a request and reads its answer like kube's own `request`, except that an error is the HTTP status of the
    /// answer, whatever its body is, and carries `Retry-After`: kube drops both.
    async fn ask<T: DeserializeOwned>(
        &self,
        request: Request<Vec<u8>>,
        within: Duration,
        longest: usize,
    ) -> Result<T, Failure> {
        let path = request.uri().path().to_owned();
        let answered = async {
            let (head, body) = self.client.send(request.map(kube::client::Body::from)).await?.into_parts();
            let body = Limited::new(body, longest).collect().await;
            match body {
                Ok(body) if head.status.is_success() => Ok(body.to_bytes()),
                Ok(body) => Err(Failure::answered(&head, &String::from_utf8_lossy(&body.to_bytes()))),
                Err(error) if head.status.is_success() => Err(Failure::lost(&*error)),
                Err(error) => Err(Failure::answered(&head, &error.to_string())),
            }
        };
        let late = |_| Failure::Lost(format!("no answer within {within:?}"));
        let answer = tokio::time::timeout(within, answered).await.map_err(late)??;
        serde_json::from_slice(&answer).map_err(|error| Failure::Lost(format!("malformed answer from {path}: {error}")))
    }
}

/// Returns `path` if it is valid: no name in it may lead elsewhere.
fn checked(path: &str) -> Result<&str, Failure> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || ['-', '.'].contains(&character);
    let is_name =
        |part: &str| part.starts_with(|first: char| first.is_ascii_alphanumeric()) && part.chars().all(is_plain);
    let is_path = path.strip_prefix('/').is_some_and(|parts| parts.split('/').all(is_name));
    is_path.then_some(path).ok_or_else(|| Failure::Unbuildable(format!("`{path}` is not an API path")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_elsewhere() {
        for path in ["/version", "/apis/flyball.dev/v1alpha1/namespaces/shop/loopactions/checkout-1.a/status"] {
            assert_eq!(checked(path), Ok(path));
        }
        for path in ["", "/", "version", "/api//v1", "/api/v1/", "/api/../v1", "/api/v1?x=1", "/api/a%2fb", "/api/ä"] {
            assert!(matches!(checked(path), Err(Failure::Unbuildable(_))), "{path}");
        }
    }
}
