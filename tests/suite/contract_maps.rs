//! The kill switch and the policies as ConfigMaps, on the API double.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball::adapters::kubernetes::kept_policies::{self, SharedPolicies};
use flyball::adapters::kubernetes::kill_map::{KillMap, NAME};
use flyball::adapters::kubernetes::policy_maps::PolicyMaps;
use flyball::adapters::kubernetes::{Access, ApiServer, Timeouts, connect};
use flyball::adapters::policy_memory::PolicyState;
use flyball::decide::{Deadline, Vocabulary, compile};
use flyball::demo::kubernetes::call::Verb;
use flyball::demo::kubernetes::objects::{Author, Objects};
use flyball::demo::kubernetes::resource::Resource;
use flyball::model::{KillState, PROVENANCE_FILE, Provenance};
use flyball::ports::policy_memory::{GoodFiles, KeptPolicies, PolicyMemory};
use flyball::ports::{KillSwitch, PolicyFiles, PolicyStore};
use serde_json::{Value, json};

use crate::support::kubernetes::BreakableDouble;
use crate::support::kubernetes::faults::Fault;
use crate::support::wait::eventually;

const MAPS: Resource = Resource::ConfigMaps;
pub const OWN: &str = "flyball-system";

pub async fn server() -> (BreakableDouble, ApiServer) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let double = BreakableDouble::start(Objects::default()).await.unwrap();
    let server = connect(&Access::Url(double.url()), Timeouts::default()).await.unwrap();
    (double, server)
}

pub fn put(double: &BreakableDouble, namespace: &str, name: &str, labels: &Value, data: &Value) {
    let (objects, person) = (double.objects(), Author::named("kubectl"));
    let metadata = json!({ "namespace": namespace, "name": name, "labels": labels });
    let changed = objects.update(MAPS, namespace, name, &person, |old| {
        let mut new = old.clone();
        (new["metadata"]["labels"], new["data"]) = (labels.clone(), data.clone());
        Ok(new)
    });
    if changed.is_err() {
        objects.create(MAPS, namespace, json!({ "metadata": metadata, "data": data }), &person).unwrap();
    }
}

fn is_released(state: &KillState) -> bool {
    matches!(state, KillState::Readable { order, .. } if !order.all)
}

#[tokio::test]
async fn inv_09_the_switch_is_engaged_while_it_is_missing_garbled_or_not_to_be_read() {
    let (double, server) = server().await;
    let switch = KillMap::start(&server, OWN);
    assert!(switch.seen().stops_all() && switch.read().await.stops_all(), "missing");
    put(&double, OWN, NAME, &json!({}), &json!({ "global": "released" }));
    eventually("released is seen", || is_released(&switch.seen())).await;
    assert!(is_released(&switch.read().await));
    put(&double, OWN, NAME, &json!({}), &json!({ "global": "off" }));
    assert!(switch.read().await.stops_all(), "a word that is not known");
    eventually("garbled is seen", || switch.seen().stops_all()).await;
    put(&double, OWN, NAME, &json!({}), &json!({ "global": "engaged", "by": "ops", "reason": "drill" }));
    let KillState::Readable { order, .. } = switch.read().await else { panic!("readable") };
    assert!(order.all && order.by == "ops" && order.reason == "drill");
    put(&double, OWN, NAME, &json!({}), &json!({ "global": "released" }));
    double.faults().order(Verb::Get, 1, Fault::HoldAnswer);
    assert!(switch.read().await.stops_all(), "a server that does not answer");
    double.faults().release();
    double.faults().order(Verb::Get, 1, Fault::status(403));
    assert!(switch.read().await.stops_all(), "a right that was taken away");
    assert!(is_released(&switch.read().await));
    double.objects().delete(MAPS, OWN, NAME, &Author::named("kubectl")).unwrap();
    assert!(switch.read().await.stops_all(), "deleted");
    eventually("its end is seen", || switch.seen().stops_all()).await;
}

fn paths(files: &PolicyFiles, namespace: Option<&str>) -> Vec<String> {
    let files = namespace.map_or(Some(&files.files), |namespace| files.namespaces.get(namespace));
    files.and_then(|files| files.as_ref().ok()).into_iter().flatten().map(|file| file.path.clone()).collect()
}

