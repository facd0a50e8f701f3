//! Which declarations are active. Pure: the current objects, and the active declaration of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Bounds, Mode, ServiceId, ServiceSpec};
use crate::ports::services::Declarations;

use super::object::{Bound, LoopObject};

/// The verdict on one loop.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    /// The object.
    pub(super) uid: String,
    /// Its version.
    pub(super) version: u64,
    /// The generation that was judged.
    pub(super) generation: i64,
    /// Its active spec; `None` if there is none.
    pub(super) spec: Option<Arc<ServiceSpec>>,
    /// Whether that is the current spec of the object.
    pub(super) accepted: Acceptance,
    /// What the platform's bound cut from it.
    pub(super) cut: Option<String>,
    /// Why nothing is written although its mode would, if the bound is missing or faulty.
    pub(super) unbounded: Option<String>,
    /// Whether it is declared as paused.
    pub(super) paused: bool,
    /// Its status, as last seen.
    pub(super) status: serde_json::Value,
}

impl Judged {
    /// Returns why the object's current spec is not active, if so, and what is instead.
    pub(super) fn refusal(&self) -> Option<String> {
        let (Acceptance::Invalid(faults) | Acceptance::Collision(faults)) = &self.accepted else { return None };
        let instead = if self.spec.is_some() { "the last good spec remains active" } else { "no spec is active" };
        Some(format!("{}; {instead}", faults.join("; ")))
    }
}

/// Whether a declaration is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// It is.
    Valid,
    /// It has faults, all of them listed.
    Invalid(Vec<String>),
    /// It conflicts with another one.
    Collision(Vec<String>),
}

/// Why the limits of loops are unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unbounded {
    /// The API server has been silent for too long, or has not answered yet. Its last answer remains valid until it
    /// does.
    #[error("the PlatformBound cannot be read: {0}")]
    Unread(String),
    /// The bound is missing or faulty: somebody has to apply one.
    #[error("{0}")]
    Unusable(String),
}

/// Judges loops and remembers the active declaration of each. A spec is parsed once, and all are compared only when one
/// of them changed: statuses, which flyball itself writes, change far more often.
pub(super) struct Judge {
    declarations: Arc<dyn Declarations>,
    read: BTreeMap<ServiceId, (Edition, Read)>,
    /// The last judged editions and their results.
    editions: BTreeMap<ServiceId, Edition>,
    verdicts: BTreeMap<ServiceId, Verdict>,
    /// The last bound that was known.
    bound: Option<Bound>,
}

/// A declaration parsed on its own, or its faults.
type Read = Result<Arc<ServiceSpec>, Vec<String>>;

/// One spec of one object: it changes only with the generation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edition {
    uid: String,
    generation: i64,
}

/// The verdict on a loop before the platform's bound.
struct Verdict {
    /// The object.
    uid: String,
    accepted: Acceptance,
    spec: Option<Arc<ServiceSpec>>,
}

/// Which of two loops gets a contested target: the first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// The spec is active.
    InForce,
    /// This process has just started, and according to its status the loop was active before.
    WasInForce,
    /// It is new.
    New,
}

/// One loop during judgement.
struct Case<'a> {
    id: &'a ServiceId,
    object: &'a LoopObject,
    accepted: Acceptance,
    spec: Option<Arc<ServiceSpec>>,
}

impl Judge {
    /// Returns a judge that has seen nothing.
    pub(super) fn new(declarations: Arc<dyn Declarations>) -> Self {
        Self { declarations, read: BTreeMap::new(), editions: BTreeMap::new(), verdicts: BTreeMap::new(), bound: None }
    }

    /// Judges all loops together. Of two that collide the active one stays; if neither is active, the older one. While
    /// the bound is unknown the declarations stay unchanged; the guards ensure that nothing is written meanwhile.
    pub(super) fn judge(
        &mut self,
        loops: &[LoopObject],
        bound: &Result<Bound, Unbounded>,
    ) -> BTreeMap<ServiceId, Judged> {
        self.bound = bound.as_ref().ok().copied().or(self.bound);
        // An object without a valid service name is reported elsewhere. One being deleted counts as gone.
        let is_there = |object: &&LoopObject| object.metadata.deletion_timestamp.is_none();
        let loops: BTreeMap<ServiceId, &LoopObject> =
            loops.iter().filter(is_there).filter_map(|object| Some((object.id().ok()?, object))).collect();
        let editions = loops.iter().map(|(id, object)| (id.clone(), edition(object))).collect();
        if editions != self.editions {
            self.editions = editions;
            self.compare(&loops);
        }
        let judged = |(id, object): (ServiceId, &LoopObject)| {
            let judged = conclude(object, self.verdicts.get(&id)?, self.bound, bound.as_ref().err());
            Some((id, judged))
        };
        loops.into_iter().filter_map(judged).collect()
    }

