//! The kill switch under a stream of writes: the API server's own log shows when the last one arrived. Also the switch
//! operated with kubectl alone, across a restart, and while it is missing, garbled or unreadable.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::governed::{self, DECLARED, Governed, kubectl};
use super::kills::Real;
use super::server::ApiServer;
use super::witness::{Request, requests};
use super::{Cluster, PATIENCE};
use crate::eventually;
use crate::support::flyball::Installation;
use crate::support::kills::{POLICY, Rates, Server, places, random, settings, settings_of};

/// Another service is asked to grow at this pace.
const PACE: Duration = Duration::from_millis(250);
/// Number before the switch is engaged, and after.
const ASKED: usize = 24;
/// The longest time from the switch to the last write that starts.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn no_write_arrives_later_than_a_second_after_the_kill_switch() {
    let server = Real::start().await;
    let telemetry = Rates::start().await;
    let installation = Installation::new(
        Path::new(env!("CARGO_BIN_EXE_flyball")),
        &settings(&telemetry.url, ""),
        &[("capacity.rhai", POLICY)],
    );
    let installation = installation.with_environment(server.environment());
    for (namespace, name) in places() {
        server.add(&namespace, &name, 1).await;
        telemetry.set(&namespace, &name, 5.0);
    }
    let begin = Timestamp::now();
    let mut flyball = installation.start(None);
    flyball.ready().await;

    let mut places = places();
    let mut ask = async |count: usize| {
        for (namespace, name) in places.by_ref().take(count) {
            telemetry.set(&namespace, &name, 15.0);
            sleep(PACE).await;
        }
    };
    ask(ASKED).await;
    assert!(installation.ask(&["kill", "--reason", "drill"]).status.success());
    let engaged = Timestamp::now();
    ask(ASKED).await;
    let before = written(begin);
    assert!(before.len() > ASKED / 2, "too few writes before the switch: {before:?}");
    let last = before.iter().map(|request| request.arrived).max().unwrap();
    println!("{{\"kill_switch_ms\": {}}}", last.duration_since(engaged).as_millis().max(0));
    assert!(last < engaged + SECOND, "a write arrived {:#} after the switch", last.duration_since(engaged));

    assert!(installation.ask(&["resume", "--reason", "drill over"]).status.success());
    eventually("writes go on", Duration::from_secs(30), async || (written(begin).len() > before.len()).then_some(()))
        .await;
    assert!(flyball.stop().success());
}

/// Returns the accepted writes since `begin`.
fn written(begin: Timestamp) -> Vec<Request> {
    requests().into_iter().filter(|it| it.verb == "patch" && it.status == 200 && it.arrived > begin).collect()
}

/// Settings that make the switch the ConfigMap.
const IN_CLUSTER: &str = "kill_switch: configmap\nnamespace: flyball-system\n";
const SWITCH: &str = "/api/v1/namespaces/flyball-system/configmaps/flyball-killswitch";
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base/killswitch.yaml");
const ROLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/base/rbac.yaml");
/// Longer than two decisions.
const A_WHILE: Duration = Duration::from_millis(2500);
/// The path of flyball's permissions in all namespaces.
const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/flyball";
/// The path of its permission to read the switch.
const SWITCH_ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/flyball-system/roles/flyball-killswitch";

/// Creates the switch as shipped: released.
fn delivered() {
    kubectl("delete configmap flyball-killswitch -n flyball-system --ignore-not-found");
    kubectl(&format!("create -f {MANIFEST}"));
}