#[tokio::test]
async fn policies_are_announced_by_label_and_by_namespace() {
    let (double, server) = server().await;
    let labels = json!({ "flyball.dev/policies": "true" });
    put(&double, OWN, "base", &labels, &json!({ "a.rhai": "one", "readme": "no policy" }));
    put(&double, OWN, "other", &json!({}), &json!({ "b.rhai": "not labelled" }));
    let store = PolicyMaps::start(&server, OWN).await;
    let announced = store.watch();
    let now = || -> Arc<PolicyFiles> { announced.borrow().clone() };
    assert_eq!(paths(&now(), None), ["flyball-system/base/a.rhai"]);
    put(&double, "shop", "ours", &labels, &json!({ "c.rhai": "two" }));
    eventually("the namespace's own", || paths(&now(), Some("shop")) == ["shop/ours/c.rhai"]).await;
    assert_eq!(paths(&now(), None), ["flyball-system/base/a.rhai"], "nobody else's");
    put(&double, "shop", "ours", &json!({}), &json!({ "c.rhai": "two" }));
    eventually("without the label it is gone", || !now().namespaces.contains_key("shop")).await;
    put(&double, OWN, "base", &labels, &json!({ "readme": "nothing left" }));
    eventually("an empty set is none", || now().files.is_err()).await;
}

/// ConfigMap keys cannot contain a slash.
#[tokio::test]
async fn a_library_is_a_key_that_starts_with_lib() {
    let (double, server) = server().await;
    let labels = json!({ "flyball.dev/policies": "true" });
    let rule = "import \"lib/calm\" as calm;\nrule(\"up\", #{ priority: 1, goal: \"protect\" }, |s, p| [calm::quiet(s), scale_by(1.5)]);";
    let library = "fn quiet(s) { unless(s.rollout) }";
    put(&double, OWN, "base", &labels, &json!({ "up.rhai": rule, "lib.md": "no policy" }));
    put(&double, OWN, "shared", &labels, &json!({ "lib.calm.rhai": library, "lib.calm_test.rhai": "// none yet" }));
    let store = PolicyMaps::start(&server, OWN).await;
    let files = store.watch().borrow().clone();
    assert_eq!(
        paths(&files, None),
        ["flyball-system/base/up.rhai", "lib/calm.rhai", "lib/calm_test.rhai"],
        "whatever ConfigMap it lies in"
    );
    let texts = files.files.as_ref().unwrap().iter().map(|file| (file.path.as_str(), &*file.text));
    let never: Deadline = Arc::new(|| None);
    let set = compile(texts, &Vocabulary::of([]).unwrap(), &never).unwrap();
    assert_eq!(set.rules().collect::<Vec<_>>(), ["up"]);
}

/// As in a directory: a set accepted by one store is accepted by the other, too.
#[tokio::test]
async fn c3_what_cannot_be_a_set_is_named_in_configmaps_too() {
    let (double, server) = server().await;
    let labels = json!({ "flyball.dev/policies": "true" });
    put(&double, OWN, "base", &labels, &json!({ "up.rhai": "x" }));
    let many = |count: usize| -> Value {
        (0..count).map(|at| (format!("{at}.rhai"), json!("x"))).collect::<serde_json::Map<_, _>>().into()
    };
    let mut full = many(64);
    full["REVISION"] = json!("3f2a9c1");
    put(&double, "full", "ours", &labels, &full);
    put(&double, "count", "ours", &labels, &many(65));
    put(&double, "empty", "ours", &labels, &json!({ "a.rhai": "x", "b.rhai": " \n" }));
    put(&double, "file", "ours", &labels, &json!({ "a.rhai": "x".repeat(300_000) }));
    put(&double, "recording", "ours", &labels, &json!({ "a.jsonl": "x".repeat(300_000) }));
    let store = PolicyMaps::start(&server, OWN).await;
    let announced = store.watch().borrow().clone();
    let fault = |namespace: &str| announced.namespaces[namespace].as_ref().err().map_or("", String::as_str);
    assert_eq!((fault("full"), fault("recording")), ("", ""), "where a set comes from is not counted");
    assert!(fault("count").contains("more than 64 policies"), "{}", fault("count"));
    assert_eq!(fault("empty"), "empty/ours/b.rhai is empty; delete it if that is intended");
    assert_eq!(fault("file"), "file/ours/a.rhai is larger than 262144 bytes");
    assert!(announced.files.is_ok());
}

