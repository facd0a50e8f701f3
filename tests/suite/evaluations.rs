//! The measured worth of a series' history: the forecasts of `flyball forecast evaluate`, the alarms of `flyball
//! anomalies evaluate`.

use std::collections::BTreeMap;
use std::fs;

use crate::command_line::flyball;

/// Two weeks of five-minute steps with a daily wave; from step 3000 on it is 40 higher for four hours.
pub fn wave(steps: usize) -> String {
    let value = |step: usize| {
        let wave = (step as f64 / 288.0 * std::f64::consts::TAU).sin();
        let ripple = (step as f64 * 2.399).sin() + (step as f64 * 1.177).sin();
        100.0 + 30.0 * wave + ripple + if (3000..3048).contains(&step) { 40.0 } else { 0.0 }
    };
    let rows = (0..steps).map(|step| format!("{},{:.4}\n", 1_700_000_100 + 300 * step, value(step)));
    rows.fold("timestamp,value\n".to_owned(), |text, row| text + row.as_str())
}

/// Labels in the benchmark's form are found by the path below the directory; the result for a row does not depend on
/// later rows; the program's answer is alone on standard output.
#[test]
fn alarms_are_held_against_labels_and_know_nothing_of_the_future() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    fs::create_dir_all(path("nab/web")).unwrap();
    fs::write(path("nab/web/wave.csv"), wave(4032)).unwrap();
    fs::write(path("nab/notes.csv"), "no series\n").unwrap();
    let window = format!("[[\"{}\", \"{}\"]]", 1_700_000_100 + 300 * 2995, 1_700_000_100 + 300 * 3047);
    fs::write(path("labels.json"), format!("{{\"web/wave.csv\": {window}, \"absent.csv\": []}}")).unwrap();
    let evaluate = |input: &str, dump: &str, code: i32, more: &[&str]| {
        let arguments = ["anomalies", "evaluate", "--input", input, "--output", "json", "--dump", dump];
        let output = flyball(place.path(), &[&arguments[..], more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (report, said, fs::read_to_string(path(dump)).unwrap())
    };
    let (report, said, whole) = evaluate("nab", "whole.csv", 1, &["--labels", "labels.json"]);
    let left_out = [("notes.csv", "not in the labels"), ("absent.csv", "labelled, but not in nab")];
    let told = report["left_out"].as_array().unwrap().iter();
    let told: Vec<_> = told.map(|it| (it["series"].as_str().unwrap(), it["why"].as_str().unwrap())).collect();
    assert_eq!(told, left_out);
    for (series, why) in left_out {
        assert!(said.contains(&format!("skipped: {series}: {why}")), "{said}");
    }
    let (overall, [series]) = (&report["overall"], &report["series"].as_array().unwrap()[..]) else {
        panic!("{report}")
    };
    assert_eq!((&series["windows"], &series["found"]), (&1.into(), &1.into()));
    // A day later the learned shift may be missed once.
    assert!(series["false_alarms"].as_u64().unwrap() <= 1, "{report}");
    assert!(series["delay_steps"].as_f64().unwrap() <= 6.0, "{report}");
    assert!(overall["nab"][0]["shipped"].as_f64().unwrap() > 80.0, "{report}");
    assert_eq!(whole.lines().count(), 4033);
    // A series without results has no false alarms either, and that is not a result.
    let empty: Vec<String> = wave(400).lines().map(|line| format!("{},nan", line.split(',').next().unwrap())).collect();
    for text in [empty.join("\n").replacen("timestamp,nan", "timestamp,value", 1), wave(2)] {
        fs::write(path("little.csv"), text).unwrap();
        let output = flyball(place.path(), &["anomalies", "evaluate", "--input", "little.csv"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("little.csv: no row was scored: "), "{said}");
    }
    // Cut within the shift, and without labels: the rows up to there are the same except for names and labels.
    fs::write(path("wave.csv"), wave(3010)).unwrap();
    let (report, _, cut) = evaluate("wave.csv", "cut.csv", 0, &[]);
    assert_eq!(report["overall"]["nab"][0]["optimised"], serde_json::Value::Null);
    let told = |text: &str| -> Vec<String> {
        let told = |line: &str| line.split(',').skip(1).take(6).collect::<Vec<_>>().join(",");
        text.lines().map(told).collect()
    };
    assert_eq!(told(&cut), told(&whole)[..3011]);
}

/// The forecast file and the series suffice to compute the scores; series names stay within one cell.
#[test]
fn scores_can_be_computed_anew_from_the_forecasts() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let (name, text) = ("load, \"old\".csv", wave(900));
    fs::write(path(name), &text).unwrap();
    let arguments = ["forecast", "evaluate", "--input", name, "--horizons", "1,5", "-o", "json", "--dump", "said.csv"];
    let output = flyball(place.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let [series] = &report["series"].as_array().unwrap()[..] else { panic!("{report}") };
    let rows = text.lines().skip(1).map(|row| row.split_once(',').unwrap());
    let values: BTreeMap<i64, f64> = rows.map(|(at, value)| (at.parse().unwrap(), value.parse().unwrap())).collect();
    let said = fs::read_to_string(path("said.csv")).unwrap();
    let head: Vec<&str> = said.lines().next().unwrap().split(',').collect();
    let column = |name: &str| head.iter().position(|other| *other == name).unwrap() - 1;
    let (mut passed, mut count) = (0.0, 0.0);
    for line in said.lines().skip(1) {
        let cells: Vec<&str> = line.strip_prefix("\"load, \"\"old\"\"\",").unwrap().split(',').collect();
        let origin: i64 = cells[0].parse().unwrap();
        let window: Vec<f64> = (1..=10).filter_map(|step| values.get(&(origin + 300 * step)).copied()).collect();
        // After the warm-up, which is half of such a short series.
        if cells[column("horizon")] != "1" || origin < 1_700_000_100 + 300 * 450 || window.len() < 10 {
            continue;
        }
        let quantile: f32 = cells[column("max_10")].parse().unwrap();
        count += 1.0;
        passed += f64::from(u8::from(window.into_iter().fold(f64::MIN, f64::max) > f64::from(quantile)));
    }
    assert!(count > 400.0 && (series["max10_exceedance"].as_f64().unwrap() - passed / count).abs() < 1e-9, "{series}");
    assert!(series["skill_holt_winters"].is_f64() && report["overall"]["mase_vs_holt_winters"].is_f64(), "{report}");
}

/// A command does not overwrite its input.
#[test]
fn a_series_is_never_written_over() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    fs::create_dir(path("all")).unwrap();
    for name in ["wave.csv", "all/wave.csv"] {
        fs::write(path(name), wave(200)).unwrap();
    }
    fs::write(path("labels.json"), "{\"wave.csv\": []}").unwrap();
    for line in [
        "forecast --input wave.csv --plot ./wave.csv",
        "forecast evaluate --input wave.csv --dump wave.csv",
        "forecast evaluate --input all --dump all/wave.csv",
        "anomalies evaluate --input wave.csv --dump wave.csv",
        "anomalies evaluate --input wave.csv --labels labels.json --dump labels.json",
    ] {
        let output = flyball(place.path(), &line.split(' ').collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("refusing to overwrite the input file"),
            "flyball {line}: {said}"
        );
    }
    assert!(["wave.csv", "all/wave.csv"].iter().all(|name| fs::read_to_string(path(name)).unwrap() == wave(200)));
}

/// The evaluated detector is that of the loop: it knows that a signal is never negative, and its seasons follow the
/// named time zones.
#[test]
fn alarms_are_those_of_the_loop() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("wave.csv"), wave(3010)).unwrap();
    let dump = |name: &str, more: &[&str]| {
        let arguments = ["anomalies", "evaluate", "--input", "wave.csv", "--dump", name];
        let output = flyball(place.path(), &[&arguments[..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read_to_string(place.path().join(name)).unwrap()
    };
    let usual = dump("usual.csv", &[]);
    // The ratio models take part if nothing is negative.
    assert_ne!(usual, dump("negative.csv", &["--negative"]));
    assert_eq!(usual.lines().count(), dump("berlin.csv", &["--timezone", "Europe/Berlin"]).lines().count());
}
