//! What `deploy/` ships agrees with what the program does: the schema with the parser, the role with the rights in use,
//! the settings with the settings, the policies with the directory.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flyball::adapters::kubernetes::kept_policies;
use flyball::adapters::kubernetes::kill_map;
use flyball::adapters::kubernetes::lease::RELEASE_WITHIN;
use flyball::adapters::kubernetes::loops::CRDS;
use flyball::adapters::kubernetes::rights::{
    INTENT_RIGHTS, KEPT_POLICIES_RIGHTS, KILL_SWITCH_RIGHTS, LEASE_RIGHTS, RIGHTS, Right,
};
use flyball::config::{PolicySource, Settings, Switch, parse_span};
use flyball::model::LANDS_WITHIN;
use serde_json::{Value, json};

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

fn read(path: &str) -> Vec<Value> {
    documents(&fs::read_to_string(deploy(path)).unwrap())
}

fn schema_of_spec() -> Value {
    let crds = documents(CRDS);
    crds[0].pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap().clone()
}

/// Returns a spec that holds every key of the schema, each with a value of its type.
fn full(schema: &Value) -> Value {
    if let Some(words) = schema["enum"].as_array() {
        return words[0].clone();
    }
    match schema["type"].as_str() {
        Some("object") => match schema["properties"].as_object() {
            Some(properties) => properties.iter().map(|(key, inner)| (key.clone(), full(inner))).collect(),
            None => json!({}),
        },
        Some("array") => json!(["rps"]),
        Some("boolean") => json!(false),
        Some("integer" | "number") => {
            schema.get("minimum").filter(|least| **least != json!(0)).cloned().unwrap_or(json!(1))
        }
        Some("string") => match schema["pattern"].as_str() {
            Some(pattern) if pattern.contains("ms") => json!("1m"),
            _ => json!("checkout"),
        },
        other => panic!("{other:?} of {schema}"),
    }
}

#[test]
fn every_key_of_the_schema_is_one_that_is_read_and_the_other_way_round() {
    let text = fs::read_to_string(deploy("base/settings.yaml")).unwrap();
    let settings = Settings::parse(&text).unwrap();
    let declarations = settings.declarations().unwrap();
    let id = "shop/checkout".parse().unwrap();
    let mut spec = full(&schema_of_spec());
    // Labels are named by the queries; a free-form map has no keys in the schema.
    spec["labels"] = json!({ "namespace": "shop", "service": "checkout" });
    // The only span whose minimum is longer than a minute.
    spec["guards"]["humanHold"] = json!("30m");
    declarations.read(&id, &spec).unwrap_or_else(|faults| panic!("{faults}\n{spec:#}"));
    // The parser lists the keys it knows when it meets an unknown one.
    for place in ["", "/slo", "/bounds", "/budgets", "/capacity", "/guards", "/target"] {
        let mut odd = spec.clone();
        odd.pointer_mut(place).unwrap()["zzzzzzzzzzzzzzzzzz"] = json!(1);
        let faults = declarations.read(&id, &odd).unwrap_err().to_string();
        let known = faults.split("known are ").nth(1).unwrap_or_else(|| panic!("{faults}"));
        let known: BTreeSet<&str> = known.lines().next().unwrap().split(", ").collect();
        let written = spec.pointer(place).unwrap().as_object().unwrap();
        assert_eq!(known, written.keys().map(String::as_str).collect(), "at spec{place}");
    }
}

/// Returns whether the API server accepts a spec: by the schema's own terms, and by the rules on spans, which all have
/// one form.
fn admits(schema: &Value, spec: &Value) -> bool {
    let mut plain = schema.clone();
    // `nullable` exists only in the API.
    plain["properties"]["capacity"]["type"] = json!(["object", "null"]);
    jsonschema::validator_for(&plain).unwrap().is_valid(spec) && spans_fit(schema, spec)
}

fn spans_fit(schema: &Value, value: &Value) -> bool {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let rules: Vec<&str> =
        rules.filter_map(|rule| rule["rule"].as_str()).filter(|rule| rule.contains("duration(")).collect();
    let within = rules.iter().all(|rule| {
        let quoted: Vec<&str> = rule.split('\'').skip(1).step_by(2).collect();
        let [low, high] = quoted[quoted.len() - 2..] else { panic!("{rule}") };
        let text = value.as_str().unwrap();
        let is_range = format!("duration(self) >= duration('{low}') && duration(self) <= duration('{high}')");
        let or_a_day = format!("self == '1d' || ({is_range})");
        assert!(**rule == is_range || **rule == or_a_day, "{rule}");
        let range = parse_span(low).unwrap()..=parse_span(high).unwrap();
        if text == "1d" { **rule == or_a_day } else { parse_span(text).is_ok_and(|span| range.contains(&span)) }
    });
    let inner = schema["properties"].as_object().into_iter().flatten();
    within
        && inner.filter_map(|(key, inner)| Some((inner, value.get(key)?))).all(|(inner, value)| spans_fit(inner, value))
}

