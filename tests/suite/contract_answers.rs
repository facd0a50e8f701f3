//! What an API server answer means, for any request: its status counts, whatever its body is. Proxies in front of a
//! server answer with their own pages and objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flyball::adapters::kubernetes::actions::LoopActions;
use flyball::adapters::kubernetes::kill_map::KillMap;
use flyball::adapters::kubernetes::lease::KubernetesLease;
use flyball::adapters::kubernetes::{Access, ApiServer, Kubernetes, Timeouts, connect, survey};
use flyball::adapters::store::MemoryJournal;
use flyball::demo::kubernetes::Objects;
use flyball::demo::kubernetes::call::Verb;
use flyball::demo::kubernetes::resource::Resource;
use flyball::model::{Epoch, Foreseen, Intent, KillState, TargetReading, Timestamp};
use flyball::ports::journal::{Entry, JournalError};
use flyball::ports::{Awaited, Journal, KillSwitch, Leadership};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::cluster_faults::target;
use crate::contract_cluster::until;
use crate::contract_leadership::{TIMING, epoch};
use crate::records;
use crate::support::kubernetes::BreakableDouble;
use crate::support::kubernetes::faults::Fault;
use crate::support::wait::eventually;

const OWN: &str = "flyball-system";

/// Refusals that are not API objects, and how they are reported.
const REFUSALS: [(&str, &[u8], &str); 6] = [
    ("429 Busy", b"<html>busy</html>", "status 429: <html>busy</html>"),
    ("429 Busy", br#"{"error":"too many requests"}"#, r#"status 429: {"error":"too many requests"}"#),
    ("429 Busy", b"\xff busy", "status 429: \u{fffd} busy"),
    ("403 No", b"<html>no</html>", "status 403: <html>no</html>"),
    ("403 No", br#"{"code":500,"message":"ours"}"#, "status 403: ours"),
    ("403 No", b"{}", "status 403: {}"),
];

/// Answers each request with the same bytes and closes, as gateways do. Returns the address, and the number of answers.
pub async fn gateway(answer: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answered = Arc::new(AtomicUsize::new(0));
    let count = answered.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    (url, answered)
}

async fn refusing(status: &str, body: &[u8]) -> (ApiServer, Arc<AtomicUsize>) {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
    let (url, answered) = gateway([head.as_bytes(), body].concat()).await;
    (server(url).await, answered)
}

async fn server(url: String) -> ApiServer {
    let _ = rustls::crypto::ring::default_provider().install_default();
    connect(&Access::Url(url), Timeouts::default()).await.unwrap()
}

async fn double() -> (BreakableDouble, ApiServer) {
    let double = BreakableDouble::start(Objects::default()).await.unwrap();
    let server = server(double.url()).await;
    (double, server)
}

/// An answer whose only information is its status.
fn bare(code: u16) -> Fault {
    Fault::Answer { code, body: json!({}) }
}

#[tokio::test]
async fn k9_k10_at_the_kill_switch() {
    for (status, body, expected) in REFUSALS {
        let (server, _) = refusing(status, body).await;
        let read = KillMap::start(&server, OWN).read().await;
        assert!(matches!(&read, KillState::Unreadable { error } if error.ends_with(expected)), "{expected}: {read:?}");
    }
    let (server, _) = refusing("404 No", b"{}").await;
    let read = KillMap::start(&server, OWN).read().await;
    assert!(matches!(read, KillState::Missing { .. }), "{read:?}");
}

fn open() -> Intent {
    Intent::open(records::change(&records::id("shop/checkout", 1)), Timestamp::now(), Foreseen::default())
}

#[tokio::test]
async fn k9_k10_at_loop_actions() {
    let journal = |server: &ApiServer| LoopActions::over(Arc::new(MemoryJournal::new()), server);
    for (status, body, expected) in REFUSALS {
        let (server, answered) = refusing(status, body).await;
        let journal = journal(&server);
        let refused = journal.append(Entry::Prepared(open())).await.unwrap_err().to_string();
        assert!(refused.contains(expected), "{expected}: {refused}");
        // A refused object was not created: there is nothing to look for or to end.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!((answered.load(Ordering::SeqCst), journal.health()), (1, Ok(())), "{expected}");
        let unread = journal.refresh().await.unwrap_err().to_string();
        assert!(unread.contains(&format!("LoopActions: {expected}")), "{expected}: {unread}");
    }
    let (server, _) = refusing("409 No", b"{}").await;
    let twice = journal(&server).append(Entry::Prepared(open())).await;
    assert!(matches!(twice, Err(JournalError::Contradiction(_))), "{twice:?}");
}

#[tokio::test]
async fn k9_k10_at_the_lease() {
    let lease = async |server: &ApiServer| {
        let lease = KubernetesLease::start(server, OWN, "flyball", "flyball-0", TIMING);
        eventually("it leads", || epoch(&lease).is_some()).await;
        lease
    };
    for (code, body) in [(429, json!({ "error": "busy" })), (403, json!({ "code": 500, "message": "ours" }))] {
        let (double, server) = double().await;
        let lease = lease(&server).await;
        let refusal = Fault::Answer { code, body };
        double.faults().order(Verb::Patch, 1_000, refusal.clone());
        double.faults().order(Verb::Get, 1_000, refusal);
        let told =
            |wait: &Awaited| matches!(wait, Awaited::Lease { why, .. } if why.starts_with(&format!("status {code}: ")));
        eventually("it names the trouble", || lease.waiting_for().iter().any(told)).await;
    }
    let (double, server) = double().await;
    let lease = lease(&server).await;
    double.faults().order_of(Resource::Leases, Verb::Patch, 1, bare(409));
    let begun = Instant::now();
    while begun.elapsed() < TIMING.duration {
        assert_eq!((lease.waiting_for(), epoch(&lease).is_some()), (vec![], true), "a conflict is no trouble");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(double.faults().requests_of(Resource::Leases, Verb::Get), 1, "it was met, and looked at");
    let (server, _) = refusing("403 No", b"{}").await;
    let lease = KubernetesLease::start(&server, OWN, "flyball", "flyball-0", TIMING);
    assert_eq!(lease.fence(Epoch::new(1)).await, Ok(()), "a server that does not let us has no such policy");
}

#[tokio::test]
async fn k10_at_a_list() {
    let (double, server) = double().await;
    double.objects().add_deployment("shop", "checkout", 3);
    double.faults().order_of(Resource::Deployments, Verb::List, 100, bare(403));
    let cluster = Kubernetes::start(&server);
    flyball::ports::Cluster::follow(&cluster, &[target()].into());
    let told = |reading: &TargetReading| matches!(reading, TargetReading::Unknown { reason } if reason.contains("403"));
    until(&cluster, &target(), told).await;
    // Ordinary failures are retried within half a second.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(double.faults().requests_of(Resource::Deployments, Verb::List), 1);
    let (server, _) = refusing("403 No", b"{}").await;
    assert_eq!(survey::loops(&server).await.unwrap_err(), "status 403: {}");
}

#[tokio::test]
async fn a_status_of_a_loop_that_changed_meanwhile_holds_up_no_other() {
    let mut site = crate::contract_services::Site::open().await;
    site.double.faults().order_of(Resource::ServiceLoops, Verb::Patch, 1, bare(409));
    site.apply("checkout", &json!({}));
    site.apply("search", &json!({}));
    site.roster(|specs| specs.len() == 2).await;
    let begun = Instant::now();
    site.until("one has a status", |site| !site.status("search").is_null() || !site.status("checkout").is_null()).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "after {:?}", begun.elapsed());
}
