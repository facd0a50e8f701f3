//! Services as `ServiceLoop` objects, watched in all namespaces and reported through their status and Events.
//!
//! ```text
//! watch of serviceloops, platformbounds -> judge -> roster (to the loop)
//!                                            |
//! news (from the loop) ------------------> outbox -> writer -> status, Events
//! ```
//!
//! | file | what |
//! |---|---|
//! | `object` | the fields read of the objects |
//! | `judge` | the active declarations: valid, no collision, within the platform's bound; the last good one stays |
//! | `status` | the status of one loop |
//! | `event` | which news are Events, and what they say |
//! | `outbox` | what is to be written, when |
//! | `writer` | the task that writes it |

mod event;
mod judge;
pub(super) mod object;
mod outbox;
mod status;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::model::ServiceId;
use crate::ports::services::{Declarations, DeclaredServices, News, PolicyFaults, Services};
use crate::ports::{Awaited, Leadership};

use super::api_server::ApiServer;
use super::cache::{Cache, Tick};
use super::watch::{Informer, Selected};
use judge::{Judge, Judged, Unbounded};
use object::{Bound, BoundObject, LoopObject};
use outbox::Outbox;
use writer::Writer;

/// The manifest of the custom resources, as `deploy/` ships and `flyball crds` prints it: the single source of truth.
pub const CRDS: &str = include_str!("../../../../deploy/base/crds.yaml");

/// The name of the one `PlatformBound` that counts.
pub const BOUND_NAME: &str = "flyball";
const LOOPS: &str = "/apis/flyball.dev/v1alpha1/serviceloops";
const BOUNDS: &str = "/apis/flyball.dev/v1alpha1/platformbounds";

/// Changes within this time are judged together.
const TOGETHER: Duration = Duration::from_millis(100);

/// The loops of a cluster. Dropping it ends its watches.
pub struct ServiceLoops {
    roster: watch::Receiver<Option<DeclaredServices>>,
    outbox: Arc<Outbox>,
    ignored: Arc<Mutex<Vec<String>>>,
    /// Why the roster was last judged without a bound, if it was.
    unjudged: Arc<Mutex<Option<String>>>,
    loops: Informer<LoopObject>,
    bounds: Informer<BoundObject>,
    _tasks: JoinSet<()>,
}

impl ServiceLoops {
    /// Starts watching. `declarations` validates specs, `leadership` says whether this process reports, and `instance`
    /// names it in Events. Needs a running tokio.
    pub fn start(
        server: &ApiServer,
        declarations: Arc<dyn Declarations>,
        leadership: Arc<dyn Leadership>,
        instance: String,
    ) -> Self {
        let (changes, _) = watch::channel(0);
        let (roster, roster_seen) = watch::channel(None);
        let (outbox, ignored) = (Arc::new(Outbox::new()), Arc::default());
        let unjudged = Arc::new(Mutex::new(Some("the PlatformBound has not been read yet".to_owned())));
        let loops = Informer::start(server, LOOPS.to_owned(), Selected::default(), changes.clone());
        let selected = Selected { fields: Some(format!("metadata.name={BOUND_NAME}")), ..Selected::default() };
        let bounds = Informer::start(server, BOUNDS.to_owned(), selected, changes.clone());
        let keeper = Keeper {
            loops: loops.cache.clone(),
            bounds: bounds.cache.clone(),
            silence: server.timeouts.silence,
            judge: Judge::new(declarations),
            outbox: outbox.clone(),
            ignored: Arc::clone(&ignored),
            unjudged: Arc::clone(&unjudged),
            roster,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(keeper.run(changes.subscribe()));
        tasks.spawn(Writer { server: server.clone(), outbox: outbox.clone(), leadership, instance }.run());
        Self { roster: roster_seen, outbox, ignored, unjudged, loops, bounds, _tasks: tasks }
    }
}

impl Services for ServiceLoops {
    fn watch(&self) -> watch::Receiver<Option<DeclaredServices>> {
        self.roster.clone()
    }

