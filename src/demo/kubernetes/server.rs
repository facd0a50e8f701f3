//! A Kubernetes API server, to the extent a controller of replicas needs one: `Deployment`s and `StatefulSet`s with
//! their scale, ConfigMaps, Events, Leases, the objects of `flyball.dev`; versions, preconditions, dry runs, field
//! managers, watches; errors in the API's form.
//!
//! Plain HTTP on loopback. It authenticates nobody and runs nothing: the plant reports to [`Objects`] what runs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::call::{Call, Verb};
use super::discovery;
use super::objects::Objects;
use super::resource::{self, Subresource, set, text, unset};
use super::status::Refusal;
use super::watching::{self, Subscription};

/// Longest duration of a watch, and the default.
const WATCH_LIMIT: Duration = Duration::from_mins(30);

/// A running API double. Dropping it stops it.
#[derive(Debug)]
pub struct KubernetesDouble {
    address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl KubernetesDouble {
    /// Starts a server for `objects` on a free port of loopback.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(objects: Objects) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        // Without this, small answers wait for the client's delayed acknowledgement.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router(objects)).await) });
        Ok(Self { address, _serving: AbortOnDropHandle::new(serving) })
    }

    /// Returns its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Returns the API of `objects`, for any server.
pub fn router(objects: Objects) -> Router {
    Router::new().fallback(answer).with_state(objects)
}

type Answered = Result<Response, Refusal>;

async fn answer(State(objects): State<Objects>, request: Request) -> Response {
    match request.uri().path() {
        "/livez" | "/readyz" | "/healthz" => return "ok".into_response(),
        // Every caller may do everything: it authenticates nobody.
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => {
            return answer_json(StatusCode::CREATED, &json!({ "status": { "allowed": true } }));
        }
        path => {
            if let Some(document) = discovery::document(path) {
                return answer_json(StatusCode::OK, &document);
            }
        }
    }
    let served = Call::read(request).await.and_then(|call| serve(&objects, &call));
    served.unwrap_or_else(|refusal| refuse(&refusal))
}

fn serve(objects: &Objects, call: &Call) -> Answered {
    match (call.verb, &call.place.name) {
        (Verb::Watch, _) => watch(objects, call),
        (_, Some(name)) => serve_object(objects, call, name),
        (Verb::Create, None) => create(objects, call),
        (_, None) => list(objects, call),
    }
}

fn create(objects: &Objects, call: &Call) -> Answered {
    let namespace = call.place.namespace.as_deref().unwrap_or_default();
    let made = objects.create(call.place.resource, namespace, call.json()?, &call.author)?;
    Ok(answer_json(StatusCode::CREATED, &made))
}

fn serve_object(objects: &Objects, call: &Call, name: &str) -> Answered {
    let (resource, part) = (call.place.resource, call.place.part);
    let namespace = call.place.namespace.as_deref().unwrap_or_default();
    let object = match call.verb {
        Verb::Delete => {
            objects.delete(resource, namespace, name, &call.author)?;
            let details = json!({ "name": name, "group": resource.group(), "kind": resource.plural() });
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            });
            return Ok(answer_json(StatusCode::OK, &status));
        }
        Verb::Update => {
            let body = call.json()?;
            objects.update(resource, namespace, name, &call.author, |old| match part {
                Some(Subresource::Scale) => resource::with_scale(old, &body),
                Some(Subresource::Status) => resource::with_status(old, &body),
                None => Ok(body),
            })?
        }
        Verb::Patch => {
            if call.media_type != "application/merge-patch+json" {
                return Err(Refusal::PatchType);
            }
            let patch = call.json()?;
            let patched = objects.update(resource, namespace, name, &call.author, |old| match part {
                Some(Subresource::Scale) => {
                    resource::with_scale(old, &resource::merge(resource::scale_view(old), &patch))
                }
                Some(Subresource::Status) => resource::with_status(old, &resource::merge(old.clone(), &patch)),
                None => Ok(resource::merge(old.clone(), &patch)),
            });
            patched.map_err(|refusal| refusal.of_patch(part == Some(Subresource::Scale)))?
        }
        Verb::Get | Verb::List | Verb::Watch | Verb::Create => objects.get(resource, namespace, name)?,
    };
    let shown = if part == Some(Subresource::Scale) { &resource::scale_view(&object) } else { &*object };
    Ok(answer_json(StatusCode::OK, shown))
}

fn list(objects: &Objects, call: &Call) -> Answered {
    let resource = call.place.resource;
    let limit = call.number("limit")?.filter(|limit| *limit > 0).unwrap_or(u64::MAX);
    let resume = call.parameter("continue").map(resume_point).transpose()?;
    let after = resume.as_ref().map(|(_, after)| after);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = objects.list(resource, call.place.namespace.as_deref(), after, limit);
    // Every page carries the version of the first, so that a watch from there misses nothing.
    let version = resume.as_ref().map_or(page.version, |(version, _)| *version);
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if let Some((namespace, name)) = &page.last {
        set(&mut metadata, &["continue"], json!(format!("{version}.{namespace}.{name}")));
        set(&mut metadata, &["remainingItemCount"], json!(page.remaining));
    }
    let selected = call.selected_name()?;
    let wanted = |object: &Value| {
        let named = selected.as_deref().is_none_or(|name| name == text(object, "/metadata/name"));
        named && resource::selected(object, call.selector())
    };
    let items = page.items.iter().filter(|object| wanted(object)).map(|object| {
        // Items of a list carry no type of their own.
        let mut item = Value::clone(object);
        unset(&mut item, &["kind"]);
        unset(&mut item, &["apiVersion"]);
        item
    });
    let body = json!({
        "kind": format!("{}List", resource.kind()), "apiVersion": resource.api_version(),
        "metadata": metadata, "items": items.collect::<Vec<_>>(),
    });
    Ok(answer_json(StatusCode::OK, &body))
}

/// Parses a continue token: the version of the first page, and the last object sent.
fn resume_point(token: &str) -> Result<(u64, (String, String)), Refusal> {
    let mut parts = token.splitn(3, '.');
    let (version, namespace, name) = (parts.next(), parts.next(), parts.next());
    match (version.and_then(|version| version.parse().ok()), namespace, name) {
        (Some(version), Some(namespace), Some(name)) => Ok((version, (namespace.to_owned(), name.to_owned()))),
        _ => Err(Refusal::Bad("continue key is not valid".to_owned())),
    }
}

fn watch(objects: &Objects, call: &Call) -> Answered {
    let wanted = Subscription {
        resource: call.place.resource,
        namespace: call.place.namespace.clone(),
        name: call.selected_name()?,
        labels: call.selector().to_owned(),
        from: call.number("resourceVersion")?.filter(|version| *version > 0),
        timeout: call.number("timeoutSeconds")?.map_or(WATCH_LIMIT, Duration::from_secs).min(WATCH_LIMIT),
        bookmarks: call.flag("allowWatchBookmarks"),
    };
    let lines = watching::stream(objects.clone(), wanted);
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response())
}

fn refuse(refusal: &Refusal) -> Response {
    answer_json(StatusCode::from_u16(refusal.code()).unwrap_or(StatusCode::BAD_REQUEST), &refusal.body())
}

fn answer_json(code: StatusCode, body: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
