//! Which declarations hold. Pure: the objects as they are, and the declaration of each that is in force.

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
    /// Its version.
    pub(super) version: u64,
    /// The generation of it that was judged.
    pub(super) generation: i64,
    /// What is in force for it; `None` if nothing is.
    pub(super) spec: Option<Arc<ServiceSpec>>,
    /// Whether that is what the object says now.
    pub(super) accepted: Acceptance,
    /// What the platform's bound cut from it.
    pub(super) cut: Option<String>,
    /// Why nothing is written though its mode would, where there is no bound or a faulty one.
    pub(super) unbounded: Option<String>,
    /// Whether it says that it is paused.
    pub(super) paused: bool,
    /// What stands in its status, as last seen.
    pub(super) status: serde_json::Value,
}

impl Judged {
    /// Returns why what the object says now is not in force, if so, and what is instead.
    pub(super) fn refusal(&self) -> Option<String> {
        let (Acceptance::Invalid(faults) | Acceptance::Collision(faults)) = &self.accepted else { return None };
        let instead = if self.spec.is_some() { "the last good spec remains active" } else { "no spec is active" };
        Some(format!("{}; {instead}", faults.join("; ")))
    }
}

/// Whether a declaration is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// It is.
    Valid,
    /// It has faults, all of them listed.
    Invalid(Vec<String>),
    /// It is at odds with another one.
    Collision(Vec<String>),
}

/// Why it is not known how far loops may go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unbounded {
    /// The API server has not been heard for too long, or not at all yet. What it said last stands until it is.
    #[error("the PlatformBound cannot be read: {0}")]
    Unread(String),
    /// There is no bound, or a faulty one: somebody has to apply one.
    #[error("{0}")]
    Unusable(String),
}

/// Judges loops, and remembers which declaration of each is in force. A spec is read once, and all are compared when one
/// of them changed: statuses, which flyball itself writes, change far more often.
pub(super) struct Judge {
    declarations: Arc<dyn Declarations>,
    read: BTreeMap<ServiceId, (Edition, Read)>,
    /// What was judged last, and what followed.
    editions: BTreeMap<ServiceId, Edition>,
    verdicts: BTreeMap<ServiceId, Verdict>,
    /// The last bound that was known.
    bound: Option<Bound>,
}

/// A declaration as it reads alone, or its faults.
type Read = Result<Arc<ServiceSpec>, Vec<String>>;

/// Which spec of which object: what it says changes with the generation alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edition {
    uid: String,
    generation: i64,
}

/// What holds for a loop before the platform's bound.
struct Verdict {
    /// Of which object.
    uid: String,
    accepted: Acceptance,
    spec: Option<Arc<ServiceSpec>>,
}

/// Who has a target that two want: the first of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// What the loop says is in force.
    InForce,
    /// This process has just started, and by the status of the loop it was in force before.
    WasInForce,
    /// It says something new.
    New,
}

/// One loop in the course of judgement.
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

    /// Judges all loops together. Of two that collide the one stays that is in force; where neither is, the older one.
    /// While the bound is not known the declarations stay as the last one left them; that nothing is written meanwhile is
    /// for the guards to see to.
    pub(super) fn judge(
        &mut self,
        loops: &[LoopObject],
        bound: &Result<Bound, Unbounded>,
    ) -> BTreeMap<ServiceId, Judged> {
        self.bound = bound.as_ref().ok().copied().or(self.bound);
        // What has no name of a service is told elsewhere. Who is on the way out is gone.
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
        // What a loop falls back to may be what another one wants. It ends: each turn puts one back, and those that are
        // in force are at odds with none.
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

    /// Puts what collides back to what is in force of it, and tells whether anything did.
    fn exclude_collisions(&self, cases: &mut [Case<'_>]) -> bool {
        // Without a claim of this process it is the order of [`LoopObject::precedence`].
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
        // An API server that is away is no reason to write to it.
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

/// Returns a declaration inside the bound, and what was cut from it.
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
