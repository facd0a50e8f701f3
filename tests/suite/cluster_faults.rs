//! The Kubernetes adapter against an API double that misbehaves. The numbers in the names are rows of the fault matrix.

use std::time::Duration;

use flyball::adapters::kubernetes::{Access, Kubernetes, Timeouts, connect};
use flyball::demo::kubernetes::Objects;
use flyball::demo::kubernetes::call::Verb;
use flyball::demo::kubernetes::objects::Author;
use flyball::demo::kubernetes::resource::{Resource, Subresource};
use flyball::model::{Stuck, TargetKind, TargetReading, TargetRef};
use flyball::ports::{Awaited, Cluster, ClusterError, Live, StaleWatch};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::contract_cluster::{asks_for, change, until};
use crate::support::kubernetes::BreakableDouble;
use crate::support::kubernetes::faults::Fault;
use crate::support::wait::eventually;

/// Short deadlines: the tests wait for them to pass.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_millis(500),
    answer: Duration::from_millis(300),
    list: Duration::from_secs(5),
    watch: Duration::from_secs(1),
    silence: Duration::from_mins(2),
};

pub fn target() -> TargetRef {
    TargetRef { kind: TargetKind::Deployment, namespace: "shop".to_owned(), name: "checkout".to_owned() }
}

async fn double() -> BreakableDouble {
    let objects = Objects::default();
    objects.add_deployment("shop", "checkout", 3);
    BreakableDouble::start(objects).await.unwrap()
}

async fn cluster(double: &BreakableDouble, timeouts: Timeouts) -> Kubernetes {
    let server = connect(&Access::Url(double.url()), timeouts).await.unwrap();
    let cluster = Kubernetes::start(&server);
    cluster.follow(&[target()].into());
    cluster
}

async fn read(cluster: &Kubernetes) -> Live {
    cluster.read(&change(&target(), 0)).await.unwrap()
}

/// Returns which manager moved the target to what, without the plant's own moves.
fn moves(double: &BreakableDouble) -> Vec<(String, Option<u32>)> {
    let others = double.objects().history().into_iter().filter(|write| write.who != "plant");
    others.map(|write| (write.who, write.to)).collect()
}

fn ours(replicas: u32) -> Vec<(String, Option<u32>)> {
    vec![("flyball".to_owned(), Some(replicas))]
}

#[tokio::test]
async fn k1_a_server_that_is_down_is_unavailable_and_comes_back() {
    let double = double().await;
    let (objects, address) = (double.objects().clone(), double.address());
    let cluster = cluster(&double, TIMEOUTS).await;
    until(&cluster, &target(), asks_for(3)).await;
    let live = read(&cluster).await;
    drop(double);
    let refused = cluster.apply(&change(&target(), 5), &live).await;
    assert!(matches!(refused, Err(ClusterError::Unavailable { .. } | ClusterError::Unknown { .. })), "{refused:?}");
    // The pooled connection is gone now; a new one is refused, so nothing can have been sent.
    let refused = cluster.apply(&change(&target(), 5), &live).await;
    assert!(matches!(refused, Err(ClusterError::Unavailable { .. })), "{refused:?}");
    objects.add_deployment("shop", "checkout", 4);
    let again = BreakableDouble::start_at(objects, address).await.unwrap();
    until(&cluster, &target(), asks_for(4)).await;
    assert_eq!(moves(&again), []);
}

#[tokio::test]
async fn k2_a_patch_without_an_answer_is_unknown_and_not_sent_again() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    let live = read(&cluster).await;
    double.faults().order(Verb::Patch, 1, Fault::HoldAnswer);
    let outcome = cluster.apply(&change(&target(), 5), &live).await;
    assert_eq!(outcome, Err(ClusterError::Unknown { reason: "no answer within 300ms".to_owned() }));
    assert_eq!(read(&cluster).await.value, 5);
    assert_eq!((double.faults().requests(Verb::Patch), moves(&double)), (1, ours(5)));
}

