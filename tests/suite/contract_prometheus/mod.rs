//! The Prometheus adapter against loopback doubles: what it sends, and each telemetry row of the fault matrix. A test
//! for a row carries its id.

mod double;
mod history;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::Response;
use double::{Double, Private, endless, json, late, raw, response, stalled, vector};
use flyball::adapters::prometheus::{Access, Prometheus, PrometheusSettings, SetupError};
use flyball::model::{Arrival, Finite, Missing, Sample, SignalName, Timestamp};
use flyball::ports::{Answer, Round, SourceError, TelemetrySource, Template};
use tokio::net::TcpListener;

/// Long enough for any answer on a loaded machine.
const PATIENT: Duration = Duration::from_secs(30);
/// Short enough to wait for.
const HASTY: Duration = Duration::from_millis(100);

fn source(url: &str, timeout: Duration) -> Prometheus {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Prometheus::new(PrometheusSettings::new(url, timeout).unwrap()).unwrap()
}

/// The same with a token or headers.
fn asked_so(url: &str, access: &Access) -> Prometheus {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Prometheus::new(PrometheusSettings::new(url, PATIENT).unwrap().with_access(access).unwrap()).unwrap()
}

/// A template over services `a`, `b`, `c` of namespace `shop`.
fn template(signal: &str, query: &str, samples: &str) -> Template {
    let member = |(place, name): (usize, &str)| (vec![Arc::from("shop"), Arc::from(name)], place);
    Template {
        signal: SignalName::new(signal).unwrap(),
        query: query.into(),
        samples: samples.into(),
        labels: vec!["namespace".into(), "service".into()],
        members: Arc::new(["a", "b", "c"].into_iter().enumerate().map(member).collect()),
        width: 3,
    }
}

fn round() -> Round {
    let rate = "sum by (namespace, service) (rate(hits{$selector}[1m]))";
    let errors = "sum by (namespace, service) (rate(hits{code=\"5xx\",$selector}[1m]))";
    let templates = vec![
        template("rps", rate, "hits{$selector}"),
        template("errors", errors, "hits{$selector}"),
        template("cpu", "cpu{$selector}", "cpu{$selector}"),
    ];
    Round { templates, deadline: PATIENT }
}

/// The `rps` template alone.
fn single() -> Round {
    let mut round = round();
    round.templates.truncate(1);
    round
}

fn value(number: f64, milliseconds: i64) -> Arrival {
    let at = Timestamp::from_millisecond(milliseconds).unwrap();
    Arrival::Value(Sample { at, value: Finite::new(number).unwrap() })
}

fn times() -> String {
    vector(&[("a", "1795521590.123"), ("b", "1795521591"), ("c", "1795521592")])
}

fn missing(arrival: &Arrival) -> &Missing {
    match arrival {
        Arrival::Missing(missing) => missing,
        Arrival::Value(sample) => panic!("{sample:?} where nothing usable was expected"),
    }
}

/// Queries `rps` once from a server that answers value queries with `values`, and time queries properly.
async fn values(values: &str) -> Vec<Arrival> {
    let values = values.to_owned();
    let server =
        Double::start(move |asked| json(200, if asked.is_for_times() { times() } else { values.clone() })).await;
    let round = single();
    source(&server.url, PATIENT).read(&round).await.arrivals.remove(0)
}

/// Queries a whole round from a server with this behaviour; all of it must be down after one query.
async fn all_down(url: &str, timeout: Duration) -> Answer {
    down_after(1, url, timeout).await
}

/// The same for a server that finishes no query: a single one might just be slow.
async fn all_down_after_two(url: &str, timeout: Duration) -> Answer {
    down_after(2, url, timeout).await
}

async fn down_after(queries: u32, url: &str, timeout: Duration) -> Answer {
    let answer = source(url, timeout).read(&round()).await;
    assert_eq!(answer.queries, queries, "the rest of the round is not sent");
    let error = answer.error.clone().expect("the round is broken off");
    let down = Missing::SourceDown { error: error.to_string() };
    assert_eq!(answer.arrivals.len(), 3);
    for arrival in answer.arrivals.iter().flatten() {
        assert_eq!(missing(arrival), &down);
    }
    answer
}

