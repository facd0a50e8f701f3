//! Compiles what the policy store announces, runs its tests, and puts it in force, whole or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use crate::cycle::stages::{Deadline, PolicyFault, PolicySet, Vocabulary, compile, run_tests};
use crate::instrument::ProcessMetrics;
use crate::ports::{PolicyFaults, PolicyFile, PolicyFiles};

use super::world::World;

/// The policy sets in force, and what was wrong with the newest if they were refused.
#[derive(Default)]
pub struct InForce {
    sets: ArcSwap<Sets>,
    faults: Mutex<PolicyFaults>,
}

/// The set of all services, and those of namespaces that have policies of their own beside it.
#[derive(Default)]
struct Sets {
    all: Option<Arc<PolicySet>>,
    namespaces: BTreeMap<String, Own>,
}

/// A set that binds one namespace, and the files of the namespace in it.
struct Own {
    set: Arc<PolicySet>,
    files: Vec<PolicyFile>,
}

impl InForce {
    /// Returns the set in force for a namespace; one cycle uses one such snapshot.
    pub fn of(&self, namespace: &str) -> Option<Arc<PolicySet>> {
        let sets = self.sets.load();
        sets.namespaces.get(namespace).map(|own| own.set.clone()).or_else(|| sets.all.clone())
    }

    /// Returns the set in force for services whose namespace has none of its own.
    pub fn load(&self) -> Option<Arc<PolicySet>> {
        self.sets.load().all.clone()
    }

    /// Returns the faults of the newest sets, if they were refused.
    pub fn faults(&self) -> Vec<String> {
        let PolicyFaults { all, namespaces } = self.refused();
        let of = |(namespace, faults): (String, Vec<String>)| {
            faults.into_iter().map(move |fault| format!("namespace {namespace}: {fault}"))
        };
        all.into_iter().chain(namespaces.into_iter().flat_map(of)).collect()
    }

    /// Returns the same, by whom it concerns.
    pub fn refused(&self) -> PolicyFaults {
        self.faults.lock().clone()
    }

    /// Compiles `files`, runs their tests and swaps them in; on any fault or failure the last good set stays. A
    /// fault in the files of a namespace concerns nobody else.
    pub fn take(&self, files: &PolicyFiles, vocabulary: &Vocabulary, deadline: Compiling, metrics: &ProcessMetrics) {
        let compile = |files: &[&PolicyFile]| tested(files, vocabulary, deadline);
        let before = self.sets.load_full();
        let base = files.files.as_ref().map_err(|error| vec![error.clone()]).and_then(|files| {
            let files: Vec<&PolicyFile> = files.iter().collect();
            compile(&files).map(|set| (set, files))
        });
        let (set, base) = match base {
            Ok(good) => good,
            // What the namespaces have goes on as it was, faults included.
            Err(all) => {
                let namespaces = self.refused().namespaces;
                return self.settle(files, PolicyFaults { all, namespaces }, metrics);
            }
        };
        tracing::info!(revision = %set.revision(), origin = %files.origin, "policy set in force");
        metrics.policy_active(set.revision());
        let (mut namespaces, mut faults) = (BTreeMap::new(), PolicyFaults::default());
        for (namespace, own) in &files.namespaces {
            let with = |own: &[PolicyFile]| compile(&base.iter().copied().chain(own).collect::<Vec<_>>());
            let compiled =
                own.as_ref().map_err(|error| vec![error.clone()]).and_then(|own| Ok((with(own)?, own.clone())));
            // Its last good files go on beside the set of now, or, where they do not stand there, as they were.
            let last_good = || {
                let own = before.namespaces.get(namespace)?;
                let set = with(&own.files).unwrap_or_else(|_| own.set.clone());
                Some((set, own.files.clone()))
            };
            let taken = match compiled {
                Ok(taken) => Some(taken),
                Err(own) => {
                    faults.namespaces.insert(namespace.clone(), own);
                    last_good()
                }
            };
            namespaces.extend(taken.map(|(set, files)| (namespace.clone(), Own { set, files })));
        }
        self.sets.store(Arc::new(Sets { all: Some(set), namespaces }));
        self.settle(files, faults, metrics);
    }

    /// Notes which of the newest sets were refused.
    fn settle(&self, files: &PolicyFiles, faults: PolicyFaults, metrics: &ProcessMetrics) {
        *self.faults.lock() = faults;
        let worded = self.faults();
        if worded.is_empty() {
            return;
        }
        for fault in worded {
            tracing::error!(origin = %files.origin, fault, "policy set refused, the last good one stays");
        }
        metrics.policy_refused();
    }
}

/// Makes the deadline of one compilation.
type Compiling = fn() -> Deadline;

/// Compiles a set and runs its own tests; one that fails them is as bad as one that does not compile.
fn tested(files: &[&PolicyFile], vocabulary: &Vocabulary, deadline: Compiling) -> Result<Arc<PolicySet>, Vec<String>> {
    let texts = || files.iter().map(|file| (file.path.as_str(), file.text.as_str()));
    let set = Arc::new(compile(texts(), vocabulary, &deadline()).map_err(|faults| worded(&faults))?);
    let report = run_tests(&set, vocabulary, texts(), &|_| true, &deadline()).map_err(|faults| worded(&faults))?;
    let failed = report.tests.iter().filter_map(|test| Some((test, test.failure.as_ref()?)));
    let failed: Vec<_> = failed.map(|(test, failure)| format!("{failure} (test `{}`)", test.name)).collect();
    if failed.is_empty() { Ok(set) } else { Err(failed) }
}

fn worded(faults: &[PolicyFault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// What the library hears.
#[derive(Debug)]
pub struct Await;

/// The actor that waits for new sets.
pub struct PolicyLibrary {
    /// Signals that policies may name.
    pub vocabulary: Arc<Vocabulary>,
    /// The ports.
    pub world: Arc<World>,
}

impl PolicyLibrary {
    /// Loads a set off the loop's threads: its scripts run then, and may be hostile.
    async fn take(&self, files: Arc<PolicyFiles>) {
        let (world, vocabulary) = (self.world.clone(), self.vocabulary.clone());
        let load = move || world.policy.take(&files, &vocabulary, world.deadline, &world.process);
        self.world.executor.run(Box::new(load)).await;
        self.world.services.policies(&self.world.policy.refused());
    }
}

impl Actor for PolicyLibrary {
    type Msg = Await;
    type State = watch::Receiver<Arc<PolicyFiles>>;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Await>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        let mut announced = self.world.policies.watch();
        announced.mark_changed();
        myself.cast(Await)?;
        Ok(announced)
    }

    async fn handle(
        &self,
        myself: ActorRef<Await>,
        Await: Await,
        announced: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        announced.changed().await?;
        let files = announced.borrow_and_update().clone();
        self.take(files).await;
        Ok(myself.cast(Await)?)
    }
}
