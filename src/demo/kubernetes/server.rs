//! A Kubernetes API server, to the extent a controller of replicas needs one: `Deployment`s and `StatefulSet`s with
//! their scale, ConfigMaps, Events, Leases, the objects of `flyball.dev`; versions, preconditions, dry runs, field
//! managers, watches; errors in the API's form.
//!
//! Plain HTTP on loopback. It authenticates nobody and runs nothing: the plant reports to [`Objects`] what runs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::call::Call;
use super::connection::{BreakableListener, Cut};
use super::discovery;
use super::faults::{Fault, Faults, Verb};
use super::objects::Objects;
use super::resource::{self, Subresource, set, text, unset};
use super::status::Refusal;
use super::watching::{self, Subscription};

/// Longest duration of a watch, and the default.
const WATCH_LIMIT: Duration = Duration::from_mins(30);

/// A running API double. Dropping it stops it and closes its connections.
#[derive(Debug)]
pub struct KubernetesDouble {
    address: SocketAddr,
    objects: Objects,
    faults: Faults,
    _stop: DropGuard,
}

impl KubernetesDouble {
    /// Starts a server for `objects` on a free port of loopback.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(objects: Objects) -> io::Result<Self> {
        Self::start_at(objects, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts a server for `objects` at `address`, to restart a stopped one.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start_at(objects: Objects, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let faults = Faults::default();
        let server = Server { objects: objects.clone(), faults: faults.clone() };
        let app = axum::Router::new().fallback(answer).with_state(server);
        let all = CancellationToken::new();
        let service = app.into_make_service_with_connect_info::<Cut>();
        let serving = axum::serve(BreakableListener::new(listener, all.clone()), service);
        let stopped = all.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = serving.into_future() => {}
                () = stopped.cancelled() => {}
            }
        });
        Ok(Self { address, objects, faults, _stop: all.drop_guard() })
    }

    /// Returns its listen address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns its store.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Returns its faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

#[derive(Debug, Clone)]
struct Server {
    objects: Objects,
    faults: Faults,
}

type Answered = Result<Response, Refusal>;

async fn answer(State(server): State<Server>, ConnectInfo(cut): ConnectInfo<Cut>, request: Request) -> Response {
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
    let call = match Call::read(request).await {
        Ok(call) => call,
        Err(refusal) => return refuse(&refusal),
    };
    let fault = server.faults.meet(call.verb, call.place.resource);
    if let Some(Fault::Answer { code, body }) = &fault {
        return answer_as_ordered(*code, body);
    }
    // In its own task: a request is handled even if the client does not wait for the answer.
    let done = tokio::spawn(async move {
        if let Some(Fault::DelayBefore(time)) = &fault {
            tokio::time::sleep(*time).await;
        }
        let response = serve(&server, &call).unwrap_or_else(|refusal| refuse(&refusal));
        server.faults.handled(call.verb, call.place.resource);
        match fault {
            Some(Fault::DelayAnswer(time)) => tokio::time::sleep(time).await,
            Some(Fault::HoldAnswer) => server.faults.released().await,
            Some(Fault::Cut) => cut.now(),
            Some(Fault::DelayBefore(_) | Fault::Answer { .. }) | None => {}
        }
        response
    });
    done.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn serve(server: &Server, call: &Call) -> Answered {
    match (call.verb, &call.place.name) {
        (Verb::Watch, _) => watch(server, call),
        (_, Some(name)) => serve_object(&server.objects, call, name),
        (Verb::Create, None) => create(&server.objects, call),
        (_, None) => list(&server.objects, call),
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

fn watch(server: &Server, call: &Call) -> Answered {
    let wanted = Subscription {
        resource: call.place.resource,
        namespace: call.place.namespace.clone(),
        name: call.selected_name()?,
        labels: call.selector().to_owned(),
        from: call.number("resourceVersion")?.filter(|version| *version > 0),
        timeout: call.number("timeoutSeconds")?.map_or(WATCH_LIMIT, Duration::from_secs).min(WATCH_LIMIT),
        bookmarks: call.flag("allowWatchBookmarks"),
    };
    let lines = watching::stream(server.objects.clone(), &server.faults, wanted);
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response())
}

fn refuse(refusal: &Refusal) -> Response {
    answer_json(StatusCode::from_u16(refusal.code()).unwrap_or(StatusCode::BAD_REQUEST), &refusal.body())
}

fn answer_as_ordered(code: u16, body: &Value) -> Response {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer_json(code, body);
    if matches!(code, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn answer_json(code: StatusCode, body: &Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