#[tokio::test]
async fn k2_a_patch_that_is_done_after_we_left_meets_a_version_of_its_own() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    let live = read(&cluster).await;
    double.faults().order(Verb::Patch, 1, Fault::HoldBefore);
    let outcome = cluster.apply(&change(&target(), 5), &live).await;
    assert!(matches!(outcome, Err(ClusterError::Unknown { .. })), "{outcome:?}");
    // Not done yet; a decision based on a new read wins, and the late write is a conflict.
    let live = read(&cluster).await;
    assert_eq!(live.value, 3);
    cluster.apply(&change(&target(), 4), &live).await.unwrap();
    double.faults().release();
    double.faults().wait_for_handled(Verb::Patch, 2).await;
    assert_eq!(moves(&double), ours(4));
}

#[tokio::test]
async fn k3_a_connection_cut_after_the_write_is_unknown_and_settled_by_reading() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    let live = read(&cluster).await;
    double.faults().order(Verb::Patch, 1, Fault::Cut);
    let outcome = cluster.apply(&change(&target(), 5), &live).await;
    assert!(matches!(outcome, Err(ClusterError::Unknown { .. })), "{outcome:?}");
    assert_eq!(read(&cluster).await.value, 5);
    assert_eq!((double.faults().requests(Verb::Patch), moves(&double)), (1, ours(5)));
}

/// Reports two pods, one of them ready, and that no more can be created, as the controller does on a quota.
fn set_create_failure(objects: &Objects, why: &str) {
    let condition = json!({ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": why });
    let author = Author { part: Some(Subresource::Status), ..Author::named("plant") };
    let reported = objects.update(Resource::Deployments, "shop", "checkout", &author, |old| {
        let mut new = old.clone();
        for count in ["replicas", "updatedReplicas"] {
            new["status"][count] = json!(2);
        }
        new["status"]["conditions"] = json!([condition]);
        Ok(new)
    });
    reported.unwrap();
}

#[tokio::test]
async fn x5_pods_that_do_not_come_show_in_the_view() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    until(&cluster, &target(), asks_for(3)).await;
    double.objects().set_status("shop", "checkout", 3, 1);
    let reading = until(&cluster, &target(), |reading| reading.known().is_some_and(|target| target.ready == 1)).await;
    assert_eq!(reading.known().unwrap().stuck, None, "pods that start are not stuck");
    set_create_failure(double.objects(), "exceeded quota: pods=2");
    let is_stuck = |reading: &TargetReading| reading.known().is_some_and(|target| target.stuck.is_some());
    let reading = until(&cluster, &target(), is_stuck).await;
    let expected = Stuck { pods: 1, why: "FailedCreate: exceeded quota: pods=2".to_owned() };
    assert_eq!(reading.known().unwrap().stuck, Some(expected));
    double.objects().set_status("shop", "checkout", 3, 3);
    until(&cluster, &target(), |reading| !is_stuck(reading)).await;
}

#[tokio::test]
async fn k5_after_410_the_targets_are_listed_again_and_never_seem_to_be_gone() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    until(&cluster, &target(), asks_for(3)).await;
    double.faults().freeze_watches(true);
    double.objects().set_status("shop", "checkout", 3, 2);
    double.objects().compact();
    double.faults().order_of(Resource::Deployments, Verb::List, 1, Fault::status(500));
    double.faults().freeze_watches(false);
    let never_gone = |reading: &TargetReading| {
        assert_eq!(reading.last().map(|target| target.replicas), Some(3), "{reading:?}");
        reading.known().is_some_and(|target| target.ready == 2)
    };
    until(&cluster, &target(), never_gone).await;
    assert_eq!(double.faults().requests_of(Resource::Deployments, Verb::List), 3);
}

/// The longer the server was away, the longer the pauses; when it is back it reports that it lost what was watched.
#[tokio::test]
async fn k5_after_an_outage_what_was_lost_is_listed_at_once() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    until(&cluster, &target(), asks_for(3)).await;
    let asked = |verb| double.faults().requests_of(Resource::Deployments, verb);
    let (watched, listed) = (asked(Verb::Watch), asked(Verb::List));
    double.faults().order_of(Resource::Deployments, Verb::Watch, 4, Fault::status(503));
    double.faults().order_of(Resource::Deployments, Verb::Watch, 1, Fault::status(410));
    eventually("it is told", || asked(Verb::Watch) >= watched + 5).await;
    let told = std::time::Instant::now();
    eventually("it lists", || asked(Verb::List) > listed).await;
    // A pause after so many failures is at least four.
    assert!(told.elapsed() < Duration::from_secs(2), "listed again after {:?}", told.elapsed());
}

