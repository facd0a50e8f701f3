//! Spans of time as people write them: `15s`, `1h30m`, `14d`, `200ms`.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Returns the span that `text` names; days have 24 hours. `None` for a number without a unit, for months and
/// years, whose length differs, and for a negative span.
pub fn parse(text: &str) -> Option<Duration> {
    let span: Span = text.trim().parse().ok()?;
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(exact).ok()
}

/// Returns `span` in the largest unit that divides it, as a message shows it.
pub fn show(span: Duration) -> String {
    let millis = span.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = units.iter().find(|(size, unit)| millis.is_multiple_of(*size) && (millis > 0 || *unit == "s"));
    whole.map_or_else(|| format!("{millis}ms"), |(size, unit)| format!("{}{unit}", millis / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_unit() {
        let check = |text: &str, expected: Option<Duration>| assert_eq!(parse(text), expected, "{text}");
        check("15s", Some(Duration::from_secs(15)));
        check("1h30m", Some(Duration::from_mins(90)));
        check("14d", Some(Duration::from_hours(14 * 24)));
        check("200ms", Some(Duration::from_millis(200)));
        check(" 2 minutes ", Some(Duration::from_mins(2)));
        for bad in ["", "15", "-15s", "soon", "1mo", "s15"] {
            check(bad, None);
        }
    }

    #[test]
    fn spans_are_shown_as_they_are_read() {
        for text in ["15s", "90m", "14d", "200ms", "1500ms", "2h", "0s"] {
            assert_eq!(parse(text).map(show).as_deref(), Some(text));
        }
    }
}