/// Excess from one tenant is refused, and not accepted again before it fits.
#[tokio::test]
async fn a_namespace_with_too_much_is_refused_and_taken_again_once_it_fits() {
    let double = BreakableDouble::start(Objects::default()).await.unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let timeouts = Timeouts { watch: Duration::from_secs(1), ..Timeouts::default() };
    let server = connect(&Access::Url(double.url()), timeouts).await.unwrap();
    let labels = json!({ "flyball.dev/policies": "true" });
    put(&double, OWN, "base", &labels, &json!({ "up.rhai": "x" }));
    let large = json!({ "a.rhai": "x".repeat(200_000), "ballast": "x".repeat(100_000) });
    for number in 0..50 {
        put(&double, "shop", &format!("m{number}"), &labels, &large);
    }
    let store = PolicyMaps::start(&server, OWN).await;
    let announced = store.watch();
    let now = || -> Arc<PolicyFiles> { announced.borrow().clone() };
    let fault = now().namespaces["shop"].clone().unwrap_err();
    assert_eq!(fault, "the policies have 10000000 bytes, the limit is 2097152");
    assert_eq!(paths(&now(), None), ["flyball-system/base/up.rhai"]);
    for number in 10..50 {
        double.objects().delete(MAPS, "shop", &format!("m{number}"), &Author::named("kubectl")).unwrap();
    }
    eventually("those that are left are read again", || paths(&now(), Some("shop")).len() == 10).await;
    put(&double, OWN, "base", &labels, &json!({ "up.rhai": "y" }));
    eventually("the platform's edit is seen", || &*now().files.as_ref().unwrap()[0].text == "y").await;
}

#[tokio::test]
async fn the_annotations_of_a_configmap_say_where_its_policies_come_from() {
    let (double, server) = server().await;
    let metadata = json!({
        "namespace": OWN, "name": "base", "labels": { "flyball.dev/policies": "true" },
        "annotations": { "flyball.dev/commit": "3f2a9c1", "flyball.dev/author": "Ann Lee" },
    });
    let map = json!({ "metadata": metadata, "data": { "up.rhai": "x" } });
    double.objects().create(MAPS, OWN, map, &Author::named("kubectl")).unwrap();
    let store = PolicyMaps::start(&server, OWN).await;
    let files = store.watch().borrow().clone();
    let texts = files.files.as_ref().unwrap().iter();
    let said = texts.filter(|file| file.path.ends_with(PROVENANCE_FILE)).map(|file| &*file.text);
    assert_eq!(Provenance::read(said).unwrap().to_string(), "commit 3f2a9c1 by Ann Lee");
}