/// The schema and flyball accept the same specs: nothing is admitted only to be refused for good.
#[test]
fn what_the_schema_admits_is_accepted_and_what_it_refuses_is_not() {
    let text = fs::read_to_string(deploy("base/settings.yaml")).unwrap();
    let settings = Settings::parse(&text).unwrap();
    let declarations = settings.declarations().unwrap();
    let (schema, id) = (schema_of_spec(), "shop/checkout".parse().unwrap());
    let check = |spec: Value, expected: bool| {
        let read = declarations.read(&id, &spec);
        assert_eq!((admits(&schema, &spec), read.is_ok()), (expected, expected), "{spec} {read:?}");
    };
    check(json!({ "capacity": null }), true);
    for (key, most) in [("per10Min", 4), ("perHour", 12)] {
        [0, 1, most].into_iter().for_each(|count| check(json!({ "budgets": { key: count } }), true));
        [-1, most + 1, 5000].into_iter().for_each(|count| check(json!({ "budgets": { key: count } }), false));
    }
    let numbers = [
        ("/guards/raiseFactor", 1.0, 2.0),
        ("/guards/backedRaiseFactor", 1.0, 4.0),
        ("/guards/lowerShare", 0.01, 0.3),
        ("/guards/raiseAtLeast", 1.0, 4.0),
        ("/slo/errorRatio", 0.0, 1.0),
        ("/capacity/perPodRate", 0.001, 1e9),
        ("/capacity/utilisation", 0.05, 1.0),
    ];
    let written = |path: &str, value: &Value| {
        let (part, key) = path[1..].split_once('/').unwrap();
        let mut spec = json!({ "capacity": { "perPodRate": 10, "utilisation": 0.8, "startTime": "30s" } });
        if part == "capacity" {
            spec[part][key].clone_from(value);
        } else {
            spec[part] = json!({ key: value });
        }
        spec
    };
    for (path, low, high) in numbers {
        let number = |number: f64| if path.ends_with("Least") { json!(number.trunc() as i64) } else { json!(number) };
        [low, high].into_iter().for_each(|fits| check(written(path, &number(fits)), true));
        [low - 1.0, high + 1.0].into_iter().for_each(|odd| check(written(path, &number(odd)), false));
    }
    let spans: [(&str, &[&str], &[&str]); 10] = [
        ("/slo/p99", &["1ms", "1.5s", "200ms", "1s200ms", "1h", "1d", "24h"], &["0ms", "0.5ms", "24h1ms", "2d"]),
        ("/capacity/startTime", &["0s", "1d", "1.5m", "1h30m"], &["25h", "24h0.5s", "2d"]),
        ("/guards/raiseCooldown", &["15s", "0.25m", "1d"], &["14999ms", "14s", "2d"]),
        ("/guards/backedRaiseCooldown", &["15s", "24h"], &["14s", "25h"]),
        ("/guards/lowerCooldown", &["60s", "1m", "1d"], &["59s", "1441m"]),
        ("/guards/reversalLock", &["60s", "1d"], &["59s", "25h"]),
        ("/guards/otherCooldown", &["60s", "1d"], &["59s", "25h"]),
        ("/guards/stabilisation", &["60s", "1d"], &["59s", "25h"]),
        ("/guards/windowGap", &["1s", "1.5m", "90s"], &["999ms", "91s", "1d"]),
        ("/guards/humanHold", &["5m", "300s", "1d"], &["299s", "25h", "4.9m"]),
    ];
    for (path, fits, odd) in spans {
        fits.iter().for_each(|text| check(written(path, &json!(text)), true));
        let no_spans = ["", " ", "15", "soon", "-15s", "1m1h", "1.5s200ms", "s15", "999999999999999s"];
        odd.iter().chain(&no_spans).for_each(|text| check(written(path, &json!(text)), false));
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Returns what a role grants: verb, group, resource.
fn granted(file: &str, name: &str) -> BTreeSet<(String, String, String)> {
    let rbac = read(file);
    let is_role = |object: &&Value| object["kind"].as_str().is_some_and(|kind| kind.ends_with("Role"));
    let role = rbac.iter().filter(is_role).find(|object| object["metadata"]["name"] == name);
    let mut granted = BTreeSet::new();
    for rule in role.unwrap()["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                granted.extend(texts(&rule["verbs"]).into_iter().map(|verb| (verb, group.clone(), resource.clone())));
            }
        }
    }
    granted
}

