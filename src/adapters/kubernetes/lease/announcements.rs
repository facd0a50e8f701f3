//! What a process announces through the Lease while it holds it, and what it receives there. Pure.
//!
//! The Lease does not say who wrote its annotation: a process recognizes its own texts by remembering those it sent. A
//! text that is in flight, or whose answer was lost, may show up later or never; the process's previous text may still
//! be there too.

use std::collections::VecDeque;

use crate::model::Epoch;

/// Longest accepted text, bytes: a hundred services with the longest possible names, and two revisions.
const LONGEST: usize = 16 * 1024;

/// Own texts that are remembered. A term without an answer ends after a few.
const REMEMBERED: usize = 16;

/// What is announced and received.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    /// The text to announce, and the term it is valid in.
    own: Option<(Epoch, String)>,
    /// Own texts of which one is in the Lease or may yet be, newest last.
    sent: VecDeque<String>,
    /// Version of the Lease up to which it was read.
    version: u64,
    /// That version when the last own text was sent, which was its precondition.
    sent_at: u64,
    /// Length of the last text that was too long, while it is there.
    too_long: Option<usize>,
}

/// What the Lease holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    /// Nothing new.
    Nothing,
    /// A text of this process.
    Own,
    /// A text of another process.
    Other(&'a str),
    /// A rejected text of this many bytes.
    TooLong(usize),
}

impl Announcements {
    /// Sets the text to announce in the term `epoch`.
    pub(super) fn announce(&mut self, epoch: Epoch, text: &str) {
        self.own = Some((epoch, text.to_owned()));
    }

    /// Returns the text that goes with a renewal of the term `epoch`, and may arrive from here on. A text of an earlier
    /// term is not sent again: another process may have led since.
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

    /// Reads the Lease at `version`. Anything older than the last read is ignored.
    pub(super) fn hear<'a>(&mut self, text: Option<&'a str>, version: u64) -> Heard<'a> {
        let Some(text) = text.filter(|_| version >= self.version) else { return Heard::Nothing };
        self.version = version;
        let before = self.too_long.take();
        if let Some(place) = self.sent.iter().rposition(|own| own == text) {
            // Earlier texts cannot come back from this process; from another one they are news.
            self.sent.drain(..place);
            return Heard::Own;
        }
        // From here on no own text can arrive: each was conditional on a version that is gone.
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
