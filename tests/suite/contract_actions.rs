//! Intents as `LoopAction` objects, on the API double: what one process started, the next one finds and ends.

use std::sync::Arc;
use std::time::Duration;

use flyball::adapters::kubernetes::actions::LoopActions;
use flyball::adapters::kubernetes::{Access, Timeouts, connect};
use flyball::adapters::store::MemoryJournal;
use flyball::demo::kubernetes::call::Verb;
use flyball::demo::kubernetes::objects::Objects;
use flyball::demo::kubernetes::resource::Resource;
use flyball::model::{
    ChangeId, DecisionId, Foreseen, Impact, Intent, Measured, Revert, Timestamp, WriteOutcome, WriteTrace,
};
use flyball::ports::Journal;
use flyball::ports::journal::{Entry, JournalError, Unreadable};
use serde_json::{Value, json};

use crate::records;
use crate::support::kubernetes::BreakableDouble;
use crate::support::kubernetes::faults::Fault;
use crate::support::wait::eventually;

const ACTIONS: Resource = Resource::LoopActions;
const HOUR: Duration = Duration::from_secs(3600);

async fn server() -> BreakableDouble {
    let _ = rustls::crypto::ring::default_provider().install_default();
    BreakableDouble::start(Objects::default()).await.unwrap()
}

/// A process: its own journal, and the API.
async fn process(double: &BreakableDouble) -> (LoopActions, Arc<MemoryJournal>) {
    let server = connect(&Access::Url(double.url()), Timeouts::default()).await.unwrap();
    let local = Arc::new(MemoryJournal::new());
    (LoopActions::over(local.clone(), &server), local)
}

fn objects(double: &BreakableDouble) -> Vec<Value> {
    let page = double.objects().list(ACTIONS, None, None, usize::MAX);
    page.items.into_iter().map(|object| Value::clone(&object)).collect()
}

fn id(seq: u32) -> DecisionId {
    records::id("shop/checkout", seq)
}

fn foreseen() -> Foreseen {
    Foreseen { before: Some(0.1 + 0.2), ..Foreseen::default() }
}

fn open(seq: u32) -> Intent {
    let change = records::change(&id(seq));
    Intent::open(change, Timestamp::now(), foreseen())
}

async fn prepare(journal: &LoopActions, seq: u32) -> Result<ChangeId, JournalError> {
    journal.submit(Entry::Decision(Arc::new(records::acted(id(seq)))));
    let intent = open(seq);
    let change = intent.change.id.clone();
    journal.append(Entry::Prepared(intent)).await.map(|()| change)
}

async fn end(journal: &LoopActions, change: ChangeId, outcome: WriteOutcome) {
    journal.append(Entry::Ended { change, at: Timestamp::now(), outcome }).await.unwrap();
}

#[tokio::test]
async fn an_intent_is_an_object_before_its_write_and_ends_once() {
    let double = server().await;
    let (journal, local) = process(&double).await;
    journal.refresh().await.unwrap();
    let change = prepare(&journal, 1).await.unwrap();
    let [object] = objects(&double).try_into().unwrap();
    assert_eq!(object["metadata"]["name"], format!("checkout-{change}"));
    assert_eq!(object["metadata"]["labels"]["flyball.dev/service"], "checkout");
    assert_eq!(object["spec"]["change"]["id"], change.as_str());
    assert!(object["status"]["endedAt"].is_null());
    assert_eq!((journal.open_intents().unwrap().len(), local.open_intents().unwrap().len()), (1, 1));

    end(&journal, change.clone(), WriteOutcome::Applied).await;
    let [object] = objects(&double).try_into().unwrap();
    assert_eq!(object["status"]["outcome"], "applied");
    assert!(journal.open_intents().unwrap().is_empty() && local.open_intents().unwrap().is_empty());
    assert_eq!(journal.remembered_since(Timestamp::now(), HOUR).unwrap().len(), 1);
    assert_eq!(
        journal.decision(&id(1)).unwrap().unwrap().outcome,
        Some(WriteOutcome::Applied),
        "the own record is whole"
    );

    let revert = Revert { at: Timestamp::now(), from: 7, to: 4, by: Some("kubectl".into()) };
    journal.submit(Entry::Reverted { change, revert: revert.clone() });
    let reverted = || objects(&double)[0]["status"]["reverted"]["by"] == "kubectl";
    eventually("the revert is written", reverted).await;
    let (next, _) = process(&double).await;
    next.refresh().await.unwrap();
    let [known] = next.remembered_since(Timestamp::now(), HOUR).unwrap().try_into().unwrap();
    assert_eq!(known.reverted, Some(revert), "who goes on knows of it");
}

