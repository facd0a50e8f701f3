//! The program against an API server (the double), with the shipped settings: what is missing there is reported by
//! `doctor`, by `status` and by a metric.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use flyball::demo::kubernetes::objects::{Author, Objects};
use flyball::demo::kubernetes::resource::Resource;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::command_line::command;
use crate::support::kubernetes::BreakableDouble;

fn person() -> Author {
    Author::named("kubectl")
}

fn make(double: &BreakableDouble, resource: Resource, name: &str, spec: &Value) {
    let namespace = if resource.namespaced() { "shop" } else { "" };
    let manifest = json!({ "metadata": { "namespace": namespace, "name": name }, "spec": spec });
    double.objects().create(resource, namespace, manifest, &person()).unwrap();
}

/// A place with the shipped settings, for that server.
fn place(double: &BreakableDouble, listen: &str) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let shipped = include_str!("../../deploy/base/settings.yaml");
    let settings = shipped.replace("/var/lib/flyball", "state");
    let settings = settings.replace("http://prometheus.monitoring.svc:9090", "http://127.0.0.1:1");
    let own = format!("namespace: flyball-system\nlisten: {listen}\ncluster: {{ url: {} }}\n{settings}", double.url());
    fs::write(place.path().join("flyball.yaml"), own).unwrap();
    place
}

async fn said(place: &Path, line: &'static str) -> (Option<i32>, String) {
    let place = place.to_owned();
    tokio::task::spawn_blocking(move || {
        let output = command(&place).args(line.split(' ')).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    })
    .await
    .unwrap()
}

/// Returns the metrics page of the flyball that listens there, if any.
async fn page(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_looks_at_the_bound_the_loops_and_their_targets() {
    let double = BreakableDouble::start(Objects::default()).await.unwrap();
    let place = place(&double, "127.0.0.1:0");
    make(&double, Resource::Deployments, "checkout", &json!({ "replicas": 3 }));
    make(&double, Resource::ServiceLoops, "checkout", &json!({ "mode": "auto" }));
    make(&double, Resource::ServiceLoops, "web", &json!({ "target": { "name": "checkout" } }));
    make(&double, Resource::ServiceLoops, "search", &json!({ "target": { "kind": "StatefulSet" } }));
    let (code, told) = said(place.path(), "doctor").await;
    assert_eq!(code, Some(1), "{told}");
    for line in [
        "FAIL  no PlatformBound named flyball exists; apply one, such as deploy/base/bound.yaml; until this is fixed, \
         NOTHING IS WRITTEN",
        "FAIL  ServiceLoop shop/web is not active: Deployment shop/checkout is already the target of shop/checkout; \
         two \
         loops would fight over it; change or delete one of the two",
        "FAIL  StatefulSet shop/search does not exist, so flyball does nothing for shop/search; create it, or name another `target`",
        "FAIL  ConfigMap flyball-system/flyball-killswitch: does not exist; run `kubectl create -f \
         deploy/base/killswitch.yaml` to allow writes; until this is fixed, NOTHING IS WRITTEN",
        "note  flyball.dev/v1alpha1 is served; the server does not show its schemas",
        "note  shop/checkout is in auto and declares no `capacity`: no rule sizes it by its arrival rate",
        "ok    1 of 1 targets that exist can be scaled by flyball",
    ] {
        assert!(told.lines().any(|one| one == line), "`{line}` is not in\n{told}");
    }
    assert!(!told.contains("Deployment shop/checkout does not exist"), "{told}");
    make(&double, Resource::PlatformBounds, "flyball", &json!({ "maxReplicas": 50, "maxMode": "shadow" }));
    let switch = json!({
        "metadata": { "namespace": "flyball-system", "name": "flyball-killswitch" }, "data": { "global": "off" },
    });
    double.objects().create(Resource::ConfigMaps, "flyball-system", switch, &person()).unwrap();
    let (_, told) = said(place.path(), "doctor").await;
    assert!(told.contains("ok    PlatformBound: at most 50 replicas, mode shadow\n"), "{told}");
    let unreadable = told.lines().find(|line| line.contains("; make sure it is readable and `global` is `engaged` or"));
    assert!(unreadable.is_some_and(|line| line.ends_with("; until this is fixed, NOTHING IS WRITTEN")), "{told}");
    assert!(!told.contains("flyball resume"), "that writes no ConfigMap: {told}");
}

/// Nothing is written without a bound, so a missing one must not go unnoticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_bound_that_is_missing_is_told_by_status_and_by_a_metric() {
    let double = BreakableDouble::start(Objects::default()).await.unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let place = place(&double, &address);
    make(&double, Resource::Deployments, "checkout", &json!({ "replicas": 3 }));
    make(&double, Resource::ServiceLoops, "checkout", &json!({ "mode": "auto" }));
    let mut child = command(place.path()).arg("run").stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    let until = async |gauge: &str, reason: bool| {
        const TOLD: &str = "- services wait: no PlatformBound named flyball exists; apply one, such as \
                            deploy/base/bound.yaml; nothing is written until this is fixed\n";
        loop {
            let page = page(&address).await.unwrap_or_default();
            let (code, told) = said(place.path(), "status").await;
            if page.lines().any(|line| line == gauge) && told.contains(TOLD) == reason && (!reason || code == Some(1)) {
                return true;
            }
            if Instant::now() > end {
                eprintln!("{page}\n{told}");
                return false;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let missing = until("flyball_unbounded 1", true).await;
    make(&double, Resource::PlatformBounds, "flyball", &json!({ "maxReplicas": 50, "maxMode": "auto" }));
    let there = until("flyball_unbounded 0", false).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(missing && there, "{missing} {there}");
}
