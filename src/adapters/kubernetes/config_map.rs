//! A ConfigMap, to the extent it is read.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::cache::{Metadata, Object};

/// A ConfigMap, to the extent it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ConfigMap {
    /// Its metadata.
    pub(super) metadata: Metadata,
    /// Its data; Go omits an empty map.
    pub(super) data: BTreeMap<String, String>,
}

impl Object for ConfigMap {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}
