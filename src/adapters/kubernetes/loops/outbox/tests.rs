//! What is written when, and what waits.

use super::*;
use crate::adapters::kubernetes::loops::judge::Acceptance;
use crate::model::{
    Choice, CycleId, DecisionId, Features, GuardName, Mode, Proposal, ServiceSpec, TargetReading, TraceId, Verdict,
    VerdictKind,
};

fn held_by(guard: GuardName, seq: u32) -> News {
    let id = DecisionId { service: "shop/checkout".parse().unwrap(), cycle: CycleId { run: 1, seq } };
    let target = TargetReading::Unknown { reason: "not yet".to_owned() };
    News::Decided(Arc::new(DecisionRecord {
        trace: TraceId::derive(&id.service, id.cycle, Timestamp::UNIX_EPOCH),
        id,
        at: Timestamp::UNIX_EPOCH,
        mode: Mode::Auto,
        signals: Arc::default(),
        features: Arc::new(Features { signals: Vec::new(), target }),
        outlook: Arc::default(),
        proposal: Proposal { revision: None, rules: Vec::new(), choice: Choice::Nothing("calm".into()) },
        provenance: None,
        candidate: None,
        verdict: Verdict { kind: VerdictKind::Hold, decided_by: Some(guard), ..Verdict::idle() },
        change: None,
        outcome: None,
        effect: None,
    }))
}

fn report() -> LoopReport {
    LoopReport::new(judged(1))
}

fn judged(version: u64) -> Judged {
    Judged {
        uid: "uid".to_owned(),
        version,
        generation: 1,
        spec: Some(Arc::new(ServiceSpec::blank("shop/checkout".parse().unwrap()))),
        accepted: Acceptance::Valid,
        cut: None,
        unbounded: None,
        paused: false,
        status: Value::Null,
    }
}

/// An outbox of these loops with everything reportable already reported.
fn outbox(names: [&str; 3], now: Instant) -> Outbox {
    let outbox = Outbox::new();
    let id = |name: &str| format!("shop/{name}").parse::<ServiceId>().unwrap();
    outbox.judged(names.into_iter().map(|name| (id(name), judged(1))).collect());
    for _ in names {
        let writing = outbox.next(true, now, Timestamp::UNIX_EPOCH);
        let Ok(Writing::Status { id, uid, status }) = writing else { panic!("{writing:?}") };
        outbox.wrote(&id, &uid, status, 1);
    }
    assert_eq!(outbox.next(true, now, Timestamp::UNIX_EPOCH), Err(None));
    outbox
}

#[test]
fn only_loops_of_which_something_came_in_or_is_due_are_looked_at() {
    let begin = Instant::now();
    let outbox = outbox(["checkout", "search", "cart"], begin);
    let checkout: ServiceId = "shop/checkout".parse().unwrap();
    let ripe = |second: u64| Vec::from_iter(outbox.ripe(true, begin + Duration::from_secs(second)));
    assert_eq!(ripe(0), []);
    outbox.told(&checkout, held_by(GuardName::Cooldown, 1));
    let next = || outbox.next(true, begin + Duration::from_secs(1), Timestamp::UNIX_EPOCH);
    assert!(matches!(next(), Ok(Writing::Event { .. })));
    assert_eq!(next(), Err(Some(begin + STATUS_PAUSE)), "its status was written a moment ago");
    assert_eq!(ripe(2), []);
    assert_eq!(ripe(5), [checkout]);
    assert_eq!(ripe(60), []);
    outbox.policies(&PolicyFaults::default());
    assert_eq!(ripe(61).len(), 3, "policies concern all");
    assert_eq!(outbox.ripe(false, begin).len(), 3, "so does the loss of the lease");
}

#[test]
fn only_what_was_shown_after_the_last_write_is_by_somebody_else() {
    let outbox = outbox(["checkout", "search", "cart"], Instant::now());
    let checkout: ServiceId = "shop/checkout".parse().unwrap();
    let shows = |version| {
        let loops = BTreeMap::from([(checkout.clone(), judged(version))]);
        outbox.judged(loops);
        outbox.next(true, Instant::now() + STATUS_PAUSE, Timestamp::UNIX_EPOCH).is_ok()
    };
    assert!(!shows(1), "a watch that lags");
    assert!(shows(2));
}