/// `kubectl apply` of several files changes one ConfigMap after another; the intermediate states are not valid sets.
#[tokio::test]
async fn c4_configmaps_that_change_together_are_announced_together() {
    let (double, server) = server().await;
    let labels = json!({ "flyball.dev/policies": "true" });
    put(&double, OWN, "base", &labels, &json!({ "a.rhai": "one" }));
    let store = PolicyMaps::start(&server, OWN).await;
    let mut announced = store.watch();
    assert_eq!(paths(&announced.borrow_and_update(), None).len(), 1);
    let (mut told, mut stalls, mut edited) = (0, 0, Instant::now());
    for number in 0..5 {
        put(&double, OWN, &format!("map-{number}"), &labels, &json!({ "b.rhai": "two" }));
        tokio::time::sleep(Duration::from_millis(60)).await;
        stalls += u32::from(std::mem::replace(&mut edited, Instant::now()).elapsed() > Duration::from_millis(200));
        if announced.has_changed().unwrap() {
            announced.mark_unchanged();
            told += 1;
        }
    }
    while paths(&announced.borrow_and_update(), None).len() < 6 {
        tokio::time::timeout(Duration::from_secs(20), announced.changed()).await.unwrap().unwrap();
        told += 1;
    }
    // All at once, except on a machine that stalls for longer than edits are awaited.
    assert!(told <= 2 + stalls, "{told} announcements of five edits, {stalls} stalls");
    // Endless edits are announced nevertheless.
    let editing = async {
        for edit in 0.. {
            put(&double, OWN, "base", &labels, &json!({ "a.rhai": format!("edit {edit}") }));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        changed = tokio::time::timeout(Duration::from_secs(20), announced.changed()) => changed.unwrap().unwrap(),
        () = editing => unreachable!(),
    }
}

/// The platform's edit is active within a second, whatever tenants do.
#[tokio::test]
async fn c4_edits_of_tenants_that_never_end_hold_up_no_edit_of_the_platform() {
    let (double, server) = server().await;
    let labels = json!({ "flyball.dev/policies": "true" });
    put(&double, OWN, "base", &labels, &json!({ "a.rhai": "one" }));
    let store = PolicyMaps::start(&server, OWN).await;
    let mut announced = store.watch();
    announced.mark_unchanged();
    let flapping = async {
        for edit in 0.. {
            put(&double, "shop", "ours", &labels, &json!({ "b.rhai": format!("edit {edit}") }));
            if edit == 3 {
                put(&double, OWN, "base", &labels, &json!({ "a.rhai": "two" }));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let text = |files: &PolicyFiles| files.files.as_ref().unwrap()[0].text.clone();
    let taken = announced.wait_for(|files| &*text(files) == "two");
    tokio::select! {
        taken = tokio::time::timeout(Duration::from_secs(3), taken) => {
            drop(taken.expect("the platform waits for tenants").unwrap());
        }
        () = flapping => unreachable!(),
    }
}

/// Runs `flyball policy eval` on a recorded decision of a service, with settings that take policies from ConfigMaps.
async fn eval(double: &BreakableDouble, service: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let (settings, input) = (directory.path().join("flyball.yaml"), directory.path().join("then.json"));
    let text = crate::scenarios::world::settings(&[service], "").replace(
        "policies: /nowhere",
        &format!("policies: configmaps\nnamespace: {OWN}\ncluster: {{ url: '{}' }}", double.url()),
    );
    std::fs::write(&settings, text).unwrap();
    let record = crate::records::acted(crate::records::id(service, 1));
    std::fs::write(&input, serde_json::to_string(&record).unwrap()).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_flyball"));
    command.args(["policy", "eval", "--input"]).arg(input).arg("--config").arg(settings);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
}

#[tokio::test]
async fn policies_in_configmaps_decide_once_more_without_a_directory() {
    let (double, _) = server().await;
    let labels = json!({ "flyball.dev/policies": "true" });
    let rule = |name: &str, priority: u8| {
        format!(
            "rule(\"{name}\", #{{ priority: {priority}, goal: \"protect\" }}, |s, p| [when(s.rps.current > rps(1)), scale_to(6)]);"
        )
    };
    let unread = eval(&double, "shop/checkout").await;
    assert!(unread.contains("no ConfigMap in flyball-system") && unread.contains("with -p"), "{unread}");
    put(&double, OWN, "base", &labels, &json!({ "a.rhai": rule("everybody", 1) }));
    put(&double, "shop", "ours", &labels, &json!({ "b.rhai": rule("shop_alone", 2) }));
    let (shop, other) = (eval(&double, "shop/checkout").await, eval(&double, "bank/ledger").await);
    assert!(shop.contains("rule shop_alone"), "{shop}");
    assert!(other.contains("rule everybody"), "{other}");
    put(&double, "shop", "ours", &labels, &json!({ "b.rhai": rule("shop_alone", 2).replace("rps.c", "rsp.c") }));
    let faulty = eval(&double, "shop/checkout").await;
    assert!(faulty.starts_with("configmaps/shop/ours/b.rhai:1:"), "{faulty}");
}

fn in_force(origin: &str) -> KeptPolicies {
    let files = GoodFiles { origin: origin.to_owned(), ..GoodFiles::default() };
    KeptPolicies { in_force: Some(files), ..KeptPolicies::default() }
}

#[tokio::test]
async fn inv_15_who_has_kept_nothing_finds_what_another_process_shared() {
    let (double, server) = server().await;
    let memory = async |directory: &tempfile::TempDir| {
        let local = Arc::new(PolicyState::open(directory.path()));
        SharedPolicies::over(local, &server, OWN).await
    };
    let [leader, empty, own] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    assert_eq!(memory(&empty).await.kept(), KeptPolicies::default(), "the ConfigMap is not there");
    put(&double, OWN, kept_policies::NAME, &json!({}), &json!({}));
    assert_eq!(memory(&empty).await.kept(), KeptPolicies::default(), "nobody has shared anything yet");
    let first = memory(&leader).await;
    first.share(&in_force("old"));
    first.share(&in_force("leader"));
    let written = || {
        let map = double.objects().get(MAPS, OWN, kept_policies::NAME).unwrap();
        map["data"]["policies.json"].as_str().is_some_and(|text| text.contains("leader"))
    };
    eventually("what is shared is written", written).await;
    assert_eq!(first.kept(), KeptPolicies::default(), "its own it keeps by itself");
    assert_eq!(memory(&empty).await.kept(), in_force("leader"));
    memory(&own).await.keep(&in_force("own")).unwrap();
    assert_eq!(memory(&own).await.kept(), in_force("own"), "its own goes before it");
    put(&double, OWN, kept_policies::NAME, &json!({}), &json!({ "policies.json": "{" }));
    assert_eq!(memory(&empty).await.kept(), KeptPolicies::default(), "damage counts as nothing");
}