/// Forecast and measurement are in the API; the decision record stays with the process that made it.
#[tokio::test]
async fn inv_12_whoever_goes_on_measures_what_a_process_wrote_and_the_first_effect_stands() {
    let double = server().await;
    let ((old, old_local), (new, new_local)) = (process(&double).await, process(&double).await);
    old.refresh().await.unwrap();
    let change = prepare(&old, 1).await.unwrap();
    end(&old, change.clone(), WriteOutcome::Applied).await;
    new.refresh().await.unwrap();
    let [known] = new.remembered_since(Timestamp::now(), HOUR).unwrap().try_into().unwrap();
    assert_eq!((known.foreseen, known.measured), (foreseen(), None), "every number reads back exactly");

    let measured = |impact| Measured { at: Timestamp::now(), effect: records::effect(impact) };
    let impact = || objects(&double)[0]["status"]["measured"]["effect"]["impact"].clone();
    let first = measured(Impact::Hurt);
    new.submit(Entry::Measured { change: change.clone(), measured: first.clone() });
    eventually("the effect is written", || impact() == "hurt").await;
    // The old process resumes, and reports what it saw.
    old.submit(Entry::Measured { change, measured: measured(Impact::Neutral) });
    let of_old = || old.remembered_since(Timestamp::now(), HOUR).unwrap()[0].measured.clone();
    eventually("the old process knows it", || of_old().is_some()).await;
    assert_eq!((impact(), of_old()), (json!("hurt"), Some(first)), "and takes over what it finds");
    assert!(new_local.decisions(None, None, 10).unwrap().is_empty(), "a decision of the old one is not the new one's");
    let record = old_local.decision(&id(1)).unwrap().unwrap();
    assert_eq!(record.effect.map(|effect| effect.impact), Some(Impact::Neutral), "what it saw itself");
}

#[tokio::test]
async fn inv_10_inv_12_what_a_process_left_open_the_next_one_finds_and_the_first_end_stands() {
    let double = server().await;
    let ((old, old_local), (new, new_local)) = (process(&double).await, process(&double).await);
    old.refresh().await.unwrap();
    let change = prepare(&old, 1).await.unwrap();
    assert!(new.open_intents().unwrap().is_empty(), "before it is asked it knows of nothing");
    new.refresh().await.unwrap();
    let [found] = new.open_intents().unwrap().try_into().unwrap();
    assert_eq!(found.change, records::change(&id(1)));
    end(&new, change.clone(), WriteOutcome::Applied).await;
    assert!(new_local.decisions(None, None, 10).unwrap().is_empty(), "a decision of the old one is not the new one's");
    // The old process resumes, and reports what it believes.
    end(
        &old,
        change.clone(),
        WriteOutcome::Abandoned { reason: "found 4, expected 7".to_owned(), trace: WriteTrace::MayHave },
    )
    .await;
    assert_eq!(objects(&double)[0]["status"]["outcome"], "applied");
    assert_eq!(old.remembered_since(Timestamp::now(), HOUR).unwrap().len(), 1, "and takes over what it finds");

    // A process restarted with an old volume ends its copies as the API says.
    let orphan = prepare(&old, 3).await.unwrap();
    let name = format!("checkout-{orphan}");
    double
        .objects()
        .delete(ACTIONS, "shop", &name, &flyball::demo::kubernetes::objects::Author::named("kubectl"))
        .unwrap();
    old.refresh().await.unwrap();
    assert!(old.open_intents().unwrap().is_empty() && old_local.open_intents().unwrap().is_empty());
}

#[tokio::test]
async fn inv_28_without_the_object_there_is_no_write_and_an_end_is_tried_until_it_is_there() {
    let double = server().await;
    let (journal, local) = process(&double).await;
    journal.refresh().await.unwrap();
    double.faults().order(Verb::Create, 1, Fault::status(403));
    assert!(prepare(&journal, 1).await.is_err());
    assert!(objects(&double).is_empty() && journal.open_intents().unwrap().is_empty());
    assert!(local.open_intents().unwrap().is_empty());
    // Created, but the answer was lost: nothing was sent for it, so it is ended.
    double.faults().order(Verb::Create, 1, Fault::Cut);
    assert!(prepare(&journal, 3).await.is_err());
    eventually("it is ended", || objects(&double).iter().all(|object| object["status"]["outcome"] == "abandoned"))
        .await;
    assert_eq!(objects(&double).len(), 1);
    assert_eq!(objects(&double)[0]["status"]["outcome"], "abandoned");
    let change = prepare(&journal, 5).await.unwrap();
    double.faults().order(Verb::Patch, 1, Fault::status(503));
    end(&journal, change, WriteOutcome::Applied).await;
    assert!(journal.open_intents().unwrap().is_empty());
    assert_eq!(objects(&double).iter().filter(|object| object["status"]["outcome"] == "applied").count(), 1);
    assert!(journal.health().is_ok());
    // While ends are refused, nothing more may be written.
    let change = prepare(&journal, 7).await.unwrap();
    double.faults().order(Verb::Patch, 1, Fault::status(422));
    let ending = end(&journal, change, WriteOutcome::Applied);
    let watching = async {
        eventually("it is ill", || journal.health().is_err()).await;
        journal.health().unwrap_err().to_string()
    };
    let ((), told) = futures::join!(ending, watching);
    assert!(told.contains("cannot be written"), "{told}");
    assert!(journal.health().is_ok(), "the second try wrote it");
}

