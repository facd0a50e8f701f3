//! What is remembered, including across a restart.

use super::*;

#[test]
fn each_lowering_that_was_undone_doubles_the_wait_for_the_next_one_for_hours() {
    let spec = spec();
    for (undone, minutes) in [(0, 10), (1, 20), (2, 40), (3, 80), (4, 120), (90, 120)] {
        assert_eq!(spec.guards.lower_cooldown_after(undone), secs(minutes * 60), "{undone}");
    }
    let patient = GuardParams { lower_cooldown: secs(4 * 3600), ..GuardParams::default() };
    assert_eq!(patient.lower_cooldown_after(1), secs(4 * 3600));

    let mut world = World::at(10);
    (world.needed_now, world.floor) = (Some(5), Some(3));
    world.write(10, 7);
    world.pass(330);
    let undo = ChangeSet { cause: Cause::Undo, ..world.change(7, 10) };
    world.memory.write_started(&undo, world.now);
    world.memory.write_ended(&ended(&undo, &WriteOutcome::Applied, world.now));
    world.set_replicas(10);
    let intents = [
        intent(&world, 10, 7, Some((world.now.wall, WriteOutcome::Applied))),
        Intent { change: undo, ..intent(&world, 7, 10, Some((world.now.wall, WriteOutcome::Applied))) },
    ];
    // The lowering was 330 s before the undo.
    world.pass(700);
    let verdict = world.propose(&scale_to(7));
    assert_eq!(why(&verdict, GuardName::Cooldown), "last lowering 1030 s ago, cooldown 1200 s");
    world.pass(200);
    assert_ne!(world.propose(&scale_to(7)).decided_by, Some(GuardName::Cooldown));
    world.pass(4 * 3600 - 960);
    assert_eq!(world.memory.undone(world.now), 1);
    world.pass(60);
    assert_eq!(world.memory.undone(world.now), 0);

    // A restart restores it from the journal, and starts its time from zero.
    world.memory = Memory::restore(&intents, world.now);
    assert_eq!(world.memory.undone(world.now), 1);
}

#[test]
fn only_what_was_applied_starts_a_cooldown() {
    let mut world = World::at(4);
    world.needed_now = Some(6);
    let change = world.change(4, 6);
    world.memory.write_started(&change, world.now);
    world.memory.write_ended(&ended(&change, &WriteOutcome::Superseded { found: "5".to_owned() }, world.now));
    // The pause after a failed write.
    world.pass(5);
    assert_eq!(world.propose_backed(6).kind, VerdictKind::Pass);
}

#[test]
fn a_write_that_was_not_sent_is_not_charged() {
    let mut world = World::at(4);
    world.needed_now = Some(6);
    for unsent in [WriteOutcome::Refused(Refusal::Busy), WriteOutcome::unsent("flyball is shutting down")] {
        for _ in 0..10 {
            let change = world.change(4, 6);
            world.memory.write_started(&change, world.now);
            world.memory.write_ended(&ended(&change, &unsent, world.now));
            assert_eq!(world.propose_backed(6).kind, VerdictKind::Pass);
        }
    }
    for _ in 0..4 {
        let change = world.change(4, 6);
        world.memory.write_started(&change, world.now);
        let rejected =
            WriteOutcome::Rejected { reason: "the server stored 5 instead of 6".to_owned(), did_nothing: false };
        world.memory.write_ended(&ended(&change, &rejected, world.now));
        world.cycle += 1;
    }
    assert_eq!(world.propose_backed(6).decided_by, Some(GuardName::Budget), "the API server did something");
}

fn declined() -> [WriteOutcome; 2] {
    let busy = Refusal::Unavailable { reason: "busy".to_owned(), reach: Reach::Sent, retry_after: secs(40) };
    [WriteOutcome::Superseded { found: "it changed".to_owned() }, WriteOutcome::Refused(busy)]
}

