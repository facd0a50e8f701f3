//! The source of a policy set and of the signals that it may name.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::adapters::policy_dir;
use crate::app::{policies_of_cluster, vocabulary};
use crate::cli::{ConfigArg, usual_settings};
use crate::config::{PolicySource, Settings};
use crate::decide::Vocabulary;
use crate::ports::PolicyFile;

/// Which set, and by whose declarations.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Directory of the policy set. Default: the one in the settings.
    directory: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

/// Prefix of the paths of files in ConfigMaps.
const CONFIG_MAPS: &str = "configmaps";

/// A policy set from a directory or ConfigMaps, and the names its rules may use.
pub struct Source {
    /// The directory, or its substitute.
    pub directory: PathBuf,
    /// Every file, tests included, in path order.
    pub files: Vec<PolicyFile>,
    /// The signals that the settings declare, and the standard ones.
    pub vocabulary: Vocabulary,
    /// The settings; `None` if only a directory was named.
    pub settings: Option<Settings>,
}

impl SourceArgs {
    /// Reads the set. If a directory is named but no settings, only the standard signals are known.
    ///
    /// # Errors
    /// When settings or directory cannot be read.
    pub fn read(&self) -> anyhow::Result<Source> {
        match &self.directory {
            Some(directory) if !self.config.is_named() && usual_settings().is_none() => {
                Source::read(directory, Vocabulary::of([])?, None)
            }
            directory => Source::of(&self.config.load()?, directory.as_deref()),
        }
    }
}

impl Source {
    /// Reads the set of the settings, or that of another directory with the same declarations.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn of(settings: &Settings, directory: Option<&Path>) -> anyhow::Result<Self> {
        let directory = match (directory, &settings.policies) {
            (Some(directory), _) => directory,
            (None, PolicySource::Directory(directory)) => directory,
            (None, PolicySource::ConfigMaps) => {
                anyhow::bail!(
                    "the settings take policies from ConfigMaps: name their source directory, as in `flyball policy \
                     check DIRECTORY`"
                )
            }
        };
        Self::read(directory, vocabulary(settings)?, Some(settings))
    }

    /// Reads the set that applies to the services of a namespace, from wherever the settings say.
    ///
    /// # Errors
    /// When directory or ConfigMaps cannot be read.
    pub async fn in_use(settings: &Settings, namespace: &str) -> anyhow::Result<Self> {
        if settings.policies != PolicySource::ConfigMaps {
            return Self::of(settings, None);
        }
        let announced = policies_of_cluster(settings).await?;
        let own = announced.namespaces.get(namespace).map_or_else(|| Ok(Vec::new()), Clone::clone);
        let read = announced.files.clone().and_then(|base| Ok([base, own?].concat()));
        let files = read.map_err(|error| {
            anyhow::anyhow!("{}: {error}; or name their source directory with -p", announced.origin)
        })?;
        let (vocabulary, settings) = (vocabulary(settings)?, Some(settings.clone()));
        Ok(Self { directory: CONFIG_MAPS.into(), files, vocabulary, settings })
    }

    fn read(directory: &Path, vocabulary: Vocabulary, settings: Option<&Settings>) -> anyhow::Result<Self> {
        let files = policy_dir::read_set(directory).files.map_err(|error| anyhow::anyhow!("policies: {error}"))?;
        Ok(Self { directory: directory.to_owned(), files, vocabulary, settings: settings.cloned() })
    }

    /// Returns the path and text of every file.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|file| (file.path.as_str(), &*file.text))
    }
}
