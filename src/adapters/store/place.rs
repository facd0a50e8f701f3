//! Whether the open file is still the one at its path. A file that was moved away or replaced accepts every write
//! silently, but is never opened again.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file and the path it must stay at.
pub(super) struct Place {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl Place {
    /// Returns the place of the file just opened at `path`; `None` if there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        Some(Self { path: path.to_owned(), file: file_at(path).ok()? })
    }

    /// Checks that the open file is still the one at its path; otherwise says why not.
    pub(super) fn check(&self) -> Result<(), String> {
        let what = match file_at(&self.path) {
            Ok(file) if file == self.file => return Ok(()),
            Ok(_) => "another file replaced it".to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => "it was moved away or removed".to_owned(),
            Err(error) => format!("its path cannot be checked ({error})"),
        };
        Err(format!("{what}; restore it, or restart flyball"))
    }
}

fn file_at(path: &Path) -> std::io::Result<(u64, u64)> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}
