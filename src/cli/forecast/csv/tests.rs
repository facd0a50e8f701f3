//! All kinds of files, and the messages on them.

use super::*;

/// A link that leads back would make a directory endless.
#[test]
fn files_are_found_below_a_directory_and_links_to_directories_are_not_followed() {
    let place = tempfile::tempdir().unwrap();
    for path in ["b.csv", "a.txt", "below/a.csv"] {
        let path = place.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    std::os::unix::fs::symlink("..", place.path().join("below/loop")).unwrap();
    std::os::unix::fs::symlink("b.csv", place.path().join("c.csv")).unwrap();
    let found = |depth| files(place.path(), depth).unwrap().into_keys().collect::<Vec<_>>();
    assert_eq!(found(Depth::Here), ["b.csv", "c.csv"]);
    assert_eq!(found(Depth::Below), ["b.csv", "below/a.csv", "c.csv"]);
    assert!(files(&place.path().join("none.csv"), Depth::Here).is_ok(), "whoever reads it says that there is none");
}

fn values(text: &str) -> (i64, u32, Vec<Option<f64>>) {
    let read = parse(text, None, (0.0, 1e9)).unwrap();
    (read.step, read.series.season, read.series.values)
}

#[test]
fn stamps_of_all_kinds_make_a_grid_with_gaps() {
    let expected = (300, 288, vec![Some(1.0), Some(2.5), None, Some(4.0)]);
    for text in [
        "timestamp,value\n2024-01-01T00:00:00Z,1\n2024-01-01T00:05:00Z,2.5\n2024-01-01T00:15:00Z,4\n",
        "timestamp,value\n2024-01-01 00:00:00,1\n2024-01-01 00:05:00,2.5\n2024-01-01 00:10:00,\n2024-01-01 00:15:00,4",
        "t,v\n1704067200,1\n1704067500,2.5\n1704067800,nan\n1704068100,4\n\n",
        // The first row is data too.
        "1704067200,1\n1704067500,2.5\n1704067800,nan\n1704068100,4\n",
        // As spreadsheets and databases write it.
        "1704067200000,1\n1704067500000,2.5\n1704067800000,nan\n1704068100000,4\n",
        "t,v\n1704067200000000,1\n1704067500000000,2.5\n1704067800000000,nan\n1704068100000000,4\n",
        "1704067200000000000,1\n1704067500000000000,2.5\n1704067800000000000,nan\n1704068100000000000,4\n",
        "\"time, UTC\",\"value\"\n\"2024-01-01 00:00:00\",\"1\"\n\"2024-01-01 00:05:00\",\"2.5\",\"a, b\"\n\"2024-01-01 00:15:00\",\"4\"\n",
        "timestamp;value\n2024-01-01T00:00:00Z;1\n2024-01-01T00:05:00Z;2.5\n2024-01-01T00:15:00Z;4\n",
        "2024-01-01T00:00:00Z\t1\n2024-01-01T00:05:00Z\t2.5\n2024-01-01T00:15:00Z\t4\n",
        // Newest first, and unordered.
        "1704068100,4\n1704067800,nan\n1704067500,2.5\n1704067200,1\n",
        "t,v\n1704067500,2.5\n1704067200,1\n1704068100,4\n1704067800,nan\n",
        // Comments and empty lines before the header, words for a missing value, decimal commas.
        "# exported\n\ntimestamp,value\n1704067200,1\n1704067500,2.5\n1704067800,NA\n1704068100,4\n",
        "t,v\n1704067200,1\n1704067500,2.5\n1704067800,null\n1704068100,4\n",
        "t;v\n1704067200;1,0\n1704067500;2,5\n1704067800;\n1704068100;4\n",
        "\u{feff}1704067200,1\n1704067500,2.5\n1704067800,nan\n1704068100,4\n",
        "\u{feff}timestamp,value\n1704067200,1\n1704067500,2.5\n1704067800,nan\n1704068100,4\n",
    ] {
        assert_eq!(values(text), expected, "{text}");
    }
}

#[test]
fn what_is_odd_and_was_put_right_is_said() {
    let notes = |text: &str| parse(text, None, (0.0, 1e9)).unwrap().notes;
    assert_eq!(notes("60,1\n120,2\n120,2\n180,3\n"), Vec::<String>::new());
    assert_eq!(notes("180,3\n120,2\n60,1\n"), ["its rows are newest first; they were sorted by time"]);
    let swapped = "its rows are not in time order (first at line 3); they were sorted";
    assert_eq!(notes("60,1\n180,3\n120,2\n240,4\n"), [swapped]);
    let twice = "line 3 (and 1 more) falls into a step of 60 s that already has a row; the first row counts";
    assert_eq!(notes("60,1\n120,2\n120,7\n180,3\n180,nan\n240,1\n"), [twice]);
    // As in the loop, and as in the file that ends with the previous row.
    assert_eq!(parse("60,1\n120,2\n120,7\n", None, (0.0, 1e9)).unwrap().series.values[1], Some(2.0));
    let off = "its first timestamps are 299 to 301 s apart; using steps of 300 s, each row assigned to the nearest";
    assert_eq!(notes("300,1\n601,2\n900,3\n"), [off]);
}

#[test]
fn sizes_that_cost_precision_are_said() {
    let note = |values: [f64; 3]| precision(values.into_iter()).unwrap().unwrap_or_default();
    assert_eq!([note([0.0; 3]), note([5.0; 3]), note([-3.0, 0.02, 8e9])], ["", "", ""]);
    assert!(note([1e20, 2e20, 1.0]).starts_with("its largest value is 2e20"));
    assert!(note([1e-20, 2e-20, 0.0]).starts_with("its largest value is 2e-20"));
    assert!(note([1e7, 1e7 + 60.0, 1e7]).starts_with("its values are only 60 apart near 10000060"));
    let told = note([3e5, 3e5 + 400.0, 3e5 + 20.0]);
    assert!(told.starts_with("its values are only 400 apart near 300400, where they are stored to 4.6e0"), "{told}");
    assert_eq!([note([3e5, 3e5 + 2e3, 3e5]), note([3e3, 4e3, 3.5e3])], ["", ""]);
    let refused = precision([1.0, -1e30].into_iter()).unwrap_err().to_string();
    assert!(refused.starts_with("has values as large as 1e30"), "{refused}");
}

#[test]
fn stamps_a_little_off_lose_no_row() {
    let off = [0, 17, -12, 3, -20, 9, 20, -1, -15, 6, 11, -7];
    for most in [1, 20] {
        let stamp = |row: i64| 1_704_067_200 + 300 * row + off[row as usize % off.len()].clamp(-most, most);
        let text: Vec<String> = (0..200).map(|row| format!("{},{row}\n", stamp(row))).collect();
        let text = text.concat();
        let expected: Vec<_> = (0..200).map(|row| Some(f64::from(row))).collect();
        assert_eq!(values(&text), (300, 288, expected), "{most}");
    }
}

#[test]
fn what_is_read_is_not_written_over() {
    let place = tempfile::tempdir().unwrap();
    let [series, other] = ["series.csv", "other.csv"].map(|name| place.path().join(name));
    std::fs::write(&series, "0,1\n").unwrap();
    let same = place.path().join(".").join("series.csv");
    let refused = keep(&series, Some(&same)).unwrap_err().to_string();
    assert!(refused.ends_with("series.csv; name another file"), "{refused}");
    assert!(keep(place.path(), Some(&series)).is_err(), "it is one of the directory");
    assert!(keep(&series, Some(&other)).is_ok() && keep(&series, None).is_ok());
    assert!(keep(Path::new(STANDARD_INPUT), Some(&series)).is_ok());
}

#[test]
fn what_a_grid_cannot_follow_is_said() {
    let notes = |step: i64, zone: &str| {
        let rows = (0..3).map(|row| format!("{},1\n", row * step)).collect::<Vec<_>>().concat();
        let mut read = parse(&rows, None, (0.0, 1e9)).unwrap();
        read.follow(&Zone::named(zone).unwrap());
        assert_eq!(read.series.zone != Zone::UTC, zone != "UTC" && 3600 % step == 0);
        read.notes.join("; ")
    };
    let drifts = "a day is not a whole number of steps of 3000 s: a season of 29 drifts against it";
    assert!(notes(3000, "UTC").starts_with(drifts), "{}", notes(3000, "UTC"));
    assert_eq!([notes(300, "Europe/Berlin"), notes(7200, "UTC"), notes(86_400, "UTC")], ["", "", ""]);
    let hours = "steps of 7200 s do not divide an hour: the season follows UTC, not the clock of Europe/Berlin";
    assert_eq!(notes(7200, "Europe/Berlin"), hours);
}

#[test]
fn names_stay_one_cell() {
    assert_eq!(quoted("shop checkout"), "shop checkout");
    assert_eq!(quoted("a,b \"q\""), "\"a,b \"\"q\"\"\"");
    assert_eq!(cells("\"a,b \"\"q\"\"\",1", ','), ["a,b \"q\"", "1"]);
}

#[test]
fn what_is_no_series_is_said_with_its_line() {
    for (text, expected) in [
        ("", "has no rows"),
        (
            "timestamp,value\n2024-13-01,1\n",
            "line 2, column 1: `2024-13-01` is not a time such as 2026-03-03T12:00:00Z or Unix seconds",
        ),
        (
            "timestamp,value\n60 1\n",
            "line 2, column 1: `60 1` is not a time such as 2026-03-03T12:00:00Z or Unix seconds",
        ),
        // The first line is a header only if no part of it is a row.
        ("60,x\n120,1\n180,1\n", "line 1, column 2: `x` is not a number"),
        ("60\n120,1\n180,1\n", "line 1, column 2: is missing, expected timestamp,value instead of `60`"),
        ("6O,1\n120,1\n180,1\n", "line 1, column 1: `6O` is not a time such as 2026-03-03T12:00:00Z or Unix seconds"),
        ("60,1\n120\n", "line 2, column 2: is missing, expected timestamp,value instead of `120`"),
        ("timestamp,value\n1,1\n1,2\n", "has only one step, at least two are needed"),
        ("timestamp,value\n60,1\n120,x\n", "line 3, column 2: `x` is not a number"),
        (
            "1704067200000,1\n99999999999,1\n",
            "line 2, column 1: `99999999999` is not a Unix timestamp between 1990 and 2100 in s, ms, us or ns",
        ),
        ("60;1\n120", "line 2, column 2: is missing, expected timestamp;value instead of `120`"),
        ("timestamp,value\n0,1\n1,1\n1e9,1", "spans 1000000000 steps of 1 s, the limit is 10000000"),
        (
            "timestamp,value\n0,1\n20000000,1",
            "even a year has fewer than two steps of 20000000 s; set the season with --season STEPS",
        ),
    ] {
        assert_eq!(parse(text, None, (0.0, 1e9)).unwrap_err().to_string(), expected);
    }
    for (text, season, expected) in [
        ("t,v\n0,1\n1,1", None, 86_400),
        ("t,v\n0,1\n3600,1", None, 24),
        ("t,v\n0,1\n86400,1", None, 7),
        ("t,v\n0,1\n604800,1", None, 52),
        ("t,v\n2024-01-01,1\n2024-01-02,1", None, 7),
        ("t,v\n0,1\n3000,1", None, 29),
        ("t,v\n0,1\n420,1", None, 206),
        ("t,v\n0,1\n86400,1", Some(30), 30),
    ] {
        assert_eq!(parse(text, season, (0.0, 1e9)).unwrap().series.season, expected, "{text}");
    }
}
