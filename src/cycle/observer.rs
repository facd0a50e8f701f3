//! Turns what a source delivered into features, and numbers the cycles.

use std::sync::Arc;

use crate::model::{Arrival, CycleId, Features, Now, ServiceSpec, TargetReading, TraceId};
use crate::observe::{Observer, observe};

/// One round of a source, cut to one service.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundArrived {
    /// In the order of the spec's signals; `None` if this source was not queried.
    pub arrivals: Vec<Option<Arrival>>,
    /// The target as the cluster's watch last showed it.
    pub target: TargetReading,
    /// When the round arrived. The whole cycle uses this one reading of the clock.
    pub now: Now,
}

/// A cycle after the observe stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Which cycle.
    pub cycle: CycleId,
    /// Its trace.
    pub trace: TraceId,
    /// Its time.
    pub now: Now,
    /// What was seen.
    pub features: Arc<Features>,
}

/// The observer of one service.
#[derive(Debug, Clone)]
pub struct ObserverCore {
    spec: Arc<ServiceSpec>,
    state: Observer,
    cycle: CycleId,
}

impl ObserverCore {
    /// Returns an observer that has seen nothing; its first cycle is the one after `last`.
    pub fn new(spec: Arc<ServiceSpec>, last: CycleId) -> Self {
        Self { state: Observer::new(&spec), cycle: last, spec }
    }

    /// Switches to a declaration with the same signals, target and labels.
    pub fn declared(&mut self, spec: &Arc<ServiceSpec>) {
        self.spec = spec.clone();
    }

    /// Returns the newest cycle.
    pub fn last(&self) -> CycleId {
        self.cycle
    }

    /// Starts a cycle.
    pub fn step(&mut self, round: &RoundArrived) -> Observed {
        self.cycle = self.cycle.next();
        let features = observe(&mut self.state, &self.spec, &round.arrivals, round.target.clone(), round.now);
        Observed {
            cycle: self.cycle,
            trace: TraceId::derive(&self.spec.id, self.cycle, round.now.wall),
            now: round.now,
            features: Arc::new(features),
        }
    }
}