async fn turn(cluster: &Cluster, word: &str) {
    assert_eq!(cluster.patch(SWITCH, json!({ "data": { "global": word } })).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_09_the_switch_turned_with_kubectl_outlives_a_restart_and_counts_as_engaged_where_it_cannot_be_read() {
    delivered();
    let mut governed = Governed::start_with("switched", 2, governed::POLICY, DECLARED, IN_CLUSTER).await;
    governed.needs(4);
    governed.wants(4).await;
    kubectl("patch configmap flyball-killswitch -n flyball-system --type merge -p {\"data\":{\"global\":\"engaged\"}}");
    governed.restart();
    governed.needs(9);
    // While the switch stays as it is, nothing is written, although more is needed all the time.
    let stopped = async |governed: &Governed, says: &str| {
        governed.shows(says).await;
        sleep(A_WHILE).await;
        assert_eq!(governed.written().await.len(), 1, "written while the switch {says}");
    };
    stopped(&governed, "held by kill_switch").await;
    kubectl("delete configmap flyball-killswitch -n flyball-system");
    stopped(&governed, "held by kill_switch").await;
    kubectl("create configmap flyball-killswitch -n flyball-system --from-literal=global=off");
    stopped(&governed, "held by kill_switch").await;
    // Released, but unreadable.
    let role = governed.cluster.get(ROLE).await;
    let others = role["rules"].as_array().unwrap().iter().filter(|rule| rule["resources"] != json!(["configmaps"]));
    let others: Vec<&Value> = others.collect();
    assert_eq!(governed.cluster.patch(ROLE, json!({ "rules": others })).await, 200);
    assert_eq!(governed.cluster.patch(SWITCH_ROLE, json!({ "rules": [] })).await, 200);
    let flyball = Cluster::with(super::account().1).await;
    let forbidden =
        async || flyball.refusal(SWITCH, json!({})).await.is_some_and(|(code, _)| code == 403).then_some(());
    eventually("the right is gone", PATIENCE, forbidden).await;
    turn(&governed.cluster, "released").await;
    stopped(&governed, "held by kill_switch").await;
    kubectl(&format!("apply --server-side --force-conflicts -f {ROLES}"));
    governed.wants(9).await;
    governed.nothing_refused();
    governed.stop();
    kubectl("delete configmap flyball-killswitch -n flyball-system");
}

/// How often the switch is engaged, unless `FLYBALL_LAB_MOMENTS` says otherwise.
const MOMENTS: u64 = 5;
/// Longest time that the API server is paused.
const HELD: u64 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn inv_08_at_whatever_moment_kubectl_engages_the_switch_no_write_starts_a_second_later() {
    let moments = std::env::var("FLYBALL_LAB_MOMENTS").map_or(MOMENTS, |count| count.parse().unwrap());
    delivered();
    let (real, telemetry, cluster) = (Real::start().await, Rates::start().await, Cluster::open().await);
    let program = Path::new(env!("CARGO_BIN_EXE_flyball"));
    // Each is asked to grow at most twice: its pods never become ready, and a third raise would wait for them.
    let count = moments * 3 / 2 + 3;
    let services = || (0..count).map(|index| (format!("n{}", index % 5), format!("m{}", index / 5)));
    let text = settings_of(services(), &telemetry.url, IN_CLUSTER);
    let installation = Installation::new(program, &text, &[("capacity.rhai", POLICY)]);
    let installation = installation.with_environment(real.environment());
    for (namespace, name) in services() {
        real.add(&namespace, &name, 1).await;
        telemetry.set(&namespace, &name, 5.0);
    }
    let (begin, mut server) = (Timestamp::now(), ApiServer::find());
    let mut flyball = installation.start(None);
    flyball.ready().await;
    let (mut worst, mut worst_unheld, mut raced, mut rested) = (0, 0, 0, services().cycle());
    for moment in 0..moments {
        // The three that have rested longest are to grow, at a pace that the fleet budget permits.
        for (namespace, name) in rested.by_ref().take(3) {
            let wanted = real.wanted(&namespace, &name).await;
            telemetry.set(&namespace, &name, f64::from(wanted) * 10.0 + 5.0);
        }
        sleep(Duration::from_millis(random(moment) % 1500)).await;
        if moment % 40 == 20 {
            // Gone, and the switch is operated right after it is back.
            server.kill().await;
            server.start().await;
        }
        // Paused while the switch is operated: what waits is served on resume, in any order.
        let is_held = moment % 10 == 3;
        if is_held {
            server.halt();
        }
        let wakes = async {
            if is_held {
                sleep(Duration::from_millis(random(moment + 1000) % HELD)).await;
                server.resume();
            }
        };
        let engaged = Timestamp::now();
        futures::join!(turn(&cluster, "engaged"), wakes);
        sleep(Duration::from_millis(1700)).await;
        let late = |it: &Request| it.verb == "patch" && it.uri.contains("/scale") && it.arrived > engaged;
        let last = requests().into_iter().filter(late).map(|it| it.arrived.duration_since(engaged).as_millis()).max();
        raced += usize::from(last.is_some());
        worst = worst.max(last.unwrap_or(0));
        if !is_held {
            worst_unheld = worst_unheld.max(last.unwrap_or(0));
        }
        turn(&cluster, "released").await;
    }
    let writes = written(begin).len();
    let figures = json!({
        "kill_switch_worst_ms": worst, "where_the_server_answered_ms": worst_unheld, "moments": moments,
        "writes_after": raced, "writes": writes,
    });
    println!("{figures}");
    assert!(worst < SECOND.as_millis(), "a write arrived {worst} ms after the switch");
    assert!(u64::try_from(writes).unwrap() >= moments, "too few writes to tell anything: {figures}");
    assert!(flyball.stop().success());
    kubectl("delete configmap flyball-killswitch -n flyball-system");
}
