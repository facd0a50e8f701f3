//! What every journal must do, checked on both: the one in memory and the one on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flyball::adapters::store::{MemoryJournal, RedbJournal, StoreSettings};
use flyball::instrument::JournalMetrics;
use flyball::model::{
    Band, ChangeId, DecisionId, Fitted, Foreseen, Impact, Intent, Measured, Minute, Revert, ServiceId, SignalName,
    Smoothing, Timestamp, WriteOutcome,
};
use flyball::ports::journal::{Entry, Journal, JournalError};
use futures::executor::block_on;
use proptest::prelude::*;

use crate::records;

/// A journal that can be closed and opened again, as a restart does.
enum Subject {
    Memory(MemoryJournal),
    Disk { journal: Option<RedbJournal>, path: PathBuf, _dir: tempfile::TempDir },
}

impl Subject {
    fn memory() -> Self {
        Self::Memory(MemoryJournal::new())
    }

    fn disk() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.redb");
        let mut subject = Self::Disk { journal: None, path, _dir: dir };
        subject.restart();
        subject
    }

    fn journal(&self) -> &dyn Journal {
        match self {
            Self::Memory(journal) => journal,
            Self::Disk { journal, .. } => journal.as_ref().unwrap(),
        }
    }

    /// Does nothing to a journal in memory.
    fn restart(&mut self) {
        if let Self::Disk { journal, path, .. } = self {
            drop(journal.take());
            *journal = Some(RedbJournal::open(path, StoreSettings::default(), JournalMetrics::default()).unwrap());
        }
    }

    fn append(&self, entry: Entry) -> Result<(), JournalError> {
        block_on(self.journal().append(entry))
    }
}

fn both(check: impl Fn(&mut Subject)) {
    check(&mut Subject::memory());
    check(&mut Subject::disk());
}

const SERVICES: [&str; 2] = ["shop/checkout", "shop/search"];

fn id(seq: u8) -> DecisionId {
    records::id(SERVICES[usize::from(seq % 2)], u32::from(seq))
}

fn decision(seq: u8) -> Entry {
    Entry::Decision(Arc::new(records::acted(id(seq))))
}

fn intent(seq: u8) -> Intent {
    let change = records::change(&id(seq));
    let band = Band { minutes: 5, point: 0.1 + 0.2, low: 0.1, high: 1.0 / 3.0 };
    let foreseen = Foreseen { latency: vec![band], arrivals: Vec::new(), before: Some(0.2) };
    Intent::open(change, records::at(i64::from(seq)), foreseen)
}

fn change(seq: u8) -> ChangeId {
    intent(seq).change.id
}

fn ended(seq: u8, second: i64, outcome: WriteOutcome) -> Entry {
    Entry::Ended { change: change(seq), at: records::at(second), outcome }
}

fn revert() -> Revert {
    Revert { at: records::at(9), from: 7, to: 4, by: Some("helm".into()) }
}

fn reverted(seq: u8) -> Entry {
    Entry::Reverted { change: change(seq), revert: revert() }
}

fn measured(seq: u8) -> Entry {
    let measured = Measured { at: records::at(9), effect: records::effect(Impact::Helped) };
    Entry::Measured { change: change(seq), measured }
}

#[test]
fn the_end_and_the_effect_of_a_write_stand_in_its_decision_record() {
    both(|subject| {
        for entry in [decision(1), Entry::Prepared(intent(1)), ended(1, 5, WriteOutcome::Applied), measured(1)] {
            subject.append(entry).unwrap();
        }
        subject.restart();
        let record = subject.journal().decision(&id(1)).unwrap().unwrap();
        let mut expected = records::acted(id(1));
        expected.outcome = Some(WriteOutcome::Applied);
        expected.effect = Some(records::effect(Impact::Helped));
        assert_eq!(record, expected, "every number reads back exactly");
        assert_eq!(subject.journal().decision(&id(3)).unwrap(), None);
    });
}

