//! The limits of a policy set, wherever it is read from: a set accepted from a directory is accepted from ConfigMaps
//! too.

use crate::model::policy_path::{RECORDING_SUFFIX, is_provenance};
use crate::ports::PolicyFile;

/// Largest file, bytes.
const FILE_LIMIT: usize = 256 * 1024;
/// Largest file of recorded inputs, bytes.
const RECORDING_LIMIT: usize = 1024 * 1024;
/// Most files of one set, not counting those that say where it comes from.
const FILES_LIMIT: usize = 64;
/// Largest set, bytes.
const SIZE_LIMIT: usize = 2 * 1024 * 1024;

/// Returns the size limit of a file with this name, bytes.
pub(super) fn file_limit(path: &str) -> usize {
    if path.ends_with(RECORDING_SUFFIX) { RECORDING_LIMIT } else { FILE_LIMIT }
}

/// The size of a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SetSize {
    files: usize,
    bytes: usize,
}

impl SetSize {
    /// Returns the size of these files, each given by its path and its bytes.
    pub(super) fn of<'a>(files: impl Iterator<Item = (&'a str, usize)>) -> Self {
        let mut size = Self::default();
        files.for_each(|(path, bytes)| size.add(path, bytes));
        size
    }

    /// Adds a file.
    pub(super) fn add(&mut self, path: &str, bytes: usize) {
        self.files += usize::from(!is_provenance(path));
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Returns the size of both together.
    pub(super) fn with(self, other: Self) -> Self {
        Self { files: self.files + other.files, bytes: self.bytes.saturating_add(other.bytes) }
    }

    /// Checks the size against the limits of a set.
    ///
    /// # Errors
    /// The limit that is exceeded.
    pub(super) fn check(self) -> Result<(), String> {
        let Self { files, bytes } = self;
        if files > FILES_LIMIT {
            return Err(format!("the set has more than {FILES_LIMIT} policies; remove some or join them"));
        }
        if bytes > SIZE_LIMIT {
            return Err(format!("the policies have {bytes} bytes, the limit is {SIZE_LIMIT}"));
        }
        Ok(())
    }
}

/// Checks a set that was read.
///
/// # Errors
/// The limit that is exceeded, or a file that no set may hold.
pub(super) fn check_set(files: &[PolicyFile]) -> Result<(), String> {
    SetSize::of(files.iter().map(|file| (file.path.as_str(), file.text.len()))).check()?;
    files.iter().try_for_each(check_file)
}

fn check_file(PolicyFile { path, text }: &PolicyFile) -> Result<(), String> {
    let limit = file_limit(path);
    if text.len() > limit {
        return Err(format!("{path} is larger than {limit} bytes"));
    }
    if text.trim().is_empty() {
        return Err(format!("{path} is empty; delete it if that is intended"));
    }
    Ok(())
}
