//! A collection, read whole from the server of record.

use std::time::Duration;

use kube::Client;
use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::Timeouts;

/// Objects in one page.
const PAGE: u32 = 500;

/// A collection as of one moment.
pub(super) struct Listed<T> {
    pub(super) objects: Vec<T>,
    /// Version of the first page: a watch from there misses nothing of the later ones. `None` where the server gave
    /// none.
    pub(super) version: Option<u64>,
}

/// Why a collection could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    /// The request failed.
    #[error("{}", super::failure::explain(.0))]
    Failed(#[source] kube::Error),
    /// A page did not come in time.
    #[error("no list within {0:?}")]
    Late(Duration),
    /// What came is no list.
    #[error("malformed list: {0}")]
    Malformed(#[source] serde_json::Error),
}

#[derive(Deserialize)]
struct Page<T> {
    metadata: PageMetadata,
    /// Go writes an empty list as null.
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageMetadata {
    resource_version: String,
    /// Token of the next page; empty on the last one.
    r#continue: String,
}

/// Reads the collection at `path`, page by page, as far as `selected` selects it.
///
/// # Errors
/// The first that any page has; what was read by then is of no use.
pub(super) async fn list<T: DeserializeOwned>(
    client: &Client,
    timeouts: Timeouts,
    path: &str,
    selected: &ListParams,
) -> Result<Listed<T>, ListError> {
    let mut listed = Listed { objects: Vec::new(), version: None };
    let mut token = None;
    loop {
        let parameters = ListParams { limit: Some(PAGE), continue_token: token.take(), ..selected.clone() };
        let request = Request::new(path).list(&parameters);
        let request = request.map_err(|error| ListError::Failed(kube::Error::BuildRequest(error)))?;
        let answer = tokio::time::timeout(timeouts.list, client.request_text(request)).await;
        let text = answer.map_err(|_| ListError::Late(timeouts.list))?.map_err(ListError::Failed)?;
        let page: Page<T> = serde_json::from_str(&text).map_err(ListError::Malformed)?;
        listed.objects.extend(page.items.unwrap_or_default());
        let version = || page.metadata.resource_version.parse().ok().filter(|version| *version > 0);
        listed.version = listed.version.or_else(version);
        if page.metadata.r#continue.is_empty() {
            return Ok(listed);
        }
        token = Some(page.metadata.r#continue);
    }
}
