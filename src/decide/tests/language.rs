//! What single words of the language mean.

use super::*;

fn check(case: &Case, condition: &str, expected: Truth) {
    assert_eq!(case.condition(&format!("when({condition})")).holds, expected, "{condition}");
}

#[test]
fn views_of_a_signal_compare_with_a_quantity_of_its_unit_in_both_orders() {
    use Truth::{False, True};
    let case = Case::new().set("p99", 0.2).forecast("p99", 0.3).set("cpu", 0.5).set("rps", 100.0).set("queue", 7.0);
    for (condition, expected) in [
        ("s.p99.current > ms(200)", False),
        ("s.p99.current >= ms(200)", True),
        ("s.p99.current < ms(200.1)", True),
        ("s.p99.current <= secs(0.2)", True),
        ("ms(100) < s.p99.current", True),
        ("ms(200) > s.p99.current", False),
        ("s.p99.mean >= ms(200)", True),
        ("s.p99.predicted > ms(299)", True),
        ("s.p99.forecast_change > pct(49)", True),
        ("s.p99.forecast_change > pct(51)", False),
        ("s.p99.at(\"5m\") > ms(299)", True),
        ("s.p99.upper95(\"10m\") > secs(2)", True),
        ("s.p99.upper95_of_max(\"10m\") > secs(4)", False),
        ("s.p99.upper95_of_max(\"30m\") > secs(4)", True),
        ("s.cpu.current > pct(49.9)", True),
        ("s.rps.current >= rps(100)", True),
        ("s.queue.current > 6", True),
        ("s.queue.current > 7.5", False),
        ("6 < s.queue.current", True),
        ("7.5 < s.queue.current", False),
        ("s.replicas.current >= 5", True),
        ("s.replicas.ready > s.replicas.current", False),
        ("s.queue.current * 2 > 13", True),
        ("s.queue.current - 2 > 5", False),
        ("s.p99.current + ms(1) > ms(200)", True),
        ("max(s.queue.current, 9) > 8", True),
        ("min(s.queue.current, 3) > 3", False),
        ("s.rollout", False),
        ("s.can_scale_up", True),
        ("s.at_min_replicas", False),
        ("s.at_max_replicas", False),
        ("s.maintenance", False),
        ("!s.maintenance", True),
        ("!(s.queue.current > 6)", False),
        ("all([s.can_scale_up, s.queue.current > 6])", True),
        ("all([s.can_scale_up, s.queue.current > 8])", False),
        ("any([s.rollout, s.queue.current > 6])", True),
        ("any([s.rollout, s.queue.current > 8])", False),
    ] {
        check(&case, condition, expected);
    }
}

/// A path that climbs from 1 now to 8 in thirty minutes, its quantiles 0.1 apart.
fn climbing() -> Case {
    let mut case = Case::new().set("queue", 1.0).capacity(None, None, None);
    let index = case.index("queue");
    let outlook = case.outlook.signals[index].as_mut().unwrap();
    for (point, value) in outlook.points.iter_mut().zip(1_u8..) {
        point.point = f64::from(value);
        point.quantiles = std::array::from_fn(|quantile| f64::from(value) + quantile as f64 / 10.0);
    }
    outlook.max_10 = Some(std::array::from_fn(|quantile| 20.0 + quantile as f64));
    outlook.max_30 = Some(std::array::from_fn(|quantile| 30.0 + quantile as f64));
    case
}

#[test]
fn the_forecast_can_be_asked_for_any_tracked_quantile_change_and_run() {
    for (quantity, expected) in [
        ("s.queue.at(\"1m\")", 1.0),
        ("s.queue.at(\"4m\")", 3.5),
        ("s.queue.change_at(\"5m\") * 1.0", 3.0),
        ("s.queue.quantile(0.5, \"5m\")", 4.5),
        ("s.queue.quantile(0.975, \"5m\")", 4.9),
        ("s.queue.upper95(\"5m\")", 4.8),
        ("s.queue.quantile_of_max(0.5, \"10m\")", 25.0),
        ("s.queue.quantile_of_max(0.995, \"30m\")", 40.0),
        ("s.queue.upper95_of_max(\"30m\")", 38.0),
    ] {
        let bound = if quantity.contains("change") { "pct(0)" } else { "0" };
        let trace = climbing().condition(&format!("when({quantity} > {bound})"));
        assert!((trace.value.unwrap() - expected).abs() < 1e-9, "{quantity}: {trace:?}");
    }
}

