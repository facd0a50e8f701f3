//! A ConfigMap, as far as it is read.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::cache::{Metadata, Object};

/// A ConfigMap, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConfigMap {
    /// Who it is.
    pub(super) metadata: Metadata,
    /// Its texts; Go writes an empty map as nothing.
    pub(super) data: BTreeMap<String, String>,
}

impl Object for ConfigMap {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}
