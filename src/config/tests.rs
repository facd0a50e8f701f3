use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use super::*;
use crate::model::{GuardParams, Mode, TargetKind};

const EXAMPLE: &str = include_str!("../../docs/flyball.example.yaml");

fn faults(text: &str) -> Vec<String> {
    let faults = Settings::parse(text).err().unwrap_or_default();
    faults.0.iter().map(Fault::to_string).collect()
}

/// Replaces `from` in the example with `to` and asserts that this raises exactly `expected`.
fn check(from: &str, to: &str, expected: &[&str]) {
    assert!(EXAMPLE.contains(from), "the example does not contain {from}");
    assert_eq!(faults(&EXAMPLE.replacen(from, to, 1)), expected, "{from} -> {to}");
}

#[test]
fn the_example_is_valid_and_falls_back_key_by_key() {
    let settings = Settings::parse(EXAMPLE).unwrap();
    assert_eq!(settings.cluster, Some(ClusterSettings { url: "http://127.0.0.1:16080".to_owned() }));
    let [source] = settings.sources.as_slice() else { panic!("{:?}", settings.sources) };
    assert_eq!((source.interval, source.timeout), (Duration::from_secs(15), Duration::from_secs(5)));
    assert_eq!(settings.journal, StoreSettings::default(), "the example shows the defaults");
    assert_eq!(settings.signals.len(), 3);
    let [checkout, search] = settings.listed() else { panic!("{:?}", settings.services) };
    assert_eq!((checkout.mode, search.mode), (Mode::Auto, Mode::Shadow));
    assert_eq!(checkout.target.to_string(), "Deployment shop/checkout");
    assert_eq!((&*checkout.labels["namespace"], &*checkout.labels["service"]), ("shop", "checkout"));
    let names: Vec<&str> = checkout.signals.iter().map(|signal| signal.name.as_str()).collect();
    assert_eq!(names, ["rps", "p99", "errors"]);
    assert!((checkout.slo.p99 - 0.2).abs() < 1e-9 && checkout.parameters["p99_max"] == Some(0.25));
    assert_eq!((search.bounds.min, search.bounds.max), (4, 40));
    assert_eq!(search.guards, GuardParams::default());
    let patient = GuardParams { lower_cooldown: Duration::from_mins(20), ..GuardParams::default() };
    assert_eq!(checkout.guards, patient);
    assert_eq!(search.target.kind, TargetKind::StatefulSet);
    assert_eq!((search.parameters["p99_max"], search.parameters["up_factor"]), (Some(0.4), Some(1.5)));
    assert_eq!(search.capacity.map(|capacity| capacity.start_time), Some(Duration::from_mins(1)));
}

#[test]
fn the_example_shows_every_key() {
    let mut shown = BTreeSet::new();
    let mut tree = vec![parse_yaml(EXAMPLE).unwrap()];
    while let Some(value) = tree.pop() {
        match value {
            Value::Object(entries) => {
                for (key, inner) in entries {
                    shown.insert(key);
                    tree.push(inner);
                }
            }
            Value::Array(items) => tree.extend(items),
            _ => {}
        }
    }
    let all = "state journal max_records max_age listen policies policy_shadow kill_switch cluster sources signals forecast defaults services \
        kind url interval timeout history source query samples labels unit role forecast range scrape_interval window mode slo bounds budgets capacity \
        parameters allow_lowering name target p99 error_ratio min max per_10_min per_hour per_pod_rate utilisation \
        start_time namespace guards raise_cooldown backed_raise_cooldown lower_cooldown reversal_lock other_cooldown \
        stabilisation window_gap human_hold raise_factor raise_at_least backed_raise_factor lower_share \
        skill_to_add skill_to_remove coverage_slack promotion_minutes history_days timezone events from to factor like leadership lease duration \
        renew_deadline retry intents records mask notes";
    for key in all.split_whitespace() {
        assert!(shown.contains(key), "the example does not show {key}");
    }
}

