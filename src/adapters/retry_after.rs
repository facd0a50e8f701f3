//! `Retry-After`: the back-off that a server requests.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, HeaderName, RETRY_AFTER};
use jiff::fmt::rfc2822;

use crate::model::time::elapsed;

/// Returns the back-off in the header, in seconds or as a date (relative to the server's own `Date`, so that clocks
/// need not agree); an overflowing number is the longest span. An unreadable value counts as absent.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER)?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    Some(elapsed(date(text)?, date(self::text(headers, DATE)?)?))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

fn date(text: &str) -> Option<jiff::Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}