/// A list that fails in between says nothing about the watches: they still fail.
#[tokio::test]
async fn k5_changes_missed_again_and_again_are_listed_ever_more_slowly() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    until(&cluster, &target(), asks_for(3)).await;
    let asked = |verb| double.faults().requests_of(Resource::Deployments, verb);
    let passes = Fault::DelayBefore(Duration::ZERO);
    double.faults().order_of(Resource::Deployments, Verb::List, 1, Fault::status(500));
    double.faults().order_of(Resource::Deployments, Verb::List, 1, passes);
    let watched = asked(Verb::Watch);
    double.faults().order_of(Resource::Deployments, Verb::Watch, 2, Fault::status(410));
    let listed = asked(Verb::List);
    // The clock is read before the question: a machine that stalls in between makes it no later.
    let missed = Mutex::new(std::time::Instant::now());
    eventually("changes are missed twice", || {
        let before = std::time::Instant::now();
        let twice = asked(Verb::Watch) >= watched + 2;
        if !twice {
            *missed.lock() = before;
        }
        twice
    })
    .await;
    eventually("it lists three times", || asked(Verb::List) >= listed + 3).await;
    let after = missed.lock().elapsed();
    assert!(after > Duration::from_millis(800), "listed again after {after:?}");
}

#[tokio::test]
async fn k6_an_empty_list_of_a_lagging_server_is_not_believed() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    until(&cluster, &target(), asks_for(3)).await;
    double.faults().freeze_watches(true);
    double.objects().set_status("shop", "checkout", 3, 1);
    double.objects().compact();
    for version in ["900", ""] {
        let list = json!({"kind": "DeploymentList", "metadata": {"resourceVersion": version}, "items": []});
        double.faults().order_of(Resource::Deployments, Verb::List, 1, Fault::Answer { code: 200, body: list });
    }
    double.faults().freeze_watches(false);
    let never_gone = |reading: &TargetReading| {
        assert_eq!(reading.last().map(|target| target.replicas), Some(3), "{reading:?}");
        reading.known().is_some_and(|target| target.ready == 1)
    };
    until(&cluster, &target(), never_gone).await;
    assert_eq!(double.faults().requests_of(Resource::Deployments, Verb::List), 4);
}

#[tokio::test]
async fn k7_a_watch_that_went_silent_is_opened_anew() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    until(&cluster, &target(), asks_for(3)).await;
    double.faults().wait_for_requests(Verb::Watch, 1).await;
    double.faults().freeze_watches(true);
    double.objects().set_status("shop", "checkout", 3, 0);
    double.faults().wait_for_requests(Verb::Watch, 2).await;
    assert_eq!(cluster.waiting_for(), []);
    double.faults().freeze_watches(false);
    until(&cluster, &target(), |reading| reading.known().is_some_and(|target| target.ready == 0)).await;
}

#[tokio::test]
async fn k7_a_watch_that_stays_silent_is_outdated_and_waited_for() {
    let double = double().await;
    // No silence is tolerated, so that the test need not wait for one.
    let cluster = cluster(&double, Timeouts { silence: Duration::ZERO, ..TIMEOUTS }).await;
    let outdated = |reading: &TargetReading| matches!(reading, TargetReading::Outdated { .. });
    until(&cluster, &target(), outdated).await;
    let silent = |kind: &str| {
        let why = StaleWatch { silent_seconds: Some(0), trouble: None };
        Awaited::Watch { of: format!("{kind} in shop"), why }
    };
    assert_eq!(cluster.waiting_for(), [silent("Deployments"), silent("HorizontalPodAutoscalers")]);
}

/// A service declared in a new namespace does not affect the existing ones.
#[tokio::test]
async fn k7_a_watch_that_came_later_is_waited_for_by_its_own_targets_alone() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    until(&cluster, &target(), asks_for(3)).await;
    eventually("all is known", || cluster.waiting_for().is_empty()).await;
    double.faults().order(Verb::List, 100, Fault::status(403));
    let newcomer = TargetRef { namespace: "blog".to_owned(), ..target() };
    cluster.follow(&[target(), newcomer.clone()].into());
    let told = |reading: &TargetReading| matches!(reading, TargetReading::Unknown { reason } if reason.contains("403"));
    until(&cluster, &newcomer, told).await;
    assert_eq!(cluster.waiting_for(), []);
    let waiting = cluster.newly_waiting_for();
    assert!(waiting[0].to_string().starts_with("watch of Deployments in blog: not synced"), "{waiting:?}");
}

