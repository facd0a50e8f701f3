//! The endpoint as a client sees it: over HTTP, on loopback.

use serde_json::{Value, json};
use std::fmt::Write as _;

use super::prometheus::fleet::Fleet;
use super::prometheus::queries::{QUERIES, sample_time_query};
use super::*;

fn start_at() -> Timestamp {
    Scenario::demo_start("2026-03-03T00:00:00Z".parse().unwrap())
}

async fn demo() -> Demo {
    Demo::start(&Scenario::demo(start_at()).unwrap(), 7, start_at()).await.unwrap()
}

fn later(seconds: i64) -> Timestamp {
    start_at() + jiff::SignedDuration::from_secs(seconds)
}

fn run(demo: &Demo, seconds: i64) {
    demo.advance_to(later(seconds), |_| None, |_, _| {});
}

fn query(name: &str, matchers: &str) -> String {
    QUERIES.iter().find(|row| row.name == name).unwrap().query.replace("$selector", matchers)
}

fn client() -> reqwest::Client {
    // The first test installs it; nothing here uses TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

async fn get(url: &str, path: &str, parameters: &[(&str, &str)]) -> (u16, Value) {
    let response = client().get(format!("{url}{path}")).query(parameters).send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

async fn post(url: &str, path: &str, body: String) -> (u16, Value) {
    let form = "application/x-www-form-urlencoded";
    let request = client().post(format!("{url}{path}")).header("content-type", form).body(body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02X}").unwrap();
        text
    })
}

/// (service, number) of each series of a vector.
fn vector(body: &Value) -> Vec<(String, f64)> {
    assert_eq!(body["status"], "success", "{body}");
    assert_eq!(body["data"]["resultType"], "vector");
    let one = |series: &Value| {
        let name = series["metric"]["service"].as_str().unwrap().to_owned();
        (name, series["value"][1].as_str().unwrap().parse().unwrap())
    };
    body["data"]["result"].as_array().unwrap().iter().map(one).collect()
}

