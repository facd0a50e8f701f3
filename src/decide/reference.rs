//! Every word of policies and their tests: the source of `docs/reference/policies.md` and of `flyball policy words`.
//! Each example is loaded by a test.

use std::fmt::Write as _;

use crate::decide::vocabulary::{STANDARD, Standard};

/// Where a word is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At the top level of a file.
    Top,
    /// Among the clauses of a rule.
    Clause,
    /// Where a condition is expected.
    Condition,
    /// Where a quantity is expected.
    Quantity(&'static str),
    /// The action of a rule.
    Action,
    /// What a limit forbids.
    Limit,
    /// In a test file.
    Test,
}

/// One word of the language.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// Where it is allowed.
    pub place: Place,
    /// An example; for a quantity, one that can be compared with the bound in its place.
    pub example: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn top(example: &'static str, meaning: &'static str) -> Word {
    Word { place: Place::Top, example, meaning }
}

const fn clause(example: &'static str, meaning: &'static str) -> Word {
    Word { place: Place::Clause, example, meaning }
}

const fn condition(example: &'static str, meaning: &'static str) -> Word {
    Word { place: Place::Condition, example, meaning }
}

const fn quantity(example: &'static str, bound: &'static str, meaning: &'static str) -> Word {
    Word { place: Place::Quantity(bound), example, meaning }
}

const fn action(example: &'static str, meaning: &'static str) -> Word {
    Word { place: Place::Action, example, meaning }
}

const fn limit(example: &'static str, meaning: &'static str) -> Word {
    Word { place: Place::Limit, example, meaning }
}

const fn test(example: &'static str, meaning: &'static str) -> Word {
    Word { place: Place::Test, example, meaning }
}

