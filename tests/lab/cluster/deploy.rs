//! What `deploy/` ships, on a real server with strict validation: it is accepted, flyball's account can do what it must
//! and nothing else, and the admission policies enforce the platform's bound against it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Cluster, PATIENCE, account, directory, rig};
use crate::eventually;
use crate::support::flyball::Installation;

const SETTINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// Runs kubectl with one of the lab's accounts; returns its output, and whether it succeeded.
fn kubectl(account: &str, arguments: &str) -> (bool, String) {
    let mut command = Command::new("kubectl");
    command.env("KUBECONFIG", directory().join(format!("{account}.kubeconfig"))).stdin(Stdio::null());
    let output = command.args(arguments.split_whitespace()).output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (output.status.success(), text)
}

fn administer(arguments: &str) -> String {
    let (success, text) = kubectl("admin", arguments);
    assert!(success, "{arguments}: {text}");
    text
}

/// Asserts that flyball may do something, or that the server refuses it with this message.
fn flyball(arguments: &str, refusal: Option<&str>) {
    let (success, text) = kubectl("flyball", arguments);
    match refusal {
        None => assert!(success, "{arguments}: {text}"),
        Some(words) => assert!(!success && text.contains(words), "{arguments}: {text}"),
    }
}

#[tokio::test]
async fn what_is_shipped_is_taken_and_bounds_flyballs_own_account() {
    administer(&format!("apply --server-side --force-conflicts -f {SETTINGS}/base/crds.yaml"));
    administer(
        "wait --for condition=established --timeout 30s crd/serviceloops.flyball.dev crd/platformbounds.flyball.dev",
    );
    administer(&format!("apply --server-side --validate=strict --force-conflicts -k {SETTINGS}/base"));
    // The switch is created once; an upgrade neither conflicts with nor reverts what a person set in it.
    let switch = format!("apply --server-side --force-conflicts -f {SETTINGS}/base/killswitch.yaml");
    administer(&switch);
    administer(
        "patch configmap flyball-killswitch -n flyball-system --type merge -p {\"data\":{\"global\":\"engaged\",\"by\":\"me\"}}",
    );
    administer(&format!("apply --server-side --validate=strict -k {SETTINGS}/base"));
    let path = "/api/v1/namespaces/flyball-system/configmaps/flyball-killswitch";
    assert_eq!(Cluster::open().await.get(path).await["data"]["global"], "engaged");
    administer(&switch);
    administer("create namespace deploy-test");
    a_loop_has_the_name_of_its_service();
    doctor_surveys_the_server().await;
    let replicas = format!("{SETTINGS}/overlays/replicas");
    administer(&format!("apply --server-side --dry-run=server --validate=strict --force-conflicts -k {replicas}"));
    administer(&format!("apply --server-side --force-conflicts -f {replicas}/rbac.yaml"));
    flyball("auth can-i patch leases/flyball --namespace flyball-system", None);
    flyball("auth can-i patch leases/other --namespace flyball-system", Some("no"));
    flyball("auth can-i delete loopactions.flyball.dev --namespace deploy-test", None);
    flyball("auth can-i update loopactions.flyball.dev --namespace deploy-test", Some("no"));
    administer(&format!("delete -f {replicas}/rbac.yaml"));
    administer("create deployment checkout --image x --replicas 2 --namespace deploy-test");
    administer("autoscale deployment checkout --min 2 --max 40 --cpu 50% --namespace deploy-test");
    let scale = |replicas: u32| {
        format!(
            "patch deployment checkout -n deploy-test --subresource scale --type merge -p {{\"spec\":{{\"replicas\":{replicas}}}}}"
        )
    };
    // An admission policy takes effect shortly after it was accepted.
    let refused = || kubectl("flyball", &scale(51)).1.contains("the PlatformBound of 50");
    eventually("the policy is in force", PATIENCE, async || refused().then_some(())).await;
    flyball(&scale(5), None);
    flyball(&scale(0), Some("flyball may not scale to zero"));
    administer(&scale(60));
    flyball(&scale(61), Some("the PlatformBound of 50"));
    flyball(&scale(55), None);
    floors_are_bounded().await;
    flyball("delete hpa checkout -n deploy-test", Some("cannot delete"));
    let itself = "/apis/apps/v1/namespaces/deploy-test/deployments/checkout";
    let refused = Cluster::with(&account().1).await.refusal(itself, json!({ "spec": { "replicas": 3 } })).await;
    assert!(refused.as_ref().is_some_and(|(_, words)| words.contains("cannot patch")), "{refused:?}");
    flyball("get secrets -n deploy-test", Some("cannot list resource \"secrets\""));
    // Without the bound, and without its kind, the API server still accepts what concerns others.
    for (gone, told) in [
        ("platformbound flyball", "no PlatformBound named flyball exists"),
        ("crd platformbounds.flyball.dev", "flyball.dev/v1alpha1 has no platformbounds"),
    ] {
        administer(&format!("delete {gone}"));
        doctor(told).await;
        for replicas in [6, 7, 8, 9] {
            administer(&scale(replicas));
            administer("patch hpa checkout -n deploy-test --type merge -p {\"spec\":{\"minReplicas\":3}}");
            // Cached policies live for seconds.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        flyball(&scale(0), Some("flyball may not scale to zero"));
    }
    // The other tests have their own bounds, or none, and run flyball themselves.
    administer("delete deployment flyball --namespace flyball-system");
    administer(&format!("delete -f {SETTINGS}/base/admission.yaml"));
    administer("delete namespace deploy-test");
    administer(&format!("delete --ignore-not-found -f {SETTINGS}/base/crds.yaml"));
}

/// With the shipped settings and flyball's own account: what exists is reported as healthy, what is missing is named.
async fn doctor_surveys_the_server() {
    doctor("flyball.dev/v1alpha1 is served with the schemas of this version").await;
    doctor("PlatformBound: at most 50 replicas").await;
    doctor("Deployment deploy-test/shop-web does not exist, so flyball does nothing for deploy-test/shop-web").await;
}

/// Waits until `flyball doctor` reports this.
async fn doctor(expected: &str) {
    let shipped = std::fs::read_to_string(format!("{SETTINGS}/base/settings.yaml")).unwrap();
    let settings: String =
        shipped.lines().filter(|line| !line.starts_with("state:")).flat_map(|line| [line, "\n"]).collect();
    let program = Path::new(env!("CARGO_BIN_EXE_flyball"));
    let installation = Installation::new(program, &settings, &[]).with_environment(vec![account()]);
    let said = || String::from_utf8(installation.ask(&["doctor"]).stdout).unwrap();
    let mut last = String::new();
    let is_said = async {
        while !last.contains(expected) {
            last = said();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let is_said = tokio::time::timeout(PATIENCE, is_said).await.is_ok();
    assert!(is_said, "{expected}: {last}");
}

/// A name that is not a service name is refused immediately, rather than becoming an ignored loop.
fn a_loop_has_the_name_of_its_service() {
    for (name, refusal) in [("shop.web", Some("DNS label without dots")), ("shop-web", None)] {
        let file = directory().join("loop.yaml");
        let meta = json!({ "name": name, "namespace": "deploy-test" });
        let object =
            json!({ "apiVersion": "flyball.dev/v1alpha1", "kind": "ServiceLoop", "metadata": meta, "spec": {} });
        std::fs::write(&file, object.to_string()).unwrap();
        let (success, text) = kubectl("admin", &format!("apply -f {}", file.display()));
        assert!(success == refusal.is_none() && refusal.is_none_or(|words| text.contains(words)), "{name}: {text}");
    }
}

/// On an autoscaler, flyball's account may move only the floor: inside the bound, and never below where it was found.
async fn floors_are_bounded() {
    let flyball = Cluster::with(&account().1).await;
    let path = rig::autoscaler_path("deploy-test", "checkout");
    let said = async |patch: Value| flyball.refusal(&path, patch).await.map_or(String::new(), |(_, words)| words);
    let floor = |floor: u32| json!({ "spec": { "minReplicas": floor } });
    administer("patch hpa checkout -n deploy-test --type merge -p {\"spec\":{\"maxReplicas\":90}}");
    eventually("the policy for floors is in force", PATIENCE, async || {
        said(floor(51)).await.contains("minReplicas 51 exceeds the PlatformBound of 50").then_some(())
    })
    .await;
    let (lowered, alone) = ("minReplicas below its original value", "flyball may only change minReplicas");
    assert!(said(floor(1)).await.contains(lowered));
    let invented = json!({ "metadata": { "annotations": { "flyball.dev/floor-baseline": "1" } } });
    assert!(said(invented.clone()).await.contains("must record the current minReplicas"));
    let annotations = json!({ "flyball.dev/floor-baseline": "2" });
    assert_eq!(said(json!({ "metadata": { "annotations": annotations }, "spec": { "minReplicas": 5 } })).await, "");
    assert!(said(floor(1)).await.contains(lowered));
    assert!(said(invented).await.contains("must record the current minReplicas"));
    assert_eq!(said(floor(2)).await, "");
    for spec in [json!({ "maxReplicas": 40 }), json!({ "behavior": { "scaleDown": { "selectPolicy": "Disabled" } } })] {
        assert!(said(json!({ "spec": spec })).await.contains(alone), "{spec}");
    }
    nothing_else_is_taken(&said, alone).await;
    administer("patch hpa checkout -n deploy-test --type merge -p {\"spec\":{\"minReplicas\":60}}");
    assert_eq!(said(floor(55)).await, "", "towards the bound it may be lowered");
    assert!(said(floor(56)).await.contains("the PlatformBound of 50"));
}

/// Owners, finalizers and labels of an object may only be changed by others.
async fn nothing_else_is_taken(said: &impl AsyncFn(Value) -> String, alone: &str) {
    administer("annotate hpa checkout -n deploy-test team=shop");
    administer("label hpa checkout -n deploy-test tier=web");
    let owner = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "7" }]);
    for metadata in [
        json!({ "annotations": { "team": "others" } }),
        json!({ "annotations": { "team": null } }),
        json!({ "annotations": null }),
        json!({ "annotations": { "argocd.argoproj.io/sync-options": "Prune=false" } }),
        json!({ "labels": { "tier": "db" } }),
        json!({ "labels": null }),
        json!({ "labels": { "app.kubernetes.io/managed-by": "flyball" } }),
        json!({ "finalizers": ["flyball.dev/stays"] }),
        json!({ "ownerReferences": owner }),
    ] {
        let words = said(json!({ "metadata": metadata, "spec": { "minReplicas": 3 } })).await;
        assert!(words.contains(alone), "{metadata}: {words}");
    }
    assert_eq!(
        said(json!({ "spec": { "minReplicas": 3 } })).await,
        "",
        "beside what others wrote the floor still moves"
    );
    // Only the replicas of a scale reach the workload.
    let labelled = "{\"metadata\":{\"labels\":{\"x\":\"y\"},\"annotations\":{\"x\":\"y\"},\"finalizers\":[\"flyball.dev/stays\"]},\"spec\":{\"replicas\":7}}";
    flyball(&format!("patch deployment checkout -n deploy-test --subresource scale --type merge -p {labelled}"), None);
    let deployment = Cluster::open().await.get("/apis/apps/v1/namespaces/deploy-test/deployments/checkout").await;
    assert_eq!(deployment["spec"]["replicas"], 7);
    let metadata = deployment["metadata"].to_string();
    assert!(!metadata.contains("flyball.dev/stays") && !metadata.contains(r#""x":"y""#), "{metadata}");
}
