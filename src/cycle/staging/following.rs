//! Several processes: the leader decides what is active, the others follow its announcements.
//!
//! All read the same policies, so a revision is enough to identify a release. A follower activates nothing on its own,
//! unless it had nothing at all, and is ready to continue from there when it leads.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Parts, RolledBack, Scope, Staging, Step};
use crate::model::{PolicyRevision, ServiceId};

/// Most separate services that an announcement names: it is part of every lease renewal.
const NAMED: usize = 50;

/// What the leader announces about its policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The active release.
    pub in_force: PolicyRevision,
    /// What was rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<PolicyRevision>,
    /// Services that already use the candidate; the first fifty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ahead: BTreeSet<ServiceId>,
    /// Services that use the previous release; the first fifty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub behind: BTreeSet<ServiceId>,
}

impl<R: Parts> Staging<R> {
    /// Returns the announcement for followers; `None` before anything is active.
    pub fn announcement(&self) -> Option<Announcement> {
        let some = |services: &BTreeSet<ServiceId>| services.iter().take(NAMED).cloned().collect();
        Some(Announcement {
            in_force: self.in_force.as_ref()?.revision.clone(),
            rolled_back: self.rolled_back.as_ref().map(|rolled_back| rolled_back.revision.clone()),
            ahead: some(&self.ahead),
            behind: some(&self.behind),
        })
    }

    /// Follows the leader's announcement to the extent that its release is known here; the rest once it is.
    pub fn follow(&mut self, announcement: Announcement, now: Duration) -> Option<Step> {
        self.follows = None;
        let step = self.go_to(&announcement.in_force, now);
        let taken_back = |revision: &PolicyRevision| announcement.rolled_back.as_ref() == Some(revision);
        if let Some(candidate) = self.candidate.take_if(|candidate| taken_back(&candidate.staged.revision)) {
            self.keep_out(candidate.staged);
        }
        self.ahead = if self.candidate.is_some() { announcement.ahead.clone() } else { BTreeSet::new() };
        self.behind = if self.previous.is_some() { announcement.behind.clone() } else { BTreeSet::new() };
        self.follows = Some(announcement);
        step
    }

    /// Decides on its own from here on. What the predecessor rolled back stays out, even if it was never read here.
    pub fn lead(&mut self) {
        let taken_back = self.follows.take().and_then(|announcement| announcement.rolled_back);
        if self.rolled_back.is_none() {
            let kept_out = |revision| RolledBack { revision, sets: BTreeSet::new(), staged: Vec::new() };
            self.rolled_back = taken_back.map(kept_out);
        }
    }

    /// Returns the release being followed, if it is unknown here and another one is active.
    pub fn astray(&self) -> Option<&PolicyRevision> {
        let in_force = self.in_force.as_ref().map(|staged| &staged.revision);
        self.follows.as_ref().map(|announcement| &announcement.in_force).filter(|revision| in_force != Some(*revision))
    }

    /// Activates a release that is known here, along the path that the leader took.
    fn go_to(&mut self, revision: &PolicyRevision, now: Duration) -> Option<Step> {
        let is = |other: Option<&PolicyRevision>| other == Some(revision);
        if is(self.in_force.as_ref().map(|staged| &staged.revision)) {
            return None;
        }
        if is(self.candidate.as_ref().map(|candidate| &candidate.staged.revision)) {
            return self.promote(&Scope::All, now).unwrap_or_default();
        }
        let before = self.previous.iter().chain(&self.earlier).position(|staged| staged.revision == *revision);
        if let Some(before) = before {
            let mut step = None;
            for _ in 0..=before {
                step = self.roll_back(&Scope::All).unwrap_or_default();
            }
            return step;
        }
        if let Some(by) = self.part(revision) {
            let candidate = self.candidate.take()?;
            return self.put_part_in_force(candidate, by, now);
        }
        let known = |rolled_back: &RolledBack<R>| rolled_back.staged.iter().any(|staged| staged.revision == *revision);
        let mut rolled_back = self.rolled_back.take_if(|rolled_back| known(rolled_back))?;
        let staged = rolled_back.staged.extract_if(.., |staged| staged.revision == *revision).next()?;
        let rest = rolled_back.without(&staged);
        let step = self.put_in_force(staged, now);
        self.rolled_back = rest;
        Some(step)
    }