/// All words, in page order.
pub const WORDS: [Word; 90] = [
    top(
        "rule(\"name\", #{ priority: 1, goal: \"protect\" }, |s, p| [when(s.can_scale_up), restart()]);",
        "A rule: name, rank (higher priority first, then `protect` before `cost`) and clauses. `s` is the service, `p` \
         the parameters.",
    ),
    top(
        "param(\"limit\", ms(200), #{ min: ms(1), max: secs(9), doc: \"what for\" });",
        "A number that services may set under `parameters`; it has the unit of the default. Values outside min and max \
         are refused.",
    ),
    top(
        "limit(\"calm\", |s, p| [when(s.maintenance), veto(\"lower\", \"why\")]);",
        "A constraint on every rule of every policy set, whatever its priority, and on undos. Limits have no rank: all \
         that apply are enforced. A limit applies unless it is known not to match, so it forbids while one of its \
         conditions is unknown; `.or(false)` changes that. Without conditions it always applies. It applies \
         immediately, so its `when` cannot use `held_for`; its `unless` can.",
    ),
    top("otherwise(\"No policy matched\");", "The text reported when no rule acts. At most once per set."),
    top(
        "conflicts(\"error\");",
        "Two rules that match at the same time are an error and nothing is done, instead of the higher priority \
         winning.",
    ),
    top("import \"lib/slo\" as slo;", "Makes the functions of `lib/slo.rhai` available as `slo::name(..)`."),
    clause("when(s.cpu.current > pct(60))", "The rule matches only if this is true."),
    clause("unless(s.maintenance)", "The rule matches only if this is known to be false."),
    clause("note(\"why\")", "Text shown in every explanation of the rule."),
    condition(
        "s.cpu.current > pct(60)",
        "`> >= < <=` between two quantities of the same unit, in either order. There is no `==`.",
    ),
    condition("s.maintenance", "A declared flag is set."),
    condition("s.can_scale_up", "The replica count is below the upper bound."),
    condition("s.at_min_replicas", "The replica count is at or below the lower bound."),
    condition("s.at_max_replicas", "The replica count is at or above the upper bound."),
    condition("s.rollout", "A rollout is in progress."),
    condition("s.capacity_available.region(\"B\")", "The flag `capacity_available_region_b`."),
    condition("all([s.can_scale_up, s.cpu.current > pct(60)])", "All parts are true."),
    condition("any([s.rollout, s.cpu.current > pct(60)])", "At least one part is true."),
    condition("!s.maintenance", "The part is false. Unknown stays unknown."),
    condition("s.maintenance.or(false)", "The part, or this value while the part is unknown."),
    condition(
        "(s.p99.predicted > ms(200)).held_for(\"2m\")",
        "It has been true at every sample for longer than this. A sample at which it is false restarts the clock, as \
         does a changed bound; while it is unknown the clock pauses, for at most two scrape intervals. After a start, \
         a gap or a changed bound it is unknown instead of false for that time, until it has been seen false.",
    ),
    quantity("s.p99.current", "ms(200)", "The newest sample."),
    quantity("s.p99.mean", "ms(200)", "Mean of the last minute."),
    quantity("s.p99.over(\"1m\").mean", "ms(200)", "The same."),
    quantity("s.p99.over(\"5m\").p99", "ms(200)", "99th percentile of the last five minutes."),
    quantity("s.p99.over(\"5m\").max", "ms(200)", "Maximum of the last five minutes."),
    quantity(
        "s.rps.over(\"5m\").change",
        "pct(20)",
        "Mean of the last minute relative to the mean five minutes earlier.",
    ),
    quantity(
        "s.p99.predicted",
        "ms(200)",
        "Point forecast at the lead time: when a pod requested now is ready (10 minutes if no capacity is declared).",
    ),
    quantity("s.rps.forecast_change", "pct(20)", "That forecast relative to the newest sample."),
    quantity("s.p99.at(\"5m\")", "ms(200)", "Point forecast this far ahead, up to 30 minutes."),
    quantity("s.rps.change_at(\"5m\")", "pct(20)", "That forecast relative to the newest sample."),
    quantity(
        "s.p99.quantile(0.9, \"10m\")",
        "ms(200)",
        "Forecast quantile this far ahead; 0.005, 0.025, 0.05, 0.1, 0.25, 0.5 and their complements are tracked.",
    ),
    quantity("s.p99.upper95(\"10m\")", "ms(200)", "The 0.95 quantile: exceeded with a probability of 5 %."),
    quantity(
        "s.rps.quantile_of_max(0.9, \"30m\")",
        "rps(9)",
        "Quantile of the highest value over the next \"10m\" or \"30m\".",
    ),
    quantity("s.rps.upper95_of_max(\"30m\")", "rps(9)", "The 0.95 quantile of that maximum."),
    quantity(
        "s.p99.longest_run_above(ms(200))",
        "\"2m\"",
        "Longest contiguous time for which the path from now through the forecast stays above a bound.",
    ),
    quantity("s.p99.region(\"A\").current", "ms(200)", "A view of the signal `p99_region_a`."),
    quantity("s.replicas.current", "3", "Requested replicas, at least the floor of an autoscaler."),
    quantity("s.replicas.ready", "3", "Ready replicas."),
    quantity("s.capacity.needed_now", "3", "Replicas needed for the measured arrival rate."),
    quantity(
        "s.capacity.needed_ahead",
        "3",
        "Replicas needed for the upper forecast until the pods of a next raise could be ready, or for a steep rise if it \
         continues; without a steep rise unknown until the forecast has earned the authority to add capacity.",
    ),
    quantity("s.capacity.floor", "3", "The replica count must not be lowered below this; unknown means: do not lower."),
    quantity(
        "s.rps.predicted.needs_replicas()",
        "3",
        "Pods needed for a rate, by the declared capacity of the service.",
    ),
    quantity(
        "s.rps.predicted.needs_replicas(rps(90), 1.2)",
        "3",
        "Pods needed for a rate, by the rate of one pod (above zero) and headroom (1 to 10; 1.2 is 20 % spare).",
    ),
    quantity("p.limit", "ms(200)", "A parameter, with the value that the service sets."),
    quantity("max(s.capacity.needed_now, 2)", "3", "The larger of two quantities of the same unit."),
    quantity("min(s.capacity.needed_now, 9)", "3", "The smaller of two quantities of the same unit."),
    quantity("s.capacity.needed_now + 1", "3", "Sum of two quantities of the same unit."),
    quantity("s.replicas.current - s.capacity.floor", "3", "Difference of two quantities of the same unit."),
    quantity(
        "(s.replicas.current - s.capacity.floor) * usd_per_hour(0.1)",
        "usd_per_hour(1)",
        "A quantity times a plain number.",
    ),
    quantity("s.capacity.needed_ahead.or(0)", "3", "The quantity, or this value while the quantity is unknown."),
    quantity(
        "s.replicas.current * usd_per_hour(data(\"pricing\").pod_hour)",
        "usd_per_hour(1)",
        "A number from `pricing.data.json` in the set: constant, and part of its revision.",
    ),
    quantity("s.cpu.current", "pct(60)", "`pct(..)`: a share, written in percent."),
    quantity("s.p99.current", "secs(0.2)", "`ms(..)`, `secs(..)`, `mins(..)` or a string such as \"2m\": a duration."),
    quantity("s.rps.current", "rps(100)", "`rps(..)`: events per second."),
    quantity("s.p99.current", "mins(1)", "A bound may be on either side; the measured quantity is shown first."),
    action("scale_by(1.5)", "Multiply the replicas (0.1 to 10); the result is rounded away from the current count."),
    action("scale_to(s.capacity.needed_now)", "Set the replicas (1 to 100,000, rounded up)."),
    action(
        "autoscaler_floor(3)",
        "Set the floor of the autoscaler that scales the target; `scale_by` and `scale_to` move it automatically.",
    ),
    action(
        "shift(#{ from: \"A\", to: \"B\", step: pct(25), limit: pct(50) })",
        "Shift a share of the traffic: `step` per action, `limit` in total.",
    ),
    action(
        "throttle(#{ to: pct(80), ttl: \"10m\" })",
        "Admit only this share of the current load for a limited time (10 s to 6 h).",
    ),
    action("rollback()", "Roll back to the previous version."),
    action("promote()", "Resume a rollout."),
    action("abort()", "Abort a rollout and return to the stable version."),
    action("restart()", "Restart pods, one at a time."),
    action("resize(#{ cpu: 1.5, memory: 1.0 })", "Multiply the pods' resources by these factors (0.1 to 10)."),
    action("webhook(\"page\")", "Call the webhook with this name."),
    limit(
        "veto(\"lower\", \"why\")",
        "Forbids these actions: `all`, `raise` (adds replicas), `lower` (removes replicas, resources or traffic), \
         `scale`, `traffic`, `rollout` or `external` (the classes of the kill switch). The reason is written to every \
         record. Another rule that matches may act instead.",
    ),
    limit(
        "cap(20)",
        "No raise above this replica count (1 to 100,000, rounded up); the lowest of several caps counts. If the count \
         is unknown, nothing is raised. Replicas already above it are not lowered.",
    ),
    test(
        "test(\"a\", || given(#{ \"cpu.current\": pct(70) }).decide().expect(\"busy\"));",
        "A test: its name and its body.",
    ),
    test(
        "test(\"b\", || given(#{ \"p99.predicted\": ms(231), can_scale_up: true }).decide().expect_matched(\"name\"));",
        "What is known of a service; everything else is unknown. Exception: if any fact about the target is given, it \
         has 5 replicas, all ready, and room in its bounds both ways unless stated otherwise. Impossible values and \
         combinations are refused. Facts are flags, views of signals (`current mean predicted forecast_change upper95 \
         upper95_of_max p99_5m max_5m change_5m`), `replicas.current replicas.ready rollout can_scale_up \
         at_min_replicas at_max_replicas bounds.min bounds.max`, `capacity.needed_now capacity.needed_ahead \
         capacity.floor capacity.per_pod` and `p.<parameter>`.",
    ),
    test(
        "test(\"c\", || given(#{}).set(\"cpu.current\", pct(9)).without(\"cpu\").decide().expect_unknown(\"busy\"));",
        "The same with one more fact, or one signal less (also `replicas` and `capacity`). Both return a copy and \
         change nothing in place; an unused result fails the test.",
    ),
    test(
        "test(\"d\", || timeline(\"15s\").set(\"cpu.current\", pct(9)).run(\"2m\").expect_none());",
        "A service over time, with a decision at each step; `run` lets time pass and returns its decisions.",
    ),
    test(
        "test(\"e\", || { for_each_signal(|name| given(#{}).without(name).decide().expect_no_rule_reading(name)); });",
        "Calls a function with the name of every signal that a rule reads.",
    ),
    test(
        "test(\"f\", || given(#{ can_scale_up: true }).decide().expect(\"name\"));",
        "The last decision acts by this rule.",
    ),
    test("test(\"g\", || given(#{}).decide().expect_none());", "No decision of the run acts."),
    test(
        "test(\"h\", || given(#{ can_scale_up: true }).decide().expect_action(\"restart pods\"));",
        "What the last decision does, as text.",
    ),
    test(
        "test(\"i\", || given(#{ can_scale_up: true }).decide().because(\"can_scale_up\"));",
        "A condition of the acting rule, as shown in explanations.",
    ),
    test(
        "test(\"j\", || given(#{ can_scale_up: true, \"cpu.current\": pct(70) }).decide().expect(\"busy\").because(\"cpu.current\").margin_at_least(pct(5)));",
        "The condition named before is true by at least this margin.",
    ),
    test(
        "test(\"k\", || given(#{ can_scale_up: true }).decide().expect_matched(\"name\"));",
        "All conditions of the rule are true.",
    ),
    test(
        "test(\"l\", || given(#{ can_scale_up: false }).decide().expect_not_matched(\"name\"));",
        "A condition of the rule is false.",
    ),
    test(
        "test(\"m\", || given(#{}).decide().expect_unknown(\"name\"));",
        "No condition of the rule is false, and at least one is unknown.",
    ),
    test(
        "test(\"u\", || given(#{ \"p.limit\": secs(10) }).decide().expect_error(\"late\"));",
        "The rule fails: one of its values, such as a parameter, is out of range.",
    ),
    test(
        "test(\"t\", || given(#{ maintenance: true }).decide().expect_stands(\"limited\"));",
        "The limit applies: it matches, or it is unknown whether it does.",
    ),
    test(
        "test(\"n\", || given(#{}).decide().expect_no_rule_reading(\"cpu\"));",
        "No rule that reads this signal matches.",
    ),
    test(
        "test(\"o\", || given(#{ can_scale_up: true }).decide().expect(\"name\").expect_action(\"restart pods\"));",
        "Expectations can be chained.",
    ),
    test(
        "test(\"q\", || { given(#{}).decide().expect_none(); if 1 > 2 { throw \"no\"; } });",
        "A test that throws fails.",
    ),
    test(
        "test(\"r\", || timeline(\"15s\").set(#{ can_scale_up: true }).run(\"15s\").expect(\"name\"));",
        "Several facts at once.",
    ),
    test(
        "test_replay(\"incident.jsonl\", #{ never: [\"busy\"] });",
        "These rules act on no decision of a recording (a file of the set, created by `flyball explain .. -n 50 -o \
         json`); `expect: [..]`: each acts at least once; `given: #{ .. }`: bounds and parameters of the service, \
         which records do not contain.",
    ),
    test(
        "test(\"s\", || timeline(\"15s\").set(\"can_scale_up\", true).without(\"replicas\").run(\"15s\").expect_none());",
        "From now on this is unknown.",
    ),
];

