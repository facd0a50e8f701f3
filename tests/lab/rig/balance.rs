//! The load balancer: requests go round-robin to the ready endpoints of a service, as listed in its endpoint slices.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::net::TcpListener;

/// Endpoints tried per request; one that cannot be reached has just ended.
const TRIES: usize = 3;

/// Which service, and where.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Namespace of the service.
    #[arg(long)]
    namespace: String,
    /// The service.
    #[arg(long)]
    service: String,
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
}

struct Balancer {
    slices: Store<EndpointSlice>,
    client: reqwest::Client,
    turn: AtomicUsize,
}

/// Balances until it is killed.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let api: Api<EndpointSlice> = Api::namespaced(Client::try_default().await?, &arguments.namespace);
    let selector = format!("kubernetes.io/service-name={}", arguments.service);
    let (slices, writer) = reflector::store();
    let changes = watcher(api, watcher::Config::default().labels(&selector)).default_backoff();
    let watching = reflector::reflector(writer, changes).for_each(async |_| ());
    let client = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_millis(500)).build()?;
    let balancer = Arc::new(Balancer { slices, client, turn: AtomicUsize::new(0) });
    let router = Router::new().fallback(forward).with_state(balancer);
    let listener = TcpListener::bind(arguments.listen).await?;
    tokio::select! {
        ended = axum::serve(listener, router).into_future() => Ok(ended?),
        () = watching => anyhow::bail!("the watch of the endpoints ended"),
    }
}

async fn forward(State(balancer): State<Arc<Balancer>>) -> StatusCode {
    let endpoints = balancer.ready();
    for _ in 0..TRIES.min(endpoints.len()) {
        let turn = balancer.turn.fetch_add(1, Ordering::Relaxed);
        let Some(endpoint) = endpoints.get(turn % endpoints.len()) else { break };
        match balancer.client.get(format!("http://{endpoint}/")).send().await {
            Ok(answer) => return StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY),
            Err(error) if error.is_connect() => {}
            Err(_) => return StatusCode::BAD_GATEWAY,
        }
    }
    StatusCode::SERVICE_UNAVAILABLE
}

impl Balancer {
    fn ready(&self) -> Vec<String> {
        let mut ready = BTreeSet::new();
        for slice in self.slices.state() {
            let port = slice.ports.iter().flatten().find_map(|port| port.port).unwrap_or(80);
            let endpoints = slice.endpoints.iter();
            let endpoints =
                endpoints.filter(|it| it.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(true)));
            ready.extend(endpoints.flat_map(|it| it.addresses.iter().map(|address| format!("{address}:{port}"))));
        }
        ready.into_iter().collect()
    }
}
