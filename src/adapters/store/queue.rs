//! What waits to be written, and in which order.
//!
//! Two lines: awaited entries (an intent before its write, the end of one), and the rest (records that should be
//! durable soon). The first line has priority, so that a write to the cluster never waits for the records of a thousand
//! decisions that write nothing. Entries of one service stay in order: an intent brings along the waiting entries of
//! its service, above all its decision (INV-11).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::model::ServiceId;
use crate::ports::JournalError;
use crate::ports::journal::Entry;

/// Capacity of the queue. A fleet of 10,000 decides at once after a start; three times that means a disk that does not
/// keep up.
pub(super) const CAPACITY: usize = 32_768;
/// Entries per commit: few enough that an entry which arrives during one soon has its turn.
pub(super) const GROUP: usize = 256;
/// How long entries that are not awaited may accumulate: about as long as a fleet takes to decide, so that packing the
/// records does not compete with services still deciding.
pub(super) const GATHER: Duration = Duration::from_millis(50);
/// Number of entries that are not awaited at which a commit is due at once.
const PILE: usize = 16 * GROUP;
/// Awaited entries are committed once no more have arrived for this long: the intents that follow from one answer of a
/// source share a sync; otherwise the first one would make the rest wait for two.
const QUIET: Duration = Duration::from_micros(100);
/// Longest time an awaited entry waits for others.
const SHARE: Duration = Duration::from_micros(500);
/// Entries of the second line that go along with the first once they are due, so that the second line moves however
/// busy the first is.
const ALONG: usize = 16;

pub(super) type Answer = oneshot::Sender<Result<(), JournalError>>;

/// An entry, and who waits for it.
pub(super) struct Item {
    pub(super) entry: Entry,
    pub(super) answer: Option<Answer>,
}

/// The two lines.
#[derive(Default)]
pub(super) struct Queue {
    awaited: VecDeque<Item>,
    rest: VecDeque<Item>,
    /// Arrival of the first and of the last entry waiting in the first line.
    arrived: Option<(Instant, Instant)>,
    /// When the second line last became non-empty.
    since: Option<Instant>,
    /// No more entries are accepted.
    pub(super) closed: bool,
}

impl Queue {
    /// Returns how many entries wait.
    pub(super) fn len(&self) -> usize {
        self.awaited.len().saturating_add(self.rest.len())
    }

    /// Returns whether a waiting entry satisfies `is_one`.
    pub(super) fn any(&self, is_one: impl Fn(&Entry) -> bool) -> bool {
        self.awaited.iter().chain(&self.rest).any(|item| is_one(&item.entry))
    }

    /// Returns whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns when the next commit is due; `None` while nothing waits.
    pub(super) fn due(&self) -> Option<Instant> {
        let awaited = self.arrived.map(|(first, last)| (last + QUIET).min(first + SHARE));
        let rest = self.since.map(|since| if self.rest.len() >= PILE { since } else { since + GATHER });
        awaited.into_iter().chain(rest).min()
    }

    /// Queues an entry that arrives `now`; returns whether that makes the next commit due sooner.
    pub(super) fn push(&mut self, item: Item, now: Instant) -> bool {
        let before = self.due();
        if item.answer.is_none() {
            self.rest.push_back(item);
            self.since.get_or_insert(now);
        } else {
            if let Some(service) = service(&item.entry) {
                self.call_forward(service);
            }
            self.awaited.push_back(item);
            self.arrived.get_or_insert((now, now)).1 = now;
        }
        self.due().is_some_and(|due| before.is_none_or(|before| due < before))
    }

    /// Moves the waiting entries of a service from the second line to the first.
    fn call_forward(&mut self, called: &ServiceId) {
        let mut position = 0;
        while let Some(waiting) = self.rest.get(position) {
            if service(&waiting.entry) == Some(called) {
                self.awaited.extend(self.rest.remove(position));
            } else {
                position += 1;
            }
        }
    }

    /// Takes the entries of a commit made `now`.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Item> {
        let first = self.awaited.len().min(GROUP);
        let gathered = self.since.is_some_and(|since| since + GATHER <= now);
        let along = match first {
            0 => GROUP,
            _ if gathered => ALONG.min(GROUP - first),
            _ => 0,
        };
        let along = self.rest.len().min(along);
        let group = self.awaited.drain(..first).chain(self.rest.drain(..along)).collect();
        self.arrived = self.arrived.filter(|_| !self.awaited.is_empty());
        self.since = self.since.filter(|_| !self.rest.is_empty());
        group
    }
}