#[test]
fn contradictions_are_refused_one_by_one() {
    let refused: [(&str, Vec<Entry>); 13] = [
        ("is already recorded", vec![decision(1), decision(1)]),
        ("which is not recorded", vec![Entry::Prepared(intent(1))]),
        ("is already prepared", vec![decision(1), Entry::Prepared(intent(1)), Entry::Prepared(intent(1))]),
        ("was never prepared", vec![decision(1), ended(1, 5, WriteOutcome::Applied)]),
        (
            "has already ended: applied",
            vec![
                decision(1),
                Entry::Prepared(intent(1)),
                ended(1, 5, WriteOutcome::Applied),
                ended(1, 6, WriteOutcome::Expired),
            ],
        ),
        (
            "ends together with it",
            vec![
                decision(1),
                Entry::Prepared(intent(1)),
                Entry::Outcome { decision: id(1), outcome: WriteOutcome::NoLever },
            ],
        ),
        (
            "has already ended: no adapter",
            vec![
                decision(1),
                Entry::Outcome { decision: id(1), outcome: WriteOutcome::NoLever },
                Entry::Prepared(intent(1)),
            ],
        ),
        ("was measured but was never prepared", vec![decision(1), measured(1)]),
        (
            "was measured but was not applied",
            vec![decision(1), Entry::Prepared(intent(1)), ended(1, 5, WriteOutcome::Expired), measured(1)],
        ),
        (
            "was already measured",
            vec![decision(1), Entry::Prepared(intent(1)), ended(1, 5, WriteOutcome::Applied), measured(1), measured(1)],
        ),
        ("was reverted but was never prepared", vec![decision(1), reverted(1)]),
        (
            "was reverted but was not applied",
            vec![decision(1), Entry::Prepared(intent(1)), ended(1, 5, WriteOutcome::Expired), reverted(1)],
        ),
        (
            "was already reverted",
            vec![decision(1), Entry::Prepared(intent(1)), ended(1, 5, WriteOutcome::Applied), reverted(1), reverted(1)],
        ),
    ];
    for (words, entries) in refused {
        both(|subject| {
            let mut entries = entries.clone();
            let last = entries.pop().unwrap();
            for entry in entries {
                subject.append(entry).unwrap();
            }
            let before = subject.journal().decisions(None, None, 10).unwrap();
            let error = subject.append(last).unwrap_err();
            assert!(matches!(&error, JournalError::Contradiction(text) if text.contains(words)), "{error}: {words}");
            assert_eq!(
                subject.journal().decisions(None, None, 10).unwrap(),
                before,
                "a refused entry leaves a trace: {words}"
            );
            assert_eq!(subject.journal().health(), Ok(()));
            subject.append(decision(9)).unwrap();
        });
    }
}

#[test]
fn a_revert_stays_with_its_intent_which_keeps_its_place() {
    both(|subject| {
        let entries =
            [1, 2].map(|seq| [decision(seq), Entry::Prepared(intent(seq)), ended(seq, 5, WriteOutcome::Applied)]);
        for entry in entries.into_iter().flatten().chain([reverted(1)]) {
            subject.append(entry).unwrap();
        }
        let applied = subject.journal().remembered_since(records::at(60), Duration::from_secs(3600)).unwrap();
        let found: Vec<_> = applied.into_iter().map(|intent| (intent.change.id, intent.reverted)).collect();
        assert_eq!(found, [(intent(1).change.id, Some(revert())), (intent(2).change.id, None)]);
    });
}

fn fitted(service: &str, signal: &str, issued: i64, alpha: f64) -> Fitted {
    let (service, signal) = (service.parse().unwrap(), SignalName::new(signal).unwrap());
    Fitted { service, signal, issued: Minute(issued), smoothing: Smoothing { alpha, ..Smoothing::default() } }
}

#[test]
fn of_each_signal_the_last_fit_is_kept_over_a_restart() {
    both(|subject| {
        let [rps, queue] = [fitted("shop/cart", "rps", 500, 0.2), fitted("shop/cart", "queue", 400, 0.4)];
        let others = [fitted("shop/car", "rps", 600, 0.5), fitted("shop/carts", "rps", 600, 0.6)];
        // The clock was ahead in the second one, unnoticed.
        let before = [fitted("shop/cart", "rps", 450, 0.3), fitted("shop/cart", "rps", 9000, 0.7)];
        for fit in before.into_iter().chain([rps.clone(), queue.clone()]).chain(others) {
            subject.append(Entry::Fitted(fit)).unwrap();
        }
        subject.restart();
        assert_eq!(subject.journal().fits(&rps.service), Ok(vec![queue, rps]));
        assert_eq!(subject.journal().fits(&"shop/other".parse().unwrap()), Ok(Vec::new()));
    });
}

