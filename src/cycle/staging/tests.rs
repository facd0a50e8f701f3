use std::sync::Arc;

use super::*;

const SHADOW: Duration = Duration::from_mins(10);

impl Parts for String {
    fn with(&self, newer: &Self, namespaces: &BTreeSet<String>) -> Self {
        format!("{self} with {namespaces:?} of {newer}")
    }
}

fn staged(name: &str) -> Staged<String> {
    release(name, &[("", name)])
}

/// A release of these sets.
fn release(name: &str, sets: &[(&str, &str)]) -> Staged<String> {
    let sets = sets.iter().map(|(namespace, set)| ((*namespace).to_owned(), revision(set))).collect();
    Staged { revision: revision(name), sets, release: Arc::new(name.to_owned()) }
}

fn revision(name: &str) -> PolicyRevision {
    PolicyRevision::of([("t.rhai", name)])
}

fn at(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

fn cart() -> ServiceId {
    "shop/cart".parse().unwrap()
}

fn other() -> ServiceId {
    "shop/search".parse().unwrap()
}

/// The active set and the candidate for a service.
fn goes_by(staging: &Staging<String>, service: &ServiceId) -> (String, String) {
    let name = |staged: Option<&Staged<String>>| staged.map_or(String::new(), |staged| staged.release.to_string());
    let (in_force, beside) = staging.of(service);
    (name(in_force), name(beside))
}

fn pair(in_force: &str, beside: &str) -> (String, String) {
    (in_force.to_owned(), beside.to_owned())
}

/// One active release, one candidate.
fn two() -> Staging<String> {
    let mut staging = Staging::new(SHADOW);
    assert_eq!(staging.announced(staged("one"), at(0)), Some(Step::InForce(revision("one"))), "never without policies");
    assert_eq!(staging.announced(staged("two"), at(1)), Some(Step::Candidate(revision("two"))));
    staging
}

#[test]
fn a_candidate_stands_beside_for_the_set_time_and_then_takes_its_place() {
    let mut staging = two();
    assert_eq!((goes_by(&staging, &cart()), staging.due()), (pair("one", "two"), Some(at(11))));
    assert_eq!(staging.passed(at(10)), None);
    assert_eq!(staging.announced(staged("two"), at(10)), None, "it does not begin anew");
    assert_eq!(staging.passed(at(11)), Some(Step::InForce(revision("two"))));
    assert_eq!((goes_by(&staging, &cart()), staging.due()), (pair("two", ""), None));
}

#[test]
fn another_edit_begins_anew_and_one_taken_back_leaves_nothing() {
    let mut staging = two();
    staging.announced(staged("three"), at(9));
    assert_eq!((goes_by(&staging, &cart()), staging.due()), (pair("one", "three"), Some(at(19))));
    assert_eq!(staging.announced(staged("one"), at(10)), None);
    assert_eq!((goes_by(&staging, &cart()), staging.due()), (pair("one", ""), None));
    assert_eq!(staging.passed(at(99)), None);
}

#[test]
fn without_a_shadow_time_a_set_is_in_force_at_once() {
    let mut staging = Staging::default();
    staging.announced(staged("one"), at(0));
    assert_eq!(staging.announced(staged("two"), at(0)), Some(Step::InForce(revision("two"))));
}

#[test]
fn people_promote_before_the_time_for_all_or_for_one_service() {
    let mut staging = two();
    assert_eq!(staging.promote(&Scope::Service(cart()), at(19)), Ok(Some(Step::Apart(revision("two")))));
    assert_eq!((goes_by(&staging, &cart()), goes_by(&staging, &other())), (pair("two", ""), pair("one", "two")));
    assert_eq!(staging.roll_back(&Scope::Service(cart())), Ok(Some(Step::Apart(revision("one")))));
    assert_eq!(goes_by(&staging, &cart()), pair("one", "two"));
    assert_eq!(staging.promote(&Scope::All, at(19)), Ok(Some(Step::InForce(revision("two")))));
    assert_eq!(goes_by(&staging, &other()), pair("two", ""));
    assert!(staging.promote(&Scope::All, at(19)).is_err() && staging.promote(&Scope::Service(cart()), at(19)).is_err());
}

#[test]
fn what_was_rolled_back_stays_out_until_it_is_promoted_or_edited() {
    let mut staging = two();
    staging.promote(&Scope::All, at(19)).unwrap();
    assert_eq!(staging.roll_back(&Scope::All), Ok(Some(Step::InForce(revision("one")))));
    assert_eq!(
        staging.announced(staged("two"), at(20)),
        Some(Step::KeptOut(revision("two"))),
        "the store has it still"
    );
    assert_eq!((goes_by(&staging, &cart()), staging.passed(at(99))), (pair("one", ""), None));
    assert_eq!(staging.clone().promote(&Scope::All, at(19)), Ok(Some(Step::InForce(revision("two")))));
    assert_eq!(staging.announced(staged("three"), at(20)), Some(Step::Candidate(revision("three"))));
    assert!(Staging::<String>::default().roll_back(&Scope::All).is_err());
}

/// An edit elsewhere makes another release of the same bad set.
#[test]
fn what_was_rolled_back_stays_out_in_every_release_that_has_it() {
    let mut staging = Staging::default();
    staging.announced(staged("good"), at(0));
    staging.announced(release("bad", &[("", "bad")]), at(1));
    staging.roll_back(&Scope::All).unwrap();
    let with_bank = release("bad, bank", &[("", "bad"), ("bank", "bad bank")]);
    assert_eq!(staging.announced(with_bank.clone(), at(2)), Some(Step::KeptOut(with_bank.revision.clone())));
    assert_eq!(goes_by(&staging, &cart()), pair("good", ""));
    assert_eq!(staging.clone().promote(&Scope::All, at(19)), Ok(Some(Step::InForce(with_bank.revision))));
    let mended = release("good, bank", &[("", "good"), ("bank", "good bank")]);
    assert_eq!(staging.announced(mended.clone(), at(3)), Some(Step::InForce(mended.revision)));
    // The reverse: a set of one namespace was rolled back, and the fleet's stayed as it was.
    let bad_bank = release("good, bad bank", &[("", "good"), ("bank", "bad bank")]);
    staging.announced(bad_bank, at(4));
    staging.roll_back(&Scope::All).unwrap();
    let with_shop = release("shop", &[("", "good"), ("bank", "bad bank"), ("shop", "shop")]);
    assert_eq!(staging.announced(with_shop.clone(), at(5)), Some(Step::KeptOut(with_shop.revision)));
    let gone = release("no bank", &[("", "good"), ("shop", "shop")]);
    assert_eq!(staging.announced(gone.clone(), at(6)), Some(Step::InForce(gone.revision)), "what was bad is gone");
    staging.roll_back(&Scope::All).unwrap();
    let without = release("no bank yet", &[("", "good"), ("shop", "shop two")]);
    assert_eq!(
        staging.announced(without.clone(), at(7)),
        Some(Step::KeptOut(without.revision)),
        "that it is gone, too"
    );
}

/// A rollback in an emergency must not be followed by an automatic activation a minute later.
#[test]
fn a_rollback_takes_the_candidate_out_too() {
    let mut staging = two();
    staging.promote(&Scope::All, at(19)).unwrap();
    staging.announced(staged("three"), at(20));
    assert_eq!(staging.roll_back(&Scope::All), Ok(Some(Step::InForce(revision("one")))));
    assert_eq!((goes_by(&staging, &cart()), staging.passed(at(99))), (pair("one", ""), None));
    assert_eq!(staging.announced(staged("three"), at(21)), Some(Step::KeptOut(revision("three"))));
    assert_eq!(
        staging.announced(staged("two"), at(22)),
        Some(Step::KeptOut(revision("two"))),
        "what was gone back from"
    );
    let mut first = two();
    assert_eq!(first.roll_back(&Scope::All), Ok(None), "nothing before: the candidate alone goes");
    assert_eq!(goes_by(&first, &cart()), pair("one", ""));
}

#[test]
fn a_rollback_during_a_load_holds_for_what_was_loading() {
    let mut staging = two();
    staging.promote(&Scope::All, at(19)).unwrap();
    let begun = staging.returns;
    staging.roll_back(&Scope::All).unwrap();
    let mut same = staging.clone();
    assert_eq!(same.loaded(staged("one"), begun, at(2)), None, "the edit was taken back, too");
    assert_eq!(staging.loaded(staged("three"), begun, at(2)), Some(Step::KeptOut(revision("three"))));
    assert_eq!((goes_by(&staging, &cart()), staging.passed(at(99))), (pair("one", ""), None));
    for name in ["three", "two"] {
        assert_eq!(staging.announced(staged(name), at(3)), Some(Step::KeptOut(revision(name))), "and from then on");
    }
    let begun = staging.returns;
    assert_eq!(staging.loaded(staged("four"), begun, at(3)), Some(Step::Candidate(revision("four"))));
}

#[test]
fn a_candidate_goes_on_where_it_was_and_those_ahead_stay_ahead() {
    let mut before = two();
    before.promote(&Scope::Service(cart()), at(19)).unwrap();
    assert_eq!(before.stood(at(5)), BTreeMap::from([(String::new(), at(4))]));
    let mut staging = Staging::new(SHADOW);
    staging.resume(staged("two"), |_| at(4), before.ahead.clone(), at(0));
    assert_eq!(goes_by(&staging, &cart()), pair("", ""), "nothing to stand beside");
    staging.in_force = Some(staged("one"));
    staging.resume(staged("two"), |_| at(4), before.ahead, at(100));
    assert_eq!((goes_by(&staging, &cart()), goes_by(&staging, &other())), (pair("two", ""), pair("one", "two")));
    assert_eq!((staging.due(), staging.stood(at(101))), (Some(at(106)), BTreeMap::from([(String::new(), at(5))])));
    assert_eq!(staging.announced(staged("two"), at(101)), None, "the store has it still");
    assert_eq!(staging.passed(at(106)), Some(Step::InForce(revision("two"))));
}

#[test]
fn one_service_goes_back_until_the_next_set() {
    let mut staging = two();
    assert!(staging.roll_back(&Scope::Service(cart())).is_err(), "nothing was before");
    staging.promote(&Scope::All, at(19)).unwrap();
    assert_eq!(staging.roll_back(&Scope::Service(cart())), Ok(Some(Step::Apart(revision("one")))));
    assert_eq!((goes_by(&staging, &cart()), goes_by(&staging, &other())), (pair("one", ""), pair("two", "")));
    staging.announced(staged("three"), at(20));
    assert_eq!(goes_by(&staging, &cart()), pair("one", "three"));
    staging.passed(at(30));
    assert_eq!(goes_by(&staging, &cart()), pair("three", ""));
}

/// An editor saves twice, a checkout touches files: what was active for a moment is not a rollback target.
#[test]
fn people_go_back_one_step_each_and_not_to_what_was_there_for_a_moment() {
    let mut staging = Staging::default();
    let at = Duration::from_millis;
    for (name, moment) in [("one", 0), ("two", 60_000), ("half", 120_000), ("three", 120_100), ("four", 200_000)] {
        staging.announced(staged(name), at(moment));
    }
    let names = |staging: &Staging<String>| -> Vec<String> {
        staging
            .in_force
            .iter()
            .chain(&staging.previous)
            .chain(&staging.earlier)
            .map(|one| one.release.to_string())
            .collect()
    };
    assert_eq!(names(&staging), ["four", "three", "two", "one"]);
    assert_eq!(staging.roll_back(&Scope::All), Ok(Some(Step::InForce(revision("three")))));
    assert_eq!(staging.roll_back(&Scope::All), Ok(Some(Step::InForce(revision("two")))));
    for name in ["four", "three"] {
        assert_eq!(staging.announced(staged(name), at(201_000)), Some(Step::KeptOut(revision(name))));
    }
    // Went too far, and returns immediately: the way back is not forgotten.
    assert!(staging.promote(&Scope::All, at(201_500)).is_ok());
    assert_eq!(names(&staging)[1..], ["two", "one"]);
    assert_eq!(
        staging.announced(staged("four"), at(202_000)),
        Some(Step::KeptOut(revision("four"))),
        "that was not promoted"
    );
    // A release that returns is listed only at its newest place.
    staging.announced(staged("one"), at(300_000));
    assert_eq!(names(&staging), ["one", "three", "two"]);
    for turn in 0..20 {
        staging.announced(staged(&format!("turn {turn}")), at(400_000 + turn * 10_000));
    }
    assert_eq!(names(&staging).len(), 1 + KEPT);
    for _ in 0..KEPT {
        assert!(matches!(staging.roll_back(&Scope::All), Ok(Some(Step::InForce(_)))));
    }
    let end = staging.roll_back(&Scope::All).unwrap_err();
    assert_eq!(end, "no previous policy set is known here, so there is nothing to roll back to");
}

/// The first set of a process is better than nothing.
#[test]
fn what_was_there_for_a_moment_is_gone_back_to_where_nothing_else_was() {
    let mut staging = Staging::default();
    staging.announced(staged("one"), at(0));
    staging.announced(staged("two"), at(0));
    assert_eq!(staging.roll_back(&Scope::All), Ok(Some(Step::InForce(revision("one")))));
}

/// A fleet's set, that of `pay` and that of `shop`.
fn three_sets(fleet: &str, pay: &str, shop: &str) -> Staged<String> {
    release(&[fleet, pay, shop].join(", "), &[("", fleet), ("pay", pay), ("shop", shop)])
}

/// The set that each of three services uses: one of the fleet, one of `pay`, one of `shop`.
fn sets(staging: &Staging<String>) -> [PolicyRevision; 3] {
    ["bank/ledger", "pay/till", "shop/cart"].map(|service| {
        let service: ServiceId = service.parse().unwrap();
        staging.of(&service).0.unwrap().set(service.namespace()).unwrap().clone()
    })
}

/// Candidates for the fleet and `pay`, and one for `shop` that is edited every minute until the twentieth.
fn a_restless_team() -> Staging<String> {
    let mut staging = Staging::new(SHADOW);
    staging.announced(three_sets("fleet 1", "pay 1", "shop 1"), at(0));
    staging.announced(three_sets("fleet 2", "pay 2", "shop 2"), at(1));
    for minute in 2..=20 {
        staging.announced(three_sets("fleet 2", "pay 2", &format!("shop at {minute}")), at(minute));
        staging.passed(at(minute));
    }
    staging
}

#[test]
fn an_edit_of_one_namespace_takes_back_no_promotion_elsewhere() {
    let mut staging = Staging::new(SHADOW);
    staging.announced(three_sets("fleet 1", "pay 1", "shop 1"), at(0));
    staging.announced(three_sets("fleet 1", "pay 2", "shop 2"), at(1));
    for service in ["pay/till", "shop/cart"] {
        let set = format!("{} 2", &service[..service.len() - 5]);
        let step = staging.promote(&Scope::Service(service.parse().unwrap()), at(1));
        assert_eq!(step, Ok(Some(Step::Apart(revision(&set)))), "the set that it goes by, not the whole release");
    }
    staging.announced(three_sets("fleet 1", "pay 2", "shop 3"), at(2));
    assert_eq!(sets(&staging), ["fleet 1", "pay 2", "shop 1"].map(revision), "who edits begins anew");
}

#[test]
fn an_edit_of_one_namespace_holds_up_no_other() {
    let mut staging = a_restless_team();
    assert_eq!(sets(&staging), ["fleet 2", "pay 2", "shop 1"].map(revision));
    let last = staging.candidate.as_ref().unwrap().staged.revision.clone();
    assert_eq!(staging.due(), Some(at(30)), "of what is edited the clock begins anew");
    // The release active this way is what another edit of the fleet is compared with.
    let mut other = staging.clone();
    other.announced(three_sets("fleet 3", "pay 3", "shop 3"), at(21));
    assert_eq!((sets(&other), other.due()), (["fleet 2", "pay 2", "shop 1"].map(revision), Some(at(31))));
    // A rollback covers the active release and the candidate, and no later edit brings either back.
    let mut back = staging.clone();
    back.roll_back(&Scope::All).unwrap();
    assert_eq!(sets(&back), ["fleet 1", "pay 1", "shop 1"].map(revision));
    for again in [three_sets("fleet 2", "pay 3", "shop 3"), three_sets("fleet 3", "pay 3", "shop at 20")] {
        assert_eq!(back.announced(again.clone(), at(22)), Some(Step::KeptOut(again.revision)));
    }
    assert_eq!(staging.passed(at(29)), None);
    assert_eq!(staging.passed(at(30)), Some(Step::InForce(last)));
    assert_eq!(sets(&staging), ["fleet 2", "pay 2", "shop at 20"].map(revision));
    assert!(staging.candidate.is_none());
}

#[test]
fn a_set_that_waits_goes_on_where_it_was_after_a_restart() {
    let before = a_restless_team();
    let stood = before.stood(at(25));
    assert_eq!(stood, BTreeMap::from([("shop".to_owned(), at(5))]));
    let mut staging = Staging::new(SHADOW);
    staging.in_force.clone_from(&before.in_force);
    staging.resume(before.candidate.unwrap().staged, |namespace| stood[namespace], BTreeSet::new(), at(100));
    assert_eq!((sets(&staging), staging.due()), (["fleet 2", "pay 2", "shop 1"].map(revision), Some(at(105))));
}

/// Every rollback can be undone, the last one first.
#[test]
fn each_release_that_was_rolled_back_can_be_promoted() {
    let mut staging = Staging::default();
    for (name, minute) in [("one", 1), ("two", 2), ("three", 3)] {
        staging.announced(staged(name), at(minute));
    }
    staging.roll_back(&Scope::All).unwrap();
    let why = staging.promote(&Scope::Service(other()), at(4)).unwrap_err();
    let named = format!(
        "release {} was rolled back; `flyball policy promote` activates it for all services",
        revision("three")
    );
    assert!(why.ends_with(&named), "{why}");
    staging.roll_back(&Scope::All).unwrap();
    for name in ["two", "three"] {
        assert_eq!(staging.rolled_back.as_ref().unwrap().revision, revision(name));
        assert_eq!(staging.promote(&Scope::All, at(5)), Ok(Some(Step::InForce(revision(name)))));
    }
    assert!(staging.rolled_back.is_none() && staging.promote(&Scope::All, at(5)).is_err());
    // One that is known only by name, as after a start.
    let kept_out = RolledBack { revision: revision("four"), sets: BTreeSet::new(), staged: Vec::new() };
    staging.rolled_back = Some(kept_out);
    let why = staging.promote(&Scope::All, at(6)).unwrap_err();
    assert!(why.contains(revision("four").as_str()) && why.contains("has not been loaded since the start"), "{why}");
    assert!(staging.rolled_back.is_some());
}

/// A team keeps editing while the fleet's set is kept out: nothing accumulates.
#[test]
fn of_releases_with_the_same_bad_set_the_newest_is_promoted() {
    let mut staging = Staging::default();
    staging.announced(three_sets("fleet 1", "pay 1", "shop 1"), at(1));
    staging.announced(three_sets("fleet 2", "pay 1", "shop 1"), at(2));
    staging.roll_back(&Scope::All).unwrap();
    for minute in 3..30 {
        staging.announced(three_sets("fleet 2", "pay 1", &format!("shop at {minute}")), at(minute));
    }
    assert_eq!(staging.rolled_back.as_ref().unwrap().staged.len(), 1);
    staging.promote(&Scope::All, at(30)).unwrap();
    assert_eq!(sets(&staging), ["fleet 2", "pay 1", "shop at 29"].map(revision));
    assert!(staging.rolled_back.is_none());
}