#[tokio::test]
async fn k9_k10_k11_a_refusal_is_told_apart_and_costs_one_request() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    let live = read(&cluster).await;
    let mut sent = 0;
    for (code, expected) in [
        (403, "not allowed"),
        (422, "refused by the API server"),
        (400, "refused by the API server"),
        (429, "API server unavailable"),
        (503, "API server unavailable"),
        (500, "outcome unknown"),
        (504, "outcome unknown"),
    ] {
        double.faults().order(Verb::Patch, 1, Fault::status(code));
        let error = cluster.apply(&change(&target(), 5), &live).await.unwrap_err().to_string();
        assert_eq!(error, format!("{expected}: ordered by a test"), "{code}");
        sent += 1;
        assert_eq!(double.faults().requests(Verb::Patch), sent, "{code}");
    }
    assert_eq!(moves(&double), []);
}

#[tokio::test]
async fn k10_a_missing_right_is_told_and_not_asked_for_in_a_hot_loop() {
    let double = double().await;
    double.faults().order_of(Resource::Deployments, Verb::List, 100, Fault::status(403));
    let cluster = cluster(&double, TIMEOUTS).await;
    let told = |reading: &TargetReading| matches!(reading, TargetReading::Unknown { reason } if reason.contains("403"));
    let reading = until(&cluster, &target(), told).await;
    let expected = "not synced yet: status 403: ordered by a test".to_owned();
    assert_eq!(reading, TargetReading::Unknown { reason: expected });
    let [refused] = &*cluster.waiting_for() else { panic!("{:?}", cluster.waiting_for()) };
    assert_eq!(refused.to_string(), "watch of Deployments in shop: not synced: status 403: ordered by a test");
    // Ordinary failures are retried within half a second.
    for _ in 0..6 {
        double.faults().order(Verb::Get, 1, Fault::DelayAnswer(Duration::from_millis(100)));
        read(&cluster).await;
    }
    assert_eq!(double.faults().requests_of(Resource::Deployments, Verb::List), 1);
}

#[tokio::test]
async fn k11_a_value_changed_by_admission_is_handed_back_as_the_server_holds_it() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    let live = read(&cluster).await;
    let metadata = json!({"name": "checkout", "uid": live.uid, "resourceVersion": "2000"});
    let body = json!({"metadata": metadata, "spec": {"replicas": 4}});
    double.faults().order(Verb::Patch, 1, Fault::Answer { code: 200, body });
    assert_eq!(cluster.apply(&change(&target(), 9), &live).await.unwrap().value, 4);
}

#[tokio::test]
async fn k13_an_answer_that_holds_no_count_is_unknown_and_named() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    let with = |spec: Value| json!({"metadata": {"name": "checkout", "resourceVersion": "1"}, "spec": spec});
    for (body, expected) in [
        (with(json!({"replicas": -3})), "spec.replicas is -3"),
        (with(json!({"replicas": 3_000_000_000_u64})), "spec.replicas is 3000000000"),
        (with(json!({"replicas": "three"})), "spec.replicas is \"three\""),
        (with(Value::Null), "spec.replicas is missing"),
        (json!([]), "malformed answer"),
        (json!("<html>"), "malformed answer"),
    ] {
        double.faults().order(Verb::Get, 1, Fault::Answer { code: 200, body });
        let error = cluster.read(&change(&target(), 0)).await.unwrap_err();
        assert!(matches!(&error, ClusterError::Unknown { reason } if reason.contains(expected)), "{error}");
    }
}

#[tokio::test]
async fn a_write_without_a_version_to_depend_on_is_not_sent() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    let live = Live { resource_version: String::new(), ..read(&cluster).await };
    let refused = cluster.apply(&change(&target(), 5), &live).await;
    assert!(matches!(refused, Err(ClusterError::Denied { .. })), "{refused:?}");
    assert_eq!(double.faults().requests(Verb::Patch), 0);
}