/// By the process that wrote and by its successor.
#[test]
fn inv_04_what_the_api_server_declines_is_not_charged_and_asked_again_ever_more_slowly() {
    let mut world = World::at(4);
    world.needed_now = Some(6);
    let (mut intents, mut pauses) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let change = world.change(4, 6);
        world.memory.write_started(&change, world.now);
        let [conflict, _] = declined();
        world.memory.write_ended(&ended(&change, &conflict, world.now));
        intents.push(intent(&world, 4, 6, Some((world.now.wall, conflict))));
        world.cycle += 1;
        let begin = world.now;
        let held = |world: &World| world.memory.denials(world.now).and_then(|denials| denials.holds(world.now));
        while held(&world).is_some() {
            let restored = Memory::restore(&intents, world.now);
            let next = restored.denials(world.now).and_then(|denials| denials.holds(world.now));
            assert_eq!(next, held(&world));
            world.pass(1);
        }
        pauses.push(world.now.since(begin.mono).as_secs());
    }
    assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
    assert_eq!(world.memory.writes_within(HOUR, world.now), 0);
    assert_eq!(world.propose_backed(6).kind, VerdictKind::Pass);
    let change = world.write(4, 6);
    assert!(world.memory.denials(world.now).is_none(), "{change:?}");
}

#[test]
fn a_server_that_is_too_busy_is_left_alone_as_long_as_it_asks_up_to_a_minute() {
    for (asks, pause) in [(0, 5), (40, 40), (3600, 60)] {
        let mut world = World::at(4);
        world.needed_now = Some(6);
        let change = world.change(4, 6);
        world.memory.write_started(&change, world.now);
        let busy = Refusal::Unavailable { reason: "busy".to_owned(), reach: Reach::Sent, retry_after: secs(asks) };
        world.memory.write_ended(&ended(&change, &WriteOutcome::Refused(busy), world.now));
        world.pass(pause - 1);
        let verdict = world.propose_backed(6);
        let expected = format!("the last write failed {} s ago: declined: busy; retry {pause} s after it", pause - 1);
        assert_eq!(why(&verdict, GuardName::Budget), expected);
        assert_eq!(world.propose_backed(6).kind, VerdictKind::Pass);
    }
}

#[test]
fn what_was_rejected_is_named_where_its_budget_is_spent_and_needs_a_person() {
    let mut world = World::at(4);
    world.needed_now = Some(6);
    for _ in 0..4 {
        let change = world.change(4, 6);
        world.memory.write_started(&change, world.now);
        let rejected = WriteOutcome::Rejected { reason: "not allowed".to_owned(), did_nothing: false };
        world.memory.write_ended(&ended(&change, &rejected, world.now));
        world.cycle += 1;
    }
    world.pass(61);
    let denied = "the last 4 writes failed: rejected by the API server: not allowed";
    let verdict = world.propose_backed(6);
    let expected = format!("4 of 4 allowed writes in the last 10 minutes; {denied}");
    assert_eq!(why(&verdict, GuardName::Budget), expected);
    let needs = |world: &World| world.memory.denials(world.now).and_then(Denials::needs_a_person);
    assert_eq!(needs(&world).as_deref(), Some(denied));
    // Without the count, which grows with each attempt: a condition with it would be written each time.
    let refusal = |world: &World| world.memory.denials(world.now).and_then(Denials::refusal);
    let lasting = "writes fail at the API server: rejected by the API server: not allowed";
    assert_eq!(refusal(&world).as_deref(), Some(lasting));
    world.pass(600);
    assert_eq!((needs(&world), refusal(&world)), (None, None));

    let mut world = World::at(4);
    for number in 1..=3 {
        let change = world.change(4, 6);
        let [conflict, _] = declined();
        world.memory.write_ended(&ended(&change, &conflict, world.now));
        assert_eq!(needs(&world).is_some(), number == 3, "one that was quicker once is chance");
    }
}

/// Repeated restarts do not earn a process new attempts.
#[test]
fn what_may_have_done_something_stays_spent_over_a_restart() {
    let mut world = World::at(4);
    world.needed_now = Some(6);
    let ends = [
        WriteOutcome::Rejected { reason: "the server stored 5 instead of 6".to_owned(), did_nothing: false },
        WriteOutcome::Abandoned { reason: "found 5, expected 6".to_owned(), trace: WriteTrace::MayHave },
    ];
    let intents: Vec<Intent> = ends
        .into_iter()
        .cycle()
        .take(4)
        .map(|outcome| {
            world.cycle += 1;
            intent(&world, 4, 6, Some((world.now.wall, outcome)))
        })
        .collect();
    world.memory = Memory::restore(&intents, world.now);
    let verdict = world.propose_backed(6);
    assert_eq!(verdict.decided_by, Some(GuardName::Budget), "{:?}", verdict.findings);
    assert!(why(&verdict, GuardName::Cooldown).contains("no previous raise"), "nothing was applied");
}

