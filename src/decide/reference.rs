//! Every word that policies and their tests are written in: the source of `docs/reference/policies.md` and of
//! `flyball policy words`. Each example is loaded by a test.

use std::fmt::Write as _;

use crate::decide::vocabulary::{STANDARD, Standard};

/// Where a word may stand.
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
    /// Where it may stand.
    pub place: Place,
    /// An example; of a quantity, what may be compared with the bound in its place.
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

/// All words, in the order of the page.
pub const WORDS: [Word; 90] = [
    top(
        "rule(\"name\", #{ priority: 1, goal: \"protect\" }, |s, p| [when(s.can_scale_up), restart()]);",
        "A rule: its name, its rank (higher priority first, then `protect` before `cost`), and its clauses. `s` is the service, `p` the parameters.",
    ),
    top(
        "param(\"limit\", ms(200), #{ min: ms(1), max: secs(9), doc: \"what for\" });",
        "A number that services may set under `parameters`: its unit is that of the default; values outside min and max are refused.",
    ),
    top(
        "limit(\"calm\", |s, p| [when(s.maintenance), veto(\"lower\", \"why\")]);",
        "What holds against every rule of every set, whatever its priority, and against an undo. A limit has no rank of its own: all that stand are kept. It stands unless it is known not to match, so while a condition of it is unknown it forbids; `.or(false)` says otherwise. Without conditions it always stands. It holds from its first moment on, so its `when` has no `held_for`; its `unless` may.",
    ),
    top("otherwise(\"No policy matched\");", "What is said when no rule acts. Once in a set."),
    top(
        "conflicts(\"error\");",
        "Two rules that match at once are an error, and nothing is done, instead of a matter of priority.",
    ),
    top("import \"lib/slo\" as slo;", "Makes the functions of `lib/slo.rhai` available as `slo::name(..)`."),
    clause("when(s.cpu.current > pct(60))", "The rule matches only if this holds."),
    clause("unless(s.maintenance)", "The rule matches only if this is known not to hold."),
    clause("note(\"why\")", "Words that stand in every explanation of the rule."),
    condition(
        "s.cpu.current > pct(60)",
        "`> >= < <=` between two quantities of one unit, in either order. There is no `==`.",
    ),
    condition("s.maintenance", "A declared flag is on."),
    condition("s.can_scale_up", "There are fewer replicas than the upper bound."),
    condition("s.at_min_replicas", "There are no more replicas than the lower bound."),
    condition("s.at_max_replicas", "There are no fewer replicas than the upper bound."),
    condition("s.rollout", "A rollout is under way."),
    condition("s.capacity_available.region(\"B\")", "The flag `capacity_available_region_b`."),
    condition("all([s.can_scale_up, s.cpu.current > pct(60)])", "Every part holds."),
    condition("any([s.rollout, s.cpu.current > pct(60)])", "At least one part holds."),
    condition("!s.maintenance", "The part does not hold. Unknown stays unknown."),
    condition("s.maintenance.or(false)", "The part, or while it is unknown, this."),
    condition(
        "(s.p99.predicted > ms(200)).held_for(\"2m\")",
        "It has held at every sample for more than this time. A sample for which it does not hold starts anew, as does another bound; while it is unknown time stands still, for two scrape intervals at most. Until it was seen not to hold, after a start, a hole or another bound, it is unknown for that time instead of false.",
    ),
    quantity("s.p99.current", "ms(200)", "The newest sample."),
    quantity("s.p99.mean", "ms(200)", "Mean of the last minute."),
    quantity("s.p99.over(\"1m\").mean", "ms(200)", "The same."),
    quantity("s.p99.over(\"5m\").p99", "ms(200)", "99th percentile of the last five minutes."),
    quantity("s.p99.over(\"5m\").max", "ms(200)", "Maximum of the last five minutes."),
    quantity("s.rps.over(\"5m\").change", "pct(20)", "Mean of the last minute against the one five minutes before."),
    quantity(
        "s.p99.predicted",
        "ms(200)",
        "Point forecast at the lead time: when a pod asked for now is ready (10 minutes where no capacity is declared).",
    ),
    quantity("s.rps.forecast_change", "pct(20)", "That forecast against the newest sample."),
    quantity("s.p99.at(\"5m\")", "ms(200)", "Point forecast so far ahead, up to 30 minutes."),
    quantity("s.rps.change_at(\"5m\")", "pct(20)", "That forecast against the newest sample."),
    quantity(
        "s.p99.quantile(0.9, \"10m\")",
        "ms(200)",
        "Forecast quantile so far ahead; tracked are 0.005, 0.025, 0.05, 0.1, 0.25, 0.5 and their counterparts.",
    ),
    quantity("s.p99.upper95(\"10m\")", "ms(200)", "The quantile 0.95: exceeded with a chance of 5 %."),
    quantity(
        "s.rps.quantile_of_max(0.9, \"30m\")",
        "rps(9)",
        "Quantile of the highest value over the next \"10m\" or \"30m\".",
    ),
    quantity("s.rps.upper95_of_max(\"30m\")", "rps(9)", "The quantile 0.95 of that."),
    quantity(
        "s.p99.longest_run_above(ms(200))",
        "\"2m\"",
        "Longest time in a row for which the path from now through the forecast stays above a bound.",
    ),
    quantity("s.p99.region(\"A\").current", "ms(200)", "A view of the signal `p99_region_a`."),
    quantity("s.replicas.current", "3", "Replicas asked for, at least the floor of an autoscaler."),
    quantity("s.replicas.ready", "3", "Replicas that serve."),
    quantity("s.capacity.needed_now", "3", "Replicas that the measured arrival rate needs."),
    quantity(
        "s.capacity.needed_ahead",
        "3",
        "Replicas that the upper forecast needs until a next raise could have its pods; unknown until the forecast has earned the right to add.",
    ),
    quantity("s.capacity.floor", "3", "Replicas below which nothing may be lowered; unknown means: do not lower."),
    quantity(
        "s.rps.predicted.needs_replicas()",
        "3",
        "Pods that carry a rate, by the capacity that the service declares.",
    ),
    quantity(
        "s.rps.predicted.needs_replicas(rps(90), 1.2)",
        "3",
        "Pods that carry a rate, by the rate of one pod, above zero, and headroom (1 to 10; 1.2 is 20 % spare).",
    ),
    quantity("p.limit", "ms(200)", "A parameter, with the value of the service at hand."),
    quantity("max(s.capacity.needed_now, 2)", "3", "The greater of two quantities of one unit."),
    quantity("min(s.capacity.needed_now, 9)", "3", "The smaller of two quantities of one unit."),
    quantity("s.capacity.needed_now + 1", "3", "Sum of two quantities of one unit."),
    quantity("s.replicas.current - s.capacity.floor", "3", "Difference of two quantities of one unit."),
    quantity(
        "(s.replicas.current - s.capacity.floor) * usd_per_hour(0.1)",
        "usd_per_hour(1)",
        "A quantity times a plain number.",
    ),
    quantity("s.capacity.needed_ahead.or(0)", "3", "The quantity, or while it is unknown, this."),
    quantity(
        "s.replicas.current * usd_per_hour(data(\"pricing\").pod_hour)",
        "usd_per_hour(1)",
        "A number from `pricing.data.json` of the set: constant, and part of its revision.",
    ),
    quantity("s.cpu.current", "pct(60)", "`pct(..)`: a share, written in percent."),
    quantity("s.p99.current", "secs(0.2)", "`ms(..)`, `secs(..)`, `mins(..)` or a text such as \"2m\": a time."),
    quantity("s.rps.current", "rps(100)", "`rps(..)`: events a second."),
    quantity("s.p99.current", "mins(1)", "A bound may stand on either side; the measured one is shown first."),
    action("scale_by(1.5)", "Multiply the replicas (0.1 to 10); the result is rounded away from the present count."),
    action("scale_to(s.capacity.needed_now)", "Set the replicas (1 to 100,000, rounded up)."),
    action(
        "autoscaler_floor(3)",
        "Set the floor of the autoscaler that scales the target; `scale_by` and `scale_to` move it by themselves.",
    ),
    action(
        "shift(#{ from: \"A\", to: \"B\", step: pct(25), limit: pct(50) })",
        "Move a share of the traffic: this much in one step, this much in all.",
    ),
    action(
        "throttle(#{ to: pct(80), ttl: \"10m\" })",
        "Admit this share of the present load for a while (10 s to 6 h).",
    ),
    action("rollback()", "Return to the version before the running one."),
    action("promote()", "Let a rollout go on."),
    action("abort()", "Stop a rollout and return to the stable version."),
    action("restart()", "Restart pods, one at a time."),
    action("resize(#{ cpu: 1.5, memory: 1.0 })", "Change the resources of the pods by factors (0.1 to 10)."),
    action("webhook(\"page\")", "Call the webhook of this name."),
    limit(
        "veto(\"lower\", \"why\")",
        "No such action: `all`, `raise` (replicas are added), `lower` (replicas, resources or traffic are taken), `scale`, `traffic`, `rollout` or `external` (the classes of the kill switch). The reason stands in every record. Another rule that matches may act instead.",
    ),
    limit(
        "cap(20)",
        "No raise beyond so many replicas (1 to 100,000, rounded up); of several caps the lowest counts. Where the size is unknown nothing is raised. What runs above it is not lowered for it.",
    ),
    test("test(\"a\", || given(#{ \"cpu.current\": pct(70) }).decide());", "A test: its name and what it does."),
    test(
        "test(\"b\", || given(#{ \"p99.predicted\": ms(231), can_scale_up: true }).decide());",
        "What is known of a service; all else is not, but that a target of which anything is named has 5 replicas, all ready, and room both ways in its bounds, where not said otherwise. What cannot be, alone or together, is refused. There are flags, views of signals (`current mean predicted forecast_change upper95 upper95_of_max p99_5m max_5m change_5m`), `replicas.current replicas.ready rollout can_scale_up at_min_replicas at_max_replicas bounds.min bounds.max`, `capacity.needed_now capacity.needed_ahead capacity.floor capacity.per_pod` and `p.<parameter>`.",
    ),
    test(
        "test(\"c\", || given(#{}).set(\"cpu.current\", pct(9)).without(\"cpu\").decide());",
        "The same with one fact more, or one signal less (`replicas` and `capacity` too). Both return it and change nothing in place; one that is not used fails the test.",
    ),
    test(
        "test(\"d\", || timeline(\"15s\").set(\"cpu.current\", pct(9)).run(\"2m\"));",
        "A service over time, decided about at each step; `run` lets time pass and returns the decisions of it.",
    ),
    test(
        "test(\"e\", || { for_each_signal(|name| given(#{}).without(name).decide()); });",
        "Calls a function with the name of every signal that some rule reads.",
    ),
    test(
        "test(\"f\", || given(#{ can_scale_up: true }).decide().expect(\"name\"));",
        "The last decision acts by this rule.",
    ),
    test("test(\"g\", || given(#{}).decide().expect_none());", "No decision of the run acts."),
    test(
        "test(\"h\", || given(#{ can_scale_up: true }).decide().expect_action(\"restart pods\"));",
        "What the last decision does, in words.",
    ),
    test(
        "test(\"i\", || given(#{ can_scale_up: true }).decide().because(\"can_scale_up\"));",
        "A condition of the acting rule, as explanations name it.",
    ),
    test(
        "test(\"j\", || given(#{ can_scale_up: true, \"cpu.current\": pct(70) }).decide().expect(\"busy\").because(\"cpu.current\").margin_at_least(pct(5)));",
        "The condition named before holds by at least this much.",
    ),
    test(
        "test(\"k\", || given(#{ can_scale_up: true }).decide().expect_matched(\"name\"));",
        "All conditions of the rule hold.",
    ),
    test(
        "test(\"l\", || given(#{ can_scale_up: false }).decide().expect_not_matched(\"name\"));",
        "A condition of the rule does not hold.",
    ),
    test(
        "test(\"m\", || given(#{}).decide().expect_unknown(\"name\"));",
        "No condition of the rule fails, and one is not known.",
    ),
    test(
        "test(\"u\", || given(#{ \"p.limit\": secs(10) }).decide().expect_error(\"late\"));",
        "The rule fails: a value of it, as that of a parameter, is outside its range.",
    ),
    test(
        "test(\"t\", || given(#{ maintenance: true }).decide().expect_stands(\"limited\"));",
        "The limit matches, or is not known not to.",
    ),
    test(
        "test(\"n\", || given(#{}).decide().expect_no_rule_reading(\"cpu\"));",
        "No rule that reads this signal matches.",
    ),
    test(
        "test(\"o\", || given(#{ can_scale_up: true }).decide().expect(\"name\").expect_action(\"restart pods\"));",
        "Expectations can follow each other.",
    ),
    test("test(\"q\", || { if 1 > 2 { throw \"no\"; } });", "Whatever throws fails."),
    test(
        "test(\"r\", || timeline(\"15s\").set(#{ can_scale_up: true }).run(\"15s\").expect(\"name\"));",
        "Several facts at once.",
    ),
    test(
        "test_replay(\"incident.jsonl\", #{ never: [\"busy\"] });",
        "On every decision of a recording (a file of the set, made by `flyball explain .. -n 50 -o json`) these rules do not act; `expect: [..]`: each acts at least once; `given: #{ .. }`: bounds and parameters of the service, which a record does not hold.",
    ),
    test(
        "test(\"s\", || timeline(\"15s\").set(\"can_scale_up\", true).without(\"replicas\").run(\"15s\").expect_none());",
        "From now on this is not known.",
    ),
];

