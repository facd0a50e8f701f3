//! What a service follows: its declaration, and its standing.

use std::sync::Arc;
use std::time::Duration;

use crate::cycle::withdrawal::held_up;
use crate::model::{Bounds, Mode, ServiceSpec, TargetReading, TargetState};

use super::slot::Service;

/// How long no held floor must be visible before that is believed.
pub const SECOND_LOOK: Duration = Duration::from_secs(15);

/// What a service follows. One value, so that readers see a declaration together with the standing under that very one.
#[derive(Debug)]
pub(super) struct Declared {
    /// The declaration; one that changes what is measured needs a new slot.
    pub(super) spec: Arc<ServiceSpec>,
    /// The standing of the service.
    pub(super) standing: Standing,
}

/// Standing of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is declared.
    Supervised,
    /// It is no longer declared, and continues in order to return the floor that it holds up, or may hold up.
    Withdrawn {
        /// Since when (monotonic) no held floor is visible; `None` while one is.
        bare_since: Option<Duration>,
    },
    /// It is no longer supervised.
    Retired,
}

impl Service {
    /// Returns the declaration.
    pub fn spec(&self) -> Arc<ServiceSpec> {
        self.declared.load().spec.clone()
    }

    /// Returns its standing.
    pub fn standing(&self) -> Standing {
        self.declared.load().standing
    }

    /// Returns whether it continues without a declaration.
    pub fn is_withdrawn(&self) -> bool {
        matches!(self.standing(), Standing::Withdrawn { .. })
    }

    pub(super) fn is_retired(&self) -> bool {
        self.standing() == Standing::Retired
    }

    /// Switches to a changed declaration of the same series and target; each stage does so with its next input.
    pub fn declared(&self, spec: Arc<ServiceSpec>) {
        self.metrics.mode(spec.mode);
        self.stands(spec, Standing::Supervised);
    }

    /// Returns the standing at `now` (monotonic) of a service that is no longer declared: it continues while it holds
    /// up the floor of an autoscaler, or may, since the floor would stay behind. This relies on the watch, which is
    /// ahead of the last cycle and behind a write that just started or ended: that no floor is held up is believed
    /// after two observations, [`SECOND_LOOK`] apart.
    pub fn undeclared(&self, now: Duration) -> Standing {
        let (spec, gate) = (self.spec(), &self.world.gate);
        let target = self.world.ports.cluster.observed(&spec.target);
        if spec.mode != Mode::Auto || target.last().and_then(TargetState::autoscaler).is_none() {
            return Standing::Retired;
        }
        let is_outdated = matches!(target, TargetReading::Outdated { .. });
        let is_unclear = is_outdated || gate.is_writing(&spec.target) || gate.unsettled(&spec.target);
        if is_unclear || held_up(&target).is_some() {
            return Standing::Withdrawn { bare_since: None };
        }
        let since = match self.standing() {
            Standing::Withdrawn { bare_since: Some(since) } => since,
            _ => now,
        };
        let is_believed = now.saturating_sub(since) >= SECOND_LOOK;
        if is_believed { Standing::Retired } else { Standing::Withdrawn { bare_since: Some(since) } }
    }

    /// Continues without a declaration, to return the floor that it holds up, if one is seen. The bounds of owner and
    /// platform no longer apply: the floor predates them, and returning it lowers.
    pub fn withdraw(&self, bare_since: Option<Duration>) {
        let mut spec = self.spec();
        if !self.is_withdrawn() {
            tracing::info!(service = %self.id, "no longer declared; restoring its autoscaler's floor first");
            spec = Arc::new(ServiceSpec { bounds: Bounds { min: 1, max: u32::MAX }, ..(*spec).clone() });
        }
        self.stands(spec, Standing::Withdrawn { bare_since });
    }

    /// Returns the floor that is seen to be held up, whichever service may return it.
    pub fn raised_floor(&self) -> Option<String> {
        let target = self.world.ports.cluster.observed(&self.spec().target);
        held_up(&target).map(|one| format!("HPA {}: {}, found at {}", one.name, one.floor, one.baseline))
    }

    pub(super) fn stands(&self, spec: Arc<ServiceSpec>, standing: Standing) {
        self.declared.store(Arc::new(Declared { spec, standing }));
    }
}
