//! A parsed request to the API double: the verb, the object, and the author.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Query, Request};
use axum::http::{HeaderMap, Method, Uri, header};
use serde_json::Value;

use super::objects::Author;
use super::resource::{Resource, Subresource};
use super::status::Refusal;

/// Largest request body read, as in a real server.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The verb of a request, as in RBAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// One object, or its scale.
    Get,
    /// A collection.
    List,
    /// Changes of a collection.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

/// A parsed request.
#[derive(Debug, Clone)]
pub struct Call {
    /// The verb.
    pub verb: Verb,
    /// The object or collection.
    pub place: Place,
    /// The author.
    pub author: Author,
    /// Media type of the body.
    pub media_type: String,
    query: BTreeMap<String, String>,
    body: Bytes,
}

/// What a path refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The kind.
    pub resource: Resource,
    /// The namespace; `None` for all.
    pub namespace: Option<String>,
    /// The object; `None` for the collection.
    pub name: Option<String>,
    /// The subresource; `None` for the whole object.
    pub part: Option<Subresource>,
}

impl Call {
    /// Reads a request.
    ///
    /// # Errors
    /// `NoPath` for an unknown path, `Method`, `Bad` for a malformed request.
    pub async fn read(request: Request) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let (verb, place) = subject(&parts.method, &parts.uri)?;
        let query = query(&parts.uri)?;
        let author = Author {
            manager: query.get("fieldManager").cloned().unwrap_or_else(|| user_agent(&parts.headers)),
            part: place.part,
            dry_run: match query.get("dryRun").map(String::as_str) {
                None => false,
                Some("All") => true,
                Some(other) => return Err(Refusal::Bad(format!("dryRun: Unsupported value: \"{other}\""))),
            },
        };
        let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
        let body = axum::body::to_bytes(body, BODY_LIMIT).await;
        let body = body.map_err(|error| Refusal::Bad(format!("the body could not be read: {error}")))?;
        Ok(Self { verb, place, author, media_type, query, body })
    }

    /// Returns the body as JSON.
    ///
    /// # Errors
    /// `Bad`.
    pub fn json(&self) -> Result<Value, Refusal> {
        serde_json::from_slice(&self.body).map_err(|error| Refusal::Bad(format!("error decoding the body: {error}")))
    }

    /// Returns a parameter, if it is present and not empty.
    pub fn parameter(&self, key: &str) -> Option<&str> {
        self.query.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns a numeric parameter.
    ///
    /// # Errors
    /// `Bad` when it is not a number.
    pub fn number(&self, key: &str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.parameter(key) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| Refusal::Bad(format!("{key}: Invalid value: \"{value}\"")))
    }

    /// Returns whether a flag is set.
    pub fn flag(&self, key: &str) -> bool {
        flag(&self.query, key)
    }

    /// Returns the label selector; empty if there is none.
    pub fn selector(&self) -> &str {
        self.parameter("labelSelector").unwrap_or_default()
    }

    /// Returns the name of the selected object: from the path, or from the only supported field selector
    /// (`metadata.name=...`).
    ///
    /// # Errors
    /// `Bad` for any other selector.
    pub fn selected_name(&self) -> Result<Option<String>, Refusal> {
        let Some(selector) = self.parameter("fieldSelector") else { return Ok(self.place.name.clone()) };
        let name = selector.strip_prefix("metadata.name=").map(|name| name.trim_start_matches('=').to_owned());
        name.map(Some).ok_or_else(|| Refusal::Bad(format!("field label not supported: {selector}")))
    }
}

