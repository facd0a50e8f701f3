//! The services that the settings list: the same from start to end. What happens to them is told by the console, the
//! journal and the logs.

use std::sync::Arc;

use tokio::sync::watch;

use crate::model::{ServiceId, ServiceSpec};
use crate::ports::services::{News, Roster, Services};

/// A fixed set of services.
#[derive(Debug)]
pub struct Listed {
    roster: watch::Sender<Option<Roster>>,
}

impl Listed {
    /// Returns the declarations `services`.
    pub fn new(services: impl IntoIterator<Item = ServiceSpec>) -> Self {
        let roster = services.into_iter().map(|spec| (spec.id.clone(), Arc::new(spec))).collect();
        Self { roster: watch::Sender::new(Some(Arc::new(roster))) }
    }
}

impl Services for Listed {
    fn watch(&self) -> watch::Receiver<Option<Roster>> {
        self.roster.subscribe()
    }

    fn tell(&self, _: &ServiceId, _: News) {}
}
