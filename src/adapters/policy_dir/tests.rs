use std::os::unix::fs::symlink;
use std::time::Instant;

use super::*;
use crate::adapters::policy_set::file_limit;
use crate::adapters::whole_file::open_regular;

// In paused time nothing polls the directory before the test waits, and time advances only while nothing is read.

/// Longest wait for an announcement.
const PATIENCE: Duration = Duration::from_secs(10);

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn contents(set: &PolicyFiles) -> Result<Vec<(&str, &str)>, &str> {
    match &set.files {
        Ok(files) => Ok(files.iter().map(|file| (file.path.as_str(), &*file.text)).collect()),
        Err(fault) => Err(fault),
    }
}

async fn next(announced: &mut watch::Receiver<Arc<PolicyFiles>>) -> Arc<PolicyFiles> {
    tokio::time::timeout(PATIENCE, announced.changed()).await.expect("an announcement").unwrap();
    Arc::clone(&announced.borrow_and_update())
}

#[test]
fn a_set_is_every_policy_below_the_root_in_path_order() {
    let directory = directory(&[
        ("scale.rhai", "b"),
        ("base/limits.rhai", "a"),
        (".hidden.rhai", "no"),
        (".git/x.rhai", "no"),
        ("base/lull.jsonl", "c"),
        ("pricing.data.json", "d"),
        ("package.json", "no"),
        ("scale.rhai~", "no"),
        ("README.md", "no"),
    ]);
    let expected =
        vec![("base/limits.rhai", "a"), ("base/lull.jsonl", "c"), ("pricing.data.json", "d"), ("scale.rhai", "b")];
    assert_eq!(contents(&read_set(directory.path())), Ok(expected));
}

#[test]
fn c3_what_cannot_be_a_set_is_named() {
    let check = |path: &str, bytes: &[u8], expected: &str| {
        let directory = directory(&[("good.rhai", "x")]);
        fs::write(directory.path().join(path), bytes).unwrap();
        let set = read_set(directory.path());
        let fault = contents(&set).unwrap_err();
        assert!(fault.contains(path) && fault.contains(expected), "{fault}");
    };
    check("big.rhai", &vec![b'x'; 5 * 1024 * 1024], "is larger than 262144 bytes");
    check("odd.rhai", b"a\xffb", "is not UTF-8");
    let forged = directory(&[("good.rhai", "x"), ("a\nb.rhai", "x")]);
    assert!(
        contents(&read_set(forged.path()))
            .unwrap_err()
            .ends_with("/a\\nb.rhai contains a control character: rename it")
    );
    check("empty.rhai", b"", "is empty");
    check("big.jsonl", &vec![b'x'; 5 * 1024 * 1024], "is larger than 1048576 bytes");
    let recordings = directory(&[("lull.jsonl", "x")]);
    assert!(contents(&read_set(recordings.path())).unwrap_err().contains("no *.rhai file"));
    let empty = directory(&[]);
    assert!(contents(&read_set(empty.path())).unwrap_err().contains("no *.rhai file"));
    let set = read_set(Path::new("/nonexistent/policies"));
    assert!(contents(&set).unwrap_err().contains("the directory /nonexistent/policies does not exist; create it"));
    let dangling = directory(&[("good.rhai", "x")]);
    symlink("nowhere", dangling.path().join("lost.rhai")).unwrap();
    assert!(contents(&read_set(dangling.path())).unwrap_err().contains("lost.rhai cannot be read"));
    let looping = directory(&[("good.rhai", "x")]);
    symlink(".", looping.path().join("loop")).unwrap();
    assert!(contents(&read_set(looping.path())).unwrap_err().contains("directories deep"));
}

/// A file outside is not part of the set, whatever its name: its text would end up in messages and records.
#[test]
fn a_link_out_of_the_directory_is_refused() {
    let elsewhere =
        directory(&[("secret.json", "{\"token\": \"t0k3n\"}"), ("shadow", "root:*:1"), ("more/x.rhai", "x")]);
    let check = |target: &str, link: &str| {
        let directory = directory(&[("good.rhai", "x"), ("inner/more.rhai", "y")]);
        symlink(elsewhere.path().join(target), directory.path().join(link)).unwrap();
        let fault = read_set(directory.path()).files.unwrap_err();
        let at = directory.path().join(link);
        let said = format!("{} is a link that leaves the set's directory", at.display());
        assert!(fault.starts_with(&said) && !fault.contains("t0k3n"), "{fault}");
    };
    check("secret.json", "pw.data.json");
    check("shadow", "x.rhai");
    check("shadow", "inner/x.rhai");
    check("shadow", "REVISION");
    check("more", "base");
    let apart = directory(&[("set/good.rhai", "x"), ("set/deep/a.rhai", "a"), ("setting/b.rhai", "b")]);
    symlink("../setting/b.rhai", apart.path().join("set/b.rhai")).unwrap();
    assert!(
        read_set(&apart.path().join("set")).files.unwrap_err().contains("leaves the set's directory"),
        "a name that begins alike"
    );
    fs::remove_file(apart.path().join("set/b.rhai")).unwrap();
    symlink("deep", apart.path().join("set/again")).unwrap();
    symlink("deep/a.rhai", apart.path().join("set/a.rhai")).unwrap();
    symlink(apart.path().join("set"), apart.path().join("current")).unwrap();
    let set = read_set(&apart.path().join("current"));
    let all = vec![("a.rhai", "a"), ("again/a.rhai", "a"), ("deep/a.rhai", "a"), ("good.rhai", "x")];
    assert_eq!(contents(&set), Ok(all), "links within the set, and to it");
}

