//! A journal that is moved away while in use: whatever is written to it afterwards is lost to the next start.

use super::*;

/// A journal that soon retries, on a file that is never created again.
fn soon(path: &Path) -> RedbJournal {
    let at = path.to_owned();
    let backend = move |is_first: bool| {
        let file = File::options().read(true).write(true).create(is_first).truncate(false).open(&at);
        FileBackend::new(file.map_err(redb::StorageError::Io)?)
    };
    let (settings, name) = (StoreSettings::default(), path.display().to_string());
    RedbJournal::open_backend(name, backend, settings, JournalMetrics::default(), 1, PAUSE).unwrap()
}

#[test]
fn a_journal_that_was_moved_away_acknowledges_nothing_until_it_is_back() {
    let (dir, path) = place();
    let aside = dir.path().join("aside.redb");
    let journal = soon(&path);
    append(&journal, decision(1)).unwrap();
    fs::rename(&path, &aside).unwrap();
    let error = append(&journal, Entry::Prepared(intent(1))).unwrap_err();
    let told = "cannot be written: it was moved away or removed; restore it, or restart flyball; no target is changed";
    assert!(error.to_string().contains(told), "{error}");
    std::thread::sleep(4 * PAUSE);
    assert!(journal.health().is_err() && !path.exists(), "an empty one in its place would have forgotten all");
    assert_eq!(seqs(&journal), [1], "it can be read meanwhile");
    fs::rename(&aside, &path).unwrap();
    recovered(&journal);
    assert_eq!(journal.open_intents().unwrap(), [], "who prepared it was told that it is not durable");
    append(&journal, Entry::Prepared(intent(1))).unwrap_err();
    append(&journal, decision(2)).unwrap();
    append(&journal, Entry::Prepared(intent(2))).unwrap();
    drop(journal);
    assert_eq!(open(&path).unwrap().open_intents().unwrap(), [intent(2)]);
}

#[test]
fn another_journal_in_its_place_is_neither_written_nor_read() {
    let (dir, path) = place();
    let journal = soon(&path);
    append(&journal, decision(1)).unwrap();
    fs::rename(&path, dir.path().join("aside.redb")).unwrap();
    let other = open(&path).unwrap();
    append(&other, decision(7)).unwrap();
    let error = append(&journal, Entry::Prepared(intent(1))).unwrap_err();
    assert!(error.to_string().contains("another file replaced it"), "{error}");
    std::thread::sleep(4 * PAUSE);
    drop(other);
    std::thread::sleep(4 * PAUSE);
    assert!(journal.health().is_err());
    assert_eq!(seqs(&journal), [1]);
}

#[test]
fn what_is_no_journal_is_told_at_once() {
    let (_dir, path) = place();
    File::create(&path).unwrap();
    let empty = JournalReader::open(&path).err().unwrap().to_string();
    assert!(empty.contains("is damaged: it is empty, so its content is lost"), "{empty}");
    fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let pipe = JournalReader::open(&path).err().unwrap().to_string();
    assert!(pipe.contains("cannot be read: it is not a file"), "{pipe}");
}
