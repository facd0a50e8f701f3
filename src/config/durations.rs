//! Spans of time as people write them: `15s`, `1h30m`, `14d`, `200ms`.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Why a text is not a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSpan {
    /// Something else, or a number without a unit, or months and years, whose length varies.
    #[error("is not a duration with a unit, such as 15s or 1h30m")]
    Text,
    /// Negative.
    #[error("is negative")]
    Negative,
    /// Too long to be represented.
    #[error("is too long")]
    TooLong,
}

/// Returns the span that `text` names; days have 24 hours.
///
/// # Errors
/// Why it is not a span.
pub fn parse(text: &str) -> Result<Duration, NoSpan> {
    let Ok(span) = text.trim().parse::<Span>() else {
        // A single-digit number would be parsed as one.
        let mut letters: Vec<char> = text.trim().chars().collect();
        letters.dedup_by(|next, last| next.is_ascii_digit() && last.is_ascii_digit());
        let short = letters.into_iter().collect::<String>().parse::<Span>();
        return Err(if short.is_ok() { NoSpan::TooLong } else { NoSpan::Text });
    };
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| NoSpan::Text)?;
    Duration::try_from(exact).map_err(|_| NoSpan::Negative)
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
        let check = |text: &str, expected: Result<Duration, NoSpan>| assert_eq!(parse(text), expected, "{text}");
        check("15s", Ok(Duration::from_secs(15)));
        check("1h30m", Ok(Duration::from_mins(90)));
        check("14d", Ok(Duration::from_hours(14 * 24)));
        check("200ms", Ok(Duration::from_millis(200)));
        check(" 2 minutes ", Ok(Duration::from_mins(2)));
        for bad in ["", "15", "soon", "1mo", "s15", "99999999999999999999"] {
            check(bad, Err(NoSpan::Text));
        }
        check("-15s", Err(NoSpan::Negative));
        check("999999999d", Err(NoSpan::TooLong));
        check("99999999999999999999s", Err(NoSpan::TooLong));
    }

    #[test]
    fn spans_are_shown_as_they_are_read() {
        for text in ["15s", "90m", "14d", "200ms", "1500ms", "2h", "0s"] {
            assert_eq!(parse(text).map(show).as_deref(), Ok(text));
        }
    }
}