/// A custom resource without a status subresource: the object exists, but no end can be written to it.
#[tokio::test]
async fn inv_28_an_end_for_which_there_is_no_place_is_named_and_tried_again_after_a_pause() {
    let double = server().await;
    let (journal, _) = process(&double).await;
    journal.refresh().await.unwrap();
    let change = prepare(&journal, 1).await.unwrap();
    double.faults().order_of(ACTIONS, Verb::Patch, 100_000, Fault::status(404));
    let ending = end(&journal, change, WriteOutcome::Applied);
    let watching = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (health, tries) = (journal.health(), double.faults().requests(Verb::Patch));
        double.faults().clear();
        (health, tries)
    };
    let ((), (health, tries)) = futures::join!(ending, watching);
    assert_eq!(tries, 1, "it asks no more than every two seconds");
    let told = health.unwrap_err().to_string();
    assert!(told.contains("cannot be written") && told.contains("404"), "{told}");
    assert!(journal.health().is_ok() && objects(&double)[0]["status"]["outcome"] == "applied");
}

#[tokio::test]
async fn objects_that_are_no_longer_needed_are_deleted() {
    let double = server().await;
    let (journal, _) = process(&double).await;
    journal.refresh().await.unwrap();
    for seq in 0..40 {
        let change = prepare(&journal, seq * 2 + 1).await.unwrap();
        end(&journal, change, WriteOutcome::Applied).await;
    }
    eventually("the others are deleted", || objects(&double).len() == 32).await;
    assert_eq!(journal.remembered_since(Timestamp::now(), HOUR).unwrap().len(), 32);
}

#[tokio::test]
async fn inv_18_an_open_object_that_cannot_be_read_is_named_and_stops_nobody_else() {
    let double = server().await;
    let (old, _) = process(&double).await;
    old.refresh().await.unwrap();
    let change = prepare(&old, 1).await.unwrap();
    let person = flyball::demo::kubernetes::objects::Author::named("kubectl");
    let odd =
        |name: &str, labels: Value| json!({ "metadata": { "name": name, "labels": labels }, "spec": { "change": {} } });
    let make = |object: Value| double.objects().create(ACTIONS, "shop", object, &person).unwrap();
    make(odd("search-odd", json!({ "flyball.dev/service": "search" })));
    let (new, _) = process(&double).await;
    new.refresh().await.unwrap();
    assert_eq!(new.open_intents().unwrap().len(), 1, "what can be read is taken over");
    let [unreadable] = new.unreadable().try_into().unwrap();
    let concerns =
        |of: &Unreadable| ["shop/search", "shop/checkout", "bank/search"].map(|id| of.concerns(&id.parse().unwrap()));
    assert_eq!(concerns(&unreadable), [true, false, false], "{unreadable}");
    end(&new, change, WriteOutcome::Applied).await;
    make(odd("nobodys", json!({})));
    new.refresh().await.unwrap();
    let nobodys = new.unreadable().into_iter().find(|one| one.object == "nobodys").unwrap();
    assert_eq!(concerns(&nobodys), [true, true, false], "it may be about any of its namespace");
    for name in ["search-odd", "nobodys"] {
        double.objects().delete(ACTIONS, "shop", name, &person).unwrap();
    }
    eventually("once it is gone, its service goes on", || new.unreadable().is_empty()).await;
}

/// The sender gives up, finds no object, and then the server creates it.
#[tokio::test]
async fn an_object_that_the_server_makes_after_its_sender_gave_up_does_not_stay_open() {
    let double = server().await;
    let timeouts = Timeouts { answer: Duration::from_millis(300), ..Timeouts::default() };
    let server = connect(&Access::Url(double.url()), timeouts).await.unwrap();
    let journal = LoopActions::over(Arc::new(MemoryJournal::new()), &server);
    journal.refresh().await.unwrap();
    double.faults().order(Verb::Create, 1, Fault::HoldBefore);
    let refused = prepare(&journal, 1).await.unwrap_err();
    assert!(refused.to_string().contains("no answer within 300ms"), "{refused}");
    double.faults().release();
    double.faults().wait_for_handled(Verb::Create, 1).await;
    let [object] = objects(&double).try_into().unwrap();
    assert!(object["status"]["endedAt"].is_null(), "a ghost: nobody waits for it any more");
    eventually("it is ended", || objects(&double)[0]["status"]["outcome"] == "abandoned").await;
    let [object] = objects(&double).try_into().unwrap();
    assert_eq!(
        (&object["status"]["outcome"], &object["status"]["result"]["sent"]),
        (&json!("abandoned"), &json!(false))
    );
}