#[tokio::test]
async fn x2_without_the_right_to_see_autoscalers_nothing_is_known_of_a_target_and_nothing_read_for_a_write() {
    let double = double().await;
    double.faults().order_of(Resource::Autoscalers, Verb::List, 100, Fault::status(403));
    let cluster = cluster(&double, TIMEOUTS).await;
    let told = |reading: &TargetReading| matches!(reading, TargetReading::Unknown { reason } if reason.contains("403"));
    let reading = until(&cluster, &target(), told).await;
    let expected =
        "unknown whether an autoscaler scales it: autoscalers: not synced yet: status 403: ordered by a test";
    assert_eq!(reading, TargetReading::Unknown { reason: expected.to_owned() });
    let refused = cluster.read(&change(&target(), 5)).await;
    assert!(matches!(refused, Err(ClusterError::Forbidden { .. })), "{refused:?}");
}

#[tokio::test]
async fn k9_a_server_that_is_too_busy_says_how_long_to_leave_it_alone() {
    let double = double().await;
    let cluster = cluster(&double, TIMEOUTS).await;
    let live = read(&cluster).await;
    double.faults().order(Verb::Patch, 1, Fault::status(429));
    let refused = cluster.apply(&change(&target(), 5), &live).await;
    // The header alone says so, as from a server that sheds load.
    let (reason, retry_after) = ("ordered by a test".to_owned(), Duration::from_secs(1));
    assert_eq!(refused, Err(ClusterError::Busy { reason, retry_after }));
}

/// Returns a cluster whose server answers each request with these bytes.
async fn gateway(answer: Vec<u8>) -> Kubernetes {
    let (url, _) = crate::contract_answers::gateway(answer).await;
    Kubernetes::start(&connect(&Access::Url(url), TIMEOUTS).await.unwrap())
}

#[tokio::test]
async fn k9_k10_the_status_of_an_answer_counts_whatever_its_body_is() {
    let live = Live { uid: "u".to_owned(), resource_version: "7".to_owned(), value: 3, displaced: None };
    for (status, headers, body, expected) in [
        ("429 Busy", "Retry-After: 30", &br#"{"error":"too many requests"}"#[..], "too many requests"),
        ("429 Busy", "Retry-After: 30", br#"{"code":500,"message":"ours"}"#, "API server unavailable: ours"),
        ("503 Busy", "Retry-After: 30", b"\xff busy", "\u{fffd} busy"),
        ("503 Busy", "Content-Length: 99\r\nRetry-After: 30", b"cut", "API server unavailable: "),
        ("403 No", "Retry-After: 30", br#"{"message":""}"#, r#"not allowed: {"message":""}"#),
        ("403 No", "Via: g", b"[]", "not allowed: []"),
        ("404 No", "Via: g", b"{}", "does not exist"),
        ("422 No", "Via: g", b"{}", "refused by the API server: {}"),
        ("500 No", "Via: g", b"{}", "outcome unknown: {}"),
    ] {
        let head = format!("HTTP/1.1 {status}\r\n{headers}\r\nConnection: close\r\n\r\n");
        let cluster = gateway([head.as_bytes(), body].concat()).await;
        let written = cluster.apply(&change(&target(), 5), &live).await.unwrap_err();
        for error in [written, cluster.read(&change(&target(), 5)).await.unwrap_err()] {
            assert!(error.to_string().contains(expected), "{status} {headers}: {error}");
            if let ClusterError::Busy { retry_after, .. } = error {
                assert_eq!(retry_after, Duration::from_secs(30), "{status} {headers}");
            }
        }
    }
}

#[tokio::test]
async fn k9_retry_after_is_read_in_all_its_forms() {
    let live = Live { uid: "u".to_owned(), resource_version: "7".to_owned(), value: 3, displaced: None };
    let date = "Date: Tue, 24 Nov 2026 12:00:00 GMT\r\n";
    for (retry_after, seconds) in [
        ("7", 7),
        ("99999999999", u64::from(u32::MAX)),
        ("99999999999999999999999", u64::from(u32::MAX)),
        ("Tue, 24 Nov 2026 12:00:40 GMT", 40),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        ("soon", 0),
        ("-1", 0),
    ] {
        let answer = format!("HTTP/1.1 429 Busy\r\nConnection: close\r\n{date}Retry-After: {retry_after}\r\n\r\nbusy");
        let cluster = gateway(answer.into_bytes()).await;
        let refused = cluster.apply(&change(&target(), 5), &live).await;
        let expected = ClusterError::Busy { reason: "busy".to_owned(), retry_after: Duration::from_secs(seconds) };
        assert_eq!(refused, Err(expected), "{retry_after}");
    }
}
