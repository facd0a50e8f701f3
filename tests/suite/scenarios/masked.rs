//! Masked fields: used in decisions as ever, but never shown.

use std::sync::Arc;
use std::time::Duration;

use flyball::model::explain::{headline, text};
use flyball::model::{Choice, Impact, Reading, ServiceId};
use flyball::ports::{Control, News};

use super::world::{World, policy_set, settings};

const CART: &str = "shop/cart";

/// Forms in which a load of 412.3456/s and a latency of 123.4567 ms could leak.
const TOLD: [&str; 5] = ["412.3", "412/s", "0.1234", "123 ms", "Example Inc."];

const POLICY: &str = r#"
    rule("follow", #{ priority: 1, goal: "protect" }, |s, p| [
        note("as Example Inc. asked"),
        when(s.rps.current > rps(1)),
        when(s.p99.current < secs(1)),
        scale_to(s.capacity.needed_now),
    ]);
"#;

/// Everything that a loop reports in half an hour, and what it did.
async fn told(records: &str) -> (String, u32) {
    let text_of = settings(&[CART], "").replacen("state:", &format!("{records}state:"), 1);
    let load = |_: &str, signal: &str, _| match signal {
        "rps" => Some(412.3456),
        "p99" => Some(0.123_456_7),
        _ => Some(0.5),
    };
    let world = World::with_settings(&text_of, Arc::new(load));
    world.policies.send_replace(Arc::new(policy_set(&[("t.rhai", POLICY)])));
    let (tree, control) = world.start().await;
    tokio::time::sleep(Duration::from_mins(30)).await;
    let service: ServiceId = CART.parse().unwrap();
    let mut said = vec![
        serde_json::to_string(&control.status()).unwrap(),
        serde_json::to_string(&control.policies()).unwrap(),
        serde_json::to_string(&control.service(&service).unwrap()).unwrap(),
    ];
    for record in world.records(CART).iter().chain(&control.decisions(Some(&service), None, 500).unwrap()) {
        said.extend([serde_json::to_string(record).unwrap(), text(record), headline(record).why]);
    }
    let news = world.services.news.lock().clone();
    assert!(
        news.iter().any(|(_, news)| matches!(news, News::Measured { effect, .. } if effect.impact != Impact::Hurt))
    );
    said.extend(news.iter().map(|(_, news)| format!("{news:?}")));
    let last = control.service(&service).unwrap().last.unwrap();
    assert!(matches!(last.proposal.choice, Choice::Act { .. }), "{:?}", last.proposal.choice);
    tree.stop().await;
    (said.join("\n"), world.cluster.replicas("cart"))
}

#[tokio::test(start_paused = true)]
async fn inv_32_what_is_masked_is_decided_on_and_reaches_no_record_answer_or_event() {
    let (whole, replicas) = told("").await;
    let found = |said: &str| TOLD.into_iter().filter(|value| said.contains(value)).collect::<Vec<_>>();
    assert_eq!(found(&whole), TOLD, "the test looks for what is there");
    let (masked, same) = told("records: { mask: { signals: [rps, p99], notes: true } }\n").await;
    assert_eq!(found(&masked), [""; 0]);
    assert!(replicas == 6 && same == replicas, "{replicas} and {same}");
    assert!(masked.contains("\"why\":\"masked\"") && masked.contains("rps.current masked > 1.0/s"));
}

/// A loop with masked values is not one without values.
#[tokio::test(start_paused = true)]
async fn a_masked_signal_counts_as_seen() {
    let text = settings(&[CART], "").replacen("state:", "records: { mask: { signals: [rps] } }\nstate:", 1);
    let world = World::with_settings(&text, super::world::steady(|_, _| 200.0));
    let (tree, control) = world.start().await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    let snapshot = control.service(&CART.parse().unwrap()).unwrap();
    let reading = snapshot.features.as_ref().unwrap().signals[0].reading.clone();
    assert!(matches!(reading, Reading::Absent { .. }) && reading.is_known(), "{reading:?}");
    let summary = flyball::console::ServiceSummary::from(snapshot);
    assert_eq!(summary.fresh_signals, (3, 3));
    tree.stop().await;
}
