//! Files damaged by a crash, a disk or a person.

use super::*;

#[test]
fn a_flipped_bit_is_found_or_harmless() {
    let (_dir, path) = killed(10);
    let intact = fs::read(&path).unwrap();
    let all: Vec<u32> = (1..=10).rev().collect();
    let mut damaged = 0;
    // Byte 9 says which of two commits is the newest; it is the only one without a checksum.
    let positions = (10..400).step_by(7).chain((4096..intact.len()).step_by(intact.len() / 150));
    for position in positions {
        let mut bytes = intact.clone();
        bytes[position] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        match open(&path) {
            Ok(journal) => {
                assert_eq!(seqs(&journal), all, "bit of byte {position}");
                assert_eq!(journal.open_intents().unwrap().len(), 10, "bit of byte {position}");
            }
            Err(JournalError::Damaged { .. }) => damaged += 1,
            Err(error) => panic!("byte {position}: {error}"),
        }
    }
    assert!(damaged > 20, "only {damaged} flips hit something");
}

#[test]
fn a_cut_file_is_refused() {
    let (_dir, path) = killed(10);
    let intact = fs::read(&path).unwrap();
    for left in [1, 9, 100, 4095, 4096, 8192, intact.len() / 2, intact.len() - 4096, intact.len() - 1] {
        fs::write(&path, &intact[..left]).unwrap();
        let error = open(&path).err();
        assert!(matches!(error, Some(JournalError::Damaged { .. })), "{left} of {} bytes: {error:?}", intact.len());
    }
}

#[test]
fn a_file_of_another_version_or_of_something_else_is_refused() {
    let (dir, path) = place();
    drop(open(&path).unwrap());
    let db = Database::open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 1).unwrap();
    txn.commit().unwrap();
    drop(db);
    let expected = JournalError::WrongVersion { path: path.display().to_string(), found: 1, expected: 2 };
    assert_eq!(open(&path).err(), Some(expected.clone()));
    assert_eq!(JournalReader::open(&path).err(), Some(expected));

    let other = dir.path().join("other.redb");
    let db = Database::create(&other).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TableDefinition::<u64, u64>::new("users")).unwrap().insert(1, 1).unwrap();
    txn.commit().unwrap();
    drop(db);
    let text = dir.path().join("text");
    fs::write(&text, "not a journal at all\n".repeat(1000)).unwrap();
    for foreign in [&other, &text] {
        assert!(matches!(open(foreign), Err(JournalError::Damaged { .. })), "{foreign:?}");
        assert!(matches!(JournalReader::open(foreign), Err(JournalError::Damaged { .. })), "{foreign:?}");
    }
    let nowhere = dir.path().join("no/such/dir");
    assert!(matches!(open(&nowhere), Err(JournalError::Unwritable { .. })));
    assert!(matches!(JournalReader::open(&nowhere), Err(JournalError::Missing { .. })));
}