#[test]
fn fits_of_signals_that_are_no_more_are_forgotten() {
    let mut subject = Subject::disk();
    let month = 30 * 24 * 60;
    let (old, new) = (fitted("shop/gone", "rps", 100, 0.2), fitted("shop/cart", "rps", 101 + month, 0.2));
    let unsound = fitted("shop/odd", "rps", 101 + month, 1.5);
    for fit in [&old, &new, &unsound] {
        subject.append(Entry::Fitted(fit.clone())).unwrap();
    }
    subject.restart();
    let kept = [&old, &new, &unsound].map(|fit| subject.journal().fits(&fit.service).unwrap().len());
    assert_eq!(kept, [0, 1, 0]);
}

/// What continues after a restart is complete: forecast and measurement.
#[test]
fn what_a_write_was_expected_to_do_and_did_stays_with_its_intent() {
    both(|subject| {
        let entries =
            [1, 2].map(|seq| [decision(seq), Entry::Prepared(intent(seq)), ended(seq, 5, WriteOutcome::Applied)]);
        for entry in entries.into_iter().flatten().chain([measured(1)]) {
            subject.append(entry).unwrap();
        }
        subject.restart();
        let applied = subject.journal().remembered_since(records::at(60), Duration::from_secs(3600)).unwrap();
        let Entry::Measured { measured, .. } = measured(1) else { unreachable!() };
        let expected = [(intent(1).foreseen, Some(measured)), (intent(2).foreseen, None)];
        let found: Vec<_> = applied.into_iter().map(|intent| (intent.foreseen, intent.measured)).collect();
        assert_eq!(found, expected, "every number reads back exactly");
    });
}

#[test]
fn the_newest_records_come_first_whatever_the_clock_said() {
    both(|subject| {
        for seq in [5, 2, 8, 1] {
            subject.append(decision(seq)).unwrap();
        }
        let seqs = |service: Option<&ServiceId>, limit| -> Vec<u32> {
            let records = subject.journal().decisions(service, None, limit).unwrap();
            records.iter().map(|record| record.id.cycle.seq).collect()
        };
        assert_eq!(seqs(None, 10), [1, 8, 2, 5]);
        assert_eq!(seqs(None, 2), [1, 8]);
        assert_eq!(seqs(Some(&id(1).service), 10).len(), 2);
        assert!(seqs(Some(&"shop/nobody".parse().unwrap()), 10).is_empty());
    });
}

#[test]
fn the_past_is_read_page_by_page() {
    both(|subject| {
        // Of one service by cycle, of all in order of arrival.
        for seq in [9, 1, 2, 3, 5, 7] {
            subject.append(decision(seq)).unwrap();
        }
        let page = |service: Option<&ServiceId>, seq, limit| -> Vec<u32> {
            let records = subject.journal().decisions(service, Some(&id(seq)), limit).unwrap();
            records.iter().map(|record| record.id.cycle.seq).collect()
        };
        let service = id(1).service;
        let one = |seq| page(Some(&service), seq, 2);
        assert_eq!((one(9), one(5), one(1)), (vec![7, 5], vec![3, 1], vec![]));
        let all = |seq| page(None, seq, 3);
        assert_eq!((all(7), all(3), all(9), all(99)), (vec![5, 3, 2], vec![2, 1, 9], vec![], vec![]));
    });
}

#[test]
fn cooldowns_and_budgets_see_what_was_sent_in_time_and_what_a_clock_set_back_left_ahead() {
    both(|subject| {
        let ends = [
            (1, 10, WriteOutcome::Applied),
            (2, 100, WriteOutcome::Applied),
            (3, 110, WriteOutcome::Expired),
            (5, 112, WriteOutcome::Rejected { reason: "denied".to_owned(), did_nothing: true }),
            (6, 114, WriteOutcome::unsent("flyball is shutting down")),
            (4, 5000, WriteOutcome::Applied),
        ];
        for (seq, second, outcome) in ends {
            subject.append(decision(seq)).unwrap();
            subject.append(Entry::Prepared(intent(seq))).unwrap();
            subject.append(ended(seq, second, outcome)).unwrap();
        }
        subject.restart();
        let found = subject.journal().remembered_since(records::at(120), Duration::from_secs(60)).unwrap();
        let seqs: Vec<u32> = found.iter().map(|intent| intent.change.decision.cycle.seq).collect();
        assert_eq!(seqs, [2, 5, 4], "what was rejected counts, what was never sent does not");
    });
}