#[test]
fn a_known_event_says_when_and_how_the_load_differs() {
    for (from, to, expected) in [
        ("factor: 2.5 ", "factor: 250 ", "forecast.events[0].factor: 250 is not between 0.01 and 100"),
        ("factor: 2.5 ", "", "forecast.events[0]: needs `factor` or `like`"),
        (
            "factor: 2.5 ",
            "factor: 2.5\n      like: 2026-11-20 ",
            "forecast.events[0]: set only one of `factor` and `like`",
        ),
        ("to: 2026-11-28", "to: 2026-11-20", "forecast.events[0]: `to` must be after `from`"),
        (
            "from: 2026-10-03",
            "from: soon",
            "forecast.events[1].from: soon is not a time; times look like 2026-11-27, 2026-11-27T09:00 or 2026-11-27T09:00:00Z",
        ),
        (
            "like: 2026-09-27",
            "like: 2026-10-03",
            "forecast.events[1].like: 2026-10-03 is not before the event; use an earlier day",
        ),
        (
            "services: [shop/checkout]   #",
            "services: [shop/search, shop/checkot]   #",
            "forecast.events[0].services[1]: unknown service `shop/checkot`; did you mean `shop/checkout`?",
        ),
        ("like: 2026-09-27", "like: sunday", "forecast.events[1].like: is not a date; dates look like 2026-11-22"),
    ] {
        check(from, to, &[expected]);
    }
    let events = Settings::parse(EXAMPLE).unwrap().forecast.events;
    assert_eq!((events.len(), events[0].services.len(), events[1].services.len()), (2, 1, 0));
}

#[test]
fn each_fault_has_the_path_of_its_key() {
    check("mode: shadow ", "mode: shaddow ", &["defaults.mode: unknown value `shaddow`; did you mean `shadow`?"]);
    check(
        "bounds: { min: 4 }",
        "bounds: { min: 41 }",
        &["services[1].bounds.min: 41 is above max 40; lower min or raise max"],
    );
    check("min: 2, max: 40", "min: 50, max: 40", &["defaults.bounds.min: 50 is above max 40; lower min or raise max"]);
    check("bounds: { min: 4 }", "bounds: { min: 0 }", &["services[1].bounds.min: 0 is below 1"]);
    check(
        "interval: 15s",
        "intervall: 15s",
        &["sources.main.intervall: unknown key `intervall`; did you mean `interval`?"],
    );
    check("timeout: 5s", "timeout: 30s", &["sources.main.timeout: 30s is not between 100ms and 15s"]);
    check("history: 14d", "history: 30d", &["sources.main.history: 30d is not between 0s and 14d"]);
    check("max_records: 10000", "max_records: 10", &["journal.max_records: 10 is below 1000"]);
    check("max_age: 14d", "max_age: 5m", &["journal.max_age: 5m is not between 1h and 3650d"]);
    for (count, why) in [
        ("100000000000000", "100000000000000 is above 4294967295"),
        ("100000000000000000000", "100000000000000000000 is above 4294967295"),
        ("-5", "-5 is below 1000"),
        ("1e300", "1e300 is above 4294967295"),
        ("2000.5", "`2000.5` is not a whole number of at least 1000"),
    ] {
        check("max_records: 10000", &format!("max_records: {count}"), &[&*format!("journal.max_records: {why}")]);
    }
    check("max_age: 14d", "max_age: 999999999d", &["journal.max_age: `999999999d` is too long"]);
    check("policy_shadow: 30m", "policy_shadow: -5m", &["policy_shadow: `-5m` is negative"]);
    check("up_factor: 1.5", "up_factor: -5m", &["defaults.parameters.up_factor: `-5m` is negative"]);
    check(
        "error_ratio: 0.01",
        "error_ratio: 100000000000000000000",
        &["defaults.slo.error_ratio: 100000000000000000000 is not between 0 and 1"],
    );
    check("kind: prometheus", "kind: loki", &["sources.main.kind: unknown value `loki`; known are prometheus"]);
    check("source: main", "source: mian", &["signals.rps.source: unknown value `mian`; did you mean `main`?"]);
    check("unit: per_second", "unit: ratio", &["signals.rps.unit: does not fit the role; expected per_second"]);
    check("[0, 1e9]", "[9, 1]", &["signals.rps.range: the lowest value 9 is not below the highest 1"]);
    check("[0, 1e9]", "[1]", &["signals.rps.range: has 1 values, expected two: [lowest, highest]"]);
    check("p99: 200ms", "p99: 0.2", &["defaults.slo.p99: `0.2` is not a duration with a unit, such as 15s or 1h30m"]);
    check("error_ratio: 0.01", "error_ratio: 5", &["defaults.slo.error_ratio: 5 is not between 0 and 1"]);
    check("[rps, p99, errors]", "[rps, p9]", &["defaults.signals[1]: unknown signal `p9`; did you mean `p99`?"]);
    check("[rps, p99, errors]", "[rps, rps]", &["defaults.signals[1]: `rps` is listed twice"]);
    check(
        "shop/search",
        "shop",
        &["services[1].name: `shop` is not namespace/name, each of a-z, 0-9 and - (at most 63)"],
    );
    check("per_hour: 12", "per_hour: 13", &["defaults.budgets.per_hour: 13 is above 12"]);
    check(
        "lower_cooldown: 20m }",
        "lower_cooldown: 20, stabilisation: 10s, raise_at_least: 5, lower_shar: 0.1 }",
        &[
            "services[0].guards.lower_shar: unknown key `lower_shar`; did you mean `lower_share`?",
            "services[0].guards.lower_cooldown: `20` is not a duration with a unit, such as 15s or 1h30m",
            "services[0].guards.raise_at_least: 5 is not between 1 and 4",
            "services[0].guards.stabilisation: 10 s is not between 60 s and 86400 s",
        ],
    );
    check("raise_factor: 2 ", "raise_factor: 2.5 ", &["defaults.guards.raise_factor: 2.5 is not between 1 and 2"]);
    check("listen: 127", "listen: x127", &["listen: `x127.0.0.1:9464` is not address:port, such as 127.0.0.1:9464"]);
}