fn used(rights: &[Right]) -> BTreeSet<(String, String, String)> {
    rights.iter().map(|it| (it.verb.to_owned(), it.group.to_owned(), it.resource.to_owned())).collect()
}

#[test]
fn several_replicas_are_granted_the_lease_the_intents_and_the_kept_policies_and_nothing_else() {
    let file = "overlays/replicas/rbac.yaml";
    assert_eq!(granted(file, "flyball-lease"), used(&[&LEASE_RIGHTS[..], &KEPT_POLICIES_RIGHTS].concat()));
    assert_eq!(granted(file, "flyball-intents"), used(&INTENT_RIGHTS));
    let lease = read(file).into_iter().find(|it| it["kind"] == "Role").unwrap();
    for rule in lease["rules"].as_array().unwrap() {
        let object = if rule["resources"] == json!(["configmaps"]) { kept_policies::NAME } else { "flyball" };
        let is_bound = rule["resourceNames"] == json!([object]);
        assert!(is_bound || rule["verbs"] == json!(["create"]), "{rule}");
    }
    let kept = &read("overlays/replicas/kept.yaml")[0]["metadata"];
    assert_eq!((&kept["name"], &kept["namespace"]), (&json!(kept_policies::NAME), &json!("flyball-system")));
}

#[test]
fn the_role_grants_the_rights_in_use_and_nothing_else() {
    let file = "base/rbac.yaml";
    // Of ConfigMaps that are not policies flyball reads only the kill switch.
    assert_eq!(granted(file, kill_map::NAME), used(&KILL_SWITCH_RIGHTS));
    let switch = read(file).into_iter().find(|it| it["kind"] == "Role").unwrap();
    assert_eq!(switch["rules"][0]["resourceNames"], json!([kill_map::NAME]));
    assert_eq!(switch["metadata"]["namespace"], "flyball-system");
    let granted = granted(file, "flyball");
    assert_eq!(granted, used(&RIGHTS));
    let policies = read("base/admission.yaml");
    let rules = policies.iter().filter_map(|object| object["spec"]["matchConstraints"]["resourceRules"].as_array());
    let admitted: BTreeSet<String> = rules.flatten().flat_map(|rule| texts(&rule["resources"])).collect();
    for (verb, group, resource) in &granted {
        assert!(verb != "*" && resource != "*" && verb != "delete", "{verb} {group}/{resource}");
        assert!(resource != "secrets" && !resource.starts_with("pods"), "{verb} {resource}");
        let writes = matches!(verb.as_str(), "create" | "update" | "patch");
        let narrow = resource.contains('/') || resource == "events";
        // What a role cannot narrow, an admission policy does.
        let bounded = admitted.contains(resource);
        assert!(!writes || narrow || bounded, "{verb} {group}/{resource} is wider than a subresource");
    }
    for resource in ["deployments/scale", "statefulsets/scale", "horizontalpodautoscalers"] {
        assert!(admitted.contains(resource), "{resource} is not bounded from outside");
    }
}

#[test]
fn the_shipped_settings_are_valid_and_watch_the_cluster() {
    let settings = Settings::parse(&fs::read_to_string(deploy("base/settings.yaml")).unwrap()).unwrap();
    assert!(settings.declarations().is_some());
    assert_eq!(settings.policies, PolicySource::ConfigMaps);
    assert!(matches!(settings.kill_switch, Switch::ConfigMap { .. }));
}

