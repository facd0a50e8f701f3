//! Which commit a build says it is of: that of its source, and whether the source differs from it.

use std::fs;
use std::path::Path;
use std::process::Command;

#[expect(dead_code, clippy::print_stdout, reason = "what it tells cargo is tried by each build")]
#[path = "../../scripts/build.rs"]
mod build;

fn git(root: &Path, line: &str) {
    let names = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
    let mut command = Command::new("git");
    let done = command.current_dir(root).args(names).args(line.split(' ')).output().unwrap();
    assert!(done.status.success(), "git {line}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_version_is_dirty_where_what_is_built_differs_from_its_commit() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    assert_eq!(build::of_git(root), None, "no repository");
    if Command::new("git").arg("--version").output().is_err() {
        return;
    }
    git(root, "init -q");
    fs::create_dir(root.join("src")).unwrap();
    fs::write(root.join("src/lib.rs"), "//! One.\n").unwrap();
    fs::write(root.join("README.md"), "One.\n").unwrap();
    git(root, "add .");
    git(root, "commit -q -m one");
    let clean = build::of_git(root).unwrap();
    assert!(clean.len() == 12 && clean.chars().all(|letter| letter.is_ascii_hexdigit()), "{clean}");
    assert_eq!(build::of_git(&root.join("src")), None, "a source inside another one is none of its");
    fs::write(root.join("README.md"), "Two.\n").unwrap();
    assert_eq!(build::of_git(root), Some(clean.clone()), "nothing of that is built");
    fs::write(root.join("src/lib.rs"), "//! Two.\n").unwrap();
    let dirty = Some(format!("{clean}-dirty"));
    assert_eq!(build::of_git(root), dirty);
    git(root, "checkout -q src");
    assert_eq!(build::of_git(root), Some(clean));
    fs::write(root.join("src/new.rs"), "//! New.\n").unwrap();
    assert_eq!(build::of_git(root), dirty, "a new file is a difference, too");
}