/// Returns the reference page.
pub fn reference() -> String {
    let mut page =
        "# Policy vocabulary\n\nGenerated from `src/decide/reference.rs`; `flyball policy words` prints it. \
     The [policy guide](../policy-guide.md) shows how to use it.\n"
            .to_owned();
    for (title, about, is) in SECTIONS {
        // Writing into a String does not fail.
        let _ = write!(page, "\n## {title}\n\n{about}\n\n| write | means |\n|---|---|\n");
        for word in WORDS.iter().filter(|word| is(word.place)) {
            let bound = match word.place {
                Place::Quantity(bound) => format!(" > {bound}"),
                _ => String::new(),
            };
            let example = format!("{}{bound}", word.example).replace('|', "\\|");
            let _ = writeln!(page, "| `{example}` | {} |", word.meaning.replace('|', "\\|"));
        }
    }
    page.push_str(RHAI);
    page.push_str(
        "\n## Standard signals\n\nDeclared by flyball itself; they have no data unless the settings configure them. \
         All other signals are declared under `signals` in the settings.\n\n| name | unit | range | is \
         |\n|---|---|---|---|\n",
    );
    for Standard { name, unit, range, meaning } in STANDARD {
        let _ = writeln!(page, "| `{name}` | {} | {} | {meaning} |", unit.word(), unit.span(range));
    }
    page
}

