//! Connections that can be broken: one by one (a fault), or all (the server is stopped).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Breaks one connection.
#[derive(Debug, Clone)]
pub struct Cut(CancellationToken);

impl Cut {
    /// Closes the connection; nothing more is sent on it.
    pub fn now(&self) {
        self.0.cancel();
    }
}

/// A listener whose connections all end when `all` is cancelled.
#[derive(Debug)]
pub struct BreakableListener {
    inner: TcpListener,
    all: CancellationToken,
}

impl BreakableListener {
    /// Wraps `inner`.
    pub fn new(inner: TcpListener, all: CancellationToken) -> Self {
        Self { inner, all }
    }
}

impl Listener for BreakableListener {
    type Io = BreakableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (inner, address) = Listener::accept(&mut self.inner).await;
        // Without this, small answers wait for the client's delayed acknowledgement.
        let _ = inner.set_nodelay(true);
        let cut = self.all.child_token();
        let ended = Box::pin(cut.clone().cancelled_owned());
        (BreakableStream { inner, cut, ended }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// A connection of a [`BreakableListener`].
pub struct BreakableStream {
    inner: TcpStream,
    cut: CancellationToken,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl BreakableStream {
    /// Fails once the connection is cut; wakes the caller when that happens.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.ended.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for BreakableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for BreakableStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl Connected<IncomingStream<'_, BreakableListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, BreakableListener>) -> Self {
        Self(stream.io().cut.clone())
    }
}