#[test]
fn an_event_does_not_wait_for_the_statuses_of_others_and_each_loop_has_its_turn() {
    let (outbox, begin) = (Outbox::new(), Instant::now());
    let id = |name: &str| format!("shop/{name}").parse::<ServiceId>().unwrap();
    outbox.judged(["cart", "checkout", "search"].into_iter().map(|name| (id(name), judged(1))).collect());
    let next = |second| {
        let now = begin + Duration::from_secs(second);
        match outbox.next(true, now, Timestamp::UNIX_EPOCH).unwrap() {
            Writing::Event { id, .. } => format!("event of {}", id.name()),
            Writing::Status { id, uid, status } => {
                outbox.wrote(&id, &uid, status, 1);
                format!("status of {}", id.name())
            }
        }
    };
    assert_eq!(next(0), "status of cart");
    outbox.told(&id("cart"), held_by(GuardName::Cooldown, 1));
    assert_eq!(next(10), "event of cart");
    assert_eq!(next(10), "status of checkout");
    assert_eq!(next(10), "status of search");
    assert_eq!(next(10), "status of cart");
    outbox.told(&id("search"), held_by(GuardName::Cooldown, 2));
    let as_follower = outbox.next(false, begin, Timestamp::UNIX_EPOCH);
    assert_eq!(as_follower, Err(None), "a follower writes nothing, not even what waited");
}

#[test]
fn a_status_has_its_turn_however_many_events_there_are() {
    let (outbox, now) = (Outbox::new(), Instant::now());
    let id = |at: u32| format!("shop/service-{at}").parse::<ServiceId>().unwrap();
    outbox.judged((0..20).map(|at| (id(at), judged(1))).collect());
    (0..20).for_each(|at| outbox.told(&id(at), held_by(GuardName::Cooldown, at)));
    let is_status = |_| matches!(outbox.next(true, now, Timestamp::UNIX_EPOCH), Ok(Writing::Status { .. }));
    let order: Vec<bool> = (0..8).map(is_status).collect();
    assert_eq!(order, [false, false, false, true, false, false, false, true]);
}

#[test]
fn a_status_that_was_not_written_waits_and_no_other_does() {
    let (outbox, begin) = (Outbox::new(), Instant::now());
    let id = |name: &str| format!("shop/{name}").parse::<ServiceId>().unwrap();
    outbox.judged(["cart", "checkout"].into_iter().map(|name| (id(name), judged(1))).collect());
    let next = |second| match outbox.next(true, begin + Duration::from_secs(second), Timestamp::UNIX_EPOCH) {
        Ok(Writing::Status { id, .. }) => Ok(id.name().to_owned()),
        other => Err(other.err().flatten().map(|due| due.saturating_duration_since(begin).as_secs())),
    };
    assert_eq!(next(0), Ok("cart".to_owned()));
    outbox.not_written(&id("cart"), begin + Duration::from_mins(1));
    assert_eq!(next(0), Ok("checkout".to_owned()));
    outbox.told(&id("cart"), News::Quarantined(None));
    assert!(matches!(outbox.next(true, begin, Timestamp::UNIX_EPOCH), Ok(Writing::Event { .. })));
    assert_eq!(next(30), Err(Some(60)), "also with news");
    assert_eq!(next(60), Ok("cart".to_owned()));
}

/// A decision like the previous one, for another reason.
fn idle(seq: u32, why: &str) -> News {
    let News::Decided(record) = held_by(GuardName::Cooldown, seq) else { panic!("no decision") };
    let proposal = Proposal { choice: Choice::Nothing(why.into()), ..record.proposal.clone() };
    News::Decided(Arc::new(DecisionRecord { proposal, verdict: Verdict::idle(), ..(*record).clone() }))
}

/// What people read is at most a minute old and costs at most twenty writes a minute, regardless of the number of
/// loops.
#[test]
fn the_numbers_of_a_status_are_written_anew_at_a_bounded_pace() {
    let (outbox, begin) = (Outbox::new(), Instant::now());
    let id = |at: u32| format!("shop/service-{at}").parse::<ServiceId>().unwrap();
    let all = |count: u32, outbox: &Outbox| outbox.judged((0..count).map(|at| (id(at), judged(1))).collect());
    let written = |second: u64, outbox: &Outbox| {
        let mut whys = Vec::new();
        while let Ok(Writing::Status { id, uid, status }) =
            outbox.next(true, begin + Duration::from_secs(second), Timestamp::UNIX_EPOCH)
        {
            whys.push(status["lastDecision"]["why"].as_str().unwrap_or_default().to_owned());
            outbox.wrote(&id, &uid, status, 1);
        }
        whys
    };
    all(1, &outbox);
    outbox.told(&id(0), idle(1, "4.0 is enough"));
    assert_eq!(written(0, &outbox).len(), 1);
    outbox.told(&id(0), idle(2, "4.1 is enough"));
    assert_eq!(written(59, &outbox), Vec::<String>::new(), "not each number at once");
    assert_eq!(outbox.next(true, begin, Timestamp::UNIX_EPOCH), Err(Some(begin + Duration::from_mins(1))), "but then");
    let fresh = written(60, &outbox);
    assert!(fresh.len() == 1 && fresh[0].contains("4.1"), "{fresh:?}");
    assert_eq!(written(200, &outbox), Vec::<String>::new(), "nothing is new");
    // A hundred loops at once.
    let many = Outbox::new();
    all(100, &many);
    (0..100).for_each(|at| many.told(&id(at), idle(1, "4.0 is enough")));
    assert_eq!(written(0, &many).len(), 100);
    (0..100).for_each(|at| many.told(&id(at), idle(2, "4.1 is enough")));
    assert_eq!(written(1, &many).len(), 0);
    let in_a_minute: usize = (60..120).map(|second| written(second, &many).len()).sum();
    let in_all: usize = in_a_minute + (120..360).map(|second| written(second, &many).len()).sum::<usize>();
    assert_eq!((in_a_minute, in_all), (20, 100));
}