    fn waiting_for(&self) -> Vec<Awaited> {
        let loops = self.loops.waiting_for("ServiceLoops");
        loops.into_iter().chain(self.bounds.waiting_for("PlatformBound")).collect()
    }

    fn ignored(&self) -> Vec<String> {
        self.ignored.lock().clone()
    }

    fn unbounded(&self) -> Option<String> {
        let unread = bound(&self.bounds.cache.lock()).err().map(|why| why.to_string());
        // A new bound has no effect before the loops are judged by it.
        unread.or_else(|| self.unjudged.lock().clone())
    }

    fn tell(&self, service: &ServiceId, news: News) {
        self.outbox.told(service, news);
    }

    fn policies(&self, faults: &PolicyFaults) {
        self.outbox.policies(faults);
    }
}

/// Judges again after every change or a long silence.
struct Keeper {
    loops: Arc<Mutex<Cache<LoopObject>>>,
    bounds: Arc<Mutex<Cache<BoundObject>>>,
    /// Silence after which the bound is no longer trusted.
    silence: Duration,
    judge: Judge,
    outbox: Arc<Outbox>,
    ignored: Arc<Mutex<Vec<String>>>,
    unjudged: Arc<Mutex<Option<String>>>,
    roster: watch::Sender<Option<DeclaredServices>>,
}

impl Keeper {
    async fn run(mut self, mut changes: watch::Receiver<u64>) {
        loop {
            match tokio::time::timeout(self.silence, changes.changed()).await {
                // Ends with the watches, which hold the sender.
                Ok(Err(_)) => return,
                Ok(Ok(())) => {
                    tokio::time::sleep(TOGETHER).await;
                    changes.mark_unchanged();
                }
                Err(_) => {}
            }
            self.look();
        }
    }

    fn look(&mut self) {
        // Copied, so that a watch never waits for the judge.
        let Some(loops) = self.loops.lock().objects().map(|loops| loops.cloned().collect::<Vec<_>>()) else { return };
        let bounds = self.bounds.lock();
        if bounds.is_pending() {
            return;
        }
        let bound = bound(&bounds);
        drop(bounds);
        let judged = self.judge.judge(&loops, &bound);
        self.name_ignored(&loops, &judged);
        let declared = judged.iter().filter_map(|(id, judged)| Some((id.clone(), judged.spec.clone()?))).collect();
        let declared: DeclaredServices = Arc::new(declared);
        self.outbox.judged(judged);
        self.roster.send_if_modified(|roster| {
            let changed = roster.as_ref() != Some(&declared);
            *roster = Some(declared);
            changed
        });
        *self.unjudged.lock() = bound.err().map(|why| why.to_string());
    }

    /// Stores, and logs once, which loops are refused or ignored: a loop created before the schema ruled out its name
    /// cannot even have a status.
    fn name_ignored(&self, loops: &[LoopObject], judged: &BTreeMap<ServiceId, Judged>) {
        let refused = |(id, judged): (&ServiceId, &Judged)| {
            judged.refusal().map(|why| format!("ServiceLoop {id} is refused: {why}"))
        };
        let ignored: Vec<String> =
            loops.iter().filter_map(LoopObject::why_ignored).chain(judged.iter().filter_map(refused)).collect();
        let mut before = self.ignored.lock();
        for why in ignored.iter().filter(|why| !before.contains(why)) {
            tracing::warn!(%why, "invalid declaration ignored");
        }
        *before = ignored;
    }
}

/// Returns the message that no bound is set, with the remedy.
pub(super) fn no_bound() -> String {
    format!("no PlatformBound named {BOUND_NAME} exists; apply one, such as deploy/base/bound.yaml")
}

/// Returns the limits of all loops, if the watch has them.
fn bound(bounds: &Cache<BoundObject>) -> Result<Bound, Unbounded> {
    match bounds.current("", BOUND_NAME, Tick::now()) {
        Err(reason) => Err(Unbounded::Unread(reason)),
        Ok(None) => Err(Unbounded::Unusable(no_bound())),
        Ok(Some(object)) => object.bound().map_err(Unbounded::Unusable),
    }
}
