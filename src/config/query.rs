//! Textual checks of grouped queries: otherwise a wrong template would only show later, as missing values.

use std::collections::BTreeSet;
use std::time::Duration;

use super::durations;

/// Returns the faults of a query that must return one series per combination of `labels`.
pub fn faults_of_query(query: &str, labels: &[&str]) -> Vec<String> {
    let mut faults = placeholder_faults(query);
    let wanted: BTreeSet<&str> = labels.iter().copied().collect();
    let histogram = query.contains("histogram_quantile");
    let groups = groups(query);
    let matches = groups.iter().any(|group| {
        // A quantile consumes the bucket label `le` that its inner group must keep.
        group.iter().copied().filter(|label| !(histogram && *label == "le")).collect::<BTreeSet<_>>() == wanted
    });
    if !matches && !labels.is_empty() {
        let list = labels.join(", ");
        let found = groups.first().map_or("no group".to_owned(), |group| format!("`by ({})`", group.join(", ")));
        faults.push(format!("has {found}, expected `by ({list})` as in `labels`"));
    }
    faults
}

/// Returns the faults of the selector of the raw samples behind a query.
pub fn faults_of_samples(samples: &str) -> Vec<String> {
    let mut faults = placeholder_faults(samples);
    let braces = samples.find('{').zip(samples.rfind('}'));
    let one_selector = samples.matches('{').count() == 1 && braces.is_some_and(|(open, close)| open < close);
    if samples.contains(['(', ')', '[', ']']) || !one_selector {
        faults.push("is not a single plain selector, such as http_requests_total{$selector}".to_owned());
    }
    faults
}

/// Returns faults of `$` placeholders: only `$selector` inside braces is filled in.
fn placeholder_faults(text: &str) -> Vec<String> {
    let mut faults: Vec<String> = text
        .split('$')
        .skip(1)
        .map(identifier)
        .filter(|name| !name.is_empty() && *name != "selector")
        .map(|name| format!("has the placeholder `${name}`, only `$selector` is replaced"))
        .collect();
    if !text
        .split('{')
        .skip(1)
        .any(|inside| inside.split('}').next().is_some_and(|inside| inside.contains("$selector")))
    {
        faults.push(
            "has no `$selector` inside its braces, so it cannot be limited to services; write {$selector}".to_owned(),
        );
    }
    faults
}

/// Returns the label lists of all `by (...)` clauses.
fn groups(query: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(open) = rest.find('(') {
        let (before, after) = rest.split_at(open);
        let after = after.get(1..).unwrap_or_default();
        let clause = before.trim_end();
        let by = clause.strip_suffix("by").or_else(|| clause.strip_suffix("BY"));
        let is_word = by.is_some_and(|head| !head.ends_with(|last: char| last.is_ascii_alphanumeric() || last == '_'));
        if is_word && let Some((list, _)) = after.split_once(')') {
            found.push(list.split(',').map(str::trim).filter(|label| !label.is_empty()).collect());
        }
        rest = after;
    }
    found
}

/// Returns how far back a query looks: its longest range plus those of its subqueries, which look back from there. Zero
/// for a query of current values; `None` if the text does not say: recording rules, recognizable by a colon in the
/// name, hide their ranges.
pub fn window(query: &str) -> Option<Duration> {
    let (mut longest, mut around) = (Duration::ZERO, Duration::ZERO);
    let text = unquoted(query);
    let mut pieces = text.split('[');
    let mut is_recorded = pieces.next().is_some_and(|head| head.contains(':'));
    for piece in pieces {
        let (range, rest) = piece.split_once(']')?;
        is_recorded |= rest.contains(':');
        match range.split_once(':') {
            Some((range, _)) => around = around.saturating_add(durations::parse(range).ok()?),
            None => longest = longest.max(durations::parse(range).ok()?),
        }
    }
    (!is_recorded).then(|| longest.saturating_add(around))
}

/// Returns a query without its quoted texts, which may contain anything.
fn unquoted(query: &str) -> String {
    let (mut bare, mut quote, mut is_escaped) = (String::new(), None, false);
    for letter in query.chars() {
        match quote {
            None if matches!(letter, '"' | '\'' | '`') => quote = Some(letter),
            None => bare.push(letter),
            Some(_) if is_escaped => is_escaped = false,
            Some('"' | '\'') if letter == '\\' => is_escaped = true,
            Some(open) if letter == open => quote = None,
            Some(_) => {}
        }
    }
    bare
}

fn identifier(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// Returns whether `text` is a Prometheus label name.
pub fn is_label(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(|first: char| first.is_ascii_digit()) && identifier(text) == text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_groups_by_exactly_the_labels() {
        let labels = ["namespace", "service"];
        let fine = [
            "sum by (namespace, service) (rate(x_total{$selector}[1m]))",
            "sum(rate(x_total{code=~\"5..$\",$selector}[1m])) by(service,namespace)",
            "histogram_quantile(0.99, sum by (namespace, service, le) (rate(x_bucket{$selector}[1m])))",
            "max by (namespace, service) (sum by (namespace, service, pod) (x{$selector}))",
        ];
        for query in fine {
            assert_eq!(faults_of_query(query, &labels), Vec::<String>::new(), "{query}");
        }
        let bad = [
            (
                "sum by (namespace) (x{$selector})",
                "has `by (namespace)`, expected `by (namespace, service)` as in `labels`",
            ),
            ("sum by (namespace, service, le) (x{$selector})", "has `by (namespace, service, le)`"),
            ("rate(x{$selector}[1m])", "has no group"),
            ("standby(namespace, service) + x{$selector}", "has no group"),
            ("sum by (namespace, service) (x)", "has no `$selector` inside its braces"),
            ("sum by (namespace, service) (x{$selector,a=\"$pod\"})", "has the placeholder `$pod`"),
        ];
        for (query, fault) in bad {
            let faults = faults_of_query(query, &labels);
            assert!(faults.len() == 1 && faults.iter().all(|found| found.starts_with(fault)), "{query}: {faults:?}");
        }
    }

    #[test]
    fn a_query_tells_how_far_it_looks_back() {
        let check = |query: &str, expected: Option<u64>| {
            assert_eq!(window(query), expected.map(Duration::from_secs), "{query}");
        };
        check("sum by (service) (queue_length{$selector})", Some(0));
        check("sum by (service) (rate(x_total{$selector}[1m]))", Some(60));
        check("sum(rate(x{code=~\"5[0-9]:.\",$selector}[1m])) / sum(rate(x{$selector}[90s]))", Some(90));
        check("rate(x{a='\\'[5m]',b=`\\`,$selector}[1h30m])", Some(5400));
        check("max_over_time(sum by (service) (rate(x{$selector}[1m]))[5m:15s])", Some(360));
        check("sum by (service) (service:requests:rate1m{$selector})", None);
        check("sum by (service) (max_over_time(service:requests:rate1m{$selector}[1m]))", None);
        check("rate(x{$selector}[a while])", None);
        check("rate(x{$selector}[1m", None);
    }

    #[test]
    fn samples_are_one_plain_selector() {
        assert_eq!(faults_of_samples("x_total{job=\"a\",$selector}"), Vec::<String>::new());
        for bad in ["rate(x{$selector}[1m])", "x{$selector} + y{$selector}", "x", "x{$pod}", "}x$selector{"] {
            assert_ne!(faults_of_samples(bad), Vec::<String>::new(), "{bad}");
        }
    }

    #[test]
    fn labels_are_label_names() {
        assert!(is_label("namespace") && is_label("_x9"));
        assert!(!is_label("") && !is_label("9x") && !is_label("a-b") && !is_label("a.b"));
    }
}
