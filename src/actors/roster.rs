//! Which services are supervised now, and what follows when that changes: slots, queries of the sources, watched
//! targets.
//!
//! A service that changes only in bounds, mode, objective and the like keeps its slot and with it all it has learned.
//! One that is measured differently, or scales another object, is a different service under the same name: it gets a
//! new slot, which remembers the writes of the old one. Other services are not affected. A service whose declaration is
//! gone ends, but only once it no longer holds up the floor of an autoscaler.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::model::{CycleId, Epoch, Intent, ServiceId, ServiceSpec, TargetRef, WriteEnd};
use crate::ports::{DeclaredServices, JournalError};

use super::service::{Past, Service, Standing};
use super::source::{Routes, SourcePlan};
use super::warm_start::{Progress, warm_start};
use super::world::World;

/// Supervised services by name.
pub type Supervised = Arc<BTreeMap<ServiceId, Arc<Service>>>;

/// The supervised services, and the only way to change them.
pub struct Roster {
    world: Arc<World>,
    sources: Vec<Arc<SourcePlan>>,
    supervised: ArcSwap<BTreeMap<ServiceId, Arc<Service>>>,
    /// Slots that are no longer supervised but still have something in flight.
    departed: Mutex<BTreeMap<ServiceId, Weak<Service>>>,
    /// The highest cycle of all departed slots: no decision of this run reuses an earlier id.
    last_departed: Mutex<u32>,
    /// Held while declarations are followed, from reading the journal until the new slots are in place: as long as a
    /// disk takes, so it is awaited off the loop's threads.
    turn: Mutex<()>,
    progress: Arc<Progress>,
    /// Reads of history in progress.
    reading: Mutex<JoinSet<()>>,
}

/// What a new set of declarations changed.
#[derive(Default)]
pub struct Turnover {
    /// Services to be supervised from now on.
    pub come: Vec<Arc<Service>>,
    /// Services no longer to be supervised.
    pub gone: Vec<Arc<Service>>,
    /// Whether some that are no longer declared have a floor to return: to be checked again.
    pub returning: bool,
    /// Why new services could not be added; to be tried again.
    pub owed: Option<JournalError>,
}

/// How a takeover ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeOver {
    /// Writes of the term are let through.
    Done,
    /// The term is over: a later one has newer data.
    TermOver,
}

impl Roster {
    /// Returns an empty roster.
    pub fn new(world: Arc<World>, sources: Vec<Arc<SourcePlan>>) -> Self {
        Self {
            world,
            sources,
            supervised: ArcSwap::default(),
            departed: Mutex::default(),
            last_departed: Mutex::default(),
            turn: Mutex::default(),
            progress: Arc::default(),
            reading: Mutex::default(),
        }
    }

    /// Returns all supervised services.
    pub fn all(&self) -> Supervised {
        self.supervised.load_full()
    }

    /// Returns one supervised service.
    pub fn find(&self, id: &ServiceId) -> Option<Arc<Service>> {
        self.supervised.load().get(id).cloned()
    }

    /// Returns whether this very slot is supervised.
    pub fn holds(&self, service: &Arc<Service>) -> bool {
        self.find(&service.id).is_some_and(|held| Arc::ptr_eq(&held, service))
    }

    /// Returns how far reading the history has progressed.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Returns the sources.
    pub fn sources(&self) -> &[Arc<SourcePlan>] {
        &self.sources
    }

    /// Follows the declarations. New services are added only after the journal has reported their past.
    pub fn follow(&self, declared: &DeclaredServices) -> Turnover {
        let _turn = self.turn.lock();
        let before = self.all();
        let (mut next, mut new) = (BTreeMap::new(), Vec::new());
        for (id, spec) in &**declared {
            match before.get(id).filter(|held| held.spec().measures_the_same(spec)) {
                Some(held) => drop(next.insert(id.clone(), held.clone())),
                None => new.push(spec),
            }
        }
        next.values().for_each(|held| renew(held, declared));
        let (now, mut turnover) = (self.world.ports.clock.now().mono, Turnover::default());
        for held in before.values().filter(|held| !declared.contains_key(&held.id)) {
            if let Standing::Withdrawn { bare_since } = undeclared(held, declared, now) {
                held.withdraw(bare_since);
                next.insert(held.id.clone(), held.clone());
                turnover.returning = true;
            }
        }
        turnover.gone = before.values().filter(|held| !next.contains_key(&held.id)).cloned().collect();
        for gone in &turnover.gone {
            if let Some(floor) = gone.raised_floor().filter(|_| is_free(&gone.spec().target, declared)) {
                tracing::warn!(
                    service = %gone.id, target = %gone.spec().target, floor,
                    "removed service leaves a raised floor behind"
                );
            }
            self.retire(gone);
        }
        if !new.is_empty() {
            match self.take_up(&new) {
                Ok(come) => turnover.come = come,
                Err(error) => turnover.owed = Some(error),
            }
        }
        next.extend(turnover.come.iter().map(|service| (service.id.clone(), service.clone())));
        self.put(next);
        turnover
    }

    /// Returns whether some services are no longer declared, and whether that set is unchanged: then all of them
    /// continue as they are.
    pub fn returns_still(&self, declared: &DeclaredServices) -> bool {
        let (now, all) = (self.world.ports.clock.now().mono, self.all());
        let mut withdrawn = all.values().filter(|held| held.is_withdrawn()).peekable();
        let stays = |held: &Arc<Service>| {
            !declared.contains_key(&held.id) && undeclared(held, declared, now) == held.standing()
        };
        withdrawn.peek().is_some() && withdrawn.all(stays)
    }

