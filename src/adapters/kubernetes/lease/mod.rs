//! Leadership by a `Lease`: of several processes only the holder writes.
//!
//! A watch reports a released lease at once; it is only an accelerator. Every claim is conditional on the version seen,
//! and each process measures the duration by its own clock.
//!
//! | file | what |
//! |---|---|
//! | [`candidate`] | when to claim, renew and step down: pure |
//! | `object` | the Lease as the API has it |
//! | `announcements` | what its holders announce through it |
//! | `fence` | who leads, for the admission policy of the API server |

mod announcements;
pub mod candidate;
mod fence;
mod object;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::{Epoch, Lead, Now, Timestamp};
use crate::ports::{Awaited, Leadership};

use super::api_server::ApiServer;
use super::cache::{Cache, Tick};
use super::failure::Failure;
use super::settings::Timing;
use super::watch::{Informer, Selected};
use announcements::{Announcements, Heard};
use candidate::{Candidate, Claim, Step};
use object::LeaseObject;

/// Longest time to finish the request in flight and release the lease; otherwise it expires.
pub const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// This process as a candidate for a Lease. Dropping it ends its watch and its renewals.
pub struct KubernetesLease {
    shared: Arc<Shared>,
    seen: Informer<LeaseObject>,
    stop: CancellationToken,
    renewing: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    server: ApiServer,
    namespace: String,
    name: String,
    timing: Timing,
    start: Instant,
    candidate: Mutex<Candidate>,
    terms: watch::Sender<Option<Epoch>>,
    /// What this process announces while it holds the lease, and what it receives.
    announcements: Mutex<Announcements>,
    /// The last announcement of another process.
    heard: watch::Sender<Option<Arc<str>>>,
    /// Why the last request failed, if it did.
    trouble: Mutex<Option<String>>,
}

impl KubernetesLease {
    /// Starts as a candidate for the Lease `name` in `namespace`. `instance` names this process to people; a suffix
    /// distinguishes it from all others, including an earlier life of the same pod. Needs a running tokio.
    pub fn start(server: &ApiServer, namespace: &str, name: &str, instance: &str, timing: Timing) -> Self {
        let chance = RandomState::new().hash_one((std::process::id(), instance));
        let identity = format!("{instance}_{chance:016x}");
        let spread = timing.retry.mul_f64(0.25 * (chance as f64 / u64::MAX as f64));
        let (changes, changed) = watch::channel(0);
        let selected = Selected { fields: Some(format!("metadata.name={name}")), ..Selected::default() };
        let seen = Informer::start(server, collection(namespace), selected, changes);
        let shared = Arc::new(Shared {
            // A request gets a quarter of the time in which a renewal must succeed.
            server: server.within(timing.renew_deadline / 4),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            timing,
            start: Instant::now(),
            candidate: Mutex::new(Candidate::new(identity, timing, spread)),
            terms: watch::Sender::new(None),
            announcements: Mutex::default(),
            heard: watch::Sender::new(None),
            trouble: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let renewing = tokio::spawn(shared.clone().stand(seen.cache.clone(), changed, stop.clone()));
        Self { shared, seen, stop, renewing: Mutex::new(Some(renewing)) }
    }

    /// Returns its name in the Lease.
    pub fn identity(&self) -> String {
        self.shared.candidate.lock().identity().to_owned()
    }
}

impl Drop for KubernetesLease {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Leadership for KubernetesLease {
    fn lead(&self) -> Lead {
        self.shared.candidate.lock().lead(self.shared.now())
    }

    fn terms(&self) -> watch::Receiver<Option<Epoch>> {
        self.shared.terms.subscribe()
    }

    fn fence(&self, epoch: Epoch) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.shared.fence(epoch))
    }

    /// Sent with the next renewal. If the lease was just lost, it is never sent.
    fn announce(&self, announcement: &str) {
        if let Some(epoch) = self.lead().epoch() {
            self.shared.announcements.lock().announce(epoch, announcement);
        }
    }

    fn announcements(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.shared.heard.subscribe()
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.stop.cancel();
            let renewing = self.renewing.lock().take();
            if let Some(renewing) = renewing {
                // The request in flight is completed: the version after it is the one to release.
                let _ = tokio::time::timeout(RELEASE_WITHIN, renewing).await;
            }
            let claim = self.shared.candidate.lock().resign();
            self.shared.announce();
            if let Some(claim) = claim {
                self.shared.release(&claim).await;
            }
        })
    }

    fn waiting_for(&self) -> Vec<Awaited> {
        let name = &self.shared.name;
        let watch = self.seen.waiting_for(&format!("lease {name}"));
        let trouble = self.shared.trouble.lock().clone().map(|why| Awaited::Lease { name: name.clone(), why });
        watch.into_iter().chain(trouble).collect()
    }
}

impl Shared {
    fn now(&self) -> Now {
        Now { wall: Timestamp::now(), mono: self.start.elapsed() }
    }