/// The second reading of "for two minutes": the path from now through the forecast stays above the line.
#[test]
fn the_longest_run_above_a_bound_is_measured_along_the_path() {
    let run = |bound: &str| {
        let trace = climbing().condition(&format!("when(s.queue.longest_run_above({bound}) > \"2m\")"));
        (trace.value.unwrap(), trace.holds)
    };
    // The path reaches 3.5 halfway between the third and the fifth minute, 7 in the twentieth.
    for (bound, minutes) in
        [("0", 30.0), ("1", 29.0), ("3.5", 26.0), ("7", 10.0), ("7.9", 1.0), ("8", 0.0), ("99", 0.0)]
    {
        let (seconds, holds) = run(bound);
        assert!((seconds - minutes * 60.0).abs() < 1e-6, "{bound}: {seconds} s");
        assert_eq!(holds, Truth::of(minutes > 2.0), "{bound}");
    }
    let dips = {
        let mut case = climbing();
        let index = case.index("queue");
        let points = &mut case.outlook.signals[index].as_mut().unwrap().points;
        points.iter_mut().zip([9.0, 9.0, 0.0, 9.0, 9.0, 0.0, 0.0, 0.0]).for_each(|(point, value)| point.point = value);
        case
    };
    // Above 4.5: from 4 to 12.5 minutes, longer than the 2 minutes or so before the dip.
    let trace = dips.condition("when(s.queue.longest_run_above(4.5) > mins(8))");
    assert_eq!((trace.value, trace.holds), (Some(510.0), Truth::True));
    check(&climbing().without("queue"), "s.queue.longest_run_above(1) > \"1m\"", Truth::Unknown);
    check(&climbing().forecast("queue", f64::NAN), "s.queue.longest_run_above(1) > \"1m\"", Truth::Unknown);
}

#[test]
fn windows_look_back() {
    let mut case = Case::new().set("queue", 3.0);
    let index = case.index("queue");
    let seen = &mut case.features.signals[index];
    (seen.p99_5m, seen.max_5m, seen.change_5m) = (Finite::new(7.0), Finite::new(8.0), Finite::new(-0.25));
    for (condition, expected) in [
        ("s.queue.over(\"1m\").mean > 2.9", Truth::True),
        ("s.queue.over(\"5m\").p99 > 6.9", Truth::True),
        ("s.queue.over(\"5m\").max > 8", Truth::False),
        ("s.queue.over(\"5m\").change < pct(-20)", Truth::True),
        ("s.cpu.over(\"5m\").max > pct(1)", Truth::Unknown),
    ] {
        check(&case, condition, expected);
    }
}

#[test]
fn a_rate_becomes_a_count_of_pods() {
    let case = Case::new().set("rps", 950.0).capacity(None, None, None);
    for (count, expected) in [
        ("s.rps.current.needs_replicas()", 10.0),
        ("s.rps.current.needs_replicas(rps(100), 1)", 10.0),
        ("s.rps.current.needs_replicas(rps(95), 1)", 10.0),
        ("s.rps.current.needs_replicas(rps(100), 1.2)", 12.0),
        ("s.rps.predicted.needs_replicas(rps(100), 2)", 1.0),
    ] {
        assert_eq!(case.condition(&format!("when({count} > 0)")).value, Some(expected), "{count}");
    }
    check(&case, "s.rps.current.needs_replicas(s.rps.predicted, 1) > 1", Truth::Unknown);
    for (headroom, expected) in [(0.2, Truth::Unknown), (1.0, Truth::True), (10.0, Truth::True), (11.0, Truth::Unknown)]
    {
        let case = case.clone().set("queue", headroom);
        check(&case, "s.rps.current.needs_replicas(rps(100), s.queue.current) > 1", expected);
    }
    check(&case.clone().without("rps"), "s.rps.current.needs_replicas() > 1", Truth::Unknown);
    let trace = Case::new().condition("when(s.rps.current.needs_replicas() > 0)");
    assert_eq!(trace.note.as_deref(), Some("the service declares no capacity"));
    // It never bypasses guards as a raise sized by the capacity model does.
    let proposal = case.ask(&one("when(s.can_scale_up), scale_to(s.rps.current.needs_replicas())"));
    let expected = Action::ScaleTo { replicas: 10 };
    assert_eq!(proposal.choice, Choice::Act { rule: "r".into(), action: expected, backed_by_arrivals: false });
}

