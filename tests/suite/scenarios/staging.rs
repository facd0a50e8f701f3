//! A changed policy set as candidate: recorded, compared, promoted by time or by operators, rolled back.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use flyball::actors::LoopControl;
use flyball::adapters::executor::Pool;
use flyball::model::explain::text;
use flyball::model::{Choice, DecisionRecord, PolicyRevision, ServiceId};
use flyball::ports::Control;
use flyball::ports::policy_memory::PolicyOperation;

use super::world::{World, policy_set, settings, steady};

const MINUTE: Duration = Duration::from_mins(1);
const SECOND: Duration = Duration::from_secs(1);
const CART: &str = "shop/cart";
const LEDGER: &str = "bank/ledger";

/// A world of two services whose candidates soak for ten minutes.
fn world() -> World {
    let text = settings(&[CART, LEDGER], "").replacen("state:", "policy_shadow: 10m\nstate:", 1);
    World::with_settings(&text, steady(|_, _| 200.0))
}

/// A rule that scales to this many replicas.
fn to(replicas: u32) -> String {
    format!(
        "rule(\"to_{replicas}\", #{{ priority: 900, goal: \"protect\" }}, |s, p| \
         [ when(s.rps.current > rps(1)), scale_to({replicas}) ]);"
    )
}

fn announce(world: &World, text: &str) {
    world.policies.send_replace(Arc::new(policy_set(&[("t.rhai", text)])));
}

/// The rule on which the newest decision acts, and that of the candidate.
fn rules(control: &LoopControl, service: &str) -> (Option<String>, Option<String>) {
    let service: ServiceId = service.parse().unwrap();
    let record = control.service(&service).unwrap().last.unwrap();
    let rule = |choice: &Choice| choice.rule().map(str::to_owned);
    (rule(&record.proposal.choice), record.candidate.as_ref().and_then(|wanted| rule(&wanted.choice)))
}

fn by(in_force: &str, beside: Option<&str>) -> (Option<String>, Option<String>) {
    (Some(in_force.to_owned()), beside.map(str::to_owned))
}

#[tokio::test(start_paused = true)]
async fn a_changed_set_stands_beside_and_what_it_would_have_done_is_recorded() {
    let world = world();
    announce(&world, &to(5));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(rules(&control, CART), by("to_5", None));
    announce(&world, &to(6));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(rules(&control, CART), by("to_5", Some("to_6")));
    assert_eq!(world.cluster.replicas("cart"), 5, "what stands beside does nothing");
    let status = control.policies();
    let candidate = status.candidate.unwrap();
    assert!((530..=545).contains(&candidate.in_force_in), "{}", candidate.in_force_in);
    assert!(candidate.replay.decisions > 0 && candidate.replay.same == 0, "{:?}", candidate.replay);
    assert!(candidate.live.decisions >= 6 && candidate.live.same == 0, "{:?}", candidate.live);
    let found = &candidate.live.differences[0];
    assert_eq!((&*found.wanted, &*found.candidate_wanted), ("scale to 5 (rule to_5)", "scale to 6 (rule to_6)"));
    let kept =
        |record: &DecisionRecord| record.candidate.as_ref().is_some_and(|one| one.revision == candidate.revision);
    assert!(world.records(CART).iter().any(kept), "in the journal, too");
    tokio::time::sleep(MINUTE * 10).await;
    assert_eq!(rules(&control, CART), by("to_6", None));
    assert_eq!(world.cluster.replicas("cart"), 6);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn people_promote_and_go_back_within_a_second_for_all_or_for_one() {
    let world = world();
    announce(&world, &to(5));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    let first = control.policies().in_force;
    announce(&world, &to(6));
    tokio::time::sleep(MINUTE).await;
    let in_force = |service: &str| control.service(&service.parse().unwrap()).unwrap().revision;
    world.policy_memory.order("1", PolicyOperation::Promote, Some(CART));
    tokio::time::sleep(SECOND).await;
    assert!(in_force(CART) != first && in_force(LEDGER) == first);
    assert_eq!(control.policies().apart.len(), 1);
    world.policy_memory.order("2", PolicyOperation::Promote, None);
    tokio::time::sleep(SECOND).await;
    let second = control.policies().in_force;
    assert!(second != first && in_force(LEDGER) == second);
    world.policy_memory.order("3", PolicyOperation::Rollback, None);
    tokio::time::sleep(SECOND).await;
    let status = control.policies();
    assert_eq!((&status.in_force, &status.rolled_back), (&first, &second));
    assert!(status.last_order.is_some_and(|end| end.id == "3" && end.done && end.words.ends_with("is active")));
    // The store still has the newer set: neither a repeated announcement nor time brings it back.
    announce(&world, &to(6));
    tokio::time::sleep(MINUTE * 30).await;
    assert_eq!((control.policies().in_force, in_force(CART)), (first.clone(), first));
    world.policy_memory.order("4", PolicyOperation::Rollback, None);
    tokio::time::sleep(SECOND).await;
    assert!(control.policies().last_order.is_some_and(|end| end.id == "4" && !end.done));
    tree.stop().await;
}

/// A start never runs without the previously active set, whatever the store contains by then.
#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_by_the_last_good_set_and_by_what_was_taken_back() {
    let mut world = world();
    announce(&world, &to(5));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    let first = control.policies().in_force;
    announce(&world, "rule(");
    tokio::time::sleep(SECOND).await;
    tree.stop().await;
    world.journal = Arc::default();
    let (tree, control) = world.start().await;
    tokio::time::sleep(SECOND * 40).await;
    let status = control.policies();
    assert!(first.is_some() && status.in_force == first && status.faults.len() == 1, "{status:?}");
    assert_eq!(rules(&control, CART), by("to_5", None));
    announce(&world, &to(6));
    tokio::time::sleep(MINUTE).await;
    world.policy_memory.order("1", PolicyOperation::Promote, None);
    tokio::time::sleep(SECOND).await;
    world.policy_memory.order("2", PolicyOperation::Rollback, None);
    tokio::time::sleep(SECOND).await;
    tree.stop().await;
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 20).await;
    let status = control.policies();
    assert!(status.in_force == first && status.rolled_back.is_some() && status.candidate.is_none(), "{status:?}");
    tree.stop().await;
}

