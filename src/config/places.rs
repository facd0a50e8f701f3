//! Where settings say that something is: in a file, or in the Kubernetes API.

use std::path::PathBuf;
use std::sync::Arc;

use super::declarations::Declarations;
use crate::model::ServiceSpec;

/// Where policies come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicySource {
    /// This directory.
    Directory(PathBuf),
    /// Labelled ConfigMaps.
    ConfigMaps,
}

/// Where the kill switch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switch {
    /// In this file.
    File(PathBuf),
    /// In a ConfigMap of flyball's own namespace; `None` means that of its account.
    ConfigMap {
        /// The namespace.
        namespace: Option<String>,
    },
}

/// Where services are declared.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceSource {
    /// In the settings file, in this order.
    Listed(Vec<ServiceSpec>),
    /// By `ServiceLoop` objects, parsed by these rules.
    ServiceLoops(Arc<Declarations>),
}

/// Where intents and their outcomes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentStore {
    /// In the journal only.
    Journal,
    /// In the journal, and as `LoopAction` objects in the API.
    LoopActions,
}
