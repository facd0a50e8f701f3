//! The contract of the Cluster port, kept by the Kubernetes adapter on any API server.
//!
//! By default each test starts its own API double. `FLYBALL_CONTRACT_URL` names a real server instead (through `kubectl
//! proxy` if it requires TLS or credentials), `FLYBALL_CONTRACT_KUBECONFIG` the adapter's account there. Only standard
//! API calls are made, and the verdict comes from outside: from the objects and their changes as any API client sees
//! them.
//!
//! The numbers in the names are rows of the fault matrix.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flyball::adapters::kubernetes::{Access, Kubernetes, Timeouts, connect};
use flyball::demo::kubernetes::Objects;
use flyball::model::{
    Autoscaler, Autoscaling, ChangeSet, FloorOf, Knob, Now, TargetKind, TargetReading, TargetRef, TargetState,
    Timestamp,
};
use flyball::ports::{Cluster, ClusterError, Live};
use serde_json::{Value, json};

use crate::records;
use crate::support::kubernetes::BreakableDouble;

const NAMESPACE: &str = "default";

/// An API server, and a client of it that is not flyball.
struct Site {
    url: String,
    access: Access,
    http: reqwest::Client,
    _double: Option<BreakableDouble>,
}

/// A change of the number of replicas, as reported by the API.
#[derive(Debug, PartialEq, Eq)]
struct Move {
    replicas: i64,
    manager: String,
}

impl Site {
    async fn open() -> Self {
        // A second installation is refused, which is fine with several tests in one process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build().unwrap();
        if let Ok(url) = std::env::var("FLYBALL_CONTRACT_URL") {
            let url = url.trim_end_matches('/').to_owned();
            let account = std::env::var_os("FLYBALL_CONTRACT_KUBECONFIG");
            let account = account.map(|path| Access::Kubeconfig { path: Some(path.into()), context: None });
            return Self { access: account.unwrap_or_else(|| Access::Url(url.clone())), url, http, _double: None };
        }
        let double = BreakableDouble::start(Objects::default()).await.unwrap();
        Self { url: double.url(), access: Access::Url(double.url()), http, _double: Some(double) }
    }

    fn path(&self, target: &TargetRef) -> String {
        let plural = format!("{}s", target.kind.as_str().to_lowercase());
        format!("{}/apis/apps/v1/namespaces/{}/{plural}", self.url, target.namespace)
    }

    /// Recreates a target and returns it; deletes what an earlier run left.
    async fn create(&self, kind: TargetKind, name: &str, replicas: u32) -> TargetRef {
        let target = TargetRef { kind, namespace: NAMESPACE.to_owned(), name: format!("contract-{name}") };
        self.delete(&target).await;
        self.create_again(&target, replicas).await;
        target
    }

    async fn create_again(&self, target: &TargetRef, replicas: u32) {
        // A label is shorter than a name may be.
        let app: String = target.name.chars().take(63).collect();
        let labels = json!({ "app": app.trim_end_matches(['-', '.']) });
        let containers = json!([{ "name": "main", "image": "registry.k8s.io/pause:3.10" }]);
        let manifest = json!({
            "apiVersion": "apps/v1", "kind": target.kind.as_str(), "metadata": { "name": target.name },
            "spec": {
                "replicas": replicas, "selector": { "matchLabels": labels }, "serviceName": "none",
                "template": { "metadata": { "labels": labels }, "spec": { "containers": containers } },
            },
        });
        let response = self.http.post(self.path(target)).json(&manifest).send().await.unwrap();
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
    }

    async fn delete(&self, target: &TargetRef) {
        let url = format!("{}/{}?propagationPolicy=Background", self.path(target), target.name);
        let status = self.http.delete(url).send().await.unwrap().status();
        assert!([200, 202, 404].contains(&status.as_u16()), "{status}");
    }

    async fn object(&self, target: &TargetRef) -> Value {
        let response = self.http.get(format!("{}/{}", self.path(target), target.name)).send().await.unwrap();
        response.json().await.unwrap()
    }

