//! The commit that a build reports: that of its source, and whether the source differs from it; and which compiler it
//! uses.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

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

#[test]
fn the_compiler_that_is_asked_for_builds_every_dependency() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let line = ["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", &target];
    let output = cargo.current_dir(root).args(line).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let version = |text: &str| -> Vec<u32> { text.split('.').map(|part| part.parse().unwrap()).collect() };
    let own = env!("CARGO_PKG_RUST_VERSION");
    let is_built = |id: &Value| metadata["resolve"]["nodes"].as_array().unwrap().iter().any(|node| node["id"] == *id);
    let packages = metadata["packages"].as_array().unwrap().iter().filter(|it| is_built(&it["id"]));
    let newer = packages.filter(|it| it["rust_version"].as_str().is_some_and(|asked| version(asked) > version(own)));
    let newer: Vec<String> = newer.map(|it| format!("{} asks for {}", it["name"], it["rust_version"])).collect();
    assert_eq!(newer, Vec::<String>::new(), "`rust-version` of Cargo.toml is {own}");
    let image = fs::read_to_string(root.join("deploy/Containerfile")).unwrap();
    assert!(image.contains(&format!("FROM docker.io/library/rust:{own}-bookworm ")), "the image is built with {own}");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    assert!(readme.contains(&format!(" {own} or newer")), "README names {own}");
}
