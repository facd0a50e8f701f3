//! Identities: a service, one cycle, and what ties a decision to logs, traces and policies.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::time::Timestamp;

/// A supervised service, `namespace/name`; both parts are DNS labels.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceId(Arc<str>);

/// Why a text is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{text}` is not of the form {expected}")]
pub struct IdError {
    what: &'static str,
    text: String,
    expected: &'static str,
}

impl ServiceId {
    /// Returns the identity of `name` in `namespace`.
    ///
    /// # Errors
    /// When a part is not a DNS label (1 to 63 of `a-z0-9-`, an alphanumeric at both ends).
    pub fn new(namespace: &str, name: &str) -> Result<Self, IdError> {
        format!("{namespace}/{name}").parse()
    }

    /// Returns the part before the slash.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// Returns the part after the slash.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }

    /// Returns `namespace/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns whether `text` is a DNS label, as Kubernetes requires for names of namespaces and Services.
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_dns_part(text)
}

/// Returns whether `text` is a DNS subdomain, as Kubernetes requires for most object names: parts of any length with
/// dots between them.
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_part)
}

fn is_dns_part(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

impl FromStr for ServiceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let valid = text.split_once('/').is_some_and(|(namespace, name)| is_dns_label(namespace) && is_dns_label(name));
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(IdError { what: "service", text: text.to_owned(), expected: "namespace/name (DNS labels)" })
        }
    }
}

impl TryFrom<String> for ServiceId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ServiceId> for String {
    fn from(id: ServiceId) -> Self {
        id.0.to_string()
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One turn of the loop for one service: `run` counts the starts of this installation (the journal keeps
/// the counter), `seq` the turns since the start. Written `run-seq`; orders as time does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct CycleId {
    /// Number of the process start.
    pub run: u32,
    /// Number of the turn within the run, from 1.
    pub seq: u32,
}

impl CycleId {
    /// Returns the next cycle.
    #[must_use]
    pub fn next(self) -> Self {
        Self { run: self.run, seq: self.seq.saturating_add(1) }
    }
}

impl fmt::Display for CycleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.run, self.seq)
    }
}

impl FromStr for CycleId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.split_once('-')
            .and_then(|(run, seq)| Some(Self { run: run.parse().ok()?, seq: seq.parse().ok()? }))
            .ok_or_else(|| IdError { what: "cycle", text: text.to_owned(), expected: "run-seq (two numbers)" })
    }
}

impl TryFrom<String> for CycleId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<CycleId> for String {
    fn from(id: CycleId) -> Self {
        id.to_string()
    }
}

/// One decision: the service and the cycle that made it. Written `namespace/name@run-seq`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct DecisionId {
    /// The service decided about.
    pub service: ServiceId,
    /// The turn that decided.
    pub cycle: CycleId,
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.service, self.cycle)
    }
}

impl FromStr for DecisionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.split_once('@')
            .and_then(|(service, cycle)| Some(Self { service: service.parse().ok()?, cycle: cycle.parse().ok()? }))
            .ok_or_else(|| IdError { what: "decision", text: text.to_owned(), expected: "namespace/name@run-seq" })
    }
}

impl TryFrom<String> for DecisionId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<DecisionId> for String {
    fn from(id: DecisionId) -> Self {
        id.to_string()
    }
}

/// Returns `bytes` as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A W3C trace id, 16 bytes, written as 32 hexadecimal digits. Derived rather than random, so that a replay and the
/// inline runner give a cycle the same id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// Returns the trace id of one cycle.
    pub fn derive(service: &ServiceId, cycle: CycleId, at: Timestamp) -> Self {
        let mut hash = Sha256::new();
        hash.update(service.as_str());
        hash.update([0]);
        hash.update(cycle.run.to_be_bytes());
        hash.update(cycle.seq.to_be_bytes());
        hash.update(at.as_millisecond().to_be_bytes());
        let digest = hash.finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for TraceId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        let parsed = (text.len() == 32).then(|| u128::from_str_radix(&text, 16).ok()).flatten();
        parsed.map(|number| Self(number.to_be_bytes())).ok_or(IdError {
            what: "trace",
            text,
            expected: "32 hexadecimal digits",
        })
    }
}

impl From<TraceId> for String {
    fn from(id: TraceId) -> Self {
        id.to_string()
    }
}

/// The content of a policy set: the first 12 hexadecimal digits of a SHA-256 over its files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PolicyRevision(Arc<str>);

impl PolicyRevision {
    /// Returns the revision of a set of files; `files` are (path, text) in path order.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut hash = Sha256::new();
        for (path, text) in files {
            for part in [path, text] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        let digest = hash.finalize();
        Self(hex(&digest[..6]).into())
    }

    /// Returns the 12 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_id_needs_two_dns_labels() {
        assert!("shop/checkout".parse::<ServiceId>().is_ok());
        for bad in ["shop", "shop/", "/checkout", "Shop/checkout", "shop/check out", "a/b/c", "-a/b"] {
            assert!(bad.parse::<ServiceId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_read_back_what_they_write() {
        let id: DecisionId = "shop/checkout@3-17".parse().unwrap();
        assert_eq!(id.cycle, CycleId { run: 3, seq: 17 });
        assert_eq!(id.to_string(), "shop/checkout@3-17");
        let trace = TraceId::derive(&id.service, id.cycle, Timestamp::UNIX_EPOCH);
        assert_eq!(TraceId::try_from(trace.to_string()).unwrap(), trace);
    }

    #[test]
    fn a_revision_tells_files_apart_by_boundary() {
        assert_ne!(PolicyRevision::of([("a", "bc")]), PolicyRevision::of([("ab", "c")]));
    }
}
