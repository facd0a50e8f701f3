//! Files that every reader finds whole: the old one or the new one, also after a power cut.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Replaces the file at `path`. What is written goes to `temporary` first, in the same directory; nobody else may write
/// there meanwhile.
pub(super) fn replace(path: &Path, temporary: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    File::open(directory_of(path))?.sync_all()
}

/// Returns where a file lies.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
