//! `held_for`: strictly longer, by sample time, anew after false, paused while unknown.

use super::*;

const HELD: &str = "when((s.queue.current > 5).held_for(\"2m\")), restart()";

/// One tick of a timeline: seconds from the start, the signal (`None` = missing), the truth expected and the
/// seconds held so far.
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
            (0, on, False, 0),
            (30, on, False, 30),
            (60, on, False, 60),
            (90, on, False, 90),
            (120, on, False, 120),
            (121, on, True, 121),
            (150, on, True, 150),
        ],
    );
    check(
        "false starts anew",
        &set,
        &[(0, on, False, 0), (30, on, False, 30), (45, Some(5.0), False, 0), (60, on, False, 0), (90, on, False, 30)],
    );
    check(
        "unknown pauses for two intervals",
        &set,
        &[(0, on, False, 0), (30, on, False, 30), (45, None, Unknown, 30), (60, on, False, 30), (75, on, False, 45)],
    );
    check(
        "unknown for longer starts anew",
        &set,
        &[
            (0, on, False, 0),
            (30, on, False, 30),
            (45, None, Unknown, 30),
            (60, None, Unknown, 30),
            (76, None, Unknown, 30),
            (77, on, False, 0),
            (90, on, False, 13),
        ],
    );
    check("a hole without evaluation starts anew", &set, &[(0, on, False, 0), (30, on, False, 30), (90, on, False, 0)]);
}

#[test]
fn time_is_that_of_the_samples() {
    let set = set(&one(HELD));
    let mut state = Decider::new();
    let mut old = Case::new().set("queue", 6.0);
    for seconds in (0..200).step_by(20) {
        // The same sample is seen again and again: no time passes.
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
    assert_eq!(holds(0, 9), Truth::False);
    assert_eq!(holds(30, 7), Truth::False);
    assert_eq!(holds(60, 7), Truth::False);
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
    assert_eq!(holds(0), [Truth::False, Truth::True]);
    assert_eq!(holds(30), [Truth::False, Truth::True]);
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

/// What is decided once more on recorded inputs comes out as it did, and for a set that has the same condition, too.
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
        RuleOutcome::NotMatched,
        "without the record it has held for no time"
    );
}

/// A replay over several sets remembers of each what the record, which is of another, cannot say.
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
