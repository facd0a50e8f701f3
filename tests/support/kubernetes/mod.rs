//! The demo's Kubernetes API double as a server that tests can break: faults in its answers, connections that are cut,
//! watches that fall silent, a stop.
//!
//! | file | what |
//! |---|---|
//! | [`faults`] | faults and counters of requests |
//! | [`connection`] | connections that can be cut |

pub mod connection;
pub mod faults;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::middleware::from_fn_with_state;
use flyball::demo::kubernetes::{Objects, router};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use connection::{BreakableListener, Cut};
use faults::{Faults, meet};

/// A running API double. Dropping it stops it and closes its connections.
#[derive(Debug)]
pub struct BreakableDouble {
    address: SocketAddr,
    objects: Objects,
    faults: Faults,
    _connections: DropGuard,
    _serving: AbortOnDropHandle<()>,
}

impl BreakableDouble {
    /// Starts a server for `objects` on a free port of loopback.
    pub async fn start(objects: Objects) -> io::Result<Self> {
        Self::start_at(objects, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts a server for `objects` at `address`, to restart a stopped one.
    pub async fn start_at(objects: Objects, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let faults = Faults::default();
        let app = router(objects.clone()).layer(from_fn_with_state(faults.clone(), meet));
        let connections = CancellationToken::new();
        let service = app.into_make_service_with_connect_info::<Cut>();
        let serving = axum::serve(BreakableListener::new(listener, connections.clone()), service);
        let serving = tokio::spawn(async move { drop(serving.await) });
        let (connections, serving) = (connections.drop_guard(), AbortOnDropHandle::new(serving));
        Ok(Self { address, objects, faults, _connections: connections, _serving: serving })
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
