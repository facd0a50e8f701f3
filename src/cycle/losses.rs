//! Distinguishes services that lost their telemetry from a source that lost its services.
//!
//! A single service without samples has its own problem: it crashed, it was renamed. When half of all services that a
//! source covers fall silent within a minute, the source is the only thing they have in common.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ServiceId;

/// Least number of services that fall silent together, and their least share of those that reported until then.
const FEWEST: usize = 3;
const SHARE: f64 = 0.5;
/// Losses within this many rounds are one event: sources scrape their targets at different times.
const TOGETHER: u64 = 4;

/// What arrived for one service in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Came<'a> {
    /// Which service.
    pub service: &'a ServiceId,
    /// Whether any of its signals had a sample that is not stale.
    pub fresh: bool,
}

/// Services that fell silent together, and are still silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// How many.
    pub lost: usize,
    /// How many reported before.
    pub of: usize,
    /// The round of the first loss.
    since: u64,
}

/// What one source has reported so far, by service.
#[derive(Debug, Clone, Default)]
pub struct Losses {
    round: u64,
    /// For each service that ever reported: the round of its loss; `None` while it reports.
    told: BTreeMap<ServiceId, Option<u64>>,
}

impl Losses {
    /// Processes one answered round and returns whether the source is in trouble. Services that are no longer queried
    /// are forgotten.
    pub fn round<'a>(&mut self, came: impl Iterator<Item = Came<'a>> + Clone) -> Option<Trouble> {
        self.round += 1;
        for one in came.clone() {
            match (self.told.get_mut(one.service), one.fresh) {
                (Some(lost), true) => *lost = None,
                (Some(lost), false) => drop(lost.get_or_insert(self.round)),
                (None, true) => drop(self.told.insert(one.service.clone(), None)),
                (None, false) => {}
            }
        }
        if self.told.len() > came.clone().count() {
            let asked: BTreeSet<&ServiceId> = came.map(|one| one.service).collect();
            self.told.retain(|service, _| asked.contains(service));
        }
        self.trouble()
    }

    /// Returns whether a service is one of those that fell silent together.
    pub fn concerns(&self, trouble: &Trouble, service: &ServiceId) -> bool {
        let lost = self.told.get(service).copied().flatten();
        lost.is_some_and(|round| round >= trouble.since && round - trouble.since < TOGETHER)
    }

    fn trouble(&self) -> Option<Trouble> {
        let mut by_round: BTreeMap<u64, usize> = BTreeMap::new();
        for round in self.told.values().flatten() {
            *by_round.entry(*round).or_default() += 1;
        }
        let tell = self.told.len() - by_round.values().sum::<usize>();
        let event = |since: &u64| {
            let lost = by_round.range(since..&since.saturating_add(TOGETHER)).map(|(_, count)| count).sum();
            // Those lost at other times had a problem of their own.
            Trouble { lost, of: lost + tell, since: *since }
        };
        let largest = by_round.keys().map(event).max_by_key(|event| event.lost)?;
        (largest.lost >= FEWEST && largest.lost as f64 >= SHARE * largest.of as f64).then_some(largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays rounds, each a text with one letter per service, eight in all: `x` fresh, `.` silent.
    fn check(rounds: &[&str], expected: Option<(usize, usize)>) {
        let names: Vec<ServiceId> =
            (0..8).map(|number| ServiceId::new("shop", &format!("s{number}")).unwrap()).collect();
        let mut losses = Losses::default();
        let mut trouble = None;
        for round in rounds {
            let came = names.iter().zip(round.chars()).map(|(service, sign)| Came { service, fresh: sign == 'x' });
            trouble = losses.round(came);
        }
        assert_eq!(trouble.map(|trouble| (trouble.lost, trouble.of)), expected, "{rounds:?}");
        if let (Some(trouble), Some(last)) = (trouble, rounds.last()) {
            let concerned = names.iter().filter(|service| losses.concerns(&trouble, service)).count();
            assert_eq!(concerned, trouble.lost);
            assert!(names.iter().zip(last.chars()).all(|(name, sign)| sign == '.' || !losses.concerns(&trouble, name)));
        }
    }

    #[test]
    fn services_that_fall_silent_together_are_the_sources_trouble() {
        check(&["xxxxxxxx", "xxxxxxxx"], None);
        // One, two, and three of eight: separate problems.
        check(&["xxxxxxxx", ".xxxxxxx"], None);
        check(&["xxxxxxxx", "...xxxxx"], None);
        check(&["xxxxxxxx", "....xxxx"], Some((4, 8)));
        check(&["xxxxxxxx", "........"], Some((8, 8)));
        // Within a few rounds, and as long as it lasts.
        check(&["xxxxxxxx", ".xxxxxxx", "..xxxxxx", "....xxxx"], Some((4, 8)));
        check(&["xxxxxxxx", "....xxxx", "....xxxx", "....xxxx", "....xxxx", "....xxxx", "....xxxx"], Some((4, 8)));
        check(&["xxxxxxxx", "....xxxx", "xxxxxxxx"], None);
        // One after another is not an event.
        check(
            &[
                "xxxxxxxx", ".xxxxxxx", ".xxxxxxx", ".xxxxxxx", ".xxxxxxx", "..xxxxxx", "..xxxxxx", "..xxxxxx",
                "..xxxxxx", "...xxxxx", "...xxxxx", "...xxxxx", "...xxxxx", "....xxxx",
            ],
            None,
        );
        // One that was lost before does not count.
        check(&["xxxxxxxx", ".xxxxxxx", ".xxxxxxx", ".xxxxxxx", ".xxxxxxx", ".xxxxxxx", "......xx"], Some((5, 7)));
        // A service that never reported is not lost, and two services are too few for a judgement.
        check(&["..xx....", "........"], None);
        check(&["........", "........"], None);
    }

    #[test]
    fn a_service_that_is_no_longer_asked_for_is_forgotten() {
        let names: Vec<ServiceId> =
            (0..6).map(|number| ServiceId::new("shop", &format!("s{number}")).unwrap()).collect();
        let mut losses = Losses::default();
        assert_eq!(losses.round(names.iter().map(|service| Came { service, fresh: true })), None);
        let rest = names.get(4..).unwrap();
        assert_eq!(losses.round(rest.iter().map(|service| Came { service, fresh: true })), None);
        assert_eq!(losses.told.len(), 2);
    }
}