#[test]
fn x5_a_hold_soon_after_another_is_told_later_if_it_still_stands() {
    let (mut report, begin) = (report(), Instant::now());
    let mut events = |guard, second: u64| {
        report.put(held_by(guard, u32::try_from(second).unwrap()));
        report.digest(None, begin + Duration::from_secs(second)).len()
    };
    assert_eq!(events(GuardName::Cooldown, 1), 1);
    assert_eq!((5..61).map(|second| events(GuardName::Convergence, second)).sum::<usize>(), 0);
    assert_eq!((61..200).map(|second| events(GuardName::Convergence, second)).sum::<usize>(), 1);
}

#[test]
fn a_state_that_changes_too_soon_is_told_later_and_no_other_is_told_again() {
    let (mut report, begin) = (report(), Instant::now());
    let invalid = |fault: &str| Acceptance::Invalid(vec![fault.to_owned()]);
    let mut events = |accepted, policies: &[&str], second: u64| {
        report.put(held_by(GuardName::Cooldown, u32::try_from(second).unwrap()));
        report.judged.accepted = accepted;
        let policies: Vec<_> = policies.iter().map(|fault| (*fault).to_owned()).collect();
        let drafts = report.digest(Some(&policies), begin + Duration::from_secs(second));
        let notes = drafts.into_iter().map(|draft| draft.reason.as_str());
        (notes.collect::<Vec<_>>(), report.event_due.map(|due| due.saturating_duration_since(begin).as_secs()))
    };
    let (no_policies, refused, blocked) = (&[][..], "PolicyRefused", "ActionBlocked");
    assert_eq!(events(Acceptance::Valid, no_policies, 0), (vec![blocked], None));
    assert_eq!(events(invalid("a"), &["one"], 70), (vec!["SpecInvalid", refused], None));
    assert_eq!(events(invalid("b"), &["two"], 75), (vec![], Some(130)), "and no hold again");
    assert_eq!(events(invalid("b"), &["two"], 129), (vec![], Some(130)));
    assert_eq!(events(invalid("b"), &["two"], 130), (vec!["SpecInvalid", refused], None), "what stands");
    assert_eq!(events(invalid("c"), &["two"], 140), (vec![], Some(190)));
    assert_eq!(events(invalid("b"), &["two"], 190), (vec![], None), "what stands no more is not told");
}

/// A different reason, as opposed to the same one with other numbers, is something a person may be waiting for.
#[test]
fn another_reason_is_written_within_seconds_and_dates_anew() {
    let (outbox, begin) = (Outbox::new(), Instant::now());
    let id: ServiceId = "shop/checkout".parse().unwrap();
    outbox.judged(BTreeMap::from([(id.clone(), judged(1))]));
    let written = |second: u64| {
        let at = Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
        match outbox.next(true, begin + Duration::from_secs(second), at) {
            Ok(Writing::Status { id, uid, status }) => {
                outbox.wrote(&id, &uid, status.clone(), 1);
                Some(status["lastDecision"]["why"].as_str().unwrap_or_default().to_owned())
            }
            _ => None,
        }
    };
    outbox.told(&id, idle(1, "the service declares no capacity"));
    assert!(written(0).is_some());
    outbox.told(&id, idle(2, "9 needed, 9 there"));
    assert_eq!(written(9), None, "not at once: reasons of a thousand loops may go back and forth");
    assert_eq!(written(19).as_deref(), Some("9 needed, 9 there"));
}
