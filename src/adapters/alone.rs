//! Leadership of a single-process deployment.

use futures::FutureExt;
use futures::future::{self, BoxFuture};
use tokio::sync::watch;

use crate::model::{Epoch, Lead};
use crate::ports::Leadership;

/// A process without peers: it leads from start to exit.
#[derive(Debug)]
pub struct Alone {
    terms: watch::Sender<Option<Epoch>>,
}

impl Default for Alone {
    fn default() -> Self {
        Self { terms: watch::Sender::new(Some(Epoch::ALONE)) }
    }
}

impl Leadership for Alone {
    fn lead(&self) -> Lead {
        Lead::Alone
    }

    fn terms(&self) -> watch::Receiver<Option<Epoch>> {
        self.terms.subscribe()
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        future::ready(()).boxed()
    }
}