    /// Informs a service how a write of an earlier run ended; the end is already durable. A slot being opened either
    /// finds it in the journal, or is found here.
    pub fn settled(&self, end: WriteEnd) {
        let _turn = self.turn.lock();
        if let Some(service) = self.find(end.change.service()) {
            service.write_ended(end);
        }
    }

    /// Informs every service of what was written to its target while another process led, and lets the writes of the
    /// term `epoch` through.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn take_over(&self, epoch: Epoch) -> Result<TakeOver, JournalError> {
        let _turn = self.turn.lock();
        if *self.world.ports.leadership.terms().borrow() != Some(epoch) {
            return Ok(TakeOver::TermOver);
        }
        let services = self.all();
        let specs: Vec<Arc<ServiceSpec>> = services.values().map(|service| service.spec()).collect();
        let mut remembered = self.remembered(&specs.iter().collect::<Vec<_>>())?;
        let now = self.world.ports.clock.now();
        for (id, service) in &*services {
            service.took_over(remembered.remove(id).unwrap_or_default(), now);
        }
        self.world.gate.take_over(epoch)?;
        Ok(TakeOver::Done)
    }

    /// Opens slots for new services. The previous holder of the name is retained first: what ends after the journal was
    /// read is passed on.
    fn take_up(&self, new: &[&Arc<ServiceSpec>]) -> Result<Vec<Arc<Service>>, JournalError> {
        let predecessor = |id: &ServiceId| self.departed.lock().get(id).and_then(Weak::upgrade);
        let predecessors: Vec<_> = new.iter().map(|spec| predecessor(&spec.id)).collect();
        let mut remembered = self.remembered(new)?;
        let open = |(spec, predecessor): (&&Arc<ServiceSpec>, Option<Arc<Service>>)| {
            let service = self.open(spec, remembered.remove(&spec.id).unwrap_or_default());
            if let Some(predecessor) = predecessor {
                predecessor.succeeded_by(&service);
            }
            service
        };
        Ok(new.iter().zip(predecessors).map(open).collect())
    }

    /// Aborts what still reads the past.
    pub fn close(&self) {
        self.reading.lock().abort_all();
    }

    /// Replaces the old set by a new one, everywhere.
    fn put(&self, next: BTreeMap<ServiceId, Arc<Service>>) {
        self.world.ports.cluster.follow(&next.values().map(|service| service.spec().target.clone()).collect());
        let next = Arc::new(next);
        let mut reading = self.reading.lock();
        // Reap finished reads; they have informed their services themselves.
        while reading.try_join_next().is_some() {}
        for source in &self.sources {
            let routes = Arc::new(Routes::of(source, next.values()));
            let since = source.routes.swap(routes.clone());
            if !source.history.is_zero() {
                let (world, progress) = (self.world.clone(), self.progress.clone());
                reading.spawn(warm_start(source.clone(), routes, since, world, progress));
            }
        }
        self.supervised.store(next);
    }

    fn open(&self, spec: &Arc<ServiceSpec>, intents: Vec<Intent>) -> Arc<Service> {
        let run = self.world.ports.journal.run();
        let cycle = CycleId { run, seq: *self.last_departed.lock() };
        let histories = self.sources.iter().filter(|source| source.has_history_of(spec)).count();
        let fits = self.world.ports.journal.fits(&spec.id).unwrap_or_else(|error| {
            tracing::warn!(service = %spec.id, %error, "stored model fits cannot be read");
            Vec::new()
        });
        Arc::new(Service::new(spec.clone(), self.world.clone(), &Past { cycle, intents, fits }, histories))
    }

    fn retire(&self, service: &Arc<Service>) {
        tracing::info!(service = %service.id, "service no longer supervised");
        service.retire();
        // A step may still be in progress, which takes one more cycle number.
        let last = service.last_cycle().next().seq;
        let mut last_departed = self.last_departed.lock();
        *last_departed = last.max(*last_departed);
        drop(last_departed);
        let mut departed = self.departed.lock();
        departed.retain(|_, slot| slot.strong_count() > 0);
        departed.insert(service.id.clone(), Arc::downgrade(service));
        drop(departed);
        self.world.gate.forget_replicas(&service.id);
    }

    /// Returns the writes of the last hours, by service, oldest first: as far back as any of `new` remembers.
    fn remembered(&self, new: &[&Arc<ServiceSpec>]) -> Result<BTreeMap<ServiceId, Vec<Intent>>, JournalError> {
        let world = &self.world;
        let mut remembered: BTreeMap<ServiceId, Vec<Intent>> = BTreeMap::new();
        let span = new.iter().map(|spec| spec.guards.memory_span()).max().unwrap_or_default();
        let sent = world.ports.journal.remembered_since(world.ports.clock.now().wall, span)?;
        for intent in sent.into_iter().chain(world.ports.journal.open_intents()?) {
            remembered.entry(intent.change.service().clone()).or_default().push(intent);
        }
        Ok(remembered)
    }
}

/// Returns the standing of a service that is no longer declared. It does not return a floor that another service now
/// controls.
fn undeclared(held: &Service, declared: &DeclaredServices, now: Duration) -> Standing {
    if is_free(&held.spec().target, declared) { held.undeclared(now) } else { Standing::Retired }
}

fn is_free(target: &TargetRef, declared: &DeclaredServices) -> bool {
    declared.values().all(|spec| spec.target != *target)
}

/// Updates a continuing service to its current declaration.
fn renew(service: &Service, declared: &DeclaredServices) {
    let changed = |spec: &&Arc<ServiceSpec>| **spec != service.spec() || service.is_withdrawn();
    if let Some(spec) = declared.get(&service.id).filter(changed) {
        tracing::info!(service = %service.id, "declaration of a service changed");
        service.declared(spec.clone());
    }
}
