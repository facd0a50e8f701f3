//! Time spans as policies write them: `"30s"`, `"2m"`, `"1h"`.

use std::time::Duration;

use crate::decide::api::quantity::ScriptResult;

/// Longest span that a policy may name.
const MAX: Duration = Duration::from_hours(24);
/// Longest text of a span, bytes: `86400s`.
const LONGEST: usize = 6;

/// Reads a time span.
///
/// # Errors
/// When it is not a whole number above zero followed by `s`, `m` or `h`, or longer than a day.
pub(crate) fn parse_span(text: &str) -> ScriptResult<Duration> {
    let bad = || format!("`{text}` is not a duration: write \"30s\", \"2m\" or \"1h\", at most 24h").into();
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        _ => return Err(bad()),
    };
    // The text is kept as written: leading zeros would fill records.
    if text.len() > LONGEST {
        return Err(bad());
    }
    let digits = text.get(..text.len() - 1).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = digits.and_then(|digits| digits.parse::<u64>().ok()).and_then(|count| count.checked_mul(unit));
    match seconds.map(Duration::from_secs) {
        Some(span) if !span.is_zero() && span <= MAX => Ok(span),
        _ => Err(bad()),
    }
}
