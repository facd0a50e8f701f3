//! Files that every reader finds whole: the old one or the new one, also after a power cut. And files that somebody else
//! named, which may be none.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Replaces the file at `path`. What is written goes to `temporary` first, in the same directory; nobody else may write
/// there meanwhile. Nothing of it is left where that fails.
pub(super) fn replace(path: &Path, temporary: &Path, text: &[u8]) -> io::Result<()> {
    if let Err(error) = write(temporary, text).and_then(|()| fs::rename(temporary, path)) {
        // On a full disk even an empty file is in the way; what failed first is what is told.
        let _ = fs::remove_file(temporary);
        return Err(error);
    }
    File::open(directory_of(path))?.sync_all()
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Opens a file that is one. A pipe would keep whoever opens it waiting for a writer.
///
/// # Errors
/// What the system says, or that it is something else.
pub(super) fn open_regular(path: &Path) -> std::io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::Error::other("it is not a file")) }
}

/// Returns where a file lies.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
