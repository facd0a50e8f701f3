//! Textual checks of grouped queries: what a wrong template would do only shows as missing values later.

use std::collections::BTreeSet;

/// Returns what is wrong with a query that is to yield one series for each combination of `labels`.
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
        faults.push(format!("has {found}, expected `by ({list})` as in labels"));
    }
    faults
}

/// Returns what is wrong with the selector of the raw samples behind a query.
pub fn faults_of_samples(samples: &str) -> Vec<String> {
    let mut faults = placeholder_faults(samples);
    let braces = samples.find('{').zip(samples.rfind('}'));
    let one_selector = samples.matches('{').count() == 1 && braces.is_some_and(|(open, close)| open < close);
    if samples.contains(['(', ')', '[', ']']) || !one_selector {
        faults.push("is not one plain selector, such as http_requests_total{$selector}".to_owned());
    }
    faults
}

/// Returns faults of `$` placeholders: `$selector` inside braces is the one that is filled in.
fn placeholder_faults(text: &str) -> Vec<String> {
    let mut faults: Vec<String> = text
        .split('$')
        .skip(1)
        .map(identifier)
        .filter(|name| !name.is_empty() && *name != "selector")
        .map(|name| format!("has the placeholder `${name}`, only `$selector` is filled in"))
        .collect();
    if !text
        .split('{')
        .skip(1)
        .any(|inside| inside.split('}').next().is_some_and(|inside| inside.contains("$selector")))
    {
        faults.push(
            "has no `$selector` inside its braces, so it cannot be narrowed to services; write {$selector}".to_owned(),
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

fn identifier(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// Tells whether `text` is a label name of Prometheus.
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
                "has `by (namespace)`, expected `by (namespace, service)` as in labels",
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