#[test]
fn costs_are_counts_times_a_price() {
    let policy = format!(
        "param(\"pod\", usd_per_hour(0.25), #{{ min: usd_per_hour(0), max: usd_per_hour(10), doc: \"price\" }});\n{}",
        one("when((s.replicas.current - s.capacity.floor) * p.pod > usd_per_hour(0.50)), restart()")
    );
    let trace = |floor| Case::new().capacity(None, None, Some(floor)).ask(&policy).rules.remove(0).conditions.remove(0);
    assert_eq!((trace(2).value, trace(2).holds, trace(3).holds), (Some(0.75), Truth::True, Truth::False));
    assert_eq!(Unit::UsdPerHour.show(0.75), "$0.75/h");
}

#[test]
fn a_region_is_a_signal_of_its_own() {
    let mut case = Case::new();
    for (name, unit, value) in [
        ("p99_region_a", Unit::Seconds, 0.3),
        ("capacity_available_region_b", Unit::Flag, 1.0),
        ("maintenance_region_a", Unit::Flag, 0.0),
    ] {
        let signal =
            SignalSpec { name: SignalName::new(name).unwrap(), unit, role: None, ..case.spec.signals[0].clone() };
        case.spec.signals.push(signal);
        case.features.signals.push(features(fresh(value, case.now.wall)));
        case.outlook.signals.push(None);
    }
    for (condition, expected) in [
        ("s.p99.region(\"A\").current > ms(299)", Truth::True),
        ("s.p99.region(\"a\").current > ms(300)", Truth::False),
        ("s.p99.current > ms(299)", Truth::False),
        ("s.capacity_available.region(\"B\")", Truth::True),
        ("s.maintenance.region(\"A\")", Truth::False),
        ("s.p99_region_a.current > ms(299)", Truth::True),
    ] {
        check(&case, condition, expected);
    }
    check(&Case::new(), "s.maintenance.region(\"A\")", Truth::Unknown);
}

#[test]
fn flags_of_the_target_follow_the_bounds() {
    use Truth::{False, True};
    for (replicas, min, max, up) in [(2, True, False, True), (3, False, False, True), (20, False, True, False)] {
        let case = Case::new().replicas(replicas);
        check(&case, "s.at_min_replicas", min);
        check(&case, "s.at_max_replicas", max);
        check(&case, "s.can_scale_up", up);
    }
}

#[test]
fn what_is_missing_is_unknown_and_says_why() {
    let bare = Case::new().without("p99").without("maintenance");
    let mut blind = bare.clone();
    blind.features.target = TargetReading::Unknown { reason: "not found".into() };
    blind.outlook.signals[0] = Some(SignalOutlook::not_ready(Minute(0), 3, 10));
    let index = blind.index("queue");
    let sample = Sample { at: blind.now.wall, value: Finite::ZERO };
    blind.features.signals[index].reading = Reading::Stale { sample, staleness: Duration::from_secs(90) };
    for (condition, note) in [
        ("s.p99.current > ms(1)", "absent: no such series"),
        ("s.p99.predicted > ms(1)", "absent: no such series"),
        ("ms(1) < s.p99.mean", "absent: no such series"),
        ("s.queue.current > 1", "stale for 90 s"),
        ("s.queue.predicted > 1", "stale for 90 s"),
        ("s.rps.predicted > rps(1)", "no forecast yet: 3 of 10 minutes seen"),
        ("s.rps.forecast_change > pct(1)", "a change relative to zero is undefined"),
        ("s.maintenance", "absent: no such series"),
        ("s.replicas.current > 1", "not found"),
        ("s.rollout", "not found"),
        ("s.capacity.needed_now > 1", "the service declares no capacity"),
        ("s.cpu.current > pct(1) * s.replicas.current", "1.0 % * replicas.current: not found"),
    ] {
        let trace = blind.condition(&format!("when({condition})"));
        assert_eq!((trace.holds, trace.note.as_deref()), (Truth::Unknown, Some(note)), "{condition}");
    }
}

#[test]
fn a_forecast_that_is_not_finite_is_unknown() {
    for value in [f64::NAN, f64::INFINITY] {
        let case = Case::new().forecast("p99", value);
        check(&case, "s.p99.predicted > ms(1)", Truth::Unknown);
        check(&case, "s.p99.predicted < ms(1)", Truth::Unknown);
    }
    let huge = Case::new().set("queue", 1e300);
    check(&huge, "s.queue.current * s.queue.current > 1", Truth::Unknown);
}