impl Place {
    /// Returns what a path refers to; `None` if it is unknown.
    fn of(path: &str) -> Option<Self> {
        let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, version, rest) = match path.as_slice() {
            ["api", "v1", rest @ ..] => ("", "v1", rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, plural, name, part) = match rest {
            ["namespaces", namespace, plural] => (Some(namespace), plural, None, None),
            ["namespaces", namespace, plural, name] => (Some(namespace), plural, Some(name), None),
            ["namespaces", namespace, plural, name, part] => (Some(namespace), plural, Some(name), Some(part)),
            [plural] => (None, plural, None, None),
            [plural, name] => (None, plural, Some(name), None),
            _ => return None,
        };
        let resource = Resource::find(group, version, plural)?;
        // A collection may be listed across all namespaces, but an object needs the scope of its kind.
        if (name.is_some() || namespace.is_some()) && resource.namespaced() != namespace.is_some() {
            return None;
        }
        let part = match part {
            Some(part) => Some(resource.subresource(part)?),
            None => None,
        };
        let owned = |text: Option<&&str>| text.map(|text| (*text).to_owned());
        Some(Self { resource, namespace: owned(namespace), name: owned(name), part })
    }
}

/// Returns what a request wants, and of what.
///
/// # Errors
/// `NoPath` for an unknown path, `Method`, `Bad` for a malformed query.
pub fn subject(method: &Method, uri: &Uri) -> Result<(Verb, Place), Refusal> {
    let place = Place::of(uri.path()).ok_or(Refusal::NoPath)?;
    let verb = verb(method, &place, flag(&query(uri)?, "watch")).ok_or(Refusal::Method)?;
    Ok((verb, place))
}

fn verb(method: &Method, place: &Place, watch: bool) -> Option<Verb> {
    Some(match (method, &place.name) {
        (&Method::GET, _) if watch => Verb::Watch,
        (&Method::GET, Some(_)) => Verb::Get,
        (&Method::GET, None) => Verb::List,
        (&Method::POST, None) if place.namespace.is_some() == place.resource.namespaced() => Verb::Create,
        (&Method::PUT, Some(_)) => Verb::Update,
        (&Method::PATCH, Some(_)) => Verb::Patch,
        (&Method::DELETE, Some(_)) if place.part.is_none() => Verb::Delete,
        _ => return None,
    })
}

/// Returns the field manager of a client that names none: its user agent, up to the slash.
fn user_agent(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("unknown");
    agent.split('/').next().unwrap_or(agent).to_owned()
}

fn query(uri: &Uri) -> Result<BTreeMap<String, String>, Refusal> {
    let read = Query::<BTreeMap<String, String>>::try_from_uri(uri);
    read.map(|query| query.0).map_err(|error| Refusal::Bad(error.to_string()))
}

fn flag(query: &BTreeMap<String, String>, key: &str) -> bool {
    query.get(key).is_some_and(|value| value == "1" || value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_objects_or_nowhere() {
        let place = Place::of("/apis/apps/v1/namespaces/shop/deployments/checkout/scale").unwrap();
        assert_eq!(place.resource, Resource::Deployments);
        assert_eq!((place.namespace.as_deref(), place.name.as_deref()), (Some("shop"), Some("checkout")));
        assert_eq!(place.part, Some(Subresource::Scale));
        let place = Place::of("/apis/flyball.dev/v1alpha1/namespaces/shop/serviceloops/checkout/status").unwrap();
        assert_eq!((place.resource, place.part), (Resource::ServiceLoops, Some(Subresource::Status)));
        let place = Place::of("/apis/flyball.dev/v1alpha1/platformbounds/flyball").unwrap();
        assert_eq!((place.namespace, place.name.as_deref()), (None, Some("flyball")));
        assert_eq!(Place::of("/api/v1/configmaps").unwrap().namespace, None);
        for nowhere in [
            "/",
            "/api/v1/deployments",
            "/apis/apps/v1/configmaps",
            "/api/v1/namespaces/a/configmaps/b/scale",
            "/apis/apps/v1/namespaces/shop/deployments/checkout/status",
            "/apis/apps/v1/namespaces/shop/pods",
            "/apis/apps/v1/deployments/checkout",
            "/apis/flyball.dev/v1alpha1/namespaces/shop/platformbounds/flyball",
            "/apis/flyball.dev/v1/namespaces/shop/serviceloops",
        ] {
            assert_eq!(Place::of(nowhere), None, "{nowhere}");
        }
    }
}