#[test]
fn inv_04_what_is_known_to_have_done_nothing_is_given_back_over_a_restart_too() {
    let ends = [
        WriteOutcome::Rejected { reason: "not allowed".to_owned(), did_nothing: true },
        WriteOutcome::Abandoned { reason: "found 4, expected 6".to_owned(), trace: WriteTrace::Nothing },
        WriteOutcome::unavailable("cannot be read: no answer".to_owned()),
        WriteOutcome::Superseded { found: "5 where 4 was expected".to_owned() },
    ];
    for outcome in ends {
        let mut world = World::at(4);
        world.needed_now = Some(6);
        let mut intents = Vec::new();
        for _ in 0..6 {
            let change = world.change(4, 6);
            world.memory.write_started(&change, world.now);
            world.memory.write_ended(&ended(&change, &outcome, world.now));
            intents.push(intent(&world, 4, 6, Some((world.now.wall, outcome.clone()))));
            world.cycle += 1;
        }
        // An abandoned write was already waited for until it could no longer land.
        let waited = if matches!(outcome, WriteOutcome::Abandoned { .. }) { 11 } else { 0 };
        world.pass(59 - waited);
        let restored = Memory::restore(&intents, world.now);
        for memory in [&world.memory, &restored] {
            let denials = memory.denials(world.now).unwrap();
            assert!(denials.holds(world.now).is_some(), "{outcome}: a minute after the sixth");
            assert!(denials.needs_a_person().is_some_and(|why| why.contains(&outcome.to_string())), "{outcome}");
            assert_eq!(memory.writes_within(HOUR, world.now), 0, "{outcome}");
        }
        world.pass(1);
        assert_eq!(world.propose_backed(6).kind, VerdictKind::Pass, "{outcome}");
    }
}

/// A server that refuses is left alone for up to a minute; one that is away is retried sooner.
#[test]
fn k1_a_server_that_is_away_is_asked_again_soon_after_it_is_back() {
    let mut world = World::at(4);
    world.needed_now = Some(6);
    let away = WriteOutcome::away("API server unavailable: connection refused".to_owned());
    let mut held = Vec::new();
    for _ in 0..8 {
        let change = world.change(4, 6);
        world.memory.write_started(&change, world.now);
        world.memory.write_ended(&ended(&change, &away, world.now));
        let mut seconds = 0;
        while world.memory.denials(world.now).unwrap().holds(world.now).is_some() {
            world.pass(1);
            seconds += 1;
        }
        held.push(seconds);
    }
    assert_eq!(held, [5, 10, 15, 15, 15, 15, 15, 15]);
}

#[test]
fn a_write_whose_end_is_too_much_is_let_go_with_its_cooldown_and_its_charge() {
    let mut world = World::at(4);
    let change = world.change(4, 6);
    world.memory.write_started(&change, world.now);
    world.set_replicas(6);
    assert_eq!(world.propose(&scale_to(8)).decided_by, Some(GuardName::InFlight));
    world.memory.let_go(&ended(&change, &WriteOutcome::Applied, world.now));
    let verdict = world.propose(&scale_to(8));
    assert_eq!(why(&verdict, GuardName::InFlight), "nothing is in flight");
    assert!(why(&verdict, GuardName::Cooldown).starts_with("last raise"), "{:?}", verdict.findings);
    assert!(why(&verdict, GuardName::Budget).starts_with("1 writes"), "{:?}", verdict.findings);
}

#[test]
fn the_journal_restores_cooldowns_budgets_and_open_writes() {
    let mut world = World::at(6);
    let applied = intent(&world, 4, 6, Some((world.now.wall, WriteOutcome::Applied)));
    world.now = Now { mono: secs(1), ..world.now.plus(secs(100)) };
    world.memory = Memory::restore(std::slice::from_ref(&applied), world.now);
    world.propose(&scale_to(8));
    let verdict = world.propose(&scale_to(8));
    assert_eq!(why(&verdict, GuardName::Cooldown), "last raise 115 s ago, cooldown 180 s");
    assert_eq!(why(&verdict, GuardName::Budget), "1 writes in the last 10 minutes, 1 in the last hour");

    let open = intent(&world, 6, 8, None);
    world.memory = Memory::restore(&[applied, open.clone()], world.now);
    assert_eq!(world.propose(&Action::Restart).decided_by, Some(GuardName::InFlight));
    world.memory.write_ended(&ended(&open.change, &WriteOutcome::Applied, world.now));
    world.set_replicas(8);
    world.choose(nothing());
    assert_eq!(world.propose(&Action::Restart).kind, VerdictKind::Pass);
}

