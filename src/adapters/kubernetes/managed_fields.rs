//! Who set the replicas of an object last, as the API server keeps it in `metadata.managedFields`.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Which fields somebody owns, as far as the replicas are concerned.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ManagedField {
    manager: String,
    /// RFC 3339 in UTC, so that texts order as times do.
    time: Option<String>,
    fields_v1: OwnedFields,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct OwnedFields {
    #[serde(rename = "f:spec")]
    spec: OwnedSpec,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct OwnedSpec {
    #[serde(rename = "f:replicas")]
    replicas: Option<IgnoredAny>,
}

/// Returns the field manager that last set the replicas. Several own them where they applied the same value.
pub(super) fn owner(fields: &[ManagedField]) -> Option<Arc<str>> {
    let own = fields.iter().filter(|entry| entry.fields_v1.spec.replicas.is_some());
    own.max_by(|one, other| one.time.cmp(&other.time)).map(|entry| Arc::from(entry.manager.as_str()))
}
