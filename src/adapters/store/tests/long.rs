//! Records that would be too long to be read back.

use super::*;
use crate::model::record::CUT;
use crate::model::{Goal, RuleOutcome, RuleTrace};

/// The trace of a rule with these notes.
fn rule(name: &str, notes: usize) -> RuleTrace {
    RuleTrace {
        rule: name.into(),
        priority: 1,
        goal: Goal::Protect,
        outcome: RuleOutcome::NotMatched,
        conditions: Vec::new(),
        action: None,
        backed_by_arrivals: false,
        notes: vec!["x".repeat(4096).into(); notes],
        limit: None,
    }
}

fn with(seq: u32, change: impl FnOnce(&mut DecisionRecord)) -> Entry {
    let Entry::Decision(record) = decision(seq) else { unreachable!() };
    let mut record = Arc::unwrap_or_clone(record);
    change(&mut record);
    Entry::Decision(Arc::new(record))
}

/// A record that is written can be read: it omits the texts of its rules and says so, but keeps their results.
#[test]
fn a_record_that_is_too_long_is_cut_and_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir.path().join("journal.redb")).unwrap();
    let mut rules: Vec<_> = (0..40).map(|number| rule(&format!("r{number}"), 200)).collect();
    rules.push(rule("brief", 0));
    block_on(journal.append(with(1, |record| record.proposal.rules.clone_from(&rules)))).unwrap();
    block_on(journal.append(decision(2))).unwrap();
    let read = journal.decision(&id(1)).unwrap().unwrap();
    let notes: Vec<_> = read.proposal.rules.iter().map(|rule| rule.notes.concat()).collect();
    assert_eq!((notes.len(), &*notes[0], &*notes[39], &*notes[40]), (41, CUT, CUT, ""));
    assert_eq!(read.proposal.rules[3].outcome, RuleOutcome::NotMatched);
    assert!(journal.decision(&id(2)).unwrap().is_some());
    assert!(journal.health().is_ok());
}

/// A record that is too long even when cut is not written, and the journal reports it.
#[test]
fn a_record_that_cannot_be_cut_is_refused_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&dir.path().join("journal.redb")).unwrap();
    block_on(journal.append(decision(1))).unwrap();
    let target = TargetReading::Unknown { reason: "x".repeat(17 << 20) };
    let long = with(2, |record| record.features = Arc::new(Features { signals: Vec::new(), target }));
    let error = block_on(journal.append(long)).unwrap_err();
    assert!(matches!(error, JournalError::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains("shop/checkout@1-2 cannot be written: it has 17826"), "{error}");
    assert_eq!(journal.health().unwrap_err().to_string(), error.to_string());
    assert!(journal.decision(&id(1)).unwrap().is_some(), "what was written before can be read");
}
