//! One candidate for the lease: when it claims, renews, and counts as the holder. Pure: observations and the time come
//! in, requests go out.
//!
//! A candidate measures the age of a lease by its own clock, from the moment it saw the lease change, as client-go
//! does: the clocks of two machines are never compared. Every claim is conditional on the version seen, so one of two
//! claims wins. A deleted lease is treated as one renewed at that moment: its holder may not know yet.

use std::time::Duration;

use crate::adapters::kubernetes::settings::Timing;
use crate::model::{Epoch, Lead, Now};

/// What a Lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The holder; `None` if it was given up.
    pub holder: Option<String>,
    /// Number of handovers.
    pub epoch: Epoch,
    /// How long it lasts after a renewal.
    pub duration: Duration,
    /// Version of the object: precondition of a write based on this.
    pub version: String,
}

impl Record {
    fn number(&self) -> Option<u64> {
        self.version.parse().ok()
    }
}

/// A write of the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The version that it must still have; `None` creates the Lease.
    pub version: Option<String>,
    /// Its epoch from then on.
    pub epoch: Epoch,
    /// Whether this starts a term.
    pub begins: bool,
}

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Do nothing before this time (monotonic), unless something is seen.
    Wait(Duration),
    /// Read the Lease.
    Look,
    /// Write it.
    Claim(Claim),
}

/// A lease that is held.
#[derive(Debug, Clone, Copy)]
struct Term {
    epoch: Epoch,
    /// When the last granted request was sent.
    granted: Now,
}

/// One candidate.
#[derive(Debug, Clone)]
pub struct Candidate {
    identity: String,
    timing: Timing,
    /// Extra delay before claiming an expired lease, different for each candidate.
    spread: Duration,
    /// The Lease as last seen (`None`: it does not exist), and since when it is unchanged.
    seen: Option<(Option<Record>, Duration)>,
    /// The highest epoch ever seen.
    highest: Epoch,
    term: Option<Term>,
    /// Whether the last seen state is known to be outdated.
    must_look: bool,
    /// Earliest time of the next request (monotonic).
    not_before: Duration,
}

impl Candidate {
    /// Returns a candidate that has seen nothing.
    pub fn new(identity: String, timing: Timing, spread: Duration) -> Self {
        Self {
            identity,
            timing,
            spread,
            seen: None,
            highest: Epoch::ALONE,
            term: None,
            must_look: false,
            not_before: Duration::ZERO,
        }
    }

    /// Returns its name in the Lease.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Applies the Lease as of `version` of the whole store. Ignores anything older than what was seen before or than
    /// what this candidate wrote.
    pub fn saw(&mut self, found: Option<Record>, version: u64, now: Now) {
        let known = self.seen.as_ref().and_then(|(record, _)| record.as_ref()).and_then(Record::number);
        if known.is_some_and(|known| version < known) {
            return;
        }
        if let Some(record) = &found {
            self.highest = self.highest.max(record.epoch);
        }
        let is_ours = |term: Term| {
            found.as_ref().is_some_and(|it| it.holder.as_ref() == Some(&self.identity) && it.epoch == term.epoch)
        };
        self.term = self.term.filter(|term| is_ours(*term));
        // The same state is not news: a lagging watch would otherwise hide forever that a claim met something newer.
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != found) {
            self.seen = Some((found, now.mono));
            self.must_look = false;
        }
    }

    /// Applies the Lease as just read.
    pub fn looked(&mut self, found: Option<Record>, version: u64, now: Now) {
        self.saw(found, version, now);
        self.must_look = false;
    }

    /// Returns the next step.
    pub fn next(&mut self, now: Now) -> Step {
        self.term = self.term.filter(|term| now.since_reading(term.granted) < self.timing.renew_deadline);
        let due = match (&self.seen, self.term) {
            // A candidate that has seen nothing waits.
            (None, _) if !self.must_look => return Step::Wait(now.mono.saturating_add(self.timing.duration)),
            (None, _) => self.not_before,
            (Some(_), Some(term)) => {
                let renewal = term.granted.mono.saturating_add(self.timing.renew_every());
                renewal.max(self.not_before).min(term.granted.mono.saturating_add(self.timing.renew_deadline))
            }
            (Some((seen, since)), None) => self.free_from(seen.as_ref(), *since).max(self.not_before),
        };
        if now.mono < due {
            return Step::Wait(due);
        }
        if self.must_look {
            return Step::Look;
        }
        let version = self.seen.as_ref().and_then(|(record, _)| record.as_ref()).map(|record| record.version.clone());
        Step::Claim(match self.term {
            Some(term) => Claim { version, epoch: term.epoch, begins: false },
            None => Claim { version, epoch: self.highest.next(), begins: true },
        })
    }

    /// Returns from when a lease that this candidate does not hold can be claimed.
    fn free_from(&self, seen: Option<&Record>, since: Duration) -> Duration {
        match seen {
            Some(record) if record.holder.as_ref().is_none_or(|holder| *holder == self.identity) => since,
            Some(record) => since.saturating_add(record.duration).saturating_add(self.spread),
            None => since.saturating_add(self.timing.duration).saturating_add(self.spread),
        }
    }

    /// Notes that a claim, sent at `sent`, was granted and produced this version of the Lease.
    pub fn granted(&mut self, claim: &Claim, version: String, sent: Now) {
        self.highest = self.highest.max(claim.epoch);
        let record =
            Record { holder: Some(self.identity.clone()), epoch: claim.epoch, duration: self.timing.duration, version };
        self.seen = Some((Some(record), sent.mono));
        self.term = Some(Term { epoch: claim.epoch, granted: sent });
        self.not_before = Duration::ZERO;
    }

    /// Notes that a request was refused or its result is unknown: the last seen state counts as outdated.
    pub fn failed(&mut self, conflict: bool, now: Now) {
        self.must_look = true;
        // A conflict means that there is something to read; anything else, that the server is unhealthy.
        let pause = if conflict { self.timing.retry / 10 } else { self.timing.retry };
        self.not_before = now.mono.saturating_add(pause);
    }

    /// Returns the claim that gives the lease up, if it is held; from here on it is not.
    pub fn resign(&mut self) -> Option<Claim> {
        let term = self.term.take()?;
        let version = self.seen.as_ref().and_then(|(record, _)| record.as_ref()).map(|record| record.version.clone());
        Some(Claim { version, epoch: term.epoch, begins: false })
    }

    /// Returns the current leadership.
    pub fn lead(&self, now: Now) -> Lead {
        if let Some(term) = self.term {
            let held = now.since_reading(term.granted);
            if held < self.timing.renew_deadline {
                return Lead::Holds { epoch: term.epoch, left: self.timing.duration.saturating_sub(held) };
            }
        }
        let record = self.seen.as_ref().and_then(|(record, _)| record.as_ref());
        let other = record.and_then(|record| record.holder.clone()).filter(|holder| *holder != self.identity);
        Lead::Follows { holder: other }
    }
}
