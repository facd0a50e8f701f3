//! The rig itself: pods start, serve, are measured and end as on real nodes.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::rig::{self, COLD_START, SERVICE_TIME};
use super::{Cluster, PATIENCE, account};
use crate::eventually;

const NAMESPACE: &str = "nodes";
const NAME: &str = "web";

#[tokio::test]
async fn the_contract_runs_on_the_real_server() {
    let cluster = Cluster::open().await;
    let url = std::env::var("FLYBALL_CONTRACT_URL").expect("the contract is told where the server is");
    let version: Value = reqwest::get(format!("{url}/version")).await.unwrap().json().await.unwrap();
    assert_eq!(version, cluster.get("/version").await);
    assert!(!text(&version, "/gitVersion").contains("double"), "{version}");
    assert_eq!(std::env::var("FLYBALL_CONTRACT_KUBECONFIG").unwrap(), account().1);
}

async fn until_ready(cluster: &Cluster, replicas: u32, within: Duration) {
    eventually(&format!("{replicas} pods ready"), within, async || {
        (rig::ready(cluster, NAMESPACE, NAME).await == replicas).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_start_serve_and_are_measured_so_that_the_stock_autoscaler_can_scale() {
    let cluster = Cluster::open().await;
    cluster.namespaces(&[NAMESPACE.to_owned()]).await;
    let begin = Instant::now();
    rig::workload(&cluster, NAMESPACE, NAME, 1).await;
    until_ready(&cluster, 1, PATIENCE).await;
    assert!(begin.elapsed() >= COLD_START, "ready after {:?}", begin.elapsed());
    let resource = json!({ "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } });
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": NAME });
    let spec = json!({
        "scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3,
        "metrics": [{ "type": "Resource", "resource": resource }],
    });
    let kind = "HorizontalPodAutoscaler";
    let metadata = json!({ "namespace": NAMESPACE, "name": NAME });
    cluster.create(json!({ "apiVersion": "autoscaling/v2", "kind": kind, "metadata": metadata, "spec": spec })).await;

    // Four fifths of one worker's capacity: occasionally slow, certainly busy.
    let (_balancer, url) = rig::balancer(NAMESPACE, NAME);
    let at = Timestamp::now().as_millisecond() + 2000;
    let load = rig::Load::start(&url, at, &[(0, 0.8 * rig::CAPACITY), (75, 0.0)]);
    let metrics = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods?labelSelector=app%3D{NAME}");
    let cpu = eventually("CPU of the worker", PATIENCE, async || {
        let list = cluster.get(&metrics).await;
        let cpu = list["items"][0]["containers"][0]["usage"]["cpu"].as_str()?.strip_suffix('m')?.parse::<f64>().ok()?;
        (cpu > 300.0).then_some(cpu)
    })
    .await;
    assert!((300.0..=500.0).contains(&cpu), "{cpu} of 500 requested millicores");
    until_ready(&cluster, 2, PATIENCE).await;
    let seen = load.end().await;
    assert!(seen.iter().all(|request| request.status == 200), "{seen:?}");
    assert!(seen.iter().all(|request| request.latency >= SERVICE_TIME), "{seen:?}");
    let quick = seen.iter().filter(|request| request.latency < SERVICE_TIME + Duration::from_millis(100)).count();
    assert!(quick * 2 > seen.len(), "{quick} of {} requests found a free slot", seen.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_beyond_the_room_of_the_nodes_are_unschedulable_until_one_more_has_started() {
    let cluster = Cluster::open().await;
    cluster.namespaces(&[NAMESPACE.to_owned()]).await;
    let labels = json!({ "app": NAME });
    let containers = json!([{ "name": "main", "image": "registry.k8s.io/pause:3.10" }]);
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": containers } });
    let nodes = cluster.get("/api/v1/nodes").await["items"].as_array().unwrap().clone();
    let room: u32 = nodes.iter().map(|node| text(node, "/status/capacity/pods").parse::<u32>().unwrap()).sum();
    let spec = json!({ "replicas": room + 1, "selector": { "matchLabels": labels }, "template": template });
    let metadata = json!({ "namespace": NAMESPACE, "name": NAME });
    cluster.create(json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec })).await;
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    eventually("a pod fits nowhere", PATIENCE, async || {
        let pods = cluster.get(&pods).await;
        let waiting = |pod: &&Value| pod["spec"]["nodeName"].is_null();
        let waiting: Vec<&Value> = pods["items"].as_array()?.iter().filter(waiting).collect();
        let [pod] = waiting.as_slice() else { return None };
        (pod["status"]["conditions"][0]["reason"] == "Unschedulable").then_some(())
    })
    .await;
    until_ready(&cluster, room, PATIENCE).await;
    // A node has to start first.
    until_ready(&cluster, room + 1, 2 * PATIENCE).await;
    let more = cluster.get("/api/v1/nodes").await["items"].as_array().unwrap().len();
    assert_eq!(more, nodes.len() + 1);
}

#[tokio::test]
async fn flyballs_account_may_do_what_its_role_says_and_nothing_else() {
    let cluster = Cluster::open().await;
    cluster.namespaces(&[NAMESPACE.to_owned()]).await;
    rig::workload(&cluster, NAMESPACE, NAME, 1).await;
    let flyball = Cluster::with(&account().1).await;
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}");
    assert_eq!(flyball.get(&format!("{path}/scale")).await["spec"]["replicas"], 1);
    assert_eq!(flyball.patch(&format!("{path}/scale"), json!({ "spec": { "replicas": 2 } })).await, 200);
    for (path, body) in [
        (path, json!({ "spec": { "replicas": 3 } })),
        ("/api/v1/namespaces/kube-system".to_owned(), json!({ "metadata": { "labels": { "a": "b" } } })),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles/flyball".to_owned(), json!({ "rules": [] })),
    ] {
        assert_eq!(flyball.patch(&path, body).await, 403, "{path}");
    }
    assert_eq!(cluster.deployment(NAMESPACE, NAME).await["spec"]["replicas"], 2);
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}
