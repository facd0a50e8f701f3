//! Range queries: alignment, selectors, ranges.

use super::double::{Double, json, matrix};
use super::*;

/// 2026-11-24T12:00:00Z in minutes.
const NOON: i64 = 1_795_521_600 / 60;

fn at(minute: i64, seconds: i64) -> Timestamp {
    Timestamp::from_second((NOON + minute) * 60 + seconds).unwrap()
}

/// The times of the points that a request covers.
fn points(asked: &double::Asked) -> Vec<i64> {
    assert_eq!((asked.path.as_str(), asked.form["step"].as_str()), ("/api/v1/query_range", "60"));
    let time = |key: &str| asked.form[key].parse::<i64>().unwrap();
    (time("start")..=time("end")).step_by(60).collect()
}

/// A server whose value at any time is that time in minutes since noon.
fn counting(asked: &double::Asked, services: &[&str]) -> String {
    let series: Vec<_> = services
        .iter()
        .map(|service| (*service, points(asked).iter().map(|time| (*time, (time / 60 - NOON).to_string())).collect()))
        .collect();
    matrix(&series)
}

fn numbers(row: &[Option<Finite>]) -> Vec<Option<f64>> {
    row.iter().map(|value| value.map(Finite::get)).collect()
}

fn rps() -> Template {
    template("rps", "rate(hits{$selector}[1m])", "hits{$selector}")
}

#[tokio::test]
async fn the_value_of_a_minute_is_the_one_at_its_end() {
    let server = Double::start(|asked| json(200, counting(asked, &["c", "a"]))).await;
    let source = source(&server.url, PATIENT);
    let rows = source.history(&rps(), &[2, 1, 0], at(0, 59), at(3, 1)).await.unwrap();
    let expected = vec![Some(1.0), Some(2.0), Some(3.0)];
    assert_eq!(rows.iter().map(|row| numbers(row)).collect::<Vec<_>>(), [expected.clone(), vec![None; 3], expected]);
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].query(), r#"rate(hits{namespace="shop",service=~"a|b|c"}[1m])"#);
    assert_eq!(points(&asked[0]).len(), 3);
}

#[tokio::test]
async fn nothing_is_asked_for_an_empty_stretch_or_nobody() {
    let server = Double::start(|asked| json(200, counting(asked, &["a"]))).await;
    let source = source(&server.url, PATIENT);
    for (from, to) in [(at(0, 0), at(0, 59)), (at(5, 0), at(0, 0)), (Timestamp::MAX, Timestamp::MIN)] {
        assert_eq!(source.history(&rps(), &[0], from, to).await, Ok(vec![vec![]]));
    }
    assert_eq!(source.history(&rps(), &[], at(0, 0), at(5, 0)).await, Ok(vec![]));
    assert_eq!(source.history(&rps(), &[7], at(0, 0), at(2, 0)).await, Ok(vec![vec![None; 2]]), "no such member");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn fourteen_days_are_read_in_stretches_that_a_server_accepts() {
    let server = Double::start(|asked| match points(asked).len() {
        0..=11_000 => json(200, counting(asked, &["a"])),
        _ => json(400, r#"{"status":"error","error":"exceeded maximum resolution of 11,000 points per timeseries"}"#),
    });
    let server = server.await;
    let minutes = 14 * 1440;
    let rows = source(&server.url, PATIENT).history(&rps(), &[0], at(-minutes, 30), at(0, 30)).await.unwrap();
    let expected: Vec<Option<f64>> = (1 - minutes..=0).map(|minute| Some(minute as f64)).collect();
    assert_eq!(numbers(&rows[0]), expected);
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn an_answer_that_outgrows_the_limit_is_asked_for_in_smaller_stretches() {
    let server = Double::start(|asked| {
        if points(asked).len() > 100 {
            return json(200, Body::from(vec![b' '; (16 << 20) + 1]));
        }
        json(200, counting(asked, &["a"]))
    });
    let server = server.await;
    let rows = source(&server.url, PATIENT).history(&rps(), &[0], at(0, 0), at(300, 0)).await.unwrap();
    let expected: Vec<Option<f64>> = (1..=300).map(|minute| Some(f64::from(minute))).collect();
    assert_eq!(numbers(&rows[0]), expected);
}

#[tokio::test]
async fn a_stretch_that_is_not_answered_in_time_is_asked_for_in_smaller_ones() {
    for status in [None, Some(503)] {
        let server = Double::start(move |asked| match (points(asked).len(), status) {
            (..=1000, _) => json(200, counting(asked, &["a"])),
            (_, None) => json(200, double::stalled("{")),
            (_, Some(status)) => json(status, r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#),
        });
        let server = server.await;
        let patience = if status.is_some() { PATIENT } else { Duration::from_millis(500) };
        let rows = source(&server.url, patience).history(&rps(), &[0], at(0, 0), at(3000, 0)).await.unwrap();
        let expected: Vec<Option<f64>> = (1..=3000).map(|minute| Some(f64::from(minute))).collect();
        assert_eq!(numbers(&rows[0]), expected);
        assert_eq!(server.asked().len(), 5, "one too long, then four of 750 minutes");
    }
    let dead = Double::start(|_| json(503, r#"{"status":"error","error":"busy"}"#)).await;
    source(&dead.url, PATIENT).history(&rps(), &[0], at(0, 0), at(10_000, 0)).await.unwrap_err();
    assert!(dead.asked().len() <= 4, "a server that answers nothing is asked a few times only");
}

#[tokio::test]
async fn unmatched_series_doubles_and_odd_points_leave_gaps() {
    let server = Double::start(|asked| {
        let times = points(asked);
        let all = |text: &str| times.iter().map(|time| (*time, text.to_owned())).collect::<Vec<_>>();
        let odd = vec![(times[0], "NaN".to_owned()), (times[1], "5".to_owned()), (times[0] - 60, "9".to_owned())];
        json(200, matrix(&[("a", odd), ("b", all("1")), ("b", all("2")), ("stranger", all("3"))]))
    });
    let rows = source(&server.await.url, PATIENT).history(&rps(), &[0, 1], at(0, 0), at(3, 0)).await.unwrap();
    assert_eq!(numbers(&rows[0]), [None, Some(5.0), None]);
    assert_eq!(numbers(&rows[1]), [None, None, None], "two series for one service: neither is believed");
}

#[tokio::test]
async fn faults_of_the_server_are_typed() {
    let cases: [(u16, &str, &str); 3] = [
        (503, r#"{"status":"error","error":"busy"}"#, "answered with status 503: busy"),
        (200, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#, "expected matrix"),
        (
            200,
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1795521660,"1"],[1795521660,"1"],[1795521660,"1"]]}]}}"#,
            "more than the 2 points requested",
        ),
    ];
    for (status, body, expected) in cases {
        let server = Double::start(move |_| json(status, body)).await;
        let error = source(&server.url, PATIENT).history(&rps(), &[0], at(0, 0), at(2, 0)).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = source(&format!("http://{}", silent.local_addr().unwrap()), HASTY);
    let error = source.history(&rps(), &[0], at(0, 0), at(2, 0)).await.unwrap_err();
    assert_eq!(error, SourceError::TimedOut(HASTY));
}
