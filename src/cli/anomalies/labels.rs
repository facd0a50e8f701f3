//! Windows in which something went wrong, in the format of the Numenta Anomaly Benchmark: a JSON object with a list of
//! `[from, to]` per file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use crate::cli::csv::{Row, second};

/// Windows of each file, by its path relative to the directory of the series.
pub type Labels = BTreeMap<String, Vec<(i64, i64)>>;

/// Reads a file of labels; timestamps become seconds since the epoch.
pub fn read(file: &Path) -> anyhow::Result<Labels> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    parse(&text).with_context(|| file.display().to_string())
}

fn parse(text: &str) -> anyhow::Result<Labels> {
    let all: BTreeMap<String, Vec<[String; 2]>> = serde_json::from_str(text)
        .context("does not have the form {\"path/of/series.csv\": [[\"from\", \"to\"], ...], ...}")?;
    let stamp = |stamp: &String| second(stamp).map_err(anyhow::Error::msg);
    let windows = |windows: &Vec<[String; 2]>| -> anyhow::Result<Vec<(i64, i64)>> {
        let mut windows: Vec<(i64, i64)> =
            windows.iter().map(|[from, to]| Ok((stamp(from)?, stamp(to)?))).collect::<anyhow::Result<_>>()?;
        windows.sort_unstable();
        Ok(windows)
    };
    all.iter().map(|(name, all)| Ok((name.clone(), windows(all).with_context(|| name.clone())?))).collect()
}

/// Returns the first and the last row of each window. A window without rows is an error: the labels belong to another
/// file.
pub fn rows(windows: &[(i64, i64)], rows: &[Row]) -> anyhow::Result<Vec<(usize, usize)>> {
    let window = |(from, to): &(i64, i64)| {
        let first = rows.iter().position(|row| row.at >= *from)?;
        let last = rows.iter().rposition(|row| row.at <= *to)?;
        (first <= last).then_some((first, last))
    };
    windows.iter().map(|one| window(one).context("a labelled window contains no row")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_the_benchmark_become_rows() {
        let text = r#"{"a/b.csv": [["2014-04-10 00:10:00.000000", "2014-04-10 00:20:00.000000"],
                                   ["2014-04-10 00:00:00", "2014-04-10 00:04:59"]], "c.csv": []}"#;
        let labels = parse(text).unwrap();
        let begin = second("2014-04-10T00:00:00Z").unwrap();
        assert_eq!(labels["a/b.csv"], [(begin, begin + 299), (begin + 600, begin + 1200)]);
        assert!(labels["c.csv"].is_empty());
        let series: Vec<Row> =
            (0..5).map(|row| Row { at: begin + 300 * row, step: row as usize, value: Some(1.0) }).collect();
        assert_eq!(rows(&labels["a/b.csv"], &series).unwrap(), [(0, 0), (2, 4)]);
        let elsewhere = rows(&[(begin + 301, begin + 599)], &series).unwrap_err();
        assert_eq!(elsewhere.to_string(), "a labelled window contains no row");
    }

    #[test]
    fn what_are_no_labels_is_said() {
        assert!(parse("[1]").unwrap_err().to_string().contains("path/of/series.csv"));
        let error = format!("{:#}", parse(r#"{"a.csv": [["x", "2014-04-10"]]}"#).unwrap_err());
        assert_eq!(error, "a.csv: `x` is not a time such as 2026-03-03T12:00:00Z or Unix seconds");
    }
}