#[test]
fn the_forecast_is_told_when_it_may_speak_and_nothing_impossible() {
    let settings = Settings::parse(EXAMPLE).unwrap();
    let events = settings.forecast.events.clone();
    assert_eq!(
        settings.forecast,
        ForecastParams { events, ..ForecastParams::default() },
        "the example shows the defaults"
    );
    let text = EXAMPLE.replacen("interval: 15s", "interval: 30s", 1).replacen("history_days: 1", "history_days: 7", 1);
    let text = text.replacen("timezone: UTC", "timezone: Asia/Kolkata", 1);
    let forecast = Settings::parse(&text).unwrap().forecast;
    assert_eq!((forecast.tick_seconds, forecast.history_days, forecast.zone.name()), (30.0, 7, "Asia/Kolkata"));
    check(
        "timezone: UTC",
        "timezone: Berlin",
        &["forecast.timezone: unknown time zone Berlin; names look like Europe/Berlin"],
    );
    check(
        "skill_to_add: 0.02",
        "skill_to_ad: 0.02",
        &["forecast.skill_to_ad: unknown key `skill_to_ad`; did you mean `skill_to_add`?"],
    );
    check(
        "skill_to_remove: 0.1",
        "skill_to_remove: 0.01",
        &["forecast.skill_to_remove: 0.01 is not between 0.02 and 1"],
    );
    check("coverage_slack: 0.03", "coverage_slack: none", &["forecast.coverage_slack: `none` is not a number"]);
    let several = EXAMPLE.replacen("history_days: 1", "history_days: 0", 1);
    let several = several.replacen("promotion_minutes: 240", "promotion_minutes: 99999", 1);
    assert_eq!(
        faults(&several),
        [
            "forecast.history_days: 0 is not between 1 and 14",
            "forecast.promotion_minutes: 99999 is not between 0 and 10080",
        ]
    );
}

