//! A loopback double of the Prometheus HTTP API, and servers that break its rules.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use parking_lot::Mutex;
use reqwest::Url;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub form: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
}

impl Asked {
    pub fn query(&self) -> &str {
        &self.form["query"]
    }

    /// Whether the query is for sample times.
    pub fn is_for_times(&self) -> bool {
        self.query().contains("timestamp(")
    }
}

type Behaviour = Arc<dyn Fn(&Asked) -> Response + Send + Sync>;

struct Shared {
    behave: Behaviour,
    asked: Mutex<Vec<Asked>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

/// A server that answers as `behave` says and records its queries.
pub struct Double {
    pub url: String,
    shared: Arc<Shared>,
}

impl Double {
    pub async fn start(behave: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            behave: Arc::new(behave),
            asked: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
        });
        let app = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, shared }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }

    pub fn most_in_flight(&self) -> usize {
        self.shared.most_in_flight.load(Ordering::SeqCst)
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    assert_eq!(request.method(), Method::POST);
    let content_type = &request.headers()[header::CONTENT_TYPE];
    assert_eq!(content_type, "application/x-www-form-urlencoded");
    let in_flight = shared.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
    let path = request.uri().path().to_owned();
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let form = Url::parse(&format!("http://form/?{}", std::str::from_utf8(&body).unwrap())).unwrap();
    let form = form.query_pairs().into_owned().collect();
    let asked = Asked { path, form, headers };
    shared.asked.lock().push(asked.clone());
    // Leaves room for a second request, if one is sent.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let response = (shared.behave)(&asked);
    shared.in_flight.fetch_sub(1, Ordering::SeqCst);
    response
}

pub fn response(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    let builder = Response::builder().status(StatusCode::from_u16(status).unwrap());
    builder.header(header::CONTENT_TYPE, content_type).body(body.into()).unwrap()
}

pub fn json(status: u16, body: impl Into<Body>) -> Response {
    response(status, "application/json", body)
}

/// An instant vector: service and value of each series.
pub fn vector(series: &[(&str, &str)]) -> String {
    let series: Vec<String> =
        series.iter().map(|(service, value)| one(service, &format!(r#""value":[1795521600.5,"{value}"]"#))).collect();
    data("vector", &series.join(","))
}

/// A range vector: service and points of each series.
pub fn matrix(series: &[(&str, Vec<(i64, String)>)]) -> String {
    let points = |points: &[(i64, String)]| {
        points.iter().map(|(time, value)| format!(r#"[{time},"{value}"]"#)).collect::<Vec<_>>().join(",")
    };
    let series: Vec<String> =
        series.iter().map(|(service, values)| one(service, &format!(r#""values":[{}]"#, points(values)))).collect();
    data("matrix", &series.join(","))
}

fn one(service: &str, numbers: &str) -> String {
    format!(r#"{{"metric":{{"namespace":"shop","service":"{service}"}},{numbers}}}"#)
}

fn data(kind: &str, result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":[{result}]}}}}"#)
}

/// A body that starts and never ends; `sent` counts its bytes.
pub fn endless(start: &'static str, chunk: Bytes, most: usize, sent: Arc<AtomicUsize>) -> Body {
    let first = futures::stream::once(async move { Ok::<_, std::io::Error>(Bytes::from_static(start.as_bytes())) });
    let rest = futures::stream::unfold(0, move |total| {
        let (chunk, sent) = (chunk.clone(), Arc::clone(&sent));
        async move {
            if total >= most {
                return None;
            }
            sent.fetch_add(chunk.len(), Ordering::SeqCst);
            let total = total + chunk.len();
            Some((Ok(chunk), total))
        }
    });
    Body::from_stream(futures::StreamExt::chain(first, rest))
}

/// A body that starts and stays silent.
pub fn stalled(start: &'static str) -> Body {
    let first = futures::stream::once(async move { Ok::<_, std::io::Error>(Bytes::from_static(start.as_bytes())) });
    Body::from_stream(futures::StreamExt::chain(first, futures::stream::pending()))
}

/// A body that comes late.
pub fn late(body: String, delay: Duration) -> Body {
    Body::from_stream(futures::stream::once(async move {
        tokio::time::sleep(delay).await;
        Ok::<_, std::io::Error>(Bytes::from(body))
    }))
}

/// A server that reads a request, writes `bytes` and closes; returns its address.
pub async fn raw(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
        }
    });
    url
}

/// A server that speaks TLS with a certificate vouched for only by its own file.
pub struct Private {
    pub url: String,
    pub certificate: PathBuf,
    _directory: TempDir,
}

impl Private {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (directory.path().join("server.crt"), directory.path().join("server.key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .args([key.as_os_str(), "-out".as_ref(), certificate.as_os_str()])
            .output();
        assert!(made.expect("openssl is installed by scripts/test").status.success());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let chain = CertificateDer::pem_file_iter(&certificate).unwrap().collect::<Result<_, _>>().unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(&key).unwrap()).unwrap();
        let (config, listener) = (Arc::new(config), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let url = format!("https://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(connection) = rustls::ServerConnection::new(config.clone()) else { return };
                // A client that does not trust it disconnects.
                let _ = answer(rustls::StreamOwned::new(connection, stream.unwrap()));
            }
        });
        Self { url, certificate, _directory: directory }
    }
}

/// Answers one query and closes.
fn answer(mut stream: impl Read + Write) -> std::io::Result<()> {
    let (mut asked, mut part) = (String::new(), [0; 4096]);
    while !asked.contains("query=") {
        let count = stream.read(&mut part)?;
        asked.push_str(&String::from_utf8_lossy(&part[..count]));
    }
    let body = vector(&[("a", if asked.contains("timestamp") { "1795521590.123" } else { "10" })]);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
    write!(stream, "{head} {}\r\n\r\n{body}", body.len())?;
    stream.flush()
}
