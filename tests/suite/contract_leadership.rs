//! Leadership by a Lease, on the API double: two processes, one Lease.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball::adapters::kubernetes::lease::KubernetesLease;
use flyball::adapters::kubernetes::settings::Timing;
use flyball::adapters::kubernetes::{Access, Timeouts, connect};
use flyball::demo::kubernetes::call::Verb;
use flyball::demo::kubernetes::objects::{Author, Objects};
use flyball::demo::kubernetes::resource::Resource;
use flyball::model::{Epoch, Lead};
use flyball::ports::{Awaited, Leadership};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::kubernetes::BreakableDouble;
use crate::support::kubernetes::faults::Fault;
use crate::support::wait::eventually;

const OWN: &str = "flyball-system";
/// As short as whole seconds in a Lease permit.
pub const TIMING: Timing = Timing {
    duration: Duration::from_secs(1),
    renew_deadline: Duration::from_millis(800),
    retry: Duration::from_millis(100),
};

/// So long that no test sees a renewal or the end of a lease: what happens has another reason.
const ENDLESS: Timing = Timing {
    duration: Duration::from_hours(1),
    renew_deadline: Duration::from_mins(50),
    retry: Duration::from_millis(100),
};

struct Site {
    double: BreakableDouble,
}

impl Site {
    async fn open() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { double: BreakableDouble::start(Objects::default()).await.unwrap() }
    }

    async fn process(&self, name: &str) -> Arc<KubernetesLease> {
        self.process_with(name, TIMING).await
    }

    /// Makes a Lease that nobody holds: one that does not exist is waited for.
    fn make_free(&self) {
        let lease =
            json!({ "metadata": { "name": "flyball" }, "spec": { "holderIdentity": "", "leaseTransitions": 0 } });
        self.double.objects().create(Resource::Leases, OWN, lease, &Author::named("kubectl")).unwrap();
    }

    async fn process_with(&self, name: &str, timing: Timing) -> Arc<KubernetesLease> {
        let server = connect(&Access::Url(self.double.url()), Timeouts::default()).await.unwrap();
        Arc::new(KubernetesLease::start(&server, OWN, "flyball", name, timing))
    }

    fn lease(&self) -> Value {
        let lease = self.double.objects().get(Resource::Leases, OWN, "flyball").unwrap();
        lease["spec"].clone()
    }

    /// The holder's announcement.
    fn announcement(&self) -> Value {
        let lease = self.double.objects().get(Resource::Leases, OWN, "flyball").unwrap();
        lease["metadata"]["annotations"]["flyball.dev/policies-in-force"].clone()
    }
}

pub fn epoch(process: &KubernetesLease) -> Option<Epoch> {
    process.lead().epoch()
}

#[tokio::test]
async fn r10_one_of_two_holds_the_lease_and_the_other_follows_when_it_is_given_up() {
    let site = Site::open().await;
    let first = site.process("flyball-0").await;
    eventually("the first leads", || epoch(&first) == Some(Epoch::new(1))).await;
    let second = site.process("flyball-1").await;
    let holder = Some(first.identity());
    eventually("the second sees it", || second.lead() == Lead::Follows { holder: holder.clone() }).await;
    let lease = site.lease();
    assert!(lease["holderIdentity"].as_str().unwrap().starts_with("flyball-0_"), "{lease}");
    assert_eq!((&lease["leaseTransitions"], &lease["leaseDurationSeconds"]), (&json!(1), &json!(1)));
    // Longer than the lease lasts: it is renewed.
    tokio::time::sleep(TIMING.duration * 2).await;
    assert_eq!((epoch(&first), epoch(&second)), (Some(Epoch::new(1)), None));
    let mut terms = first.terms();
    assert_eq!(*terms.borrow_and_update(), Some(Epoch::new(1)));
    first.release().await;
    assert_eq!((epoch(&first), *terms.borrow_and_update()), (None, None));
    eventually("the second leads", || epoch(&second) == Some(Epoch::new(2))).await;
    tokio::time::sleep(TIMING.duration * 2).await;
    assert_eq!(epoch(&first), None, "who gave it up stands for it no more");
    assert!(site.lease()["acquireTime"].is_string() && site.lease()["renewTime"].is_string());
}

