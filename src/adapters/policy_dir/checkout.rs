//! The commit of a directory that a tool like git-sync has checked out, and its author.
//!
//! Such a checkout is at a commit (`HEAD` is its hash), and nobody edits it. A checkout of a branch is a working copy:
//! its files may be ahead of the commit, which is therefore not named. The author is read from the commit object, if it
//! is a loose one. Packed objects, as after a full `git clone`, are not read: that would take an object database as a
//! dependency, or a `git` binary alongside flyball, for a name that anyone can look up by the commit. A `REVISION` file
//! next to the rules can also name it.
//!
//! **Source**: git's documents gitrepository-layout and gitformat-loose.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;

use crate::adapters::whole_file::{open_regular, read_limited};
use crate::model::Provenance;

/// How far above the policies the root of the checkout may be.
const LEVELS: usize = 8;
/// Longest `.git` or `HEAD` file that is read.
const LIMIT: u64 = 4096;
/// Longest prefix of a commit that is read: its author is in the first lines.
const COMMIT_LIMIT: u64 = 16 * 1024;

/// Returns the content of the file that says where a set comes from, for the checkout that contains `directory`; `None`
/// if there is none or it is a working copy.
pub(super) fn provenance(directory: &Path) -> Option<String> {
    // Follows the link that is switched from one checkout to the next.
    let directory = directory.canonicalize().ok()?;
    let git = directory.ancestors().take(LEVELS).map(|above| above.join(".git")).find(|git| git.exists())?;
    let git = git_directory(&git)?;
    let head = short_text(&git.join("HEAD"))?;
    let head = head.trim();
    let is_hash = matches!(head.len(), 40 | 64) && head.bytes().all(|byte| byte.is_ascii_hexdigit());
    let author = is_hash.then(|| author(&git, head)).flatten();
    Provenance::text(Some(head).filter(|_| is_hash), author.as_deref())
}

/// Returns where a checkout keeps its `HEAD`: in `.git`, or where that file points, as in a worktree.
fn git_directory(git: &Path) -> Option<PathBuf> {
    if git.is_dir() {
        return Some(git.to_owned());
    }
    let text = short_text(git)?;
    let at = text.strip_prefix("gitdir:")?.trim();
    Some(git.parent()?.join(at))
}

/// Returns the author of a commit, as `Name <address>`.
fn author(git: &Path, commit: &str) -> Option<String> {
    // A worktree shares the objects of its main repository.
    let shared = short_text(&git.join("commondir")).map_or_else(|| git.to_owned(), |at| git.join(at.trim()));
    let (directory, name) = commit.split_at_checked(2)?;
    let file = open_regular(&shared.join("objects").join(directory).join(name)).ok()?;
    let mut text = Vec::new();
    ZlibDecoder::new(file.take(COMMIT_LIMIT)).take(COMMIT_LIMIT).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    // Headers end with an empty line; the message after it may say anything.
    let headers = text.split("\n\n").next().unwrap_or_default();
    let author = headers.lines().find_map(|line| line.strip_prefix("author "))?;
    let end = author.rfind('>')?;
    author.get(..=end).map(str::to_owned)
}

fn short_text(path: &Path) -> Option<String> {
    String::from_utf8(read_limited(path, LIMIT).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    const HASH: &str = "6391547d0e2f4a5b8c7d9e0f1a2b3c4d5e6f7a8b";

    fn write(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn commit(message: &str) -> Vec<u8> {
        let text = format!(
            "tree {HASH}\nparent {HASH}\nauthor Ann Lee <ann@example.com> 1700000000 +0100\n\
             committer Bob <bob@example.com> 1700000000 +0100\n\n{message}\n"
        );
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
        packed.write_all(format!("commit {}\0{text}", text.len()).as_bytes()).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn a_worktree_behind_a_link_has_the_commit_it_stands_at_and_its_author() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let worktree = at(&format!(".worktrees/{HASH}"));
        write(&worktree.join("deploy/policies/up.rhai"), b"x");
        write(&worktree.join(".git"), format!("gitdir: ../../.git/worktrees/{HASH}\n").as_bytes());
        write(&at(&format!(".git/worktrees/{HASH}/HEAD")), format!("{HASH}\n").as_bytes());
        write(&at(&format!(".git/worktrees/{HASH}/commondir")), b"../..\n");
        symlink(&worktree, at("current")).unwrap();
        let told = || provenance(&at("current/deploy/policies")).unwrap();
        assert_eq!(told(), format!("commit: {HASH}\n"), "its object lies in a pack");
        let object = at(&format!(".git/objects/{}/{}", &HASH[..2], &HASH[2..]));
        write(&object, &commit("author Mallory <m@example.com> 1 +0"));
        let whole = format!("commit: {HASH}\nauthor: Ann Lee <ann@example.com>\n");
        assert_eq!(told(), whole);
        write(&object, &commit(&"x".repeat(1 << 20)));
        assert_eq!(told(), whole, "its beginning is enough");
        write(&object, b"no object");
        assert_eq!(told(), format!("commit: {HASH}\n"));
    }

    /// Opening a pipe without a writer would block forever.
    #[test]
    fn a_pipe_in_place_of_a_file_of_git_is_no_file() {
        let check = |pipe: &str, files: &[(&str, &str)], expected: Option<&str>| {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                write(&root.path().join(path), text.as_bytes());
            }
            let pipe = root.path().join(pipe);
            fs::create_dir_all(pipe.parent().unwrap()).unwrap();
            let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
            assert!(made.success());
            fs::create_dir_all(root.path().join("a/b")).unwrap();
            let (sender, told) = std::sync::mpsc::channel();
            let policies = root.path().join("a/b");
            std::thread::spawn(move || sender.send(provenance(&policies)));
            let told = told.recv_timeout(std::time::Duration::from_secs(10)).expect("it waits for the pipe");
            assert_eq!(told.as_deref(), expected, "{}", pipe.display());
        };
        let head = format!("{HASH}\n");
        let object = format!(".git/objects/{}/{}", &HASH[..2], &HASH[2..]);
        let commit = format!("commit: {HASH}\n");
        check(".git", &[], None);
        check(".git/HEAD", &[], None);
        check(".git/commondir", &[(".git/HEAD", &head)], Some(&commit));
        check(&object, &[(".git/HEAD", &head)], Some(&commit));
    }

    #[test]
    fn where_somebody_works_no_commit_is_named() {
        let root = tempfile::tempdir().unwrap();
        let check = |head: &str, expected: Option<&str>| {
            write(&root.path().join(".git/HEAD"), head.as_bytes());
            let expected = expected.map(|commit| format!("commit: {commit}\n"));
            assert_eq!(provenance(root.path()), expected, "{head}");
        };
        check(&format!("{HASH}\n"), Some(HASH));
        check("ref: refs/heads/main\n", None);
        check("", None);
        check(&"a".repeat(5000), None);
        assert_eq!(provenance(&root.path().join("nowhere")), None);
    }
}