/// An order present at startup is about the previously active set, not about the time before it is restored.
#[tokio::test(start_paused = true)]
async fn an_order_given_just_before_a_start_waits_for_what_was_in_force() {
    let mut world = world();
    announce(&world, &to(5));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    let first = control.policies().in_force;
    announce(&world, &to(6));
    tokio::time::sleep(MINUTE * 11).await;
    assert_ne!(control.policies().in_force, first);
    tree.stop().await;
    world.policy_memory.order("1", PolicyOperation::Rollback, None);
    world.executor = Arc::new(Pool::of(NonZeroUsize::MIN));
    world.journal = Arc::default();
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    let status = control.policies();
    assert!(status.last_order.as_ref().is_some_and(|end| end.done) && status.in_force == first, "{status:?}");
    tree.stop().await;
    assert!(world.policy_memory.kept.lock().in_force.is_some());
}

/// The order is still present when the process, or only the actor, restarts.
#[tokio::test(start_paused = true)]
async fn an_order_is_obeyed_once_through_a_restart() {
    let mut world = world();
    announce(&world, &to(5));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    announce(&world, &to(6));
    tokio::time::sleep(SECOND).await;
    world.policy_memory.order("1", PolicyOperation::Promote, None);
    tokio::time::sleep(SECOND).await;
    let second = control.policies().in_force;
    tree.stop().await;
    world.journal = Arc::default();
    announce(&world, &to(7));
    let (tree, control) = world.start().await;
    tokio::time::sleep(SECOND).await;
    // To the library this looks like a restart of only itself.
    world.policy_memory.orders.send_modify(|_| ());
    tokio::time::sleep(SECOND).await;
    let status = control.policies();
    assert!(status.in_force == second && status.candidate.is_some(), "{status:?}");
    assert!(status.last_order.is_some_and(|end| end.id == "1" && end.done));
    tree.stop().await;
}