#[tokio::test]
async fn a_lease_that_is_given_up_is_not_waited_for() {
    let site = Site::open().await;
    site.make_free();
    let first = site.process_with("flyball-0", ENDLESS).await;
    eventually("the first leads", || epoch(&first) == Some(Epoch::new(1))).await;
    let second = site.process_with("flyball-1", ENDLESS).await;
    let holder = Some(first.identity());
    eventually("the second sees it", || second.lead() == Lead::Follows { holder: holder.clone() }).await;
    first.release().await;
    eventually("the second leads", || epoch(&second) == Some(Epoch::new(2))).await;
}

#[tokio::test]
async fn l2_a_lease_in_other_hands_ends_the_term_at_once() {
    let site = Site::open().await;
    site.make_free();
    let process = site.process_with("flyball-0", ENDLESS).await;
    eventually("it leads", || epoch(&process).is_some()).await;
    let person = Author::named("kubectl");
    let objects = site.double.objects();
    objects
        .update(Resource::Leases, OWN, "flyball", &person, |old| {
            let mut new = old.clone();
            new["spec"]["holderIdentity"] = json!("somebody");
            new["spec"]["leaseTransitions"] = json!(7);
            new["spec"]["leaseDurationSeconds"] = json!(1);
            Ok(new)
        })
        .unwrap();
    eventually("it follows", || epoch(&process).is_none()).await;
    eventually("it leads again, in a later epoch", || epoch(&process) == Some(Epoch::new(8))).await;
    objects.delete(Resource::Leases, OWN, "flyball", &person).unwrap();
    eventually("deleted, it is not held", || epoch(&process).is_none()).await;
}

#[tokio::test]
async fn l2_a_lease_that_was_deleted_is_made_anew_in_a_later_epoch() {
    let site = Site::open().await;
    let process = site.process("flyball-0").await;
    eventually("it leads", || epoch(&process) == Some(Epoch::new(1))).await;
    site.double.objects().delete(Resource::Leases, OWN, "flyball", &Author::named("kubectl")).unwrap();
    eventually("it is made anew", || epoch(&process) == Some(Epoch::new(2))).await;
}

#[tokio::test]
async fn k1_a_holder_that_cannot_renew_steps_down_and_names_the_trouble() {
    let site = Site::open().await;
    let process = site.process("flyball-0").await;
    eventually("it leads", || epoch(&process).is_some()).await;
    // Another client touches the object: the next renewal reads it and continues.
    let objects = site.double.objects();
    objects
        .update(Resource::Leases, OWN, "flyball", &Author::named("kubectl"), |old| {
            let mut new = old.clone();
            new["metadata"]["annotations"] = json!({ "note": "looked at" });
            Ok(new)
        })
        .unwrap();
    tokio::time::sleep(TIMING.duration).await;
    assert_eq!(epoch(&process), Some(Epoch::new(1)), "a touch is no loss");
    site.double.faults().order(Verb::Patch, 1_000, Fault::status(503));
    site.double.faults().order(Verb::Get, 1_000, Fault::status(503));
    // The clock is read before the question: a machine that stalls in between makes it no later.
    let (begun, held) = (Instant::now(), Mutex::new(Duration::ZERO));
    eventually("it steps down", || {
        let asked = begun.elapsed();
        let holds = epoch(&process).is_some();
        if holds {
            *held.lock() = asked;
        }
        !holds
    })
    .await;
    assert!(*held.lock() <= TIMING.duration, "{held:?}");
    let refused =
        |wait: &Awaited| matches!(wait, Awaited::Lease { name, why } if name == "flyball" && why.contains("503"));
    assert!(process.waiting_for().iter().any(refused), "{:?}", process.waiting_for());
    site.double.faults().clear();
    eventually("it leads again", || epoch(&process).is_some()).await;
    assert!(process.waiting_for().is_empty());
}