/// One step of a random history over four decisions.
#[derive(Debug, Clone)]
enum Step {
    Take(u8, Kind),
    Restart,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Decision,
    Prepared,
    Ended(bool),
    Outcome,
    Measured,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        3 => Just(Kind::Decision),
        4 => Just(Kind::Prepared),
        4 => any::<bool>().prop_map(Kind::Ended),
        1 => Just(Kind::Outcome),
        2 => Just(Kind::Measured),
    ];
    prop_oneof![12 => (0..4u8, kind).prop_map(|(seq, kind)| Step::Take(seq, kind)), 1 => Just(Step::Restart)]
}

/// What a history must leave, derived independently of the journal's own rules.
#[derive(Debug, Default, Clone, PartialEq)]
struct Expected {
    decided: BTreeSet<u8>,
    prepared: BTreeSet<u8>,
    outcome: BTreeMap<u8, WriteOutcome>,
    measured: BTreeSet<u8>,
}

impl Expected {
    fn takes(&mut self, seq: u8, kind: Kind) -> bool {
        let known = self.decided.contains(&seq);
        match kind {
            Kind::Decision => self.decided.insert(seq),
            Kind::Prepared => known && !self.outcome.contains_key(&seq) && self.prepared.insert(seq),
            Kind::Ended(applied) => {
                let open = self.prepared.contains(&seq) && !self.outcome.contains_key(&seq);
                open && self.outcome.insert(seq, outcome(applied)).is_none()
            }
            Kind::Outcome => {
                let free = known && !self.prepared.contains(&seq) && !self.outcome.contains_key(&seq);
                free && self.outcome.insert(seq, WriteOutcome::NoLever).is_none()
            }
            Kind::Measured => self.outcome.get(&seq) == Some(&WriteOutcome::Applied) && self.measured.insert(seq),
        }
    }

    fn open(&self) -> BTreeSet<u32> {
        self.prepared.iter().filter(|seq| !self.outcome.contains_key(seq)).map(|seq| u32::from(*seq)).collect()
    }

    fn applied(&self) -> usize {
        self.outcome.values().filter(|outcome| **outcome == WriteOutcome::Applied).count()
    }
}

fn outcome(applied: bool) -> WriteOutcome {
    if applied { WriteOutcome::Applied } else { WriteOutcome::Expired }
}

fn entry(seq: u8, kind: Kind, second: i64) -> Entry {
    match kind {
        Kind::Decision => decision(seq),
        Kind::Prepared => Entry::Prepared(intent(seq)),
        Kind::Ended(applied) => ended(seq, second, outcome(applied)),
        Kind::Outcome => Entry::Outcome { decision: id(seq), outcome: WriteOutcome::NoLever },
        Kind::Measured => measured(seq),
    }
}

fn held_to(expected: &Expected, subject: &Subject) -> Result<(), TestCaseError> {
    let journal = subject.journal();
    let open: BTreeSet<u32> =
        journal.open_intents().unwrap().iter().map(|intent| intent.change.decision.cycle.seq).collect();
    prop_assert_eq!(open, expected.open());
    prop_assert_eq!(journal.remembered_since(Timestamp::MIN, Duration::ZERO).unwrap().len(), expected.applied());
    prop_assert_eq!(journal.decisions(None, None, 100).unwrap().len(), expected.decided.len());
    for seq in &expected.decided {
        let record = journal.decision(&id(*seq)).unwrap().unwrap();
        prop_assert_eq!(record.outcome.as_ref(), expected.outcome.get(seq));
        prop_assert_eq!(record.effect.is_some(), expected.measured.contains(seq));
    }
    Ok(())
}

fn holds(steps: &[Step], mut subject: Subject) -> Result<(), TestCaseError> {
    let mut expected = Expected::default();
    for (second, step) in (0..).zip(steps) {
        match step {
            Step::Restart => subject.restart(),
            Step::Take(seq, kind) => {
                let taken = subject.append(entry(*seq, *kind, second));
                prop_assert_eq!(taken.is_ok(), expected.takes(*seq, *kind), "{:?}: {:?}", step, taken);
            }
        }
    }
    held_to(&expected, &subject)?;
    subject.restart();
    held_to(&expected, &subject)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// INV-10, INV-12: whatever is sent, in whatever order, across restarts, an intent has at most one start and one
    /// end, and the acknowledged end is the one that is remembered.
    #[test]
    fn each_intent_ends_once(steps in prop::collection::vec(step(), 0..40)) {
        holds(&steps, Subject::memory())?;
        holds(&steps, Subject::disk())?;
    }
}