/// A typo in a mask would expose what it should hide.
#[test]
fn a_mask_names_what_there_is() {
    assert_eq!(Settings::parse(EXAMPLE).unwrap().mask, RecordMask::default(), "the example shows the defaults");
    let text = EXAMPLE.replacen("signals: []  ", "signals: [p99]  ", 1).replacen("notes: false", "notes: true", 1);
    let mask = Settings::parse(&text.replacen("parameters: []", "parameters: [p99_max]", 1)).unwrap().mask;
    assert_eq!(format!("{mask:?}"), r#"RecordMask { signals: {p99}, parameters: {"p99_max"}, notes: true }"#);
    check(
        "signals: []  ",
        "signals: [p9, rps]  ",
        &["records.mask.signals[0]: unknown signal `p9`; did you mean `p99`?"],
    );
    check(
        "parameters: []",
        "parameters: [P]",
        &["records.mask.parameters[0]: `P` is not a valid name for policies (a-z, 0-9 and _, a letter first)"],
    );
    check("notes: false", "notes: no", &["records.mask.notes: `no` is not true or false"]);
    check("    notes: false", "    note: false", &["records.mask.note: unknown key `note`; did you mean `notes`?"]);
}

/// A name that no API server accepts would otherwise be awaited forever.
#[test]
fn a_target_has_names_that_objects_can_have() {
    let long = "a".repeat(100);
    check("name: search-v2", &format!("name: {long}.v2"), &[]);
    check(
        "name: search-v2",
        "name: Search",
        &["services[1].target.name: `Search` is not the name of an object: a-z, 0-9, - and dots (at most 253)"],
    );
    check(
        "namespace: shop, name: search-v2",
        "namespace: shop.eu, name: search-v2",
        &["services[1].target.namespace: `shop.eu` is not a namespace: a-z, 0-9 and - (at most 63)"],
    );
}

#[test]
fn sections_are_checked_against_each_other() {
    check(
        "name: shop/search",
        "name: shop/checkout",
        &["services[1].name: `shop/checkout` is already services[0]; rename or remove one"],
    );
    check(
        "kind: StatefulSet, namespace: shop, name: search-v2",
        "name: checkout",
        &[
            "services[1].target: Deployment shop/checkout is already the target of services[0]; two loops would fight over it",
        ],
    );
    check(
        "labels: { namespace: shop, service: search }",
        "labels: { namespace: shop }",
        &[
            "services[1].labels.service: is missing, and signal `rps` groups by it; set its value for this service",
            "services[1].labels.service: is missing, and signal `p99` groups by it; set its value for this service",
            "services[1].labels.service: is missing, and signal `errors` groups by it; set its value for this service",
        ],
    );
    check(
        "parameters: { p99_max: 400ms }",
        "signals: [p99]",
        &[
            "services[1].capacity: needs a signal with the role arrival_rate; add one to signals, or write `capacity: null`",
        ],
    );
    check("parameters: { p99_max: 400ms }", "signals: [p99]\n    capacity: null", &[]);
    check(
        "service: search }",
        "service: checkout }\n    signals: [rps]",
        &[
            "services[1].labels: signal `rps` has the same label values (shop, checkout) for services[0]; both would read the same series",
        ],
    );
    check(
        "unit: seconds\n    role: latency",
        "unit: per_second\n    role: arrival_rate",
        &["defaults.signals: `rps` and `p99` have the same role; keep only one"],
    );
}

/// The example lists them, and policies have a constructor for each.
#[test]
fn a_signal_may_be_in_any_unit() {
    for unit in ["ratio", "seconds", "per_second", "count", "usd_per_hour", "flag"] {
        let text = EXAMPLE.replacen("    unit: ratio\n    role: error_ratio", &format!("    unit: {unit}"), 1);
        let parsed =
            Settings::parse(&text).map(|settings| serde_json::to_value(settings.signals[0].spec.unit).unwrap());
        assert_eq!(parsed.unwrap(), unit);
    }
}

#[test]
fn credentials_never_reach_a_message() {
    for url in ["http://admin:hunter2@127.0.0.1:9090", "admin:hunter2@127.0.0.1", "http://hunter2@x/y?z"] {
        let text = EXAMPLE.replacen("http://127.0.0.1:9090", url, 1);
        let faults = faults(&text);
        assert!(faults.len() == 1 && !faults.concat().contains("hunter2"), "{faults:?}");
    }
}

#[test]
fn a_file_of_faults_lists_them_all_at_once() {
    let text = r#"
listen: nowhere
stat: /var/lib/flyball
policies: ""
sources:
  main: { kind: prometheus, url: "ftp://host", interval: 15 }
  Spare: { kind: prometheus, url: "http://user:secret@host:9090" }
signals:
  rps: { source: mian, query: 'sum by (pod) (rate(x[1m]))', samples: 'rate(x{$selector}[1m])', labels: [namespace, service], unit: per_seconds, role: arrival_rate, range: [0, 1e6] }
  P99: { source: main, query: 'max by (namespace, service) (y{$selector})', samples: 'y{$selector}', labels: [namespace, service], unit: seconds, range: [1, 0] }
defaults:
  mode: automatic
  slo: { p99: 200ms, error_ratio: 1.5 }
  capacity: { per_pod_rate: 0, utilisation: 0.75 }
services:
  - name: shop/checkout
    signals: [rps, latency]
    bounds: { min: 5, max: 2 }
  - name: Shop
    bounds: { min: 1, max: 2.5 }
    colour: red
  - shop/search
"#;
    insta::assert_snapshot!(Settings::parse(text).unwrap_err());
}

#[test]
fn what_is_no_mapping_or_no_yaml_is_one_fault() {
    assert_eq!(faults("- a\n- b"), [super::NO_KEYS]);
    let broken = faults("state: /x\nlisten: [1, 2\npolicies: y");
    assert!(broken.len() == 1 && broken[0].starts_with("line "), "{broken:?}");
    let twice = faults("state: /x\nstate: /y");
    assert_eq!(twice, ["line 2, column 1: is not valid YAML: duplicate mapping key: state"]);
    assert_eq!(faults("state: .nan"), ["line 1, column 8: is not valid YAML: non-finite float `.nan`"]);
}

fn with_services(count: usize) -> String {
    let example = EXAMPLE.replacen("      services: [shop/checkout]", "", 1);
    let (head, _) = example.split_once("services:\n").unwrap();
    let mut text = format!("{head}services:\n");
    for index in 0..count {
        let full = "parameters: { a: 1, b: 2, c: 3 }, bounds: { min: 2, max: 9 }, mode: auto";
        writeln!(text, "  - {{ name: n/s{index}, labels: {{ namespace: n, service: s{index} }}, {full} }}").unwrap();
    }
    text
}

#[test]
fn ten_thousand_services_are_within_the_limits_of_the_parser() {
    let settings = Settings::parse(&with_services(10_000)).map_err(|faults| faults.0.len());
    assert_eq!(settings.map(|settings| settings.listed().len()), Ok(10_000));
}

#[test]
fn the_same_fault_of_many_services_is_one_line() {
    let text = with_services(100).replace("max: 40", "max: 1").replace("mode: auto }", "mode: aut }");
    assert_eq!(
        Settings::parse(&text).unwrap_err().to_string(),
        "101 faults\n  defaults.bounds.min: 2 is above max 1; lower min or raise max\n  \
         services[0].mode: unknown value `aut`; did you mean `auto`? (and the same for 99 more)"
    );
}

#[test]
fn leadership_is_a_name_or_a_name_with_times() {
    let lease = |text: &str| Settings::parse(text).unwrap().leadership;
    let standard = lease(EXAMPLE).unwrap();
    assert_eq!(
        (standard.name.as_str(), standard.timing),
        ("flyball", crate::adapters::kubernetes::settings::Timing::default()),
        "the example has the defaults"
    );
    let end = EXAMPLE.find("leadership:").unwrap()..EXAMPLE.find("# Where intents").unwrap();
    let mut short = EXAMPLE.to_owned();
    short.replace_range(end.clone(), "leadership: flyball\n");
    assert_eq!(lease(&short), Some(standard));
    short.replace_range(end.start..end.start + "leadership: flyball".len(), "");
    assert_eq!(lease(&short), None);
    check("  lease: flyball\n", "  lease: flyball.main\n", &[]);
    let name = "is not the name of an object: a-z, 0-9, - and dots (at most 253)";
    check("  lease: flyball\n", "  lease: Flyball\n", &[&*format!("leadership.lease: `Flyball` {name}")]);
    check(
        "retry: 2s",
        "retry: 4s",
        &["leadership.retry: 4s is above a third of renew_deadline 10s: a single failed request would end the \
             leadership"],
    );
    check("  lease: flyball\n", "", &["leadership.lease: is missing; name the Lease, such as flyball"]);
    check("duration: 15s ", "duration: 5s ", &["leadership.duration: 5s is not between 12s and 2m"]);
    check("renew_deadline: 10s", "renew_deadline: 15s", &["leadership.renew_deadline: 15s is not between 6s and 14s"]);
    check(
        "intents: loopactions",
        "intents: loopaction",
        &["intents: unknown value `loopaction`; did you mean `loopactions`?"],
    );
}

#[test]
fn auto_is_refused_where_intents_would_be_forgotten() {
    let unfit = |text: &str, volatile: Option<&str>| Settings::parse(text).unwrap().unfit_for_auto(volatile);
    assert_eq!(unfit(EXAMPLE, Some("an emptyDir")), None, "in the API they are needed nowhere else");
    let local = EXAMPLE.replace("intents: loopactions", "intents: state");
    let found = faults(&local);
    assert!(
        matches!(&*found, [why] if why.starts_with("leadership: ") && why.contains("write `intents: loopactions`"))
    );
    let shadow = local.replace("mode: auto ", "mode: shadow ");
    assert_eq!(unfit(&shadow, Some("an emptyDir")), None, "shadow writes nothing");
    let mut single = local.clone();
    single.replace_range(local.find("leadership:").unwrap()..local.find("# Where intents").unwrap(), "");
    assert_eq!(unfit(&single, None), None, "one process with a durable volume");
    let why = unfit(&single, Some("/var/lib/flyball is an emptyDir")).unwrap();
    assert!(why.contains("is an emptyDir") && why.contains("mount a durable volume"), "{why}");
    let begin = single.find("\nservices:\n").unwrap();
    let declared = format!("{}\nservices: serviceloops\n", &single[..begin]);
    assert!(unfit(&declared, Some("tmpfs")).is_some(), "a loop may be declared to be auto at any time");
}
