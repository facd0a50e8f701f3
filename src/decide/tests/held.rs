//! `held_for`: strictly longer, by sample time, reset after false, paused while unknown.

use super::*;

const HELD: &str = "when((s.queue.current > 5).held_for(\"2m\")), restart()";

/// One tick of a timeline: seconds from the start, the signal (`None` = missing), the expected truth and the seconds
/// held so far.
type Step = (u64, Option<f64>, Truth, u64);

fn check(name: &str, set: &PolicySet, steps: &[Step]) {
    let mut state = Decider::new();
    for (seconds, value, expected, so_far) in steps {
        let case = match value {
            Some(value) => Case::new().set("queue", *value),
            None => Case::new().without("queue"),
        };
        let proposal = case.at(*seconds).decide(&mut state, set);
        let trace = &proposal.rules[0].conditions[0];
        let held = trace.held_for.unwrap();
        assert_eq!((trace.holds, held.so_far.as_secs()), (*expected, *so_far), "{name}, at {seconds} s");
        assert_eq!(held.needed, Duration::from_mins(2));
    }
}

#[test]
fn a_condition_has_to_hold_for_longer_than_asked() {
    use Truth::{False, True, Unknown};
    let set = set(&one(HELD));
    let on = Some(6.0);
    check(
        "strictly longer",
        &set,
        &[
            (0, on, Unknown, 0),
            (30, on, Unknown, 30),
            (60, on, Unknown, 60),
            (90, on, Unknown, 90),
            (120, on, Unknown, 120),
            (121, on, True, 121),
            (150, on, True, 150),
        ],
    );
    check(
        "false starts anew, and from there on the past is known",
        &set,
        &[
            (0, on, Unknown, 0),
            (30, on, Unknown, 30),
            (45, Some(5.0), False, 0),
            (60, on, False, 0),
            (90, on, False, 30),
            (120, on, False, 60),
            (150, on, False, 90),
            (180, on, False, 120),
            (181, on, True, 121),
        ],
    );
    check(
        "unknown pauses for two intervals",
        &set,
        &[
            (0, Some(5.0), False, 0),
            (15, on, False, 0),
            (30, on, False, 15),
            (45, None, Unknown, 15),
            (60, on, False, 15),
            (75, on, False, 30),
        ],
    );
    check(
        "unknown for longer starts anew",
        &set,
        &[
            (0, Some(5.0), False, 0),
            (15, on, False, 0),
            (30, on, False, 15),
            (45, None, Unknown, 15),
            (60, None, Unknown, 15),
            (76, None, Unknown, 15),
            (77, on, Unknown, 0),
            (90, on, Unknown, 13),
        ],
    );
    check(
        "a hole without evaluation starts anew",
        &set,
        &[(0, Some(5.0), False, 0), (15, on, False, 0), (30, on, False, 15), (90, on, Unknown, 0)],
    );
    check("after a hole nothing is known of it", &set, &[(0, Some(5.0), False, 0), (90, on, Unknown, 0)]);
}

/// Errors may have been at 30 % for hours before a start, a gap or a change of the bound: that was not observed, so no
/// capacity is taken away.
#[test]
fn an_unless_does_not_act_on_a_past_that_nobody_saw() {
    let policy = format!(
        "param(\"bad\", pct(1));\n{}",
        one("when(s.cpu.current < pct(50)), unless((s.errors.current > p.bad).held_for(\"5m\")), scale_by(0.7)")
    );
    let (set, mut state) = (set(&policy), Decider::new());
    let mut outcome = |seconds, errors, bad| {
        let case = Case::new().set("errors", errors).at(seconds).parameter("bad", bad);
        case.decide(&mut state, &set).rules.remove(0).outcome
    };
    assert_eq!(outcome(0, 0.3, 0.01), RuleOutcome::Unknown, "a start");
    assert_eq!(outcome(15, 0.3, 0.01), RuleOutcome::Unknown);
    assert_eq!(outcome(30, 0.0, 0.01), RuleOutcome::Matched, "a sample at which all is well");
    assert_eq!(outcome(45, 0.3, 0.01), RuleOutcome::Matched, "not yet for five minutes, and that is known");
    assert_eq!(outcome(60, 0.3, 0.02), RuleOutcome::Unknown, "another bound");
    assert_eq!(outcome(75, 0.0, 0.02), RuleOutcome::Matched);
    assert_eq!(outcome(200, 0.3, 0.02), RuleOutcome::Unknown, "a hole");
}