/// Returns the service whose order an entry must keep. The end of an intent has none, nor has its revert or its effect:
/// what they build on is already durable. A fit builds on nothing.
fn service(entry: &Entry) -> Option<&ServiceId> {
    match entry {
        Entry::Decision(record) => Some(&record.id.service),
        Entry::Prepared(intent) => Some(intent.change.service()),
        Entry::Outcome { decision, .. } => Some(&decision.service),
        Entry::Ended { .. } | Entry::Reverted { .. } | Entry::Measured { .. } | Entry::Fitted(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::store::tests::{decision_of, ended, intent_of};
    use crate::model::WriteOutcome;

    /// Queues entries; the flag says whether they are awaited.
    fn queue(entries: impl IntoIterator<Item = (Entry, bool)>) -> Queue {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for (entry, awaited) in entries {
            queue.push(Item { entry, answer: awaited.then(|| oneshot::channel().0) }, now);
        }
        queue
    }

    /// Takes a group once everything is due and returns what it contains.
    fn taken(queue: &mut Queue) -> Vec<String> {
        taken_at(queue, Instant::now() + GATHER)
    }

    fn taken_at(queue: &mut Queue, now: Instant) -> Vec<String> {
        let said = |item: Item| match item.entry {
            Entry::Decision(record) => format!("decision {}", record.id),
            Entry::Prepared(intent) => format!("intent of {}", intent.change.decision),
            Entry::Outcome { decision, .. } => format!("after {decision}"),
            Entry::Ended { .. } => "end".to_owned(),
            Entry::Reverted { .. } => "revert".to_owned(),
            Entry::Measured { .. } => "effect".to_owned(),
            Entry::Fitted(_) => "fit".to_owned(),
        };
        queue.take(now).into_iter().map(said).collect()
    }

    #[test]
    fn what_somebody_waits_for_goes_first_and_takes_its_decision_along() {
        let crowd = (1..=100).map(|seq| (decision_of("shop/crowd", seq), false));
        let mine = [(decision_of("shop/mine", 7), false)];
        let awaited = [(Entry::Prepared(intent_of("shop/mine", 7)), true), (ended(3), true)];
        let mut queue = queue(crowd.chain(mine).chain(awaited));
        assert!(queue.due().is_some_and(|due| due <= Instant::now() + SHARE));
        let group = taken(&mut queue);
        assert_eq!(group[..3], ["decision shop/mine@1-7", "intent of shop/mine@1-7", "end"]);
        assert_eq!(group[3..], (1..=ALONG).map(|seq| format!("decision shop/crowd@1-{seq}")).collect::<Vec<_>>());
        assert_eq!(queue.len(), 100 - ALONG);
        assert_eq!(taken(&mut queue).len(), 100 - ALONG);
        assert!(queue.is_empty() && queue.due().is_none());
    }

    #[test]
    fn what_nobody_waits_for_gathers_first() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let mut push = |entry, answer, at| queue.push(Item { entry, answer }, at);
        assert!(push(decision_of("shop/a", 1), None, now), "the first one says when");
        assert!(!push(decision_of("shop/b", 1), None, now + GATHER / 2), "the next ones go with it");
        assert!(push(Entry::Prepared(intent_of("shop/c", 1)), Some(oneshot::channel().0), now + GATHER / 2));
        assert_eq!(taken_at(&mut queue, now + GATHER / 2), ["intent of shop/c@1-1"]);
        assert_eq!(queue.due(), Some(now + GATHER));
        let pile = (2..PILE as u32).map(|seq| decision_of("shop/a", seq));
        let due: Vec<bool> = pile.map(|entry| queue.push(Item { entry, answer: None }, now)).collect();
        assert_eq!((due.iter().filter(|due| **due).count(), due.last(), queue.due()), (1, Some(&true), Some(now)));
    }

    #[test]
    fn intents_that_come_together_share_a_commit_and_none_waits_long_for_others() {
        let (mut queue, begin) = (Queue::default(), Instant::now());
        let mut push = |seq: u32, at| {
            let entry = Entry::Prepared(intent_of("shop/a", seq));
            let sooner = queue.push(Item { entry, answer: Some(oneshot::channel().0) }, at);
            (sooner, queue.due().map(|due| due - begin))
        };
        assert_eq!(push(1, begin), (true, Some(QUIET)), "one that stays alone waits for a moment");
        assert_eq!(push(2, begin + QUIET / 2), (false, Some(QUIET + QUIET / 2)), "one that follows prolongs it");
        let crowd = (3..40).map(|seq| push(seq, begin + QUIET / 2 * (seq - 1)));
        assert_eq!(crowd.last(), Some((false, Some(SHARE))), "not for longer");
        assert_eq!(queue.take(begin + SHARE).len(), 39);
        assert_eq!(queue.due(), None);
    }

    #[test]
    fn the_order_within_a_service_is_kept() {
        let outcome =
            Entry::Outcome { decision: intent_of("shop/a", 1).change.decision, outcome: WriteOutcome::Expired };
        let entries = [
            (decision_of("shop/a", 1), false),
            (decision_of("shop/b", 1), false),
            (outcome, false),
            (decision_of("shop/a", 2), false),
            (Entry::Prepared(intent_of("shop/a", 2)), true),
            (decision_of("shop/a", 3), false),
        ];
        let expected = [
            "decision shop/a@1-1",
            "after shop/a@1-1",
            "decision shop/a@1-2",
            "intent of shop/a@1-2",
            "decision shop/b@1-1",
            "decision shop/a@1-3",
        ];
        assert_eq!(taken(&mut queue(entries)), expected);
    }

    #[test]
    fn a_group_is_bounded_whoever_waits() {
        for awaited in [false, true] {
            let entries = (0..GROUP as u32 + 40).map(|seq| (decision_of("shop/a", seq), awaited));
            let mut queue = queue(entries);
            assert_eq!((taken(&mut queue).len(), taken(&mut queue).len()), (GROUP, 40));
        }
    }
}