    fn compare(&mut self, loops: &BTreeMap<ServiceId, &LoopObject>) {
        self.read.retain(|id, _| loops.contains_key(id));
        let mut cases: Vec<Case<'_>> = loops.iter().map(|(id, object)| self.read(id, object)).collect();
        // A loop may fall back to what another one wants. This terminates: each turn reverts one loop, and active ones
        // never collide.
        while self.exclude_collisions(&mut cases) {}
        let verdict = |Case { id, object, accepted, spec }: Case<'_>| {
            (id.clone(), Verdict { uid: object.metadata.uid.clone(), accepted, spec })
        };
        self.verdicts = cases.into_iter().map(verdict).collect();
    }

    fn read<'a>(&mut self, id: &'a ServiceId, object: &'a LoopObject) -> Case<'a> {
        let edition = edition(object);
        let known = self.read.get(id).filter(|(of, _)| *of == edition).map(|(_, read)| read.clone());
        let read = known.unwrap_or_else(|| {
            let read = self.declarations.read(id, &object.spec).map(Arc::new);
            self.read.insert(id.clone(), (edition, read.clone()));
            read
        });
        match read {
            Ok(spec) => Case { id, object, accepted: Acceptance::Valid, spec: Some(spec) },
            Err(faults) => {
                let spec = self.in_force(id, object);
                Case { id, object, accepted: Acceptance::Invalid(faults), spec }
            }
        }
    }

    fn in_force(&self, id: &ServiceId, object: &LoopObject) -> Option<Arc<ServiceSpec>> {
        self.verdicts.get(id).filter(|verdict| verdict.uid == object.metadata.uid)?.spec.clone()
    }

    fn claim(&self, case: &Case<'_>) -> Claim {
        match self.verdicts.get(case.id).filter(|verdict| verdict.uid == case.object.metadata.uid) {
            Some(verdict) if verdict.spec == case.spec => Claim::InForce,
            None if case.object.is_said_to_be_accepted() => Claim::WasInForce,
            Some(_) | None => Claim::New,
        }
    }

    /// Reverts colliding loops to their active spec, and returns whether any was reverted.
    fn exclude_collisions(&self, cases: &mut [Case<'_>]) -> bool {
        // If this process has no claim, the order is that of [`LoopObject::precedence`].
        cases.sort_by_cached_key(|case| (self.claim(case), case.object.age()));
        let declared: Vec<ServiceSpec> = cases.iter().filter_map(|case| case.spec.as_deref().cloned()).collect();
        let (mut found, mut any) = (self.declarations.collisions(&declared).into_iter(), false);
        for case in cases.iter_mut().filter(|case| case.spec.is_some()) {
            let collisions = found.next().unwrap_or_default();
            if collisions.is_empty() {
                continue;
            }
            any = true;
            case.spec = self.in_force(case.id, case.object).filter(|in_force| Some(in_force) != case.spec.as_ref());
            if case.accepted == Acceptance::Valid {
                case.accepted = Acceptance::Collision(collisions);
            }
        }
        any
    }
}

fn edition(object: &LoopObject) -> Edition {
    Edition { uid: object.metadata.uid.clone(), generation: object.metadata.generation }
}

fn conclude(object: &LoopObject, verdict: &Verdict, bound: Option<Bound>, unbounded: Option<&Unbounded>) -> Judged {
    let bounded = verdict.spec.as_ref().map(|spec| cut(spec, bound));
    let (spec, cut) = bounded.map_or((None, None), |(spec, cut)| (Some(spec), cut));
    let writes = spec.as_ref().is_some_and(|spec| spec.mode > Mode::Shadow);
    let unbounded = match unbounded {
        Some(Unbounded::Unusable(why)) if writes => Some(format!("nothing is written: {why}")),
        // An unreachable API server is not a reason to write to it.
        Some(_) | None => None,
    };
    Judged {
        uid: object.metadata.uid.clone(),
        version: object.metadata.version().unwrap_or(0),
        generation: object.metadata.generation,
        spec,
        accepted: verdict.accepted.clone(),
        cut: unbounded.clone().or(cut),
        unbounded,
        paused: object.spec["paused"] == true && verdict.accepted == Acceptance::Valid,
        status: object.status.clone(),
    }
}

/// Returns a declaration cut to the bound, and what was cut from it.
fn cut(spec: &Arc<ServiceSpec>, bound: Option<Bound>) -> (Arc<ServiceSpec>, Option<String>) {
    let Some(bound) = bound else { return (spec.clone(), None) };
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
    if cuts.is_empty() {
        return (spec.clone(), None);
    }
    let bounded = ServiceSpec { mode, bounds, ..(**spec).clone() };
    (Arc::new(bounded), Some(format!("the PlatformBound limits {}", cuts.join(" and "))))
}
