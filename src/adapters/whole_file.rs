//! Files that every reader finds whole: the old one or the new one, also after a power cut. And files that somebody
//! else named, which may be none.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write};
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
/// What the system says; [`ErrorKind::InvalidInput`] where it is something else.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let is_file = file.metadata()?.is_file();
    if is_file { Ok(file) } else { Err(io::Error::new(ErrorKind::InvalidInput, "it is not a file")) }
}

/// Reads a file that somebody else named, if it is one and not larger than `limit` bytes.
///
/// # Errors
/// Those of [`open_regular`] and of reading; [`ErrorKind::FileTooLarge`].
pub(super) fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = open_regular(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if length as u64 > limit {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Returns where a file lies.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