#[test]
fn every_policy_is_shipped() {
    let shipped: Value = read("policies/kustomization.yaml").remove(0);
    let listed: BTreeSet<String> = shipped["configMapGenerator"][0]["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file.as_str().unwrap().to_owned())
        .collect();
    let present =
        fs::read_dir(deploy("policies")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let present: BTreeSet<String> =
        present.filter(|name| Path::new(name).extension().is_some_and(|end| end == "rhai")).collect();
    assert_eq!(listed, present);
}

#[test]
fn flyball_runs_as_nobody_on_a_root_it_cannot_write() {
    let workload = read("base/workload.yaml");
    let pod = workload[0].pointer("/spec/template/spec").unwrap();
    assert_eq!(pod["securityContext"]["runAsNonRoot"], json!(true));
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], json!(true));
    assert_eq!(container["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }));
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert!(container[probe]["httpGet"]["path"].is_string(), "{probe}");
    }
    assert_eq!(workload[0]["spec"]["replicas"], json!(1), "a second one would have another journal");
}

/// In sequence: writes in flight and their answers, the requests about the lease and its release, open console
/// connections, and what the journal has yet to write. A process that is killed earlier does not release its lease.
#[test]
fn a_pod_has_the_time_to_stop() {
    let gate = LANDS_WITHIN + Duration::from_secs(2);
    let (console, journal) = (Duration::from_secs(5), Duration::from_secs(5));
    let stop = gate + 2 * RELEASE_WITHIN + console + journal;
    let workload = read("base/workload.yaml");
    let grace = workload[0].pointer("/spec/template/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
    assert!(Duration::from_secs(grace.unwrap()) >= stop, "{grace:?} s for {stop:?}");
    let patched = fs::read_to_string(deploy("overlays/replicas/kustomization.yaml")).unwrap();
    assert!(!patched.contains("GracePeriod"), "several replicas stop no faster");
}

/// A name that is not a service name would make an ignored loop.
#[test]
fn the_schema_admits_no_loop_whose_name_is_not_one_of_a_service() {
    let root = documents(CRDS)[0].pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone();
    let rules = root["x-kubernetes-validations"].to_string();
    assert!(rules.contains("!self.metadata.name.contains('.')"), "{rules}");
    assert_eq!(root.pointer("/properties/metadata/properties/name/maxLength"), Some(&json!(63)));
}

/// An unready pod blocks no drain, and the operator's Prometheus reaches the metrics.
#[test]
fn drains_go_on_and_the_monitoring_is_let_in() {
    let workload = read("base/workload.yaml");
    let budget = workload.iter().find(|object| object["kind"] == "PodDisruptionBudget").unwrap();
    assert_eq!(budget["spec"]["unhealthyPodEvictionPolicy"], json!("AlwaysAllow"));
    let listed = read("overlays/monitoring/kustomization.yaml").remove(0);
    assert!(texts(&listed["resources"]).contains(&"networkpolicy.yaml".to_owned()), "{listed}");
    let policy = read("overlays/monitoring/networkpolicy.yaml").remove(0);
    let from = &policy["spec"]["ingress"][0]["from"][0];
    assert_eq!(from["podSelector"]["matchLabels"], json!({ "app.kubernetes.io/name": "prometheus" }));
    assert!(from["namespaceSelector"].is_object(), "of no other namespace than those of the platform");
    let admitted = |policy: &Value| policy["spec"]["podSelector"].clone();
    let base = workload.iter().find(|object| object["kind"] == "NetworkPolicy").unwrap();
    assert_eq!(admitted(&policy), admitted(base), "it is about the same pods");
    let documented = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cluster.md")).unwrap();
    for label in ["flyball.dev/console", "flyball.dev/monitoring"] {
        assert!(documented.contains(label), "{label} is told to nobody");
    }
}

/// The operator puts its own `service` on what it scrapes: alerts would name flyball where they mean a service.
#[test]
fn the_monitoring_keeps_the_names_of_services() {
    let monitor = read("overlays/monitoring/servicemonitor.yaml").remove(0);
    for endpoint in monitor["spec"]["endpoints"].as_array().unwrap() {
        assert_eq!(endpoint["honorLabels"], json!(true), "{endpoint}");
    }
}

/// The API server cuts the minimum of a number to a whole one before it compares a whole number with it: 0.001 lets a 0
/// through.
#[test]
fn a_whole_zero_is_no_fraction_above_a_minimum() {
    fn check(at: &str, schema: &Value) {
        let least = schema["minimum"].as_f64().filter(|least| schema["type"] == "number" && least.fract() != 0.0);
        if let Some(least) = least {
            let rules = &schema["x-kubernetes-validations"];
            assert_eq!(rules[0]["rule"], json!(format!("self >= {least}")), "{at}: {schema}");
        }
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            check(&format!("{at}.{key}"), inner);
        }
    }
    check("spec", &schema_of_spec());
}