#[tokio::test]
async fn a_round_by_get_and_by_post_shows_the_plant() {
    let demo = demo().await;
    run(&demo, 607);
    let url = demo.prometheus_url();
    let now = later(607).as_second().to_string();
    for row in &QUERIES {
        let text = query(row.name, r#"namespace="shop""#);
        let (status, by_get) = get(&url, "/api/v1/query", &[("query", &text), ("time", &now)]).await;
        assert_eq!(status, 200, "{by_get}");
        let names: Vec<String> = vector(&by_get).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["catalog", "checkout", "search"], "{}", row.name);
        let body = format!("query={}&time={now}", escaped(&text));
        assert_eq!(post(&url, "/api/v1/query", body).await, (200, by_get));
    }
    let (_, rps) = get(&url, "/api/v1/query", &[("query", &query("rps", r#"service=~"search|nobody""#))]).await;
    let [(name, value)] = &vector(&rps)[..] else { panic!("{rps}") };
    assert_eq!(name, "search");
    let truth = demo.snapshot().iter().find(|service| service.service.name() == "search").unwrap().rps;
    assert!((value / truth - 1.0).abs() < 0.1, "{value} {truth}");
}

#[tokio::test]
async fn the_sample_time_is_that_of_a_published_scrape() {
    let demo = demo().await;
    let text = sample_time_query().replace("$selector", "");
    // Scrapes at whole multiples of 15 s, seen 15 s later: the start is one.
    for (seconds, staleness) in [(0, 15), (10, 25), (30, 15), (35, 20), (40, 25), (45, 15)] {
        run(&demo, seconds);
        let (_, body) = get(&demo.prometheus_url(), "/api/v1/query", &[("query", &text)]).await;
        let asked = body["data"]["result"][0]["value"][0].as_f64().unwrap();
        assert!((asked - later(seconds).as_second() as f64).abs() < 1e-6);
        for (name, at) in vector(&body) {
            assert!((asked - at - f64::from(staleness)).abs() < 1e-6, "{name} after {seconds} s: {}", asked - at);
        }
    }
}

#[tokio::test]
async fn a_series_ends_five_minutes_after_its_last_sample_and_begins_with_the_retention() {
    let demo = demo().await;
    let url = demo.prometheus_url();
    let text = query("rps", "");
    let at = |seconds: i64| later(seconds).as_second().to_string();
    let count = async |seconds: i64| {
        let (_, body) = get(&url, "/api/v1/query", &[("query", &text), ("time", &at(seconds))]).await;
        vector(&body).len()
    };
    assert_eq!(count(285).await, 3);
    assert_eq!(count(286).await, 0);
    assert_eq!(count(-14 * 86_400).await, 3);
    assert_eq!(count(-16 * 86_400).await, 0);
}

#[tokio::test]
async fn two_weeks_of_past_come_in_ranges_that_the_server_accepts() {
    let demo = demo().await;
    let url = demo.prometheus_url();
    let text = query("rps", r#"service="checkout""#);
    let ask = async |from: i64, to: i64, step: &str| {
        let (start, end) = (later(from).as_second().to_string(), later(to).as_second().to_string());
        let parameters = [("query", text.as_str()), ("start", &start), ("end", &end), ("step", step)];
        get(&url, "/api/v1/query_range", &parameters).await
    };
    let (status, body) = ask(-11_000 * 60, 0, "60").await;
    assert_eq!(status, 200);
    assert_eq!(body["data"]["resultType"], "matrix");
    let points = body["data"]["result"][0]["values"].as_array().unwrap();
    assert_eq!(points.len(), 11_001);
    let value = |index: usize| points[index][1].as_str().unwrap().parse::<f64>().unwrap();
    // Yesterday's surge, from 24 h minus 10 minutes before the start: at its peak ten minutes later.
    let surge = value(11_000 - 1440 + 20) / value(11_000 - 1440 + 5);
    assert!((2.7..3.3).contains(&surge), "{surge}");
    let (status, body) = ask(-11_001 * 60, 0, "1m").await;
    assert_eq!(status, 400);
    assert_eq!(
        body,
        json!({"status": "error", "errorType": "bad_data", "error": "exceeded maximum resolution of 11,000 points \
               per timeseries. Try decreasing the query resolution (?step=XX)"})
    );
    for (from, to, step, part) in [
        (0, -60, "60", "end timestamp must not be before start time"),
        (-60, 0, "0", "zero or negative query resolution"),
        (-60, 0, "soon", "cannot parse \"soon\" to a valid duration"),
    ] {
        let (status, body) = ask(from, to, step).await;
        assert_eq!((status, &body["errorType"]), (400, &json!("bad_data")));
        assert!(body["error"].as_str().unwrap().contains(part), "{body}");
    }
}

#[tokio::test]
async fn what_it_does_not_understand_is_refused_as_bad_data() {
    let demo = demo().await;
    for (text, part) in [
        ("", "no expression found in input"),
        ("up", "does not understand `up`"),
        (&query("rps", "service=~\"che.*\""), "expected plain texts separated by |"),
    ] {
        let (status, body) = get(&demo.prometheus_url(), "/api/v1/query", &[("query", text)]).await;
        assert_eq!((status, &body["status"], &body["errorType"]), (400, &json!("error"), &json!("bad_data")));
        assert!(body["error"].as_str().unwrap().contains(part), "{body}");
    }
    let (status, _) =
        get(&demo.prometheus_url(), "/api/v1/query", &[("query", &query("rps", "")), ("time", "noon")]).await;
    assert_eq!(status, 400);
    let ready = client().get(format!("{}/-/ready", demo.prometheus_url())).send().await.unwrap();
    assert_eq!(ready.text().await.unwrap(), "Prometheus Server is Ready.\n");
}

#[tokio::test]
async fn the_plant_follows_the_cluster_and_the_cluster_hears_of_it() {
    let demo = demo().await;
    let mut reported = Vec::new();
    let wanted = |id: &ServiceId| (id.name() == "search").then_some(25);
    demo.advance_to(later(5), wanted, |id, counts| reported.push((id.name().to_owned(), counts)));
    let search = PodCounts { replicas: 25, ready: 16 };
    assert_eq!(reported.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["catalog", "checkout", "search"]);
    assert_eq!(reported[2].1, search);
    assert_eq!(demo.snapshot()[2].pods, search);
    run(&demo, 1200);
    let scores = demo.scores();
    let of = |scores: &BTreeMap<ServiceId, Score>, name: &str| scores[&ServiceId::new("shop", name).unwrap()];
    assert!(of(&scores.flyball, "checkout").slo_violation_minutes > 7.0, "nobody scaled it");
    assert!(of(&scores.stock_autoscaler, "checkout").slo_violation_minutes < 7.0);
    assert_eq!(of(&scores.flyball, "search").actions, 1);
}

#[tokio::test]
async fn a_fleet_of_ten_thousand_answers_the_same_queries() {
    let now = later(0).as_second();
    let fleet = prometheus::PrometheusDouble::start(Fleet::new(10_000, move || now).unwrap()).await.unwrap();
    let (_, all) = get(&fleet.url(), "/api/v1/query", &[("query", &query("rps", ""))]).await;
    assert_eq!(vector(&all).len(), 10_000);
    let names: Vec<String> = (0..9_000).map(|index| format!("svc-{index:05}")).collect();
    let text = query("cpu", &format!("namespace=\"fleet\",service=~\"{}\"", names.join("|")));
    let (_, most) = post(&fleet.url(), "/api/v1/query", format!("query={}", escaped(&text))).await;
    let values = vector(&most);
    assert_eq!(values.len(), 9_000);
    assert!(values.iter().all(|(_, cpu)| (0.2..0.7).contains(cpu)));
}
