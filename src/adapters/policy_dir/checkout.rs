//! The commit of a directory that a tool like git-sync has checked out.
//!
//! Such a checkout stands at a commit (`HEAD` is its hash), and nobody edits it. One that stands at a branch is where
//! somebody works: its files may be ahead of the commit, which is therefore not named.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How far above the policies the checkout may begin.
const LEVELS: usize = 8;
/// Longest `.git` or `HEAD` that is read.
const LIMIT: u64 = 4096;

/// Returns the commit at which the checkout stands that `directory` is part of; `None` where there is none.
pub(super) fn commit(directory: &Path) -> Option<String> {
    // Through the link that is moved from one checkout to the next.
    let directory = directory.canonicalize().ok()?;
    let git = directory.ancestors().take(LEVELS).map(|above| above.join(".git")).find(|git| git.exists())?;
    let head = short_text(&git_directory(&git)?.join("HEAD"))?;
    let head = head.trim();
    let is_hash = matches!(head.len(), 40 | 64) && head.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| head.to_owned())
}

/// Returns where a checkout keeps its `HEAD`: below `.git`, or where that file says, as in a worktree.
fn git_directory(git: &Path) -> Option<PathBuf> {
    if git.is_dir() {
        return Some(git.to_owned());
    }
    let text = short_text(git)?;
    let at = text.strip_prefix("gitdir:")?.trim();
    Some(git.parent()?.join(at))
}

fn short_text(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(LIMIT).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const HASH: &str = "6391547d0e2f4a5b8c7d9e0f1a2b3c4d5e6f7a8b";

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_worktree_behind_a_link_has_the_commit_it_stands_at() {
        let root = tempfile::tempdir().unwrap();
        let worktree = root.path().join(format!(".worktrees/{HASH}"));
        write(&worktree.join("deploy/policies/up.rhai"), "x");
        write(&worktree.join(".git"), &format!("gitdir: ../../.git/worktrees/{HASH}\n"));
        write(&root.path().join(format!(".git/worktrees/{HASH}/HEAD")), &format!("{HASH}\n"));
        symlink(&worktree, root.path().join("current")).unwrap();
        assert_eq!(commit(&root.path().join("current/deploy/policies")).as_deref(), Some(HASH));
    }

    #[test]
    fn where_somebody_works_no_commit_is_named() {
        let root = tempfile::tempdir().unwrap();
        let check = |head: &str, expected: Option<&str>| {
            write(&root.path().join(".git/HEAD"), head);
            assert_eq!(commit(root.path()).as_deref(), expected, "{head}");
        };
        check(&format!("{HASH}\n"), Some(HASH));
        check("ref: refs/heads/main\n", None);
        check("", None);
        check(&"a".repeat(5000), None);
        assert_eq!(commit(&root.path().join("nowhere")), None);
    }
}
