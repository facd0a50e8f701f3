//! Files that every reader finds complete: the old one or the new one, even after a power cut. Also files named by
//! somebody else, which may not be regular files.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use rustix::fs::OFlags;

/// Replaces the file at `path`. The content first goes to `temporary` in the same directory, where nobody else may
/// write meanwhile; it is removed on failure. The new file has the owner and the mode of the old one ([`share`]).
pub(super) fn replace(path: &Path, temporary: &Path, text: &[u8]) -> io::Result<()> {
    if let Err(error) = write(path, temporary, text).and_then(|()| fs::rename(temporary, path)) {
        // On a full disk even an empty file is in the way; the original error is the one reported.
        let _ = fs::remove_file(temporary);
        return Err(error);
    }
    File::open(directory_of(path))?.sync_all()
}

fn write(path: &Path, temporary: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(text)?;
    share(&file, temporary, path);
    file.sync_all()
}

/// Gives `file`, which was just created at `made`, the owner and the mode of the file at `path`; without such a file,
/// the owner of its directory and a world-readable mode. Otherwise a file that root writes with a strict umask could
/// not be read by the flyball it is for.
///
/// Best effort, because not every file system has owners: a file that keeps another owner is made world-readable.
pub(super) fn share(file: &File, made: &Path, path: &Path) {
    // Never the target of a link: root would give somebody else's file away.
    let (Ok(own), Ok(at)) = (file.metadata(), fs::symlink_metadata(made)) else { return };
    if !own.is_file() || (own.dev(), own.ino()) != (at.dev(), at.ino()) {
        return;
    }
    let old = fs::metadata(path).ok().filter(|old| old.is_file() && old.ino() != own.ino());
    let owner = old.clone().or_else(|| fs::metadata(directory_of(path)).ok());
    let mode = old.map_or(0o644, |old| old.mode() & 0o777);
    let is_given = owner.is_some_and(|owner| {
        let is_same = (owner.uid(), owner.gid()) == (own.uid(), own.gid());
        is_same || fchown(file, Some(owner.uid()), Some(owner.gid())).is_ok()
    });
    let mode = if is_given { mode } else { mode | 0o444 };
    let _ = file.set_permissions(fs::Permissions::from_mode(mode));
}

/// Opens a regular file. Opening a pipe would block until it has a writer.
///
/// # Errors
/// The system's error; [`ErrorKind::InvalidInput`] if it is not a regular file.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let is_file = file.metadata()?.is_file();
    if is_file { Ok(file) } else { Err(io::Error::new(ErrorKind::InvalidInput, "it is not a file")) }
}

/// Reads a regular file named by somebody else, of at most `limit` bytes.
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

/// Returns the directory of a file.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