/// A condition is identified by what it states: clauses above it come and go.
#[test]
fn a_clause_that_is_put_above_starts_nothing_anew() {
    let (before, after) = (set(&one(HELD)), set(&one(&format!("unless(s.rollout), {HELD}"))));
    let twice = set(&one(&format!("unless((s.queue.current > 5).held_for(\"9m\")), {HELD}")));
    let mut state = Decider::new();
    let mut so_far = |set: &PolicySet, seconds| {
        let made = Case::new().set("queue", 6.0).at(seconds).decide(&mut state, set).rules.remove(0);
        made.conditions.iter().filter_map(|trace| Some(trace.held_for?.so_far.as_secs())).collect::<Vec<_>>()
    };
    assert_eq!(so_far(&before, 0), [0]);
    assert_eq!(so_far(&before, 30), [30]);
    assert_eq!(so_far(&after, 60), [60]);
    assert_eq!(so_far(&twice, 90), [90, 90], "the same condition twice");
    assert_eq!(so_far(&before, 100), [100]);
    // A record of one set serves the other, too.
    let record = Case::new().set("queue", 6.0).at(100).decide(&mut state, &before);
    let (mut again, case) = (Decider::new(), Case::new().set("queue", 6.0).at(100));
    again.recall(&record, case.now);
    let made = case.decide(&mut again, &after).rules.remove(0);
    assert_eq!(made.conditions[1].held_for.unwrap().so_far.as_secs(), 100);
}

#[test]
fn time_is_that_of_the_samples() {
    let set = set(&one(HELD));
    let mut state = Decider::new();
    let mut old = Case::new().set("queue", 6.0);
    for seconds in (0..200).step_by(20) {
        // The same sample is seen repeatedly: no time passes.
        old.now = Case::new().at(seconds).now;
        let trace = old.decide(&mut state, &set).rules.remove(0).conditions.remove(0);
        assert_eq!(trace.held_for.unwrap().so_far, Duration::ZERO, "at {seconds} s");
    }
    let mut back = Case::new().set("queue", 6.0).at(200);
    let mut so_far =
        |case: &Case| case.decide(&mut state, &set).rules[0].conditions[0].held_for.unwrap().so_far.as_secs();
    so_far(&back);
    back = back.at(220);
    assert_eq!(so_far(&back), 20);
    back.features.signals[4] = features(fresh(6.0, Case::new().at(100).now.wall));
    assert_eq!(so_far(&back), 0, "a sample from before the last one starts anew");
}

#[test]
fn another_bound_starts_anew_and_the_same_one_survives_a_reload() {
    let policy =
        format!("param(\"limit\", 5);\n{}", one("when((s.queue.current > p.limit).held_for(\"1m\")), restart()"));
    let (before, edited) = (set(&policy), set(&format!("{policy}\n// edited")));
    let mut state = Decider::new();
    let mut so_far = |set, seconds, limit| {
        let case = Case::new().set("queue", 9.0).at(seconds).parameter("limit", limit);
        case.decide(&mut state, set).rules[0].conditions[0].held_for.unwrap().so_far.as_secs()
    };
    assert_eq!(so_far(&before, 0, 5.0), 0);
    assert_eq!(so_far(&before, 30, 5.0), 30);
    assert_eq!(so_far(&edited, 60, 5.0), 60);
    assert_eq!(so_far(&edited, 75, 6.0), 0);
    assert_eq!(so_far(&edited, 90, 6.0), 15);
}

#[test]
fn a_bound_that_is_measured_may_move() {
    let set = set(&one("when((s.queue.current < s.replicas.current).held_for(\"1m\")), restart()"));
    let mut state = Decider::new();
    let mut holds = |seconds, replicas| {
        let case = Case::new().set("queue", 2.0).replicas(replicas).at(seconds);
        case.decide(&mut state, &set).rules[0].conditions[0].holds
    };
    assert_eq!(holds(0, 9), Truth::Unknown);
    assert_eq!(holds(30, 7), Truth::Unknown);
    assert_eq!(holds(60, 7), Truth::Unknown);
    assert_eq!(holds(75, 5), Truth::True);
}