    /// Changes the number of replicas as another manager.
    async fn scale_as(&self, manager: &str, target: &TargetRef, replicas: u32) {
        let url = format!("{}/{}/scale?fieldManager={manager}", self.path(target), target.name);
        let request = self.http.patch(url).header("content-type", "application/merge-patch+json");
        let response = request.body(json!({ "spec": { "replicas": replicas } }).to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }

    fn autoscalers(&self) -> String {
        format!("{}/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers", self.url)
    }

    /// Recreates an autoscaler on a target; it uses CPU metrics, which do not exist.
    async fn autoscale(&self, name: &str, target: &TargetRef, (floor, ceiling): (u32, u32)) -> Value {
        let name = format!("contract-{name}");
        self.free(&name).await;
        let of = json!({ "apiVersion": "apps/v1", "kind": target.kind.as_str(), "name": target.name });
        let cpu = json!({ "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 60 } });
        let manifest = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": name },
            "spec": {
                "scaleTargetRef": of, "minReplicas": floor, "maxReplicas": ceiling,
                "metrics": [{ "type": "Resource", "resource": cpu }],
            },
        });
        let response = self.http.post(self.autoscalers()).json(&manifest).send().await.unwrap();
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
        self.autoscaler(&name).await
    }

    async fn autoscaler(&self, name: &str) -> Value {
        self.http.get(format!("{}/{name}", self.autoscalers())).send().await.unwrap().json().await.unwrap()
    }

    async fn free(&self, autoscaler: &str) {
        let status = self.http.delete(format!("{}/{autoscaler}", self.autoscalers())).send().await.unwrap().status();
        assert!([200, 202, 404].contains(&status.as_u16()), "{status}");
    }

    /// Changes the floor of an autoscaler as another manager.
    async fn floor_as(&self, manager: &str, autoscaler: &str, floor: u32) {
        let url = format!("{}/{autoscaler}?fieldManager={manager}", self.autoscalers());
        let request = self.http.patch(url).header("content-type", "application/merge-patch+json");
        let response = request.body(json!({ "spec": { "minReplicas": floor } }).to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }

    /// Returns the changes of the number of replicas after `object`, in order.
    async fn moves_since(&self, target: &TargetRef, object: &Value) -> Vec<Move> {
        let version = object["metadata"]["resourceVersion"].as_str().unwrap();
        let selector = format!("metadata.name={}", target.name);
        let query =
            [("watch", "1"), ("timeoutSeconds", "1"), ("resourceVersion", version), ("fieldSelector", &selector)];
        let text = self.http.get(self.path(target)).query(&query).send().await.unwrap().text().await.unwrap();
        let mut moves = Vec::new();
        let mut before = object["spec"]["replicas"].as_i64().unwrap();
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["type"], "MODIFIED", "{line}");
            let replicas = event["object"]["spec"]["replicas"].as_i64().unwrap();
            if replicas != before {
                moves.push(Move { replicas, manager: owner_of_replicas(&event["object"]) });
                before = replicas;
            }
        }
        moves
    }

    /// Returns the adapter, pointed at this server.
    async fn cluster(&self, targets: &[&TargetRef]) -> Kubernetes {
        let timeouts = Timeouts::default();
        let server = connect(&self.access, timeouts).await.unwrap();
        let cluster = Kubernetes::start(&server);
        cluster.follow(&targets.iter().copied().cloned().collect());
        cluster
    }
}

fn owner_of_replicas(object: &Value) -> String {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let owner = entries.iter().find(|entry| entry["fieldsV1"]["f:spec"]["f:replicas"].is_object());
    owner.unwrap()["manager"].as_str().unwrap().to_owned()
}

/// Returns a change of the replicas of `target`.
pub(crate) fn change(target: &TargetRef, to: u32) -> ChangeSet {
    let now = Now { wall: Timestamp::UNIX_EPOCH, mono: Duration::ZERO };
    let plain = records::replicas(&records::id("shop/checkout", 1), "uid", (0, to), now);
    ChangeSet { target: target.clone(), ..plain }
}

/// Returns a change of the floor of the autoscaler on `target`.
fn floor_change(target: &TargetRef, autoscaler: &Value, baseline: u32, to: u32) -> ChangeSet {
    let text = |field: &str| autoscaler["metadata"][field].as_str().unwrap();
    let floor = FloorOf { autoscaler: text("name").into(), baseline };
    ChangeSet { uid: text("uid").to_owned(), knob: Knob::AutoscalerFloor, floor: Some(floor), ..change(target, to) }
}

