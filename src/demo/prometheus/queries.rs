//! The queries of the demo: what its endpoint supports, and what its settings query. One table, so that the two cannot
//! differ.

use std::fmt::Write as _;

use crate::model::{Role, Unit};
use crate::sim::Signal;

use super::selector::{Selector, SelectorFault};

/// Labels that name a service in every answer.
pub const LABELS: [&str; 2] = ["namespace", "service"];

/// The raw series whose newest sample dates all the others: one scrape of a pod collects them together.
pub const SAMPLES: &str = "http_requests_total{$selector}";

/// One signal of the demo's services.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryRow {
    /// Name in policies.
    pub name: &'static str,
    /// The plant signal it reads.
    pub reads: Signal,
    /// Its unit.
    pub unit: Unit,
    /// Its role in the loop.
    pub role: Option<Role>,
    /// Smallest and largest plausible value.
    pub range: (f64, f64),
    /// Whether it is forecast.
    pub forecast: bool,
    /// The query; `$selector` stands for label matchers.
    pub query: &'static str,
}

/// All signals, the arrival rate first.
pub const QUERIES: [QueryRow; 5] = [
    QueryRow {
        name: "rps",
        reads: Signal::Rps,
        unit: Unit::PerSecond,
        role: Some(Role::ArrivalRate),
        range: (0.0, 1e6),
        forecast: true,
        query: "sum by (namespace, service) (rate(http_requests_total{$selector}[1m]))",
    },
    QueryRow {
        name: "p99",
        reads: Signal::P99,
        unit: Unit::Seconds,
        role: Some(Role::Latency),
        range: (0.0, 60.0),
        forecast: true,
        query: "histogram_quantile(0.99, sum by (namespace, service, le) \
                (rate(http_request_duration_seconds_bucket{$selector}[1m])))",
    },
    QueryRow {
        name: "cpu",
        reads: Signal::Cpu,
        unit: Unit::Ratio,
        role: Some(Role::Cpu),
        range: (0.0, 1.5),
        forecast: false,
        query: "avg by (namespace, service) (rate(process_cpu_seconds_total{$selector}[1m]))",
    },
    QueryRow {
        name: "errors",
        reads: Signal::Errors,
        unit: Unit::Ratio,
        role: Some(Role::ErrorRatio),
        range: (0.0, 1.0),
        forecast: false,
        query: "sum by (namespace, service) (rate(http_requests_total{code=~\"5..\",$selector}[1m])) \
                / sum by (namespace, service) (rate(http_requests_total{$selector}[1m]))",
    },
    QueryRow {
        name: "p50",
        reads: Signal::P50,
        unit: Unit::Seconds,
        role: None,
        range: (0.0, 60.0),
        forecast: false,
        query: "histogram_quantile(0.5, sum by (namespace, service, le) \
                (rate(http_request_duration_seconds_bucket{$selector}[1m])))",
    },
];

/// What a query returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The value of a signal.
    Value(Signal),
    /// The time of the newest sample.
    SampleTime,
}

/// A parsed query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What it returns.
    pub asked: Asked,
    /// The selected services.
    pub selector: Selector,
}

/// Why a query is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    /// Not in the table.
    #[error("the demo endpoint does not understand `{query}`, only (with matchers for $selector): {known}")]
    Unknown {
        /// The query, truncated.
        query: String,
        /// The queries of the table.
        known: String,
    },
    /// In the table, but with unsupported matchers.
    #[error("parse error: {0}")]
    Selector(#[from] SelectorFault),
    /// In the table, but its selectors differ.
    #[error("the selectors of `{query}` differ, the demo endpoint expects the same everywhere")]
    MixedSelectors {
        /// The query, truncated.
        query: String,
    },
}

/// Parses `query`; white space outside quotes does not matter.
///
/// # Errors
/// When it is not in the table.
pub fn understand(query: &str) -> Result<Question, QueryFault> {
    let text = squeeze(query);
    let sample_time = (sample_time_query(), Asked::SampleTime);
    let rows = QUERIES.iter().map(|row| (row.query.to_owned(), Asked::Value(row.reads)));
    for (template, asked) in rows.chain([sample_time]) {
        let Some(selectors) = fill(&squeeze(&template), &text) else { continue };
        let Some((first, rest)) = selectors.split_first() else { continue };
        if rest.iter().any(|other| other != first) {
            return Err(QueryFault::MixedSelectors { query: cut(query) });
        }
        return Ok(Question { asked, selector: first.parse()? });
    }
    Err(QueryFault::Unknown { query: cut(query), known: known() })
}

/// Returns the query for the time of each service's newest sample.
pub fn sample_time_query() -> String {
    format!("max by ({}) (timestamp({SAMPLES}))", LABELS.join(", "))
}

fn known() -> String {
    let mut list = sample_time_query();
    for row in &QUERIES {
        let _ = write!(list, "; {}", row.query);
    }
    list
}

/// Returns what `text` has in place of the placeholders of `template`; `None` if the rest differs.
fn fill<'a>(template: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = template.split("$selector");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let mut found = Vec::new();
    for part in parts {
        let (inside, after) = rest.split_once(part)?;
        found.push(inside);
        rest = after;
    }
    rest.is_empty().then_some(found)
}

/// Returns `text` without white space outside double quotes.
fn squeeze(text: &str) -> String {
    let mut quoted = false;
    let mut escaped = false;
    let keep = |letter: &char| {
        if *letter == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && *letter == '\\' && !escaped;
        quoted || !letter.is_whitespace()
    };
    text.chars().filter(keep).collect()
}

fn cut(query: &str) -> String {
    query.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_understood_with_and_without_matchers() {
        for row in &QUERIES {
            for matchers in ["", r#"namespace="shop""#, r#"namespace="shop",service=~"checkout|search""#] {
                let question = understand(&row.query.replace("$selector", matchers)).unwrap();
                assert_eq!(question.asked, Asked::Value(row.reads), "{} {matchers}", row.name);
                assert_eq!(question.selector, matchers.parse().unwrap());
            }
        }
        let question = understand(&sample_time_query().replace("$selector", r#"service="search""#)).unwrap();
        assert_eq!(question.asked, Asked::SampleTime);
        assert!(question.selector.matches("shop", "search") && !question.selector.matches("shop", "checkout"));
    }

    #[test]
    fn white_space_does_not_matter_outside_quotes() {
        let query = "sum  by(namespace,service)\n (rate(http_requests_total{ namespace = \"shop\" }[1m]))";
        assert!(understand(query).unwrap().selector.matches("shop", "any"));
        let query = "sum by (namespace,service) (rate(http_requests_total{namespace=\"sh op\"}[1m]))";
        assert!(!understand(query).unwrap().selector.matches("shop", "any"));
    }

    #[test]
    fn other_queries_are_refused_with_what_would_be_understood() {
        let error = understand("up{job=\"x\"}").unwrap_err().to_string();
        assert!(error.contains("does not understand `up{job=\"x\"}`") && error.contains(QUERIES[0].query), "{error}");
        for query in ["", "sum by (namespace) (rate(http_requests_total{}[1m]))", "http_requests_total"] {
            assert!(matches!(understand(query), Err(QueryFault::Unknown { .. })), "{query}");
        }
        let mixed = QUERIES[3].query.replacen("$selector", "service=\"a\"", 1).replace("$selector", "service=\"b\"");
        assert!(matches!(understand(&mixed), Err(QueryFault::MixedSelectors { .. })));
    }
}
