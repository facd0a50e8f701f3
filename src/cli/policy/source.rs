//! Where a set and the signals that it may name come from.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::adapters::policy_dir;
use crate::app::{policies_of_cluster, vocabulary};
use crate::cli::{ConfigArg, usual_settings};
use crate::config::Settings;
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

/// Stands before the paths of files that lie in ConfigMaps.
const CONFIG_MAPS: &str = "configmaps";

/// A set as it lies in a directory, or in ConfigMaps, and what its rules may name.
pub struct Source {
    /// The directory, or what stands for one.
    pub directory: PathBuf,
    /// Every file, tests included, in path order.
    pub files: Vec<PolicyFile>,
    /// The signals that the settings declare, and the standard ones.
    pub vocabulary: Vocabulary,
    /// The settings that say so; `None` where a directory alone was named.
    pub settings: Option<Settings>,
}

impl SourceArgs {
    /// Reads the set. Where a directory is named and no settings are, the standard signals are the only ones known.
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
    /// Reads the set of the settings, or that of another directory by their declarations.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn of(settings: &Settings, directory: Option<&Path>) -> anyhow::Result<Self> {
        let directory = match directory {
            None if settings.policies_in_cluster => {
                anyhow::bail!(
                    "the settings take policies from ConfigMaps: name their source directory, as in `flyball policy \
                     check DIRECTORY`"
                )
            }
            directory => directory.unwrap_or(&settings.policies),
        };
        Self::read(directory, vocabulary(settings)?, Some(settings))
    }

    /// Reads the set that binds the services of a namespace, wherever the settings take it from.
    ///
    /// # Errors
    /// When directory or ConfigMaps cannot be read.
    pub async fn in_use(settings: &Settings, namespace: &str) -> anyhow::Result<Self> {
        if !settings.policies_in_cluster {
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

    /// Returns path and text of every file.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|file| (file.path.as_str(), &*file.text))
    }
}