#[tokio::test]
async fn a_round_asks_each_template_once_and_sample_times_once_per_selector() {
    let server = Double::start(|asked| {
        let body = match asked.query() {
            text if text.contains("timestamp(") => times(),
            text if text.contains("5xx") => vector(&[("a", "0.5"), ("c", "0")]),
            text if text.contains("rate(hits") => vector(&[("c", "30"), ("a", "10"), ("b", "20"), ("stranger", "1")]),
            _ => vector(&[("b", "0.25")]),
        };
        json(200, body)
    });
    let server = server.await;
    let answer = source(&format!("{}/prometheus/", server.url), PATIENT).read(&round()).await;
    let absent = || Arrival::Missing(Missing::NoSeries);
    assert_eq!(
        answer.arrivals[0],
        [value(10.0, 1_795_521_590_123), value(20.0, 1_795_521_591_000), value(30.0, 1_795_521_592_000)]
    );
    assert_eq!(answer.arrivals[1], [value(0.5, 1_795_521_590_123), absent(), value(0.0, 1_795_521_592_000)]);
    assert_eq!(answer.arrivals[2], [absent(), value(0.25, 1_795_521_591_000), absent()]);
    assert_eq!((answer.queries, answer.unmatched, answer.back_off, answer.error), (5, 1, None, None));

    let asked = server.asked();
    let queries: Vec<&str> = asked.iter().map(double::Asked::query).collect();
    assert_eq!(
        queries,
        [
            "max by (namespace, service) (timestamp(hits{}))",
            "sum by (namespace, service) (rate(hits{}[1m]))",
            "sum by (namespace, service) (rate(hits{code=\"5xx\",}[1m]))",
            "max by (namespace, service) (timestamp(cpu{}))",
            "cpu{}",
        ]
    );
    assert!(asked.iter().all(|asked| asked.path == "/prometheus/api/v1/query"));
    assert!(asked.iter().all(|asked| asked.form["timeout"].ends_with("ms")));
    assert_eq!(server.most_in_flight(), 1);
}

#[tokio::test]
async fn a_compressed_answer_is_read() {
    let server = Double::start(|asked| {
        let body = if asked.is_for_times() { times() } else { vector(&[("a", "10")]) };
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(body.as_bytes()).unwrap();
        let mut response = json(200, gzip.finish().unwrap());
        response.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        response
    });
    let answer = source(&server.await.url, PATIENT).read(&single()).await;
    assert_eq!(answer.arrivals[0][0], value(10.0, 1_795_521_590_123));
}

