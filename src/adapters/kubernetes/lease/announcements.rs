//! What a process says by the Lease while it holds it, and what it hears there. Pure.
//!
//! The Lease does not tell who wrote its annotation: a process knows its own texts by remembering those it sent. One
//! that is on its way, or whose answer was lost, may come to stand there later, or never; what stood there before it is
//! the process's own just as much.

use std::collections::VecDeque;

use crate::model::Epoch;

/// Longest text that is heard, bytes: a hundred services by the longest names there are, and two revisions.
const LONGEST: usize = 16 * 1024;

/// Own texts that are remembered. A term without an answer ends after a few.
const REMEMBERED: usize = 16;

/// What is said and heard.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    /// What is to be said, and the term in which that holds.
    own: Option<(Epoch, String)>,
    /// Own texts of which one stands in the Lease or may come to, the newest last.
    sent: VecDeque<String>,
    /// Version of the Lease up to which it was heard.
    version: u64,
    /// The same when the last own text was sent: on condition of that one.
    sent_at: u64,
    /// Length of the last text that was too long, while it stands there.
    too_long: Option<usize>,
}

/// What stands in the Lease.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    /// Nothing, or nothing that was not known.
    Nothing,
    /// A text of this process.
    Own,
    /// A text of another one.
    Other(&'a str),
    /// A text that is not heard, of so many bytes.
    TooLong(usize),
}

impl Announcements {
    /// Takes in what is to be said in the term `epoch`.
    pub(super) fn announce(&mut self, epoch: Epoch, text: &str) {
        self.own = Some((epoch, text.to_owned()));
    }

    /// Returns the text that goes with a renewal of the term `epoch`, which may arrive from here on. What was said in
    /// an earlier term is said no more: somebody else may have led since.
    pub(super) fn send(&mut self, epoch: Epoch) -> Option<String> {
        let (_, text) = self.own.as_ref().filter(|(of, _)| *of == epoch)?;
        if self.sent.back() != Some(text) {
            if self.sent.len() == REMEMBERED {
                self.sent.pop_front();
            }
            self.sent.push_back(text.clone());
        }
        self.sent_at = self.version;
        Some(text.clone())
    }

    /// Hears the Lease at `version`. What is older than what was heard before is left out.
    pub(super) fn hear<'a>(&mut self, text: Option<&'a str>, version: u64) -> Heard<'a> {
        let Some(text) = text.filter(|_| version >= self.version) else { return Heard::Nothing };
        self.version = version;
        let before = self.too_long.take();
        if let Some(place) = self.sent.iter().rposition(|own| own == text) {
            // Those before it cannot come again from this process; from another one they are news.
            self.sent.drain(..place);
            return Heard::Own;
        }
        // From here on none of the own ones can arrive: each was sent on condition of a version that is gone.
        if version > self.sent_at {
            self.sent.clear();
        }
        if text.len() <= LONGEST {
            return Heard::Other(text);
        }
        self.too_long = Some(text.len());
        if before == self.too_long { Heard::Nothing } else { Heard::TooLong(text.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(texts: &[&str]) -> Announcements {
        let mut announcements = Announcements::default();
        for text in texts {
            announcements.announce(Epoch::new(1), text);
            assert_eq!(announcements.send(Epoch::new(1)).as_deref(), Some(*text));
        }
        announcements
    }

    #[test]
    fn whatever_of_the_own_texts_stands_there_is_no_news() {
        let mut announcements = said(&["one", "two", "three"]);
        assert_eq!(announcements.hear(Some("one"), 5), Heard::Own);
        assert_eq!(announcements.hear(Some("three"), 7), Heard::Own);
        assert_eq!(announcements.hear(Some("two"), 6), Heard::Nothing, "a watch that lags");
        assert_eq!(announcements.hear(Some("one"), 8), Heard::Other("one"), "now somebody else says so");
    }

    #[test]
    fn what_stood_there_before_is_heard_until_something_was_said() {
        let mut announcements = Announcements::default();
        assert_eq!(announcements.hear(Some("theirs"), 5), Heard::Other("theirs"));
        announcements.announce(Epoch::new(2), "mine");
        assert_eq!(announcements.hear(Some("theirs"), 6), Heard::Other("theirs"), "not said yet");
        announcements.send(Epoch::new(2));
        assert_eq!(announcements.hear(Some("theirs"), 6), Heard::Other("theirs"), "its answer was lost");
        assert_eq!(announcements.hear(Some("mine"), 7), Heard::Own);
        assert_eq!(announcements.hear(None, 8), Heard::Nothing);
    }

    #[test]
    fn what_was_said_in_one_term_is_not_said_in_the_next() {
        let mut announcements = said(&["one"]);
        assert_eq!(announcements.send(Epoch::new(3)), None);
    }

    #[test]
    fn a_text_that_is_too_long_is_named_once() {
        let mut announcements = Announcements::default();
        let long = "w".repeat(LONGEST + 1);
        assert_eq!(announcements.hear(Some(&long), 1), Heard::TooLong(LONGEST + 1));
        assert_eq!(announcements.hear(Some(&long), 2), Heard::Nothing);
        assert_eq!(announcements.hear(Some("short"), 3), Heard::Other("short"));
    }
}
