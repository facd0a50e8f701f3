//! What is kept, and for how long.

use super::*;

#[test]
fn the_oldest_go_first_and_open_intents_stay() {
    let (_dir, path) = place();
    let settings = StoreSettings::new(LEAST_RECORDS, Duration::from_hours(1)).unwrap();
    let journal = RedbJournal::open(&path, settings, JournalMetrics::default()).unwrap();
    let count = FLOOR as u32 * 2;
    for seq in 1..=count {
        journal.submit(decision(seq));
        if seq % 100 == 1 {
            append(&journal, Entry::Prepared(intent(seq))).unwrap();
        }
    }
    append(&journal, ended(101)).unwrap();
    drop(journal);

    let db = Database::open(&path).unwrap();
    while retention::step(&db, &settings).unwrap() {}
    drop(db);
    let journal = open(&path).unwrap();
    let kept: BTreeSet<u32> = seqs(&journal).into_iter().collect();
    let held: BTreeSet<u32> = (1..=count).step_by(100).filter(|seq| *seq != 101).collect();
    assert!(held.is_subset(&kept), "decisions of open intents were removed");
    assert_eq!(kept.len(), FLOOR as usize);
    assert!(kept.contains(&count) && !kept.contains(&2) && !kept.contains(&101));
    assert_eq!(journal.open_intents().unwrap().len(), held.len());
    assert_eq!(journal.remembered_since(at(0), Duration::ZERO).unwrap().len(), 1, "ended intents outlive their record");
}

#[test]
fn ended_intents_go_after_a_day_but_a_jump_of_the_clock_empties_nothing() {
    let (_dir, path) = place();
    let journal = open(&path).unwrap();
    let count = FLOOR as u32 + 50;
    for seq in 1..=count {
        let at = if seq == count { at(40 * 365 * 86_400) } else { at(i64::from(seq)) };
        journal.submit(decision(seq));
        journal.submit(Entry::Prepared(intent(seq)));
        journal.submit(Entry::Ended { change: intent(seq).change.id, at, outcome: WriteOutcome::Applied });
    }
    drop(journal);
    let db = Database::open(&path).unwrap();
    while retention::step(&db, &StoreSettings::default()).unwrap() {}
    drop(db);
    let journal = open(&path).unwrap();
    assert_eq!(journal.remembered_since(at(0), Duration::ZERO).unwrap().len(), FLOOR as usize);
    let gone = append(&journal, ended(1)).unwrap_err();
    assert!(matches!(gone, JournalError::Contradiction(_)), "{gone}");
}

#[test]
fn settings_that_lose_what_budgets_need_are_refused() {
    let day = Duration::from_hours(24);
    for (records, age, enough) in [(10, day, false), (5000, day / 100, false), (5000, day, true)] {
        assert_eq!(StoreSettings::new(records, age).is_some(), enough, "{records} records, {age:?}");
    }
    assert_eq!(tables::FORMAT, 2);
}