#[tokio::test]
async fn what_the_holder_says_is_heard_by_who_follows_and_by_who_comes_after() {
    let site = Site::open().await;
    let first = site.process("flyball-0").await;
    eventually("the first leads", || epoch(&first).is_some()).await;
    let second = site.process("flyball-1").await;
    let (mine, theirs) = (first.announcements(), second.announcements());
    first.announce("one");
    eventually("the second hears it", || theirs.borrow().as_deref() == Some("one")).await;
    first.announce("two");
    eventually("and the next", || theirs.borrow().as_deref() == Some("two")).await;
    assert_eq!(*mine.borrow(), None, "nobody hears what it said itself");
    first.release().await;
    eventually("the second leads", || epoch(&second).is_some()).await;
    let third = site.process("flyball-2").await;
    let announced = third.announcements();
    eventually("who comes later hears the last announcement", || announced.borrow().as_deref() == Some("two")).await;
    second.announce("three");
    eventually("and the new one", || announced.borrow().as_deref() == Some("three")).await;
    eventually("its own is no news", || theirs.borrow().is_none()).await;
}

/// A rollback just before the server goes away: the Lease is older than the state of this process.
#[tokio::test]
async fn who_loses_the_lease_does_not_hear_what_it_said_itself_before() {
    let site = Site::open().await;
    let process = site.process("flyball-0").await;
    eventually("it leads", || epoch(&process).is_some()).await;
    let mine = process.announcements();
    process.announce("one");
    eventually("it says so", || site.announcement() == "one").await;
    site.double.faults().order(Verb::Patch, 1_000, Fault::status(503));
    site.double.faults().order(Verb::Get, 1_000, Fault::status(503));
    process.announce("two");
    eventually("it steps down", || epoch(&process).is_none()).await;
    tokio::time::sleep(TIMING.retry * 3).await;
    assert_eq!((site.announcement(), mine.borrow().clone()), (json!("one"), None), "nobody hears what it said itself");
    assert!(!mine.has_changed().unwrap(), "not even for a moment");
    site.double.faults().clear();
    eventually("it leads again", || epoch(&process).is_some()).await;
    process.announce("three");
    eventually("it says so", || site.announcement() == "three").await;
    tokio::time::sleep(TIMING.retry * 3).await;
    assert!(!mine.has_changed().unwrap(), "nor afterwards");
}

/// Between two terms another process has led, and announced something newer.
#[tokio::test]
async fn a_new_term_does_not_begin_with_the_last_word_of_a_former_one() {
    let site = Site::open().await;
    let process = site.process("flyball-0").await;
    eventually("it leads", || epoch(&process).is_some()).await;
    process.announce("mine");
    eventually("it says so", || site.announcement() == "mine").await;
    let lead_as_another = |old: &Value| {
        let mut new = old.clone();
        new["spec"]["holderIdentity"] = json!("somebody");
        new["spec"]["leaseTransitions"] = json!(7);
        new["metadata"]["annotations"] = json!({ "flyball.dev/policies-in-force": "theirs" });
        Ok(new)
    };
    site.double.objects().update(Resource::Leases, OWN, "flyball", &Author::named("kubectl"), lead_as_another).unwrap();
    let announced = process.announcements();
    eventually("it hears them", || announced.borrow().as_deref() == Some("theirs")).await;
    eventually("it leads again", || epoch(&process) == Some(Epoch::new(8))).await;
    assert_eq!(site.announcement(), "theirs", "until it says something itself");
    process.announce("mine");
    eventually("it says so", || site.announcement() == "mine").await;
    eventually("its own is no news", || announced.borrow().is_none()).await;
}

/// Fifty services ahead and fifty behind, with the longest possible names.
#[tokio::test]
async fn the_longest_word_is_heard() {
    let site = Site::open().await;
    let first = site.process("flyball-0").await;
    eventually("the first leads", || epoch(&first).is_some()).await;
    let second = site.process("flyball-1").await;
    let announced = second.announcements();
    let mut heard = second.announcements();
    let lengths = tokio::spawn(async move {
        let mut lengths = Vec::new();
        while lengths.last() != Some(&5) && heard.changed().await.is_ok() {
            lengths.push(heard.borrow_and_update().as_ref().map_or(0, |text| text.len()));
        }
        lengths
    });
    let longest = "w".repeat(100 * 130 + 500);
    first.announce(&longest);
    eventually("it is heard", || announced.borrow().as_deref() == Some(&*longest)).await;
    first.announce(&"w".repeat(20_000));
    eventually("it is said", || site.announcement().as_str().is_some_and(|text| text.len() == 20_000)).await;
    first.announce("short");
    eventually("the next is heard", || announced.borrow().as_deref() == Some("short")).await;
    assert_eq!(lengths.await.unwrap(), [longest.len(), 5], "what is too long is not heard");
}