/// Neither soak time nor a service that is ahead is lost with the process; downtime does not count.
#[tokio::test(start_paused = true)]
async fn what_stands_beside_goes_on_after_a_restart_for_all_and_for_one() {
    let world = world();
    announce(&world, &to(5));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    let first = control.policies().in_force;
    announce(&world, &to(6));
    tokio::time::sleep(MINUTE * 3).await;
    world.policy_memory.order("1", PolicyOperation::Promote, Some(CART));
    tokio::time::sleep(MINUTE).await;
    let candidate = control.policies().candidate.unwrap();
    tree.stop().await;
    tokio::time::sleep(MINUTE * 30).await;
    let (tree, control) = world.start().await;
    tokio::time::sleep(SECOND * 40).await;
    let in_force = |service: &str| control.service(&service.parse().unwrap()).unwrap().revision;
    let second = Some(candidate.revision.clone());
    assert_eq!((in_force(CART), in_force(LEDGER)), (second.clone(), first.clone()));
    let status = control.policies();
    let after = status.candidate.unwrap();
    assert_eq!((&after.revision, &after.replay), (&candidate.revision, &candidate.replay));
    // It soaked for four minutes, of which the last record proves at least three.
    assert!((5 * 60..=7 * 60).contains(&after.in_force_in), "{}", after.in_force_in);
    tokio::time::sleep(SECOND * 270).await;
    assert_eq!(in_force(LEDGER), first);
    tokio::time::sleep(MINUTE * 3).await;
    assert_eq!(in_force(LEDGER), second);
    tree.stop().await;
}

/// An operator was told that there is nothing to promote. What comes later is not what they meant.
#[tokio::test(start_paused = true)]
async fn an_order_that_could_not_be_obeyed_is_not_tried_again_by_the_next_start() {
    let mut world = world();
    announce(&world, &to(5));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    let first = control.policies().in_force;
    world.policy_memory.order("1", PolicyOperation::Promote, None);
    tokio::time::sleep(SECOND).await;
    assert!(control.policies().last_order.is_some_and(|end| end.id == "1" && !end.done));
    let kept = world.policy_memory.kept.lock().last_order.clone();
    assert!(kept.is_some_and(|end| end.id == "1"), "whatever comes in which order at the start");
    tree.stop().await;
    world.journal = Arc::default();
    announce(&world, &to(6));
    let (tree, control) = world.start().await;
    tokio::time::sleep(SECOND).await;
    world.policy_memory.orders.send_modify(|_| ());
    tokio::time::sleep(SECOND).await;
    let status = control.policies();
    assert!(status.in_force == first && status.candidate.is_some(), "{status:?}");
    tree.stop().await;
}

/// The hash identifies what decides; the commit and its author say whom to ask.
#[tokio::test(start_paused = true)]
async fn a_decision_names_the_commit_and_the_author_of_its_set_where_that_says_so() {
    let world = world();
    let announce = |replicas: u32, from: &str| {
        let rule = to(replicas);
        world.policies.send_replace(Arc::new(policy_set(&[("t.rhai", rule.as_str()), ("REVISION", from)])));
    };
    let names = |control: &LoopControl| {
        let status = control.policies();
        let from = |revision: &PolicyRevision| status.provenance.get(revision).map(ToString::to_string);
        let candidate = status.candidate.as_ref().and_then(|candidate| from(&candidate.revision));
        (status.in_force.as_ref().and_then(from), candidate)
    };
    announce(5, "commit: 3f2a9c1\nauthor: Ann Lee\n");
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    let first = control.policies().in_force;
    announce(6, "77e0b12\n");
    tokio::time::sleep(MINUTE).await;
    let (one, other) = (Some("commit 3f2a9c1 by Ann Lee".to_owned()), Some("commit 77e0b12".to_owned()));
    assert_eq!(names(&control), (one.clone(), other.clone()));
    // Another commit with the same policies is not another set.
    announce(5, "commit: 999\n");
    tokio::time::sleep(SECOND).await;
    assert_eq!((control.policies().in_force, names(&control)), (first, (one.clone(), None)));
    let record = world.records(CART).pop().unwrap();
    assert_eq!(record.provenance.as_ref().map(ToString::to_string), one);
    assert!(text(&record).contains("(commit 3f2a9c1 by Ann Lee); trace "), "{}", text(&record));
    tree.stop().await;
    // It is stored with the set.
    world.policies.send_replace(Arc::new(policy_set(&[("t.rhai", "rule(")])));
    let (tree, control) = world.start().await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(names(&control), (one, None));
    tree.stop().await;
}