/// Reads and writes until no controller interferes.
async fn written(cluster: &Kubernetes, change: &ChangeSet) -> Live {
    loop {
        let live = cluster.read(change).await.unwrap();
        match cluster.apply(change, &live).await {
            Err(ClusterError::Conflict { .. }) => {}
            written => return written.unwrap(),
        }
    }
}

/// Returns the autoscaler of a view once its floor has this value.
async fn floor_seen(cluster: &Kubernetes, target: &TargetRef, floor: u32) -> Autoscaler {
    let of = |reading: &TargetReading| reading.known().and_then(TargetState::autoscaler).cloned();
    let reading = until(cluster, target, |reading| of(reading).is_some_and(|one| one.floor == floor)).await;
    of(&reading).unwrap()
}

/// Waits until the view of `target` is as wanted, and returns it.
pub(crate) async fn until(
    cluster: &Kubernetes,
    target: &TargetRef,
    wanted: impl Fn(&TargetReading) -> bool,
) -> TargetReading {
    let mut changes = cluster.changes();
    let waiting = async {
        loop {
            changes.mark_unchanged();
            let reading = cluster.observed(target);
            if wanted(&reading) {
                return reading;
            }
            changes.changed().await.unwrap();
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    ended.unwrap_or_else(|_| panic!("still {:?}", cluster.observed(target)))
}

/// Returns whether a reading is current and requests `replicas`.
pub(crate) fn asks_for(replicas: u32) -> impl Fn(&TargetReading) -> bool {
    move |reading| reading.known().is_some_and(|target| target.replicas == replicas)
}

#[tokio::test]
async fn one_write_moves_the_target_once_in_our_name() {
    let site = Site::open().await;
    for kind in [TargetKind::Deployment, TargetKind::StatefulSet] {
        let target = site.create(kind, "write", 3).await;
        let cluster = site.cluster(&[]).await;
        let before = site.object(&target).await;
        let live = cluster.read(&change(&target, 0)).await.unwrap();
        assert_eq!(live.value, 3);
        assert_eq!(live.uid, before["metadata"]["uid"].as_str().unwrap());
        // A controller may report a status between read and write, which is a conflict like any other.
        let mut written = cluster.apply(&change(&target, 5), &live).await;
        while let Err(ClusterError::Conflict { .. }) = written {
            let live = cluster.read(&change(&target, 0)).await.unwrap();
            written = cluster.apply(&change(&target, 5), &live).await;
        }
        let written = written.unwrap();
        assert_eq!((written.value, &written.uid), (5, &live.uid));
        assert_ne!(written.resource_version, live.resource_version);
        assert_eq!(cluster.read(&change(&target, 0)).await.unwrap().value, 5);
        let expected = Move { replicas: 5, manager: "flyball".to_owned() };
        assert_eq!(site.moves_since(&target, &before).await, [expected]);
        site.delete(&target).await;
    }
}

#[tokio::test]
async fn k4_a_write_on_an_old_read_is_a_conflict_and_changes_nothing() {
    let site = Site::open().await;
    let target = site.create(TargetKind::Deployment, "conflict", 3).await;
    let cluster = site.cluster(&[]).await;
    let before = site.object(&target).await;
    let live = cluster.read(&change(&target, 0)).await.unwrap();
    site.scale_as("somebody", &target, 4).await;
    let refused = cluster.apply(&change(&target, 9), &live).await;
    assert_eq!(refused, Err(ClusterError::Conflict { target: target.clone() }));
    let expected = Move { replicas: 4, manager: "somebody".to_owned() };
    assert_eq!(site.moves_since(&target, &before).await, [expected]);
    site.delete(&target).await;
}

/// A name is a DNS subdomain: 253 characters in total, without a limit on its parts.
#[tokio::test]
async fn a_target_may_have_any_name_that_kubernetes_gives() {
    let site = Site::open().await;
    let name = format!("{}web.a", "checkout-".repeat(12));
    let target = site.create(TargetKind::Deployment, &name, 3).await;
    let cluster = site.cluster(&[]).await;
    assert_eq!(cluster.read(&change(&target, 4)).await.unwrap().value, 3);
    for odd in ["", "a/b", "..", "a..b", "-a", "Shop", &"a".repeat(254)] {
        let refused = cluster.read(&change(&TargetRef { name: odd.into(), ..target.clone() }, 4)).await.unwrap_err();
        assert!(refused.to_string().contains("is not a Kubernetes object name"), "{odd}: {refused}");
    }
    site.delete(&target).await;
}

#[tokio::test]
async fn k6_a_live_read_is_never_taken_from_a_view() {
    let site = Site::open().await;
    let target = site.create(TargetKind::Deployment, "live", 3).await;
    let cluster = site.cluster(&[&target]).await;
    until(&cluster, &target, asks_for(3)).await;
    for replicas in [4, 2, 6] {
        site.scale_as("somebody", &target, replicas).await;
        assert_eq!(cluster.read(&change(&target, 0)).await.unwrap().value, replicas);
    }
    site.delete(&target).await;
}

#[tokio::test]
async fn k8_a_view_ends_where_the_target_does_however_it_went() {
    let site = Site::open().await;
    let target = site.create(TargetKind::Deployment, "view", 3).await;
    let cluster = site.cluster(&[&target]).await;
    until(&cluster, &target, asks_for(3)).await;
    for replicas in [4, 9, 1, 7] {
        site.scale_as("somebody", &target, replicas).await;
    }
    let reading = until(&cluster, &target, asks_for(7)).await;
    let uid = site.object(&target).await["metadata"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(reading.known().unwrap().uid, uid);
    assert_eq!(cluster.waiting_for(), []);
    site.delete(&target).await;
}

#[tokio::test]
async fn x1_a_view_names_who_set_the_replicas_last() {
    let site = Site::open().await;
    for kind in [TargetKind::Deployment, TargetKind::StatefulSet] {
        let target = site.create(kind, "owner", 3).await;
        let cluster = site.cluster(&[&target]).await;
        let owned_by = async |replicas, owner: &str| {
            let reading = until(&cluster, &target, asks_for(replicas)).await;
            assert_eq!(reading.known().unwrap().owner.as_deref(), Some(owner));
        };
        site.scale_as("somebody", &target, 4).await;
        owned_by(4, "somebody").await;
        let mut written = Err(ClusterError::Conflict { target: target.clone() });
        while let Err(ClusterError::Conflict { .. }) = written {
            let live = cluster.read(&change(&target, 0)).await.unwrap();
            written = cluster.apply(&change(&target, 6), &live).await;
        }
        written.unwrap();
        owned_by(6, "flyball").await;
        site.scale_as("somebody-else", &target, 2).await;
        owned_by(2, "somebody-else").await;
        site.delete(&target).await;
    }
}

#[tokio::test]
async fn k12_a_target_deleted_and_made_anew_is_another_one() {
    let site = Site::open().await;
    let target = site.create(TargetKind::Deployment, "anew", 3).await;
    let cluster = site.cluster(&[&target]).await;
    until(&cluster, &target, asks_for(3)).await;
    let old = cluster.read(&change(&target, 0)).await.unwrap();
    site.delete(&target).await;
    let gone = until(&cluster, &target, |reading| reading.last().is_none()).await;
    let reason = format!("{target} does not exist; create it, or set `target` to an existing object");
    assert_eq!(gone, TargetReading::Unknown { reason });
    let not_found = Err(ClusterError::NotFound { target: target.clone() });
    assert_eq!(cluster.read(&change(&target, 0)).await, not_found);
    assert_eq!(cluster.apply(&change(&target, 5), &old).await, not_found);
    site.create_again(&target, 2).await;
    let anew = until(&cluster, &target, asks_for(2)).await;
    assert_ne!(anew.known().unwrap().uid, old.uid);
    let refused = cluster.apply(&change(&target, 5), &old).await;
    assert_eq!(refused, Err(ClusterError::Conflict { target: target.clone() }));
    assert_eq!(site.object(&target).await["spec"]["replicas"], 2);
    site.delete(&target).await;
}

#[tokio::test]
async fn k13_zero_replicas_are_zero_and_more_than_the_api_holds_are_refused() {
    let site = Site::open().await;
    let target = site.create(TargetKind::Deployment, "zero", 0).await;
    let cluster = site.cluster(&[&target]).await;
    until(&cluster, &target, asks_for(0)).await;
    let live = cluster.read(&change(&target, 0)).await.unwrap();
    assert_eq!(live.value, 0);
    let refused = cluster.apply(&change(&target, 3_000_000_000), &live).await;
    assert!(matches!(refused, Err(ClusterError::Denied { .. })), "{refused:?}");
    assert_eq!(site.object(&target).await["spec"]["replicas"], 0);
    site.delete(&target).await;
}

#[tokio::test]
async fn what_is_not_watched_or_has_no_lever_is_said_so() {
    let site = Site::open().await;
    let target = site.create(TargetKind::Deployment, "lever", 3).await;
    let cluster = site.cluster(&[]).await;
    assert_eq!(cluster.observed(&target), TargetReading::Unknown { reason: "not watched".to_owned() });
    let live = cluster.read(&change(&target, 0)).await.unwrap();
    let other = ChangeSet { knob: Knob::Route, ..change(&target, 5) };
    let no_lever = Err(ClusterError::NoLever { knob: Knob::Route });
    assert_eq!((cluster.read(&other).await, cluster.apply(&other, &live).await), (no_lever.clone(), no_lever));
    let odd = TargetRef { name: "../pods".to_owned(), ..target.clone() };
    assert!(matches!(cluster.read(&change(&odd, 0)).await, Err(ClusterError::Denied { .. })));
    site.delete(&target).await;
}

#[tokio::test]
async fn x2_a_floor_is_moved_in_our_name_and_remembers_where_it_was() {
    let site = Site::open().await;
    for kind in [TargetKind::Deployment, TargetKind::StatefulSet] {
        let target = site.create(kind, "floor", 5).await;
        let autoscaler = site.autoscale("floor", &target, (2, 9)).await;
        let cluster = site.cluster(&[&target]).await;
        let seen = floor_seen(&cluster, &target, 2).await;
        assert_eq!((seen.ceiling, seen.baseline, &*seen.name), (9, 2, "contract-floor"));
        let before = site.object(&target).await;
        let raise = floor_change(&target, &autoscaler, 2, 4);
        let live = cluster.read(&raise).await.unwrap();
        assert_eq!((live.value, live.displaced, live.uid), (2, None, raise.uid.clone()));
        let after = written(&cluster, &raise).await;
        assert_eq!((after.value, &after.uid), (4, &raise.uid));
        let stored = site.autoscaler("contract-floor").await;
        assert_eq!(stored["spec"]["maxReplicas"], 9);
        assert_eq!(stored["metadata"]["annotations"]["flyball.dev/floor-baseline"], "2");
        let seen = floor_seen(&cluster, &target, 4).await;
        assert_eq!((seen.baseline, seen.owner.as_deref()), (2, Some("flyball")));
        // A floor set by another manager is its choice, and the new baseline.
        site.floor_as("somebody", "contract-floor", 3).await;
        let seen = floor_seen(&cluster, &target, 3).await;
        assert_eq!((seen.baseline, seen.owner.as_deref()), (3, Some("somebody")));
        written(&cluster, &floor_change(&target, &autoscaler, 3, 5)).await;
        assert_eq!(floor_seen(&cluster, &target, 5).await.baseline, 3);
        written(&cluster, &floor_change(&target, &autoscaler, 3, 3)).await;
        let stored = site.autoscaler("contract-floor").await;
        assert_eq!(stored["metadata"]["annotations"]["flyball.dev/floor-baseline"], Value::Null, "nothing is left");
        let ours = site.moves_since(&target, &before).await.into_iter().filter(|it| it.manager == "flyball").count();
        assert_eq!(ours, 0, "the target itself was written");
        site.free("contract-floor").await;
        site.delete(&target).await;
    }
}

#[tokio::test]
async fn k4_a_floor_written_on_an_old_read_is_a_conflict_and_changes_nothing() {
    let site = Site::open().await;
    let target = site.create(TargetKind::Deployment, "floor-conflict", 5).await;
    let autoscaler = site.autoscale("floor-conflict", &target, (2, 9)).await;
    let cluster = site.cluster(&[]).await;
    let raise = floor_change(&target, &autoscaler, 2, 6);
    let live = cluster.read(&raise).await.unwrap();
    site.floor_as("somebody", "contract-floor-conflict", 3).await;
    assert_eq!(cluster.apply(&raise, &live).await, Err(ClusterError::Conflict { target: target.clone() }));
    assert_eq!(cluster.read(&raise).await.unwrap().value, 3);
    // The server accepts none above its ceiling.
    let beyond = floor_change(&target, &autoscaler, 2, 12);
    let refused = loop {
        let live = cluster.read(&beyond).await.unwrap();
        match cluster.apply(&beyond, &live).await {
            Err(ClusterError::Conflict { .. }) => {}
            refused => break refused,
        }
    };
    assert!(matches!(refused, Err(ClusterError::Denied { .. })), "{refused:?}");
    site.free("contract-floor-conflict").await;
    site.delete(&target).await;
}

#[tokio::test]
async fn x2_an_autoscaler_that_comes_or_goes_displaces_the_lever() {
    let site = Site::open().await;
    let target = site.create(TargetKind::Deployment, "comes", 5).await;
    let cluster = site.cluster(&[&target]).await;
    let nobody = |reading: &TargetReading| reading.known().is_some_and(|it| it.autoscaling == Autoscaling::Nobody);
    until(&cluster, &target, nobody).await;
    let direct = change(&target, 6);
    assert_eq!(cluster.read(&direct).await.unwrap().displaced, None);
    let first = site.autoscale("comes", &target, (2, 9)).await;
    let displaced = cluster.read(&direct).await.unwrap().displaced;
    assert!(displaced.is_some_and(|why| why.contains("HPA contract-comes scales")));
    floor_seen(&cluster, &target, 2).await;
    let raise = floor_change(&target, &first, 2, 4);
    assert_eq!(cluster.read(&raise).await.unwrap().displaced, None);

    site.autoscale("comes-too", &target, (1, 5)).await;
    let closed = |reading: &TargetReading| match reading.known().map(|it| &it.autoscaling) {
        Some(Autoscaling::Closed { why }) => why.contains("contract-comes, contract-comes-too"),
        _ => false,
    };
    until(&cluster, &target, closed).await;
    assert!(cluster.read(&raise).await.unwrap().displaced.is_some_and(|why| why.contains("scale it concurrently")));
    site.free("contract-comes-too").await;

    // A recreated one is a different one, and a deleted one is not found.
    site.autoscale("comes", &target, (3, 9)).await;
    let anew = cluster.read(&raise).await.unwrap();
    assert!(anew.uid != raise.uid && anew.displaced.is_some(), "{anew:?}");
    site.free("contract-comes").await;
    assert_eq!(cluster.read(&raise).await, Err(ClusterError::NotFound { target: target.clone() }));
    until(&cluster, &target, nobody).await;
    site.delete(&target).await;
}

/// A fleet that changes while others read: neither blocks the other forever.
#[tokio::test]
async fn targets_can_be_read_while_it_is_said_anew_which_are_followed() {
    const ROUNDS: usize = 50_000;
    let site = Site::open().await;
    let server = connect(&site.access, Timeouts::default()).await.unwrap();
    let cluster = Arc::new(Kubernetes::start(&server));
    let target = TargetRef { kind: TargetKind::Deployment, namespace: NAMESPACE.to_owned(), name: "any".to_owned() };
    let targets = BTreeSet::from([target.clone()]);
    cluster.follow(&targets);
    let (done, ended) = std::sync::mpsc::channel();
    let thread = |round: Box<dyn Fn() + Send>| {
        let done = done.clone();
        // Never joined: in a deadlock the test ends without them.
        std::thread::spawn(move || {
            (0..ROUNDS).for_each(|_| round());
            done.send(()).unwrap();
        });
    };
    let (following, reading, asking) = (cluster.clone(), cluster.clone(), cluster.clone());
    thread(Box::new(move || following.follow(&targets)));
    thread(Box::new(move || drop(reading.observed(&target))));
    thread(Box::new(move || drop(asking.waiting_for())));
    for _ in 0..3 {
        ended.recv_timeout(Duration::from_secs(20)).expect("they wait for each other");
    }
}
