//! Compiles what the policy store announces, runs its tests, and puts it in force, whole or not at all.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use crate::cycle::stages::{Deadline, PolicyFault, PolicySet, Vocabulary, compile, run_tests};
use crate::instrument::ProcessMetrics;
use crate::ports::{PolicyFiles, PolicyStore};

use super::world::World;

/// The policy set in force, and what was wrong with the newest if it was refused.
#[derive(Default)]
pub struct InForce {
    set: ArcSwapOption<PolicySet>,
    faults: Mutex<Vec<String>>,
}

impl InForce {
    /// Returns the set in force; one cycle uses one such snapshot.
    pub fn load(&self) -> Option<Arc<PolicySet>> {
        self.set.load_full()
    }

    /// Returns the faults of the newest set, if it was refused.
    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().clone()
    }

    /// Compiles `files`, runs their tests and swaps them in; on any fault or failure the last good set stays.
    pub fn take(
        &self,
        files: &PolicyFiles,
        vocabulary: &Vocabulary,
        deadline: fn() -> Deadline,
        metrics: &ProcessMetrics,
    ) {
        match tested(files, vocabulary, deadline) {
            Ok(set) => {
                tracing::info!(revision = %set.revision(), origin = %files.origin, "policy set in force");
                metrics.policy_active(set.revision());
                self.faults.lock().clear();
                self.set.store(Some(set));
            }
            Err(faults) => {
                for fault in &faults {
                    tracing::error!(origin = %files.origin, fault, "policy set refused, the last good one stays");
                }
                metrics.policy_refused();
                *self.faults.lock() = faults;
            }
        }
    }
}

/// Compiles a set and runs its own tests; one that fails them is as bad as one that does not compile.
fn tested(
    files: &PolicyFiles,
    vocabulary: &Vocabulary,
    deadline: fn() -> Deadline,
) -> Result<Arc<PolicySet>, Vec<String>> {
    let files = files.files.as_ref().map_err(|error| vec![error.clone()])?;
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
    /// Where sets come from.
    pub store: Arc<dyn PolicyStore>,
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
    }
}

impl Actor for PolicyLibrary {
    type Msg = Await;
    type State = watch::Receiver<Arc<PolicyFiles>>;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Await>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        let mut announced = self.store.watch();
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