/// A pipe replaces a file after its type was checked.
#[test]
fn a_pipe_is_never_waited_for() {
    let directory = directory(&[("good.rhai", "x")]);
    let pipe = directory.path().join("pipe.rhai");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let opened = std::thread::spawn(move || open_regular(&pipe).map_err(|error| error.to_string()).err());
    let patience = Instant::now();
    while !opened.is_finished() && patience.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(opened.is_finished(), "it waits for a writer");
    assert_eq!(opened.join().unwrap().as_deref(), Some("it is not a file"));
    let fault = read_set(directory.path()).files.unwrap_err();
    assert!(fault.contains("pipe.rhai is not a file"), "{fault}");
}

#[test]
fn a_set_has_limits_as_a_whole() {
    let names: Vec<String> = (0..65).map(|number| format!("{number}.rhai")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    assert!(contents(&read_set(directory(&many).path())).unwrap_err().contains("more than 64 policies"));
    let text = "x".repeat(file_limit("0.rhai"));
    let large: Vec<_> = names.iter().take(9).map(|name| (name.as_str(), text.as_str())).collect();
    assert!(contents(&read_set(directory(&large).path())).unwrap_err().contains("the limit is 2097152"));
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_announced_within_a_second() {
    let directory = directory(&[("scale.rhai", "old")]);
    let policies = PolicyDir::open(directory.path());
    let mut announced = policies.watch();
    assert_eq!(contents(&announced.borrow_and_update().clone()), Ok(vec![("scale.rhai", "old")]));
    let edited = tokio::time::Instant::now();
    fs::write(directory.path().join("scale.rhai"), "new").unwrap();
    assert_eq!(contents(&*next(&mut announced).await), Ok(vec![("scale.rhai", "new")]));
    assert!(edited.elapsed() < Duration::from_secs(1), "{:?}", edited.elapsed());
}

#[tokio::test(start_paused = true)]
async fn editors_that_write_aside_and_rename_are_followed() {
    let directory = directory(&[("scale.rhai", "old")]);
    let policies = PolicyDir::open(directory.path());
    let mut announced = policies.watch();
    fs::write(directory.path().join(".scale.rhai.swp"), "half").unwrap();
    fs::write(directory.path().join("4913"), "").unwrap();
    fs::rename(directory.path().join("scale.rhai"), directory.path().join("scale.rhai~")).unwrap();
    fs::rename(directory.path().join(".scale.rhai.swp"), directory.path().join("scale.rhai")).unwrap();
    assert_eq!(contents(&*next(&mut announced).await), Ok(vec![("scale.rhai", "half")]));
}

#[tokio::test(start_paused = true)]
async fn c3_a_swap_of_a_config_map_volume_is_one_announcement() {
    let directory =
        directory(&[("..first/scale.rhai", "1"), ("..second/scale.rhai", "2"), ("..second/more.rhai", "2")]);
    let root = directory.path();
    symlink("..first", root.join("..data")).unwrap();
    symlink("..data/scale.rhai", root.join("scale.rhai")).unwrap();
    let policies = PolicyDir::open(root);
    let mut announced = policies.watch();
    assert_eq!(contents(&announced.borrow_and_update().clone()), Ok(vec![("scale.rhai", "1")]));
    symlink("..second", root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    symlink("..data/more.rhai", root.join("more.rhai")).unwrap();
    assert_eq!(contents(&*next(&mut announced).await), Ok(vec![("more.rhai", "2"), ("scale.rhai", "2")]));
}

/// Keys of a ConfigMap cannot contain a slash: a mounted library is the same file as when flyball reads the ConfigMap
/// itself.
#[test]
fn a_library_of_a_mounted_config_map_is_one() {
    let directory = directory(&[("..first/lib.calm.rhai", "1"), ("..first/scale.rhai", "2"), ("sub/lib.x.rhai", "3")]);
    let root = directory.path();
    symlink("..first", root.join("..data")).unwrap();
    for name in ["lib.calm.rhai", "scale.rhai"] {
        symlink(format!("..data/{name}"), root.join(name)).unwrap();
    }
    let expected = vec![("lib/calm.rhai", "1"), ("scale.rhai", "2"), ("sub/lib.x.rhai", "3")];
    assert_eq!(contents(&read_set(root)), Ok(expected));
    fs::create_dir(root.join("lib")).unwrap();
    fs::write(root.join("lib/calm.rhai"), "4").unwrap();
    let twice = read_set(root).files.unwrap_err();
    assert!(twice.contains("are lib/calm.rhai of the set"), "{twice}");
}

#[tokio::test(start_paused = true)]
async fn c3_a_directory_that_goes_and_comes_back_is_followed() {
    let directory = directory(&[("policies/scale.rhai", "1")]);
    let root = directory.path().join("policies");
    let policies = PolicyDir::open(&root);
    let mut announced = policies.watch();
    fs::remove_dir_all(&root).unwrap();
    assert!(contents(&*next(&mut announced).await).is_err());
    fs::create_dir(&root).unwrap();
    fs::write(root.join("scale.rhai"), "2").unwrap();
    let mut set = next(&mut announced).await;
    while contents(&set).is_err() {
        set = next(&mut announced).await;
    }
    assert_eq!(contents(&set), Ok(vec![("scale.rhai", "2")]));
}

#[tokio::test(start_paused = true)]
async fn c4_what_is_back_where_it_was_is_not_announced() {
    let directory = directory(&[("scale.rhai", "old")]);
    let path = directory.path().join("scale.rhai");
    let (sender, _receiver) = watch::channel(Arc::new(read_set(directory.path())));
    fs::write(&path, "new").unwrap();
    let settling = settled(directory.path(), &sender);
    let back = async {
        tokio::time::sleep(SETTLE_INTERVAL / 2).await;
        fs::write(&path, "old").unwrap();
    };
    assert_eq!(tokio::join!(settling, back).0, None);
}

#[tokio::test(start_paused = true)]
async fn a_half_written_set_is_not_announced() {
    let directory = directory(&[("scale.rhai", "old")]);
    let path = directory.path().join("scale.rhai");
    let (sender, _receiver) = watch::channel(Arc::new(read_set(directory.path())));
    fs::write(&path, "ne").unwrap();
    let settling = settled(directory.path(), &sender);
    let rest = async {
        tokio::time::sleep(SETTLE_INTERVAL / 2).await;
        fs::write(&path, "new").unwrap();
    };
    assert_eq!(contents(&tokio::join!(settling, rest).0.unwrap()), Ok(vec![("scale.rhai", "new")]));
}

#[tokio::test(start_paused = true)]
async fn c4_a_set_that_never_settles_is_not_announced() {
    let directory = directory(&[("scale.rhai", "old")]);
    let path = directory.path().join("scale.rhai");
    let (sender, _receiver) = watch::channel(Arc::new(read_set(directory.path())));
    let flapping = async {
        for round in 0_u64.. {
            fs::write(directory.path().join("aside"), format!("round {round}")).unwrap();
            fs::rename(directory.path().join("aside"), &path).unwrap();
            tokio::time::sleep(SETTLE_INTERVAL / 2).await;
        }
    };
    tokio::select! {
        set = settled(directory.path(), &sender) => assert_eq!(set, None),
        () = flapping => {}
    }
}

#[tokio::test(start_paused = true)]
async fn the_poll_alone_finds_a_change() {
    let directory = directory(&[("scale.rhai", "old")]);
    let (sender, mut announced) = watch::channel(Arc::new(read_set(directory.path())));
    // A watch on a missing directory triggers nothing.
    assert!(stir_on_change(Path::new("/nonexistent/policies"), Arc::new(Notify::new())).is_none());
    fs::write(directory.path().join("scale.rhai"), "new").unwrap();
    let began = tokio::time::Instant::now();
    let task = tokio::spawn(follow(directory.path().to_owned(), sender));
    assert_eq!(contents(&*next(&mut announced).await), Ok(vec![("scale.rhai", "new")]));
    assert!(began.elapsed() <= Duration::from_secs(1));
    task.abort();
}

#[test]
fn where_a_set_comes_from_is_said_by_its_own_file_or_by_the_checkout() {
    let hash = "6391547d0e2f4a5b8c7d9e0f1a2b3c4d5e6f7a8b";
    let directory = directory(&[("up.rhai", "x"), (".git/HEAD", hash)]);
    let from_checkout = format!("commit: {hash}\n");
    assert_eq!(contents(&read_set(directory.path())), Ok(vec![("REVISION", &*from_checkout), ("up.rhai", "x")]));
    fs::write(directory.path().join("REVISION"), "3f2a9c1").unwrap();
    assert_eq!(contents(&read_set(directory.path())), Ok(vec![("REVISION", "3f2a9c1"), ("up.rhai", "x")]));
}
