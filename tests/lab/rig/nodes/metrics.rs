//! The CPU of the workers, as served by `metrics.k8s.io`: the share of its slots that a worker kept busy since the last
//! measurement, applied to its container's CPU request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path as Parameter, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::pod::{timestamp, worker};

const GROUP: &str = "metrics.k8s.io/v1beta1";

/// What was measured last, by address.
#[derive(Debug, Clone, Default)]
pub struct Usage(Arc<Mutex<BTreeMap<String, Measured>>>);

#[derive(Debug, Clone)]
struct Measured {
    namespace: String,
    name: String,
    labels: BTreeMap<String, String>,
    container: String,
    busy_seconds: f64,
    at: Instant,
    shown: Option<Shown>,
}

#[derive(Debug, Clone)]
struct Shown {
    millicores: f64,
    window: Duration,
    time: String,
}

impl Usage {
    /// Forgets a pod that has ended.
    pub fn forget(&self, address: &str) {
        self.locked().remove(address);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Measured>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Returns the pods of a namespace, or of all, that carry these labels.
    fn list(&self, namespace: Option<&str>, selector: &str) -> Value {
        let wanted: Vec<(&str, &str)> = selector
            .split(',')
            .filter_map(|term| term.split_once('='))
            .map(|(k, v)| (k, v.trim_start_matches('=')))
            .collect();
        let carries = |it: &Measured| wanted.iter().all(|(key, value)| it.labels.get(*key).is_some_and(|v| v == value));
        let locked = self.locked();
        let items = locked.values().filter(|it| namespace.is_none_or(|wanted| wanted == it.namespace) && carries(it));
        let items: Vec<Value> = items.filter_map(Measured::item).collect();
        json!({ "kind": "PodMetricsList", "apiVersion": GROUP, "metadata": {}, "items": items })
    }
}

impl Measured {
    fn item(&self) -> Option<Value> {
        let shown = self.shown.as_ref()?;
        let usage = json!({ "cpu": format!("{:.0}m", shown.millicores), "memory": "20Mi" });
        Some(json!({
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": self.labels },
            "timestamp": shown.time, "window": format!("{}ms", shown.window.as_millis()),
            "containers": [{ "name": self.container, "usage": usage }],
        }))
    }
}

/// Measures all workers periodically.
pub async fn measure(pods: Store<Pod>, resolution: Duration, usage: Usage) {
    loop {
        tokio::time::sleep(resolution).await;
        for pod in pods.state() {
            if let Some((address, page)) = page_of(&pod).await {
                note(&usage, &pod, address, &page);
            }
        }
    }
}

async fn page_of(pod: &Pod) -> Option<(String, String)> {
    let address = pod.status.as_ref()?.pod_ip.clone()?;
    let answer = worker(&address, "metrics").timeout(Duration::from_secs(1)).send().await.ok()?;
    Some((address, answer.text().await.ok()?))
}

fn note(usage: &Usage, pod: &Pod, address: String, page: &str) {
    let value = |name: &str| page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    let (Some(busy_seconds), Some(slots)) = (value("worker_busy_slot_seconds_total "), value("worker_slots ")) else {
        return;
    };
    let Some(container) = pod.spec.iter().flat_map(|spec| &spec.containers).next() else { return };
    let (now, mut locked) = (Instant::now(), usage.locked());
    let shown = locked.get(&address).filter(|before| before.name == pod.name_any()).map(|before| {
        let window = now - before.at;
        let busy = (busy_seconds - before.busy_seconds) / window.as_secs_f64() / slots;
        Shown { millicores: busy * requested(container), window, time: timestamp() }
    });
    let measured = Measured {
        namespace: pod.namespace().unwrap_or_default(),
        name: pod.name_any(),
        labels: pod.labels().clone(),
        container: container.name.clone(),
        busy_seconds,
        at: now,
        shown,
    };
    locked.insert(address, measured);
}

/// Returns the CPU that a container requests, in millicores; one core by default.
fn requested(container: &k8s_openapi::api::core::v1::Container) -> f64 {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let cpu = requests.and_then(|requests| requests.get("cpu")).map_or("1", |quantity| &quantity.0);
    let (number, factor) = cpu.strip_suffix('m').map_or((cpu, 1000.0), |number| (number, 1.0));
    number.parse::<f64>().map_or(1000.0, |number| number * factor)
}

/// Listens, and returns the server, which runs until dropped.
pub async fn serve(
    listen: SocketAddr,
    certificate: &Path,
    key: &Path,
    usage: Usage,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let settings = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    let listener = Tls { tcp: TcpListener::bind(listen).await?, acceptor: TlsAcceptor::from(Arc::new(settings)) };
    let base = format!("/apis/{GROUP}");
    let router = Router::new()
        .route(&base, get(async || Json(resources())))
        .route(&format!("{base}/pods"), get(all))
        .route(&format!("{base}/namespaces/{{namespace}}/pods"), get(of_namespace))
        .with_state(usage);
    Ok(async move { Ok(axum::serve(listener, router).await?) })
}

fn resources() -> Value {
    let pods =
        json!({ "name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["list"] });
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP, "resources": [pods] })
}

type Asked = Query<BTreeMap<String, String>>;

async fn all(State(usage): State<Usage>, asked: Asked) -> Json<Value> {
    Json(usage.list(None, asked.get("labelSelector").map_or("", String::as_str)))
}

async fn of_namespace(
    State(usage): State<Usage>,
    Parameter(namespace): Parameter<String>,
    asked: Asked,
) -> Json<Value> {
    Json(usage.list(Some(&namespace), asked.get("labelSelector").map_or("", String::as_str)))
}

/// Accepts TLS connections, one handshake at a time: only the API server connects.
struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.tcp.accept().await else {
                // Out of file descriptors, at worst.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let handshake = self.acceptor.accept(stream);
            if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_secs(5), handshake).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