/// Returns the reference page.
pub fn reference() -> String {
    let mut page = "# The words of policies\n\nMade from `src/decide/reference.rs`; `flyball policy words` prints it. \
                    How to use them is told in the [policy guide](../policy-guide.md).\n"
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
    page.push_str(
        "\n## Standard signals\n\nDeclared by flyball itself; without data where the settings do not say where they come from. Every other \
         signal is declared under `signals` of the settings.\n\n| name | unit | range | is |\n|---|---|---|---|\n",
    );
    for Standard { name, unit, range, meaning } in STANDARD {
        let _ = writeln!(page, "| `{name}` | {} | {} | {meaning} |", unit.word(), unit.span(range));
    }
    page
}

/// Title, introduction, and which words belong under it.
type Section = (&'static str, &'static str, fn(Place) -> bool);

const SECTIONS: [Section; 7] = [
    ("Top level", "What a file declares. A file runs once, when its set is loaded.", |place| place == Place::Top),
    ("Clauses", "What the list of a rule is made of, beside one action.", |place| place == Place::Clause),
    ("Conditions", "True, false or unknown. A condition is no bool: `if`, `&&` and `||` do not take one.", |place| {
        place == Place::Condition
    }),
    ("Quantities", "Numbers with a unit, known only when a decision is made.", |place| {
        matches!(place, Place::Quantity(_))
    }),
    (
        "Actions",
        "One in each rule. A size may be a quantity; a size that is unknown makes the rule unknown, one outside its range \
         an error, and nothing is clamped in silence. So far only `scale_by`, `scale_to` and `autoscaler_floor` (where an autoscaler \
         scales the target) can be carried out: a rule with another action stands behind all that can act.",
        |place| place == Place::Action,
    ),
    ("Limits", "One in each limit: what it forbids.", |place| place == Place::Limit),
    ("Tests", "What stands in files that end in `_test.rhai`.", |place| place == Place::Test),
];