/// A comment was added: every decision is the same, even if a condition in the active set has been held for minutes.
#[tokio::test(start_paused = true)]
async fn a_set_beside_goes_on_by_how_long_conditions_have_held() {
    let world = world();
    let held = |bound: u32, words: &str| {
        format!(
            "// {words}\nrule(\"held\", #{{ priority: 900, goal: \"protect\" }}, |s, p| \
             [ when((s.rps.current > rps({bound})).held_for(\"3m\")), scale_to(5) ]);"
        )
    };
    announce(&world, &held(1, "before"));
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 4).await;
    assert_eq!(rules(&control, CART), by("held", None));
    announce(&world, &held(1, "after"));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(rules(&control, CART), by("held", Some("held")));
    let candidate = control.policies().candidate.unwrap();
    assert!(candidate.live.decisions > 0 && candidate.live.same == candidate.live.decisions, "{:?}", candidate.live);
    // Another bound starts from scratch, in the candidate as in the active set; so does whatever comes after it.
    announce(&world, &held(2, "another"));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(rules(&control, CART), (Some("held".to_owned()), None));
    announce(&world, &held(1, "as it was"));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(rules(&control, CART), by("held", Some("held")));
    tree.stop().await;
}

/// Records are hours apart: a replay knows only their account of the past.
#[tokio::test(start_paused = true)]
async fn the_replay_of_recorded_inputs_goes_by_how_long_conditions_had_held() {
    let world = world();
    let condition = "(s.rps.current > rps(1)).held_for(\"3m\")";
    let held =
        format!("rule(\"held\", #{{ priority: 900, goal: \"protect\" }}, |s, p| [ when({condition}), scale_to(5) ]);");
    announce(&world, &held);
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE * 5).await;
    announce(&world, &held.replace(condition, "s.rps.current > rps(1)"));
    tokio::time::sleep(MINUTE).await;
    let replay = control.policies().candidate.unwrap().replay;
    assert!(replay.same > 0 && replay.same < replay.decisions, "{replay:?}");
    tree.stop().await;
}

/// A fleet and a team that edit in turns: each soaks on its own, across a restart too, and every hash is attributed.
#[tokio::test(start_paused = true)]
async fn an_edit_of_a_team_holds_up_no_edit_of_the_fleet_and_takes_back_no_promotion() {
    const TILL: &str = "pay/till";
    let text = settings(&[CART, LEDGER, TILL], "").replacen("state:", "policy_shadow: 10m\nstate:", 1);
    let mut world = World::with_settings(&text, steady(|_, _| 200.0));
    let announce = |world: &World, fleet: u32, team: u32| {
        let mut files = policy_set(&[("base.rhai", &to(fleet).replace("900", "100"))]);
        files.namespaces.insert("shop".to_owned(), policy_set(&[("shop/own.rhai", &to(team))]).files);
        world.policies.send_replace(Arc::new(files));
    };
    let counts = |world: &World| ["cart", "ledger", "till"].map(|name| world.cluster.replicas(name));
    announce(&world, 5, 7);
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(counts(&world), [7, 5, 5]);
    announce(&world, 6, 7);
    tokio::time::sleep(MINUTE * 2).await;
    world.policy_memory.order("1", PolicyOperation::Promote, Some(LEDGER));
    tokio::time::sleep(MINUTE).await;
    let status = control.policies();
    let revision = control.service(&LEDGER.parse().unwrap()).unwrap().revision.unwrap();
    assert_eq!(status.apart.values().collect::<Vec<_>>(), [&revision]);
    assert_eq!(status.last_order.unwrap().words, format!("{LEDGER} uses revision {revision}"));
    assert!(status.release.is_some() && status.release != status.in_force, "{:?}", status.release);
    for team in 8..=10 {
        announce(&world, 6, team);
        tokio::time::sleep(MINUTE).await;
    }
    let status = control.policies();
    assert_eq!(status.apart.len(), 1, "that the team edits is nothing to the ledger");
    let left = status.candidate.unwrap().sets_in_force_in_seconds;
    assert!(left[""] < 5 * 60 && left["shop"] > 8 * 60, "{left:?}");
    tokio::time::sleep(MINUTE * 5).await;
    assert_eq!(counts(&world), [7, 6, 6]);
    let status = control.policies();
    assert_eq!((status.in_force, status.apart.len()), (Some(revision), 0));
    tree.stop().await;
    // The team uses fleet files that nothing else uses any more.
    world.journal = Arc::default();
    let (tree, control) = world.start().await;
    tokio::time::sleep(MINUTE).await;
    let after = control.policies();
    assert_eq!((&after.release, &after.namespaces), (&status.release, &status.namespaces));
    assert_eq!(after.candidate.unwrap().revision, status.candidate.unwrap().revision);
    tokio::time::sleep(MINUTE * 10).await;
    assert_eq!(counts(&world), [10, 6, 6]);
    tree.stop().await;
}