/// One lever was moved by an earlier run, hours ago, the other a moment before the journal was read.
#[test]
fn of_two_levers_the_one_turned_last_counts_whichever_run_turned_it() {
    let mut world = World::at(4);
    let mut floor = intent(&world, 4, 6, Some((world.now.wall, WriteOutcome::Applied)));
    floor.change.knob = Knob::AutoscalerFloor;
    world.pass(7200);
    let (change, then) = (world.change(4, 6), world.now);
    world.pass(1);
    world.memory = Memory::restore(&[floor], world.now);
    world.memory.write_ended(&ended(&change, &WriteOutcome::Applied, then));
    let now = world.now;
    let since = |age: fn(Moment, Now) -> Duration| world.memory.since_move(Direction::Raise, |at| age(at, now));
    assert_eq!(since(Moment::age), Some(secs(1)));
    assert_eq!(since(Moment::certain_age), Some(secs(0)), "INV-23: the time of the downtime counts for nothing");
    world.set_replicas(6);
    assert_eq!(why(&world.propose(&scale_to(8)), GuardName::Cooldown), "last raise 1 s ago, cooldown 180 s");
}

#[test]
fn a_persisted_time_in_the_future_counts_as_just_now() {
    let mut world = World::at(6);
    let later = world.now.plus(secs(86_400)).wall;
    let applied = intent(&world, 4, 6, Some((later, WriteOutcome::Applied)));
    world.memory = Memory::restore(&[applied], world.now);
    world.propose(&scale_to(8));
    let verdict = world.propose(&scale_to(8));
    assert_eq!(why(&verdict, GuardName::Cooldown), "last raise 15 s ago, cooldown 180 s");
}

#[test]
fn a_clock_set_forward_over_a_restart_brings_no_lowering_forward() {
    let mut world = World::at(7);
    let applied = intent(&world, 10, 7, Some((world.now.wall, WriteOutcome::Applied)));
    world.now = Now { mono: secs(1), ..world.now.plus(secs(7200)) };
    world.memory = Memory::restore(&[applied], world.now);
    (world.needed_now, world.floor) = (Some(1), Some(1));
    for _ in 0..40 {
        let verdict = world.propose(&scale_to(5));
        assert_eq!(verdict.decided_by, Some(GuardName::Cooldown), "{:?}", verdict.findings);
    }
    assert_eq!(world.propose(&scale_to(5)).permitted, Some(5));
}

/// The journal was read before the write ended, and its content applied afterwards.
#[test]
fn inv_23_a_write_that_ends_while_its_process_takes_over_is_neither_under_way_for_ever_nor_forgotten() {
    let mut world = World::at(4);
    world.needed_now = Some(6);
    let change = world.change(4, 6);
    world.memory.write_started(&change, world.now);
    let read = intent(&world, 4, 6, None);
    assert_eq!(read.change.id, change.id);
    world.memory.write_ended(&ended(&change, &WriteOutcome::Applied, world.now));
    world.memory.take_over(&[read], world.now);
    assert!(world.memory.in_flight().is_none());
    world.set_replicas(6);
    world.needed_now = Some(8);
    world.pass(5);
    assert_eq!(why(&world.propose_backed(8), GuardName::Cooldown), "last raise 5 s ago, cooldown 15 s");
}

#[test]
fn a_target_that_was_made_anew_is_not_held_for_what_its_predecessor_was_denied() {
    let mut world = World::at(4);
    world.needed_now = Some(6);
    let change = world.change(4, 6);
    let rejected = WriteOutcome::Rejected { reason: "please try again later.".to_owned(), did_nothing: true };
    world.memory.write_ended(&ended(&change, &rejected, world.now));
    let expected =
        "the last write failed 0 s ago: rejected by the API server: please try again later; retry 5 s after it";
    assert_eq!(why(&world.propose_backed(6), GuardName::Budget), expected);
    world.memory.write_ended(&ended(&change, &rejected, world.now));
    world.target = TargetReading::Known { target: TargetState::calm("successor", 4) };
    let verdict = world.propose_backed(6);
    assert_ne!(verdict.decided_by, Some(GuardName::Budget), "{:?}", verdict.findings);
    assert!(world.memory.denials(world.now).is_none(), "nor does anybody hear of it");
}
