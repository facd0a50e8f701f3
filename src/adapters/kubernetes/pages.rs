//! A collection, read in full from the server of record.

use kube::api::ListParams;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::api_server::ApiServer;
use super::failure::Failure;

/// Objects in one page.
const PAGE: u32 = 500;

/// A collection as of one moment.
pub(super) struct Listed<T> {
    pub(super) objects: Vec<T>,
    /// Version of the first page: a watch from there misses nothing of the later ones. `None` if the server gave none.
    pub(super) version: Option<u64>,
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

/// Reads the part of the collection at `path` that `selected` selects, page by page. Everything read so far is passed
/// to `at_each_page`, which may drop parts of it.
///
/// # Errors
/// The first error of any page; pages read before it are discarded.
pub(super) async fn list<T: DeserializeOwned>(
    server: &ApiServer,
    path: &str,
    selected: &ListParams,
    at_each_page: impl Fn(&mut [T]),
) -> Result<Listed<T>, Failure> {
    let mut listed = Listed { objects: Vec::new(), version: None };
    let mut token = None;
    loop {
        let of = ListParams { limit: selected.limit.or(Some(PAGE)), continue_token: token.take(), ..selected.clone() };
        let page: Page<T> = server.page(path, &of).await?;
        listed.objects.extend(page.items.unwrap_or_default());
        at_each_page(&mut listed.objects);
        let version = || page.metadata.resource_version.parse().ok().filter(|version| *version > 0);
        listed.version = listed.version.or_else(version);
        if page.metadata.r#continue.is_empty() {
            return Ok(listed);
        }
        token = Some(page.metadata.r#continue);
    }
}