    /// Returns the due time of the candidate's sets that, combined with the active ones, make this release: they come
    /// in the same order in every process.
    fn part(&self, revision: &PolicyRevision) -> Option<Duration> {
        let (in_force, candidate) = (self.in_force.as_ref()?, self.candidate.as_ref()?);
        let makes = |by: &Duration| in_force.with(&candidate.staged, &candidate.due_by(*by)).revision == *revision;
        candidate.due.values().copied().find(makes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::cycle::staging::Staged;

    const SHADOW: Duration = Duration::from_mins(10);

    fn revision(name: &str) -> PolicyRevision {
        PolicyRevision::of([("t.rhai", name)])
    }

    fn staged(name: &str) -> Staged<String> {
        let sets = BTreeMap::from([(String::new(), revision(name))]);
        Staged { revision: revision(name), sets, release: Arc::new(name.to_owned()) }
    }

    fn at(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    /// Two processes that have read the same policies.
    fn pair() -> (Staging<String>, Staging<String>) {
        let mut leader = Staging::new(SHADOW);
        leader.announced(staged("one"), at(0));
        let mut follower = leader.clone();
        follower.follow(leader.announcement().unwrap(), at(50));
        for staging in [&mut leader, &mut follower] {
            assert_eq!(staging.announced(staged("two"), at(1)), Some(Step::Candidate(revision("two"))));
        }
        (leader, follower)
    }

    fn in_force(staging: &Staging<String>) -> String {
        staging.in_force.as_ref().unwrap().release.to_string()
    }

    #[test]
    fn who_follows_puts_nothing_in_force_by_itself() {
        let (mut leader, mut follower) = pair();
        assert_eq!((follower.due(), follower.passed(at(99))), (None, None));
        let orders = [follower.promote(&Scope::All, at(50)), follower.roll_back(&Scope::All)];
        assert!(orders.iter().all(|end| end.as_ref().is_err_and(|why| why.contains("leader"))), "{orders:?}");
        leader.passed(at(11));
        assert_eq!(follower.follow(leader.announcement().unwrap(), at(50)), Some(Step::InForce(revision("two"))));
        assert_eq!(follower.previous.as_ref().unwrap().revision, revision("one"));
        // Also without a soak time: the leader may not have read it yet.
        let mut at_once: Staging<String> = Staging::new(Duration::ZERO);
        assert_eq!(
            at_once.announced(staged("one"), at(0)),
            Some(Step::InForce(revision("one"))),
            "never without policies"
        );
        at_once.follow(at_once.announcement().unwrap(), at(50));
        assert_eq!(at_once.announced(staged("two"), at(1)), Some(Step::Candidate(revision("two"))));
    }

    #[test]
    fn what_the_leader_took_back_stays_out_when_another_leads() {
        let (mut leader, mut follower) = pair();
        leader.promote(&Scope::All, at(50)).unwrap();
        follower.follow(leader.announcement().unwrap(), at(50));
        leader.roll_back(&Scope::All).unwrap();
        assert_eq!(follower.follow(leader.announcement().unwrap(), at(50)), Some(Step::InForce(revision("one"))));
        follower.lead();
        assert_eq!(follower.announced(staged("two"), at(9)), Some(Step::KeptOut(revision("two"))));
        assert_eq!((in_force(&follower), follower.passed(at(99))), ("one".to_owned(), None));
        // Also a candidate that was rolled back before it was active.
        let (mut leader, mut follower) = pair();
        leader.roll_back(&Scope::All).unwrap();
        follower.follow(leader.announcement().unwrap(), at(50));
        follower.lead();
        assert_eq!((in_force(&follower), follower.passed(at(99))), ("one".to_owned(), None));
    }

    #[test]
    fn a_new_leader_goes_on_with_the_candidate_and_with_those_apart() {
        let (mut leader, mut follower) = pair();
        let cart: ServiceId = "shop/cart".parse().unwrap();
        leader.promote(&Scope::Service(cart.clone()), at(50)).unwrap();
        follower.follow(leader.announcement().unwrap(), at(50));
        assert_eq!(&*follower.of(&cart).0.unwrap().release, "two");
        follower.lead();
        assert_eq!((follower.due(), follower.passed(at(11))), (Some(at(11)), Some(Step::InForce(revision("two")))));
    }

    #[test]
    fn a_release_that_is_not_known_yet_is_followed_when_it_is() {
        let (mut leader, _) = pair();
        let mut late = Staging::new(SHADOW);
        late.announced(staged("one"), at(0));
        leader.promote(&Scope::All, at(50)).unwrap();
        assert_eq!(late.follow(leader.announcement().unwrap(), at(50)), None);
        assert_eq!(late.astray(), Some(&revision("two")));
        assert_eq!(late.announced(staged("two"), at(2)), Some(Step::InForce(revision("two"))));
        assert_eq!(late.astray(), None);
    }

    #[test]
    fn what_was_taken_back_before_it_was_read_here_is_kept_out_here_too() {
        let (mut leader, _) = pair();
        leader.promote(&Scope::All, at(50)).unwrap();
        leader.roll_back(&Scope::All).unwrap();
        let mut late = Staging::new(SHADOW);
        late.announced(staged("one"), at(0));
        late.follow(leader.announcement().unwrap(), at(50));
        assert_eq!(late.announced(staged("two"), at(2)), Some(Step::KeptOut(revision("two"))));
        late.lead();
        assert_eq!((in_force(&late), late.passed(at(99))), ("one".to_owned(), None));
        // A process that has nothing else waits until someone fixes or promotes it.
        let mut empty = Staging::new(SHADOW);
        empty.follow(leader.announcement().unwrap(), at(50));
        assert_eq!(empty.announced(staged("two"), at(2)), Some(Step::KeptOut(revision("two"))));
        empty.lead();
        assert!(empty.passed(at(99)).is_none() && empty.in_force.is_none());
        let mut at_once = Staging::new(SHADOW);
        at_once.follow(leader.announcement().unwrap(), at(50));
        at_once.lead();
        assert_eq!(
            at_once.announced(staged("two"), at(2)),
            Some(Step::KeptOut(revision("two"))),
            "it leads before it has read it"
        );
        let mut mended = empty.clone();
        assert_eq!(mended.announced(staged("three"), at(3)), Some(Step::InForce(revision("three"))));
        assert_eq!(empty.promote(&Scope::All, at(50)), Ok(Some(Step::InForce(revision("two")))));
    }

    #[test]
    fn who_follows_takes_the_sets_that_were_due_at_the_leader() {
        let release = |fleet: &str, shop: &str| {
            let sets = [(String::new(), revision(fleet)), ("shop".to_owned(), revision(shop))];
            Staged::new(sets.into(), format!("{fleet}, {shop}"))
        };
        let mut leader = Staging::new(SHADOW);
        leader.announced(release("fleet 1", "shop 1"), at(0));
        let mut follower = leader.clone();
        follower.follow(leader.announcement().unwrap(), at(0));
        // It reads a bit later, and announcements arrive a bit later, too.
        for (minute, edit) in [(1, release("fleet 2", "shop 2")), (5, release("fleet 2", "shop 3"))] {
            leader.announced(edit.clone(), at(minute));
            follower.announced(edit, at(minute + 1));
        }
        let step = leader.passed(at(11));
        assert!(matches!(step, Some(Step::InForce(_))) && leader.due() == Some(at(15)), "{step:?}");
        assert_eq!((follower.follow(leader.announcement().unwrap(), at(11)), follower.astray()), (step, None));
        follower.lead();
        assert_eq!((follower.due(), follower.previous.is_some()), (Some(at(16)), true));
    }

    #[test]
    fn an_announcement_is_short_and_read_back_as_it_was() {
        let (mut leader, _) = pair();
        leader.ahead = (0..500).map(|number| format!("shop/service-{number}").parse().unwrap()).collect();
        let announcement = leader.announcement().unwrap();
        let text = serde_json::to_string(&announcement).unwrap();
        assert!(announcement.ahead.len() == NAMED && text.len() < 4096, "{text}");
        assert_eq!(serde_json::from_str::<Announcement>(&text).unwrap(), announcement);
        assert_eq!(Staging::<String>::default().announcement(), None);
    }
}