#[test]
fn a_signal_that_only_other_services_declare_is_unknown() {
    let mut case = Case::new();
    case.spec.signals.truncate(1);
    let trace = case.condition("when(s.cpu.current > pct(1))");
    assert_eq!((trace.holds, trace.note.as_deref()), (Truth::Unknown, Some("not declared by this service")));
}

#[test]
fn unknown_can_be_replaced_in_words() {
    let case = Case::new().without("maintenance").capacity(Some(3), None, None);
    check(&case, "s.maintenance.or(false)", Truth::False);
    check(&case, "s.maintenance.or(true)", Truth::True);
    check(&case, "s.can_scale_up.or(false)", Truth::True);
    check(&case, "s.capacity.needed_ahead.or(7) > 6", Truth::True);
    let trace = case.condition("when(max(s.capacity.needed_now, s.capacity.needed_ahead.or(0)) > s.replicas.current)");
    assert_eq!(&*trace.text, "max(capacity.needed_now, capacity.needed_ahead.or(0))");
    assert_eq!((trace.value, trace.bound, trace.holds), (Some(3.0), Some(5.0), Truth::False));
}

#[test]
fn capacity_needs_a_fresh_arrival_rate() {
    let case = Case::new().capacity(Some(3), Some(4), Some(2));
    check(&case, "s.capacity.needed_ahead > 3", Truth::True);
    check(&case.without("rps"), "s.capacity.needed_ahead > 3", Truth::Unknown);
}

#[test]
fn predicted_looks_as_far_ahead_as_the_lead_time() {
    let mut case = Case::new();
    let index = case.index("queue");
    for (point, value) in case.outlook.signals[index].as_mut().unwrap().points.iter_mut().zip(1_u8..) {
        point.point = f64::from(value);
    }
    // Ten minutes are the fifth horizon; with a capacity the lead time of two minutes is the second.
    assert_eq!(case.condition("when(s.queue.predicted > 1)").value, Some(5.0));
    assert_eq!(case.capacity(None, None, None).condition("when(s.queue.predicted > 1)").value, Some(2.0));
}

#[test]
fn a_trace_holds_value_bound_margin_unit_and_age() {
    let case = Case::new().set("p99", 0.186);
    let trace = case.condition("when(s.p99.current > ms(200))");
    assert_eq!((&*trace.text, trace.unit, trace.note.as_deref()), ("p99.current", Unit::Seconds, Some("4 s old")));
    assert_eq!((trace.value, trace.bound, trace.holds), (Some(0.186), Some(0.2), Truth::False));
    assert!((trace.margin.unwrap() + 0.014).abs() < 1e-12, "{:?}", trace.margin);
    let trace = case.condition("when(!(s.p99.current > ms(200)))");
    assert_eq!(trace.comparison.unwrap().as_str(), "<=");
    assert!(trace.margin.unwrap() > 0.0);
    let trace = case.condition("unless(any([s.rollout, s.p99.current > ms(200)]))");
    assert_eq!(&*trace.text, "any(rollout, p99.current > 200 ms)");
    let parts: Vec<_> = trace.parts().iter().map(|part| (&*part.text, part.value, part.bound, part.holds)).collect();
    let (rollout, p99) = (("rollout", None, None, Truth::False), ("p99.current", Some(0.186), Some(0.2), Truth::False));
    assert_eq!((trace.note.as_deref(), parts), (None, vec![rollout, p99]));
    assert_eq!((trace.negated, trace.holds), (true, Truth::True));
}

