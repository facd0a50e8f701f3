//! Tells the program which commit it is built from: `FLYBALL_COMMIT`, as an image is built with, else what git says of the
//! source, else nothing.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=FLYBALL_COMMIT");
    let given = std::env::var("FLYBALL_COMMIT").ok().filter(|commit| !commit.trim().is_empty());
    let commit = given.or_else(|| {
        // Where the commit stands changes with each one: the head, and the branch that it names.
        for file in ["HEAD".to_owned()].into_iter().chain(git(&["symbolic-ref", "-q", "HEAD"])) {
            let path = git(&["rev-parse", "--git-path", &file]);
            if let Some(path) = path.filter(|path| Path::new(path).exists()) {
                println!("cargo::rerun-if-changed={path}");
            }
        }
        git(&["rev-parse", "--short=12", "HEAD"])
    });
    println!("cargo::rerun-if-changed=scripts/build.rs");
    println!("cargo::rustc-env=FLYBALL_COMMIT={}", commit.as_deref().unwrap_or("unknown").trim());
}

/// Returns what git answers; nothing where there is no git, or no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let answer = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!answer.is_empty()).then_some(answer)
}