#[tokio::test]
async fn the_token_of_the_file_and_the_headers_go_with_each_query_and_the_token_is_never_shown() {
    // As long as those of service accounts: no part of it remains where a message is truncated.
    let long = format!("s3cret-{}", "2".repeat(900));
    let said = format!(r#"{{"status":"error","error":"the bearer of {long} may not read"}}"#);
    let server = Double::start(move |asked| match asked.headers.get("authorization") {
        Some(_) => json(403, said.clone()),
        None => json(401, "{}"),
    });
    let server = server.await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let access = Access {
        bearer_token_file: Some(file.path().to_owned()),
        headers: [("X-Scope-OrgID".to_owned(), "shop".to_owned())].into(),
        ..Access::default()
    };
    let source = asked_so(&server.url, &access);
    let unread = source.read(&round()).await;
    assert!(server.asked().is_empty(), "without a token nothing is asked");
    let error = unread.error.unwrap().to_string();
    assert!(
        error.starts_with("not queried: bearer_token_file /") && error.ends_with("does not contain exactly one token"),
        "{error}"
    );
    for token in ["s3cret-1".to_owned(), format!("{long}\n")] {
        std::fs::write(file.path(), &token).unwrap();
        let answer = source.read(&single()).await;
        let asked = server.asked().pop().unwrap();
        assert_eq!(asked.headers["authorization"], format!("Bearer {}", token.trim()), "read anew for each query");
        assert_eq!(asked.headers["x-scope-orgid"], "shop");
        assert!(!format!("{source:?}").contains("s3cret"), "{source:?}");
        if token.ends_with('\n') {
            let message = "the bearer of *** may not read".to_owned();
            assert_eq!(answer.error, Some(SourceError::Status { status: 403, message }));
        }
    }
}

#[tokio::test]
async fn a_server_with_a_certificate_of_its_own_is_believed_by_its_ca_file_alone() {
    let server = Private::start();
    let trusted = Access { ca_file: Some(server.certificate.clone()), ..Access::default() };
    let answer = asked_so(&server.url, &trusted).read(&single()).await;
    assert_eq!((answer.error, &answer.arrivals[0][0]), (None, &value(10.0, 1_795_521_590_123)));
    let stranger = all_down(&server.url, PATIENT).await.error.unwrap().to_string();
    assert!(stranger.contains("cannot reach https://127.0.0.1") && stranger.contains("certificate"), "{stranger}");
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_named_at_the_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "no certificate").unwrap();
    for (ca_file, expected) in
        [(file.path(), "contains no certificate"), (Path::new("/nowhere/ca.pem"), "No such file")]
    {
        let access = Access { ca_file: Some(ca_file.to_owned()), ..Access::default() };
        let settings = PrometheusSettings::new("https://127.0.0.1:1", PATIENT).unwrap().with_access(&access).unwrap();
        let error = Prometheus::new(settings).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(&ca_file.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn p1_a_refused_connection_holds_all_and_the_next_round_recovers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let answer = all_down(&format!("http://{address}"), PATIENT).await;
    let text = answer.error.unwrap().to_string();
    assert!(text.contains(&format!("cannot reach http://{address}/")) && text.contains("refused"), "{text}");

    let up = Double::start(|asked| json(200, if asked.is_for_times() { times() } else { vector(&[("a", "1")]) })).await;
    let source = source(&up.url, PATIENT);
    assert_eq!(source.read(&single()).await.error, None);
}

#[tokio::test]
async fn p1_a_connection_cut_within_the_answer_holds_all() {
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{\"status\":",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"sta",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let answer = all_down(&raw(bytes).await, PATIENT).await;
        assert!(matches!(answer.error, Some(SourceError::Unreachable { .. })), "{:?}", answer.error);
    }
}

#[tokio::test]
async fn p2_a_server_that_accepts_and_never_answers_costs_two_deadlines() {
    // Connections wait in the backlog of a listener that is never served.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answer = all_down_after_two(&format!("http://{}", listener.local_addr().unwrap()), HASTY).await;
    assert_eq!(answer.error, Some(SourceError::TimedOut(HASTY)));
    let listener = listener.into_std().unwrap();
    let waiting = std::iter::from_fn(|| listener.accept().ok()).count();
    assert_eq!(waiting, 2, "each deadline is one connection");
}

#[tokio::test]
async fn p2_a_server_that_stalls_within_the_body_costs_two_deadlines() {
    let server = Double::start(|_| json(200, stalled(r#"{"status":"success","data":"#))).await;
    let answer = all_down_after_two(&server.url, HASTY).await;
    assert_eq!(answer.error, Some(SourceError::TimedOut(HASTY)));
    assert_eq!(server.asked().len(), 2);
    let only = source(&server.url, HASTY).read(&single()).await;
    assert_eq!(
        (only.error, only.faults),
        (Some(SourceError::TimedOut(HASTY)), vec![None]),
        "and there is no other one"
    );
}

#[tokio::test]
async fn p2_the_deadline_of_the_round_cuts_a_query_short() {
    let server = Double::start(|_| json(200, stalled("{"))).await;
    let mut round = round();
    round.deadline = HASTY;
    let answer = source(&server.url, PATIENT).read(&round).await;
    assert!(matches!(answer.error, Some(SourceError::TimedOut(limit)) if limit <= HASTY), "{:?}", answer.error);
    round.deadline = Duration::ZERO;
    let answer = source(&server.url, PATIENT).read(&round).await;
    assert_eq!((answer.queries, answer.error), (0, Some(SourceError::TimedOut(Duration::ZERO))));
}

#[tokio::test]
async fn p2_answers_that_came_before_and_after_a_silence_count() {
    let server = Double::start(|asked| match asked.query() {
        text if text.contains("5xx") => json(200, stalled("{")),
        text if text.contains("timestamp(") => json(200, times()),
        _ => json(200, vector(&[("a", "10")])),
    });
    let answer = source(&server.await.url, Duration::from_secs(1)).read(&round()).await;
    assert_eq!((answer.queries, answer.error), (5, None));
    assert_eq!(answer.arrivals[0][0], value(10.0, 1_795_521_590_123));
    let [first, second, third] = &answer.arrivals[1][..] else { panic!("{:?}", answer.arrivals[1]) };
    let is_down = |arrival: &Arrival| matches!(missing(arrival), Missing::SourceDown { .. });
    assert!(is_down(first) && is_down(second) && is_down(third), "{:?}", answer.arrivals[1]);
    assert_eq!(answer.arrivals[2][0], value(10.0, 1_795_521_590_123));
}

/// The arrival rate is what a service is scaled by; a latency query covers ten times as many series.
#[tokio::test]
async fn p2_a_query_that_never_ends_in_time_costs_its_own_template_round_after_round() {
    let slow = template("p99", "histogram_quantile(0.99, buckets{$selector})", "buckets{$selector}");
    for status in [None, Some(503), Some(504)] {
        let server = Double::start(move |asked| match (asked.query(), status) {
            (text, None) if text.contains("quantile") => json(200, stalled("{")),
            (text, Some(status)) if text.contains("quantile") => {
                json(status, r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#)
            }
            (text, _) if text.contains("timestamp(") => json(200, times()),
            _ => json(200, vector(&[("a", "10")])),
        });
        let source = source(&server.await.url, if status.is_some() { PATIENT } else { Duration::from_millis(300) });
        // First, last and between: whatever is queried before it.
        for at in 0..=3 {
            let mut round = round();
            round.templates.insert(at, slow.clone());
            let answer = source.read(&round).await;
            assert_eq!((answer.error.as_ref(), answer.back_off), (None, None), "{status:?} {at}");
            let known = |row: &Vec<Arrival>| row[0] == value(10.0, 1_795_521_590_123);
            let expected: Vec<bool> = (0..4).map(|position| position != at).collect();
            assert_eq!(answer.arrivals.iter().map(known).collect::<Vec<_>>(), expected, "{status:?} {at}");
            assert_eq!(answer.faults.iter().map(Option::is_none).collect::<Vec<_>>(), expected, "{status:?} {at}");
            assert!(matches!(missing(&answer.arrivals[at][0]), Missing::SourceDown { .. }));
        }
    }
}

#[tokio::test]
async fn p2_a_round_whose_time_was_used_up_by_one_query_is_no_silence_of_the_server() {
    let server = Double::start(|asked| match asked.query() {
        text if text.contains("5xx") => json(200, stalled("{")),
        text if text.contains("timestamp(") => json(200, times()),
        _ => json(200, vector(&[("a", "10")])),
    });
    let mut round = round();
    round.deadline = Duration::from_secs(1);
    let answer = source(&server.await.url, PATIENT).read(&round).await;
    assert_eq!((answer.error, answer.queries), (None, 3));
    assert_eq!(answer.arrivals[0][0], value(10.0, 1_795_521_590_123));
    let said: Vec<String> = answer.faults.iter().flatten().map(ToString::to_string).collect();
    assert!(said[0].starts_with("no answer within") && said[1].starts_with("not queried"), "{said:?}");
}

#[tokio::test]
async fn p2_ticks_and_history_never_have_two_queries_in_flight() {
    let server = Double::start(|asked| {
        json(200, if asked.path.ends_with("query_range") { double::matrix(&[]) } else { times() })
    });
    let server = server.await;
    let source = source(&server.url, PATIENT);
    let (round, template) = (round(), template("rps", "hits{$selector}", "hits{$selector}"));
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let history = || source.history(&template, &[0, 1], at(0), at(3600));
    let (first, second, past, again) = tokio::join!(source.read(&round), source.read(&round), history(), history());
    assert_eq!((first.error, second.error), (None, None));
    assert!(past.is_ok() && again.is_ok());
    assert_eq!((server.asked().len(), server.most_in_flight()), (12, 1));
}

#[tokio::test]
async fn p2_waiting_for_a_read_of_the_past_is_no_silence_of_the_server() {
    let server = Double::start(|asked| {
        let past = asked.path.ends_with("query_range");
        let (body, delay) = if past { (double::matrix(&[]), 1200) } else { (times(), 400) };
        json(200, late(body, Duration::from_millis(delay)))
    });
    let source = source(&server.await.url, Duration::from_millis(1500));
    let (round, template) = (single(), template("rps", "hits{$selector}", "hits{$selector}"));
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let (past, answer) = tokio::join!(source.history(&template, &[0, 1], at(0), at(3600)), source.read(&round));
    assert!(past.is_ok());
    assert_eq!((answer.queries, answer.error), (2, None));
}

#[tokio::test]
async fn p3_an_overloaded_server_is_left_alone_as_long_as_it_asks() {
    for (status, retry_after, expected) in [
        (429, Some("7"), Some(7)),
        (503, Some("0"), Some(0)),
        (503, Some("86400"), Some(60)),
        (429, Some("in a while"), None),
        (429, None, None),
        (500, Some("7"), None),
        (502, None, None),
    ] {
        let server = Double::start(move |_| {
            let mut response = json(status, r#"{"status":"error","errorType":"x","error":"too many queries"}"#);
            if let Some(text) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, text.parse().unwrap());
            }
            response
        });
        let server = server.await;
        // A server that names a time, or says that the client sends too much, means all queries.
        let queries = if status == 429 || expected.is_some() { 1 } else { 2 };
        let answer = down_after(queries, &server.url, PATIENT).await;
        assert_eq!(answer.back_off, expected.map(Duration::from_secs), "{status} {retry_after:?}");
        assert_eq!(answer.error, Some(SourceError::Status { status, message: "too many queries".to_owned() }));
        assert_eq!(server.asked().len(), queries as usize, "nothing is retried");
    }
}

#[tokio::test]
async fn p3_a_fault_of_one_query_costs_only_its_template() {
    let server = Double::start(|asked| match asked.query() {
        text if text.contains("5xx") => json(400, r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#),
        text if text.contains("timestamp(") => json(200, times()),
        _ => json(200, vector(&[("a", "10")])),
    });
    let answer = source(&server.await.url, PATIENT).read(&round()).await;
    assert_eq!((answer.queries, answer.error), (5, None));
    let fault = SourceError::Status { status: 400, message: "parse error".to_owned() };
    assert_eq!(answer.faults, [None, Some(fault), None]);
    assert_eq!(answer.arrivals[0][0], value(10.0, 1_795_521_590_123));
    let error = "answered with status 400: parse error".to_owned();
    assert_eq!(missing(&answer.arrivals[1][0]), &Missing::SourceDown { error });
    assert_eq!(answer.arrivals[2][0], value(10.0, 1_795_521_590_123));
}

/// The error for a server's answer to the only query.
async fn refused(behave: impl Fn() -> Response + Send + Sync + 'static) -> String {
    let server = Double::start(move |_| behave()).await;
    let answer = source(&server.url, PATIENT).read(&single()).await;
    for arrival in &answer.arrivals[0] {
        assert!(matches!(missing(arrival), Missing::SourceDown { .. }), "{arrival:?}");
    }
    match missing(&answer.arrivals[0][0]) {
        Missing::SourceDown { error } => error.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn p4_an_answer_that_is_none_is_a_typed_error_that_says_so() {
    let html = "<html><body>The proxy is busy. SECRET-BODY</body></html>";
    let cases: [(u16, &str, &str, &str); 12] = [
        (200, "text/html; charset=utf-8", html, "content type is text/html"),
        (200, "application/json", html, "malformed answer"),
        (200, "application/json", "", "malformed answer: EOF"),
        (200, "application/json", r#"{"status":"success","data":{"resultType":"vec"#, "malformed answer: EOF"),
        (200, "text/plain", r#"{"status":"success"}"#, "content type is text/plain"),
        (200, "application/json", r#"{"status":"error","error":"it broke"}"#, "it broke"),
        (200, "application/json; charset=utf-8", r#"{"status":"error"}"#, "there is no error"),
        (200, "application/json", "[]", "malformed answer: invalid type"),
        (200, "application/json", "null", "malformed answer: invalid type"),
        (422, "application/json", r#"{"status":"error","error":"too many samples"}"#, "status 422: too many samples"),
        (404, "text/html", html, "status 404: Not Found"),
        (500, "application/json", html, "status 500: Internal Server Error"),
    ];
    for (status, content_type, body, expected) in cases {
        let error = refused(move || response(status, content_type, body)).await;
        assert!(error.contains(expected), "{status} {content_type} {body}: {error}");
        assert!(!error.contains("SECRET-BODY"), "the body is repeated: {error}");
    }
}

#[tokio::test]
async fn p4_warnings_and_partial_answers_are_not_believed() {
    let complete = times();
    for (from, to, expected) in [
        (r#""success","#, r#""success","warnings":["store 3: connection refused"],"#, "store 3: connection refused"),
        (r#""success","#, r#""success","isPartial":true,"#, "partial"),
    ] {
        let body = complete.replacen(from, to, 1);
        let error = refused(move || json(200, body.clone())).await;
        assert!(error.contains(expected), "{error}");
    }
}

/// Prometheus 2.48 to 2.53 and Thanos put all annotations among the warnings. One series of one tenant may cause them.
#[tokio::test]
async fn p4_annotations_of_promql_leave_an_answer_whole() {
    let annotations = [
        r#""PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"hits\" (1:6)""#,
        r#""PromQL warning: bucket label \"le\" is missing or has a malformed value of \"x\" for metric name \"t\" (1:25)""#,
    ];
    let said = move |others: &str, body: String| {
        let warnings = format!(r#""success","warnings":[{}{others}],"#, annotations.join(","));
        body.replacen(r#""success","#, &warnings, 1)
    };
    let server = Double::start(move |asked| {
        json(200, said("", if asked.is_for_times() { times() } else { vector(&[("a", "10")]) }))
    });
    let answer = source(&server.await.url, PATIENT).read(&single()).await;
    assert_eq!(answer.arrivals[0][0], value(10.0, 1_795_521_590_123));
    assert_eq!(answer.faults, [None]);
    let past = Double::start(move |_| json(200, said("", double::matrix(&[]))));
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let template = &single().templates[0];
    assert!(source(&past.await.url, PATIENT).history(template, &[0], at(0), at(60)).await.is_ok());
    // Besides them a part may be missing, or an omission note may say so.
    for other in ["store 3: connection refused", "4 more warning annotations omitted", "4 more annotations omitted"] {
        let error = refused(move || json(200, said(&format!(r#","{other}""#), times()))).await;
        assert!(error.contains(other), "{error}");
    }
}

#[tokio::test]
async fn p4_a_body_that_cannot_be_decoded_is_malformed() {
    let error = refused(|| {
        let mut response = json(200, "this is not gzip");
        response.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        response
    });
    let error = error.await;
    assert!(error.starts_with("malformed answer"), "{error}");
}

#[tokio::test]
async fn p4_a_long_error_text_is_cut() {
    for status in [200, 422, 503] {
        let error = refused(move || json(status, format!(r#"{{"status":"error","error":"{}"}}"#, "é\\n".repeat(5000))));
        let error = error.await;
        assert!(error.chars().count() < 300, "{} characters", error.chars().count());
        assert!(!error.contains('\n'));
    }
}

#[tokio::test]
async fn p5_what_is_not_finite_is_missing_and_never_zero() {
    for text in ["NaN", "+Inf", "-Inf", "1e999", "-1e999", "", "zero"] {
        let row = values(&vector(&[("a", text), ("b", "-0"), ("c", "4e-320")])).await;
        assert_eq!(missing(&row[0]), &Missing::NotFinite, "{text}");
        assert_eq!(row[1..], [value(0.0, 1_795_521_591_000), value(4e-320, 1_795_521_592_000)]);
    }
}

#[tokio::test]
async fn p6_no_series_several_series_and_other_types_are_missing() {
    let row = values(&vector(&[("b", "1"), ("b", "2"), ("c", "3")])).await;
    assert_eq!(missing(&row[0]), &Missing::NoSeries);
    assert_eq!(missing(&row[1]), &Missing::Ambiguous { series: 2 });
    assert_eq!(row[2], value(3.0, 1_795_521_592_000));
    assert!(values(&vector(&[])).await.iter().map(missing).eq(&vec![Missing::NoSeries; 3]));
    for kind in ["scalar", "string"] {
        let body = format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":[1,"2"]}}}}"#);
        for arrival in values(&body).await {
            let Missing::SourceDown { error } = missing(&arrival) else { panic!("{arrival:?}") };
            assert!(error.contains(&format!("result type is {kind}, expected vector")), "{error}");
        }
    }
    let unlabelled =
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"service":"a"},"value":[1,"2"]}]}}"#;
    assert!(values(unlabelled).await.iter().map(missing).eq(&vec![Missing::NoSeries; 3]));
}

#[tokio::test]
async fn p6_a_value_without_a_usable_time_is_missing() {
    for times in [vector(&[]), vector(&[("a", "NaN")]), vector(&[("a", "1e300")]), vector(&[("a", "-1e300")])] {
        let server = Double::start(move |asked| {
            json(200, if asked.is_for_times() { times.clone() } else { vector(&[("a", "1")]) })
        });
        let answer = source(&server.await.url, PATIENT).read(&single()).await;
        assert_eq!(missing(&answer.arrivals[0][0]), &Missing::NoSampleTime);
    }
}

/// A server must not get far beyond the limit of 16 MiB, allowing for socket buffers.
const CUT: usize = 32 << 20;

#[tokio::test]
async fn p11_an_answer_of_200_mib_is_cut() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let error = refused(move || {
        let start = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"x":""#;
        json(200, endless(start, Bytes::from(vec![b'x'; 1 << 16]), 200 << 20, Arc::clone(&counter)))
    });
    assert_eq!(error.await, "answer larger than 16777216 bytes");
    assert!(sent.load(Ordering::SeqCst) < CUT, "{} bytes sent", sent.load(Ordering::SeqCst));
}

#[tokio::test]
async fn p11_a_gzip_bomb_is_cut_while_it_unfolds() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let spaces = vec![b' '; 1 << 20];
    (0..32).for_each(|_| gzip.write_all(&spaces).unwrap());
    let bomb = Bytes::from(gzip.finish().unwrap());
    assert!(bomb.len() < 64 << 10);
    let error = refused(move || {
        let mut response = json(200, Body::from(bomb.clone()));
        response.headers_mut().insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        response
    });
    assert_eq!(error.await, "answer larger than 16777216 bytes");
}

#[tokio::test]
async fn p11_an_endless_error_is_cut() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let error = refused(move || {
        json(500, endless(r#"{"error":""#, Bytes::from(vec![b'x'; 1 << 16]), 200 << 20, Arc::clone(&counter)))
    });
    assert_eq!(error.await, "answered with status 500: Internal Server Error");
    assert!(sent.load(Ordering::SeqCst) < CUT / 2);
}

#[tokio::test]
async fn p11_many_unmatched_series_are_counted_and_cost_nothing_else() {
    let stranger = r#"{"metric":{},"value":[0,"1"]},"#;
    let series = stranger.repeat(300_000);
    let body = format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#,
        series.trim_end_matches(',')
    );
    let server = Double::start(move |asked| json(200, if asked.is_for_times() { times() } else { body.clone() })).await;
    let answer = source(&server.url, PATIENT).read(&single()).await;
    assert_eq!((answer.unmatched, answer.error), (300_000, None));
    assert!(answer.arrivals[0].iter().map(missing).eq(&vec![Missing::NoSeries; 3]));
}

#[tokio::test]
async fn p15_redirects_are_not_followed() {
    let elsewhere = Double::start(|_| json(200, times())).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/latest/meta-data", elsewhere.url);
        let server = Double::start(move |_| {
            let mut response = response(status, "text/html", "moved");
            response.headers_mut().insert(header::LOCATION, location.parse().unwrap());
            response
        });
        let answer = all_down(&server.await.url, PATIENT).await;
        let Some(SourceError::Status { status: found, message }) = answer.error else { panic!("{:?}", answer.error) };
        assert_eq!(found, status);
        assert!(message.contains("use the final address"), "{message}");
    }
    assert!(elsewhere.asked().is_empty());
}

#[test]
fn a_source_needs_a_usable_address() {
    let error = PrometheusSettings::new("prometheus:9090", PATIENT).unwrap_err();
    assert!(matches!(error, SetupError::Url(_)));
    assert!(error.to_string().contains("expected http(s)://"), "{error}");
}

mod with_observe {
    use super::*;
    use flyball::model::{Bounds, Now, Reading, ServiceId, ServiceSpec, SignalSpec, Slo, TargetReading, Unit};
    use flyball::observe::{Observer, observe};

    /// The evaluation time of the double: 2026-11-24T12:00:00.5Z.
    const START: i64 = 1_795_521_600;

    fn spec() -> ServiceSpec {
        ServiceSpec {
            signals: vec![SignalSpec {
                name: SignalName::new("rps").unwrap(),
                unit: Unit::PerSecond,
                role: None,
                range: (0.0, 1e9),
                forecast: true,
                scrape_interval: Duration::from_secs(15),
                window: Duration::ZERO,
            }],
            slo: Slo { p99: 0.5, error_ratio: 0.01 },
            bounds: Bounds { min: 1, max: 10 },
            ..ServiceSpec::blank(ServiceId::new("shop", "a").unwrap())
        }
    }

    /// Reads service `a` every 15 s from a server whose sample is taken at `sampled(tick)`, `ticks` times.
    async fn readings(ticks: u32, sampled: impl Fn(i64) -> i64 + Send + Sync + 'static) -> Vec<Reading> {
        let tick = Arc::new(AtomicUsize::new(0));
        let current = Arc::clone(&tick);
        let server = Double::start(move |asked| {
            let taken = START + sampled(i64::try_from(current.load(Ordering::SeqCst)).unwrap());
            let number = if asked.is_for_times() { taken.to_string() } else { "7".to_owned() };
            json(200, vector(&[("a", &number)]))
        });
        let source = source(&server.await.url, PATIENT);
        let (spec, round) = (spec(), single());
        let mut state = Observer::new(&spec);
        let mut all = Vec::new();
        for step in 0..ticks {
            tick.store(step as usize, Ordering::SeqCst);
            let answer = source.read(&round).await;
            let start = Now { wall: Timestamp::from_second(START).unwrap(), mono: Duration::from_secs(1000) };
            let now = start.plus(Duration::from_secs(15) * step);
            let target = TargetReading::Unknown { reason: String::new() };
            let features = observe(&mut state, &spec, &[Some(answer.arrivals[0][0].clone())], target, now);
            all.push(features.signals[0].reading.clone());
        }
        all
    }

    #[tokio::test]
    async fn p7_a_target_that_died_turns_stale_while_the_server_repeats_its_last_value() {
        let readings = readings(40, |tick| (15 * tick).min(60)).await;
        for (tick, reading) in readings.iter().enumerate() {
            let age = (15 * tick).saturating_sub(60);
            assert_eq!(matches!(reading, Reading::Fresh { .. }), age <= 45, "tick {tick}: {reading}");
            assert_eq!(matches!(reading, Reading::Stale { .. }), age > 45, "tick {tick}: {reading}");
        }
    }

    #[tokio::test]
    async fn p8_a_source_whose_clock_is_ahead_is_not_believed() {
        let ahead = readings(3, |tick| 15 * tick + 40).await;
        assert!(
            ahead.iter().all(|reading| matches!(reading, Reading::Absent { missing: Missing::FromTheFuture { .. } }))
        );
        let within = readings(3, |tick| 15 * tick + 30).await;
        assert!(within.iter().all(|reading| matches!(reading, Reading::Fresh { .. })));
    }
}