#[test]
fn the_whole_catalogue_can_be_constructed() {
    let case = Case::new().capacity(Some(7), None, None).set("queue", 2.4);
    let ten_minutes = Duration::from_mins(10);
    let (a, b) = ("A".to_owned(), "B".to_owned());
    for (action, expected, backed) in [
        ("scale_by(1.5)", Action::ScaleBy { factor: 1.5 }, false),
        ("scale_by(2)", Action::ScaleBy { factor: 2.0 }, false),
        ("scale_to(4)", Action::ScaleTo { replicas: 4 }, false),
        ("scale_to(s.queue.current)", Action::ScaleTo { replicas: 3 }, false),
        ("scale_to(s.capacity.needed_now)", Action::ScaleTo { replicas: 7 }, true),
        ("scale_to(max(s.capacity.needed_now, 9))", Action::ScaleTo { replicas: 9 }, true),
        ("autoscaler_floor(s.capacity.needed_now)", Action::SetAutoscalerFloor { replicas: 7 }, true),
        (
            "shift(#{from: \"A\", to: \"B\", step: pct(25), limit: pct(50)})",
            Action::ShiftTraffic { from: a, to: b, step: 0.25, limit: 0.5 },
            false,
        ),
        ("throttle(#{to: pct(80), ttl: \"10m\"})", Action::Throttle { to: 0.8, ttl: ten_minutes }, false),
        ("rollback()", Action::Rollback, false),
        ("promote()", Action::PromoteRollout, false),
        ("abort()", Action::AbortRollout, false),
        ("restart()", Action::Restart, false),
        ("resize(#{cpu: 1.5, memory: 1})", Action::Resize { cpu: 1.5, memory: 1.0 }, false),
        ("webhook(\"page\")", Action::Webhook { name: "page".into() }, false),
    ] {
        let proposal = case.ask(&one(&format!("when(s.can_scale_up), {action}")));
        let expected = Choice::Act { rule: "r".into(), action: expected, backed_by_arrivals: backed };
        assert_eq!(proposal.choice, expected, "{action}");
    }
}

#[test]
fn notes_and_nested_lists_are_part_of_a_rule() {
    let policy = "fn busy(s) { [when(s.can_scale_up), note(\"busy\")] }\n\
                  rule(\"r\", #{ priority: 1, goal: \"cost\" }, |s, p| [busy(s), unless(s.rollout), restart()]);";
    let rule = Case::new().ask(policy).rules.remove(0);
    assert_eq!((rule.outcome, rule.conditions.len()), (RuleOutcome::Matched, 2));
    assert_eq!(&*rule.notes[0], "busy");
}

#[test]
fn parameters_come_from_the_service_and_are_checked() {
    let policy = format!(
        "param(\"limit\", ms(200), #{{ min: ms(1), max: secs(1), doc: \"a limit\" }});\nparam(\"factor\", 2);\n{}",
        one("when(s.p99.current > p.limit), scale_by(p.factor)")
    );
    let case = Case::new().set("p99", 0.3);
    let action = |case: &Case| case.ask(&policy).choice;
    let acts = |factor| Choice::Act { rule: "r".into(), action: Action::ScaleBy { factor }, backed_by_arrivals: false };
    assert_eq!(action(&case), acts(2.0));
    assert_eq!(action(&case.clone().parameter("factor", 3.0)), acts(3.0));
    assert!(matches!(action(&case.clone().parameter("limit", 0.4)), Choice::Nothing(_)));
    let rule = case.parameter("limit", 3.0).ask(&policy).rules.remove(0);
    let RuleOutcome::Error { message } = rule.outcome else { panic!("{:?}", rule.outcome) };
    assert_eq!(
        message,
        "t.rhai:3:1: rule r: parameter `limit` of shop/checkout: 3.00 s is not between 1 ms and 1.00 s; fix it in the service's parameters"
    );
}

#[test]
fn a_set_is_shared_by_threads() {
    fn shared<T: Send + Sync>(value: T) -> T {
        value
    }
    let set = shared(set(&one("when(s.cpu.current > pct(60)), scale_by(1.5)")));
    std::thread::scope(|scope| {
        for busy in [0.5, 0.7, 0.5, 0.7] {
            let set = &set;
            scope.spawn(move || {
                let case = Case::new().set("cpu", busy);
                for _ in 0..200 {
                    let acts = matches!(case.decide(&mut Decider::new(), set).choice, Choice::Act { .. });
                    assert_eq!(acts, busy > 0.6);
                }
            });
        }
    });
}

#[test]
fn what_was_computed_before_stands_in_parentheses() {
    let set = load(&[(
        "t.rhai",
        "rule(\"r\", #{ priority: 1, goal: \"cost\" }, |s, p| [\n\
           when((s.cpu.current - s.cpu.mean) * 2 > pct(1)), when(s.cpu.current - s.cpu.mean * 2 > pct(1)), restart()]);",
    )])
    .unwrap();
    let trace = Case::new().decide(&mut Decider::new(), &set);
    let texts: Vec<String> = trace.rules[0].conditions.iter().map(|condition| condition.text.to_string()).collect();
    assert_eq!(texts, ["(cpu.current - cpu.mean) * 2", "cpu.current - (cpu.mean * 2)"]);
}