/// What of the script language itself may be used.
const RHAI: &str = "\n## Rhai\n\nPolicies are [Rhai](https://rhai.rs/book) scripts, which run when the set is loaded. Of \
    Rhai itself they have `let`, `const`, `fn`, `|x| ..`, `if`, `for`, `while`, `loop`, `return`, `throw`, arithmetic, \
    comparison and logic on plain numbers, bools and texts, `${..}` in texts between backquotes, and its standard \
    functions of numbers, texts, lists and maps, such as `map`, `filter`, `reduce`, `push`, `contains`, `keys`, `sort`, \
    `round`. They build clauses; none of them sees a measured value. Absent are `eval`, `export`, `switch`, `curry`, \
    `Fn`, `try`, `print`, `debug`, time, random numbers and files. A rule may take 5,000 operations, the top level of \
    a file 200,000; a text holds up to 4,096 bytes, a list or a map up to 256 elements.\n";

/// Title, introduction, and which words belong under it.
type Section = (&'static str, &'static str, fn(Place) -> bool);

const SECTIONS: [Section; 7] = [
    ("Top level", "What a file declares. A file runs once, when its policy set is loaded.", |place| {
        place == Place::Top
    }),
    ("Clauses", "The elements of a rule's list, next to its one action.", |place| place == Place::Clause),
    (
        "Conditions",
        "True, false or unknown. A condition is not a bool: `if`, `&&` and `||` do not accept it.",
        |place| place == Place::Condition,
    ),
    ("Quantities", "Numbers with a unit, evaluated at decision time.", |place| matches!(place, Place::Quantity(_))),
    (
        "Actions",
        "One per rule. A size may be a quantity; an unknown size makes the rule unknown, a size out of range is an \
         error, and nothing is silently clamped. So far only `scale_by`, `scale_to` and `autoscaler_floor` (if an \
         autoscaler scales the target) can be carried out: rules with any other action rank below every rule that can \
         act.",
        |place| place == Place::Action,
    ),
    ("Limits", "One per limit: what it forbids.", |place| place == Place::Limit),
    (
        "Tests",
        "The content of files that end in `_test.rhai`. A test has to expect something of what it decides: decisions that \
         no expectation looks at do not count as covered, and `flyball policy check --strict` reports a test without \
         any.",
        |place| place == Place::Test,
    ),
];