    /// Runs as a candidate until it is stopped.
    async fn stand(
        self: Arc<Self>,
        cache: Arc<Mutex<Cache<LeaseObject>>>,
        mut changes: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        while !stop.is_cancelled() {
            changes.mark_unchanged();
            self.take_in(&cache.lock());
            let step = self.candidate.lock().next(self.now());
            self.announce();
            match step {
                Step::Wait(until) => {
                    let until = self.start.checked_add(until).unwrap_or_else(Instant::now);
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        // Without a watch (its sender is gone), due claims are still sent in time.
                        Ok(()) = changes.changed() => {}
                        () = stop.cancelled() => {}
                    }
                }
                Step::Look => self.look().await,
                Step::Claim(claim) => self.claim(&claim).await,
            }
        }
    }

    fn take_in(&self, cache: &Cache<LeaseObject>) {
        let Ok(found) = cache.current(&self.namespace, &self.name, Tick::now()) else { return };
        self.hear(found);
        let record = found.map(|found| found.record(self.timing));
        let (version, now) = (cache.version().unwrap_or(0), self.now());
        let mut candidate = self.candidate.lock();
        candidate.saw(record, version, now);
        // A follower of a known holder needs only the watch.
        if matches!(candidate.lead(now), Lead::Follows { holder: Some(_) }) {
            *self.trouble.lock() = None;
        }
    }

    /// Receives the previous holder's announcement. It stays in the Lease after that holder is gone, until this process
    /// has announced something itself: then it is outdated.
    fn hear(&self, found: Option<&LeaseObject>) {
        let Some((metadata, version)) = found.and_then(|found| Some((&found.metadata, found.metadata.version()?)))
        else {
            return;
        };
        let news: Option<Arc<str>> =
            match self.announcements.lock().hear(metadata.annotations.policies_in_force(), version) {
                Heard::Nothing => return,
                Heard::TooLong(length) => {
                    return tracing::warn!(
                        lease = self.name,
                        length,
                        "the policy announcement of the lease holder is too long"
                    );
                }
                Heard::Own => None,
                Heard::Other(text) => Some(text.into()),
            };
        self.heard.send_if_modified(|known| std::mem::replace(known, news.clone()) != news);
    }

    /// Logs which term this process is in, if that changed.
    fn announce(&self) {
        let term = self.candidate.lock().lead(self.now()).epoch();
        self.terms.send_if_modified(|known| std::mem::replace(known, term) != term);
    }

    async fn look(&self) {
        let found = match self.server.get::<LeaseObject>(&self.path()).await {
            Ok(object) => Some(object),
            Err(Failure::Status { code: 404, .. }) => None,
            Err(failure) => return self.failed(&failure),
        };
        self.hear(found.as_ref());
        let version = found.as_ref().and_then(|object| object.metadata.version()).unwrap_or(u64::MAX);
        let record = found.map(|object| object.record(self.timing));
        self.candidate.lock().looked(record, version, self.now());
        *self.trouble.lock() = None;
    }

    async fn claim(&self, claim: &Claim) {
        let sent = self.now();
        let holder = self.candidate.lock().identity().to_owned();
        match self.send(claim, Some(&holder)).await {
            Ok(version) => {
                self.candidate.lock().granted(claim, version, sent);
                *self.trouble.lock() = None;
                if claim.begins {
                    tracing::info!(lease = self.name, holder, epoch = claim.epoch.number(), "lease acquired");
                }
            }
            Err(failure) if is_conflict(&failure) => self.candidate.lock().failed(true, self.now()),
            Err(failure) => self.failed(&failure),
        }
    }

    fn failed(&self, failure: &Failure) {
        let reason = failure.to_string();
        tracing::warn!(lease = self.name, reason, "the lease cannot be acquired or read");
        *self.trouble.lock() = Some(reason);
        self.candidate.lock().failed(false, self.now());
    }

    /// Gives the lease up. If another write came in between, it is read once more.
    async fn release(&self, claim: &Claim) {
        let give_up = async {
            if self.send(claim, None).await.is_err_and(|failure| is_conflict(&failure)) {
                let Ok(object) = self.server.get::<LeaseObject>(&self.path()).await else { return };
                let record = object.record(self.timing);
                if record.holder.as_deref() == Some(self.candidate.lock().identity()) && record.epoch == claim.epoch {
                    // It fails only if another process holds the lease by now.
                    let _ = self.send(&Claim { version: Some(record.version), ..claim.clone() }, None).await;
                }
            }
        };
        let given_up = tokio::time::timeout(RELEASE_WITHIN, give_up).await.is_ok();
        tracing::info!(lease = self.name, epoch = claim.epoch.number(), given_up, "lease lost");
    }

    /// Writes the Lease once and returns the new version.
    async fn send(&self, claim: &Claim, holder: Option<&str>) -> Result<String, Failure> {
        let now = Timestamp::now();
        let announcement = holder.and_then(|_| self.announcements.lock().send(claim.epoch));
        let written: LeaseObject = if let (None, Some(holder)) = (&claim.version, holder) {
            let mut object = object::made(&self.name, claim, holder, self.timing, now);
            object::say(&mut object, announcement.as_deref());
            self.server.create(&collection(&self.namespace), &object).await?
        } else {
            let mut patch = object::patch(claim, holder, self.timing, now);
            object::say(&mut patch, announcement.as_deref());
            self.server.merge(&self.path(), &patch).await?
        };
        self.hear(Some(&written));
        Ok(written.metadata.resource_version)
    }

    fn path(&self) -> String {
        format!("{}/{}", collection(&self.namespace), self.name)
    }
}

/// Returns whether the Lease has changed since it was seen.
fn is_conflict(failure: &Failure) -> bool {
    matches!(failure, Failure::Status { code: 404 | 409, .. })
}

fn collection(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
}