#[test]
fn combinations_and_negations_can_be_held() {
    let clauses = "when(all([s.queue.current > 5, s.can_scale_up]).held_for(\"30s\")), \
                   unless((s.cpu.current > pct(50)).held_for(\"30s\")), restart()";
    let set = set(&one(clauses));
    let mut state = Decider::new();
    let mut holds = |seconds| {
        let case = Case::new().set("queue", 6.0).set("cpu", 0.6).at(seconds);
        case.decide(&mut state, &set).rules.remove(0).conditions.iter().map(|trace| trace.holds).collect::<Vec<_>>()
    };
    assert_eq!(holds(0), [Truth::Unknown, Truth::Unknown]);
    assert_eq!(holds(30), [Truth::Unknown, Truth::Unknown]);
    assert_eq!(holds(45), [Truth::True, Truth::False]);
}

#[test]
fn what_is_long_gone_is_forgotten() {
    let held = set(&one(HELD));
    let other = set(&one("when(s.rollout), restart()"));
    let mut state = Decider::new();
    Case::new().set("queue", 6.0).decide(&mut state, &held);
    Case::new().at(31).decide(&mut state, &other);
    let mut fresh_state = Decider::new();
    Case::new().at(31).decide(&mut fresh_state, &other);
    assert_eq!(state, fresh_state);
}

/// Deciding again on recorded inputs gives the same result, also for another set with the same condition.
#[test]
fn a_record_says_how_long_its_conditions_had_held() {
    let policy =
        format!("param(\"limit\", 5);\n{}", one("when((s.queue.current > p.limit).held_for(\"1m\")), restart()"));
    let (in_force, edited) = (set(&policy), set(&format!("{policy}\n// edited")));
    let other = set(&policy.replace("current > p.limit", "mean > p.limit"));
    let mut state = Decider::new();
    let case = |seconds, limit| Case::new().set("queue", 9.0).at(seconds).parameter("limit", limit);
    let decided = (0..7).map(|turn| case(turn * 15, 5.0).decide(&mut state, &in_force)).last().unwrap();
    assert_eq!(decided.rules[0].outcome, RuleOutcome::Matched);
    let text = serde_json::to_string(&decided).unwrap();
    let decided: Proposal = serde_json::from_str(&text).unwrap();
    let again = |set, limit| {
        let (mut decider, case) = (Decider::new(), case(90, limit));
        decider.recall(&decided, case.now);
        let first = case.decide(&mut decider, set);
        let next = case.at(105).decide(&mut decider, set);
        [first, next].map(|made| made.rules[0].conditions[0].held_for.unwrap().so_far.as_secs())
    };
    assert_eq!(again(&in_force, 5.0), [90, 105]);
    assert_eq!(again(&edited, 5.0), [90, 105]);
    assert_eq!(again(&other, 5.0), [0, 15], "another condition in its place");
    assert_eq!(again(&in_force, 6.0), [0, 15], "another value of its parameter");
    assert_eq!(
        case(90, 5.0).decide(&mut Decider::new(), &in_force).rules[0].outcome,
        RuleOutcome::Unknown,
        "without the record it is not known for how long it has held"
    );
}

/// A replay over several sets remembers for each what the record, made by another set, cannot say.
#[test]
fn a_record_of_another_set_takes_nothing_away() {
    let recorded = set(&one(HELD));
    let other = set(&one(&HELD.replace("> 5", "> 4")));
    let (mut then, mut now) = (Decider::new(), Decider::new());
    let mut so_far = Vec::new();
    for seconds in [0, 15, 30] {
        let case = Case::new().set("queue", 6.0).at(seconds);
        let record = case.decide(&mut then, &recorded);
        now.recall(&record, case.now);
        let made = case.decide(&mut now, &other);
        so_far.push(made.rules[0].conditions[0].held_for.unwrap().so_far.as_secs());
    }
    assert_eq!(so_far, [0, 15, 30]);
}
