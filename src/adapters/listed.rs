//! The services listed in the settings: the same from start to exit. What happens to them is reported by the console,
//! the journal and the logs.

use std::sync::Arc;

use tokio::sync::watch;

use crate::model::{ServiceId, ServiceSpec};
use crate::ports::services::{DeclaredServices, News, Services};

/// A fixed set of services.
#[derive(Debug)]
pub struct Listed {
    roster: watch::Sender<Option<DeclaredServices>>,
}

impl Listed {
    /// Returns a fixed set of `services`.
    pub fn new(services: impl IntoIterator<Item = ServiceSpec>) -> Self {
        let roster = services.into_iter().map(|spec| (spec.id.clone(), Arc::new(spec))).collect();
        Self { roster: watch::Sender::new(Some(Arc::new(roster))) }
    }
}

impl Services for Listed {
    fn watch(&self) -> watch::Receiver<Option<DeclaredServices>> {
        self.roster.subscribe()
    }

    fn tell(&self, _: &ServiceId, _: News) {}
}
