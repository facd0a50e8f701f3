//! Records the commit that the program is built from: `FLYBALL_COMMIT` (set by image builds), else the commit that git
//! reports (with `-dirty` if the source differs from it), else `unknown`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the program is built from, relative to the root.
const SOURCE: [&str; 6] =
    ["Cargo.lock", "Cargo.toml", "deploy/policies", "docs/flyball.starter.yaml", "scripts/build.rs", "src"];

fn main() {
    println!("cargo::rerun-if-env-changed=FLYBALL_COMMIT");
    println!("cargo::rerun-if-changed=scripts/build.rs");
    let given = std::env::var("FLYBALL_COMMIT").ok().filter(|commit| !commit.trim().is_empty());
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let commit = given.or_else(|| of_git(&root?));
    println!("cargo::rustc-env=FLYBALL_COMMIT={}", commit.as_deref().unwrap_or("unknown").trim());
}

/// Returns the commit of the repository with root `here`. A source unpacked inside another repository has none.
pub fn of_git(here: &Path) -> Option<String> {
    let git = |arguments: &[&str]| git(here, arguments);
    let root = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&root).canonicalize().ok()? != here.canonicalize().ok()? {
        return None;
    }
    // These files change with each commit: the head, the branch that it names (loose or packed), and the log.
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    for file in ["HEAD", "packed-refs", "logs/HEAD"].into_iter().map(str::to_owned).chain(branch) {
        let path = git(&["rev-parse", "--git-path", &file]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    // Only these decide whether the source differs, and a change in them recompiles anyway.
    for path in SOURCE {
        println!("cargo::rerun-if-changed={path}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let differs = git(&[&["status", "--porcelain", "--"], &SOURCE[..]].concat()).is_some();
    Some(if differs { format!("{commit}-dirty") } else { commit })
}

/// Returns the output of git; `None` if it is empty, or without git or a repository.
fn git(here: &Path, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").current_dir(here).args(arguments).output().ok().filter(|output| output.status.success())?;
    let answer = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!answer.is_empty()).then_some(answer)
}
