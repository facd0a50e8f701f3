//! Which declarations hold. Pure: the objects as they are, and the last good declaration of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Bounds, Mode, ServiceId, ServiceSpec};
use crate::ports::services::Declarations;

use super::object::{Bound, LoopObject};

/// What became of one loop.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    /// The object.
    pub(super) uid: String,
    /// The generation of it that was judged.
    pub(super) generation: i64,
    /// What is in force for it; `None` if nothing is.
    pub(super) spec: Option<Arc<ServiceSpec>>,
    /// Whether that is what the object says now.
    pub(super) accepted: Acceptance,
    /// What the platform's bound cut from it.
    pub(super) cut: Option<String>,
    /// What stands in its status, as last seen.
    pub(super) status: serde_json::Value,
}

/// Whether a declaration is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// It is.
    Valid,
    /// It has faults, all of them listed.
    Invalid(Vec<String>),
    /// It is at odds with an older one.
    Collision(Vec<String>),
}

/// Judges loops, and remembers the last good declaration of each.
pub(super) struct Judge {
    declarations: Arc<dyn Declarations>,
    good: BTreeMap<ServiceId, (String, ServiceSpec)>,
}

/// One loop in the course of judgement.
struct Case<'a> {
    id: ServiceId,
    object: &'a LoopObject,
    accepted: Acceptance,
    spec: Option<ServiceSpec>,
}

impl Judge {
    /// Returns a judge that has seen nothing.
    pub(super) fn new(declarations: Arc<dyn Declarations>) -> Self {
        Self { declarations, good: BTreeMap::new() }
    }

    /// Judges all loops together, the oldest first: of two that collide the older one stays. Without a known bound
    /// none goes further than `shadow`.
    pub(super) fn judge(&mut self, loops: &[LoopObject], bound: &Result<Bound, String>) -> BTreeMap<ServiceId, Judged> {
        let mut cases: Vec<Case<'_>> = loops.iter().filter_map(|object| self.read(object)).collect();
        // Of two that were made within one second, the one in force is the older one.
        let is_new = |case: &Case<'_>| self.last_good(&case.id, case.object).is_none();
        let age = |case: &Case<'_>| (case.object.metadata.creation_timestamp.clone(), is_new(case), case.id.clone());
        cases.sort_by_cached_key(age);
        // A loop whose new declaration collides goes on by its last good one, unless that does, too.
        for last_good_is_left in [true, false] {
            self.exclude_collisions(&mut cases, last_good_is_left);
        }
        self.good.retain(|id, (uid, _)| cases.iter().any(|case| case.id == *id && case.object.metadata.uid == *uid));
        cases.into_iter().map(|case| (case.id.clone(), self.conclude(case, bound))).collect()
    }

    fn read<'a>(&self, object: &'a LoopObject) -> Option<Case<'a>> {
        // The API server admits no name that is not one, nor lists what has none. Who is on the way out is gone.
        let id = object.id().ok().filter(|_| object.metadata.deletion_timestamp.is_none())?;
        Some(match self.declarations.read(&id, &object.spec) {
            Ok(spec) => Case { object, accepted: Acceptance::Valid, spec: Some(spec), id },
            Err(faults) => {
                let spec = self.last_good(&id, object);
                Case { object, accepted: Acceptance::Invalid(faults), spec, id }
            }
        })
    }

    fn last_good(&self, id: &ServiceId, object: &LoopObject) -> Option<ServiceSpec> {
        let good = self.good.get(id).filter(|(uid, _)| *uid == object.metadata.uid);
        good.map(|(_, spec)| spec.clone())
    }

    fn exclude_collisions(&self, cases: &mut [Case<'_>], last_good_is_left: bool) {
        let declared: Vec<ServiceSpec> = cases.iter().filter_map(|case| case.spec.clone()).collect();
        let mut found = self.declarations.collisions(&declared).into_iter();
        for case in cases.iter_mut().filter(|case| case.spec.is_some()) {
            let collisions = found.next().unwrap_or_default();
            if collisions.is_empty() {
                continue;
            }
            let good = self.last_good(&case.id, case.object).filter(|good| Some(good) != case.spec.as_ref());
            case.spec = good.filter(|_| last_good_is_left);
            if case.accepted == Acceptance::Valid {
                case.accepted = Acceptance::Collision(collisions);
            }
        }
    }

    fn conclude(&mut self, case: Case<'_>, bound: &Result<Bound, String>) -> Judged {
        let metadata = &case.object.metadata;
        if let (Acceptance::Valid, Some(spec)) = (&case.accepted, &case.spec) {
            self.good.insert(case.id.clone(), (metadata.uid.clone(), spec.clone()));
        }
        let bounded = case.spec.map(|spec| cut(spec, bound));
        let (spec, cut) = bounded.map_or((None, None), |(spec, cut)| (Some(Arc::new(spec)), cut));
        Judged {
            uid: metadata.uid.clone(),
            generation: metadata.generation,
            spec,
            accepted: case.accepted,
            cut,
            status: case.object.status.clone(),
        }
    }
}

/// Returns a declaration inside the bound, and what was cut from it.
fn cut(spec: ServiceSpec, bound: &Result<Bound, String>) -> (ServiceSpec, Option<String>) {
    let bound = match bound {
        Ok(bound) => bound,
        Err(reason) => {
            let cut = (spec.mode > Mode::Shadow).then(|| format!("mode is shadow: {reason}"));
            let mode = spec.mode.min(Mode::Shadow);
            return (ServiceSpec { mode, ..spec }, cut);
        }
    };
    let mode = spec.mode.min(bound.max_mode);
    let max = spec.bounds.max.min(bound.max_replicas);
    let bounds = Bounds { min: spec.bounds.min.min(max), max };
    let mut cuts = Vec::new();
    if mode != spec.mode {
        cuts.push(format!("mode {} to {}", spec.mode.as_str(), mode.as_str()));
    }
    if bounds != spec.bounds {
        let Bounds { min, max } = spec.bounds;
        cuts.push(format!("bounds {min} to {max} to {} to {}", bounds.min, bounds.max));
    }
    let cut = (!cuts.is_empty()).then(|| format!("the PlatformBound cuts {}", cuts.join(" and ")));
    (ServiceSpec { mode, bounds, ..spec }, cut)
}
