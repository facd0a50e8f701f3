//! Which policy revision is active for which service: a candidate soaks for a while before it replaces the active set,
//! and operators may promote it early, keep it out or roll back. Pure: knows releases only by their revisions.
//!
//! ```text
//! announced -> candidate --(shadow time is over, promote)--> in force --(the next one)--> before
//!                  |                                            |                            |
//!                  +------------- roll back ----> rolled back <-+ <------- roll back --------+ (in force again)
//! ```
//!
//! The sets of a release soak independently: an edit of one namespace neither delays the others nor reverts what was
//! promoted there. The release active meanwhile has the sets that were due, and the previous ones for the rest.
//!
//! The last few previous releases are kept, one step back each, except those that were active only for a moment, such
//! as an edit saved half-finished.

mod following;
mod staged;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{PolicyRevision, ServiceId};
pub use following::Announcement;
pub use staged::{Candidate, Parts, RolledBack, Staged, revision_of};

/// How many releases before the active one are kept.
const KEPT: usize = 10;
/// A release that was active for less is not worth rolling back to, if there is another one.
const LEAST: Duration = Duration::from_secs(5);

/// To which services an order applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every service.
    All,
    /// One service.
    Service(ServiceId),
}

/// What an event changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Another release is active.
    InForce(PolicyRevision),
    /// A release is the candidate.
    Candidate(PolicyRevision),
    /// A release that was rolled back is not activated again.
    KeptOut(PolicyRevision),
    /// One service uses a set of another release than the rest: which set.
    Apart(PolicyRevision),
}

/// The releases, and which services use which.
#[derive(Debug, Clone)]
pub struct Staging<R> {
    /// How long each set of a candidate soaks.
    soak: Duration,
    /// The active release.
    pub in_force: Option<Staged<R>>,
    /// Since when, by the monotonic clock; `None` if it was active earlier already, or in an earlier process.
    since: Option<Duration>,
    /// The previous release.
    pub previous: Option<Staged<R>>,
    /// Those before it, newest first.
    pub earlier: Vec<Staged<R>>,
    /// The next release.
    pub candidate: Option<Candidate<R>>,
    /// What was rolled back.
    pub rolled_back: Option<RolledBack<R>>,
    /// Services that already use the candidate.
    pub ahead: BTreeSet<ServiceId>,
    /// Services that use the previous release.
    pub behind: BTreeSet<ServiceId>,
    /// Number of rollbacks for all services.
    pub returns: u64,
    /// The leader's announcement, if this process follows.
    pub(super) follows: Option<Announcement>,
}

impl<R: Parts> Default for Staging<R> {
    fn default() -> Self {
        Self::new(Duration::ZERO)
    }
}

impl<R: Parts> Staging<R> {
    /// Returns a staging without any release, whose candidates soak for `soak`; zero activates them immediately.
    pub fn new(soak: Duration) -> Self {
        Self {
            soak,
            in_force: None,
            since: None,
            previous: None,
            earlier: Vec::new(),
            candidate: None,
            rolled_back: None,
            ahead: BTreeSet::new(),
            behind: BTreeSet::new(),
            returns: 0,
            follows: None,
        }
    }

    /// Returns the release that a service uses, and its candidate.
    pub fn of(&self, service: &ServiceId) -> (Option<&Staged<R>>, Option<&Staged<R>>) {
        let candidate = self.candidate.as_ref().map(|candidate| &candidate.staged);
        if self.behind.contains(service) && self.previous.is_some() {
            return (self.previous.as_ref(), candidate);
        }
        if self.ahead.contains(service) && candidate.is_some() {
            return (candidate, None);
        }
        (self.in_force.as_ref(), candidate)
    }

    /// Processes an announced release. If none is active it becomes active immediately: no service is to be without
    /// policies.
    pub fn announced(&mut self, staged: Staged<R>, now: Duration) -> Option<Step> {
        let is = |other: Option<&Staged<R>>| other.is_some_and(|other| other.revision == staged.revision);
        if is(self.in_force.as_ref()) {
            // The edit was reverted.
            self.drop_candidate();
            self.rolled_back = None;
            return None;
        }
        if is(self.candidate.as_ref().map(|candidate| &candidate.staged)) {
            return None;
        }
        if let Some(rolled_back) = self.rolled_back.as_mut().filter(|rolled_back| rolled_back.bars(&staged)) {
            let revision = staged.revision.clone();
            rolled_back.again(staged);
            return Some(Step::KeptOut(revision));
        }
        self.rolled_back = None;
        let taken_back = self.follows.as_ref().and_then(|announcement| announcement.rolled_back.as_ref());
        // Even if nothing is active: operators have decided that nothing is better than this.
        if taken_back == Some(&staged.revision) {
            let revision = staged.revision.clone();
            self.keep_out(staged);
            return Some(Step::KeptOut(revision));
        }
        let at_once = match &self.follows {
            Some(announcement) => announcement.in_force == staged.revision,
            None => self.soak.is_zero(),
        };
        let Some(in_force) = self.in_force.as_ref().filter(|_| !at_once) else {
            return Some(self.put_in_force(staged, now));
        };
        let (last, revision) = (self.candidate.take(), staged.revision.clone());
        let stays = |namespace: &str| {
            last.as_ref()
                .filter(|last| last.staged.set(namespace).is_some_and(|set| staged.set(namespace) == Some(set)))
        };
        self.ahead.retain(|service| stays(service.namespace()).is_some());
        let anew = now.saturating_add(self.soak);
        let due = |namespace: &str| stays(namespace).and_then(|last| last.due_in(namespace)).unwrap_or(anew);
        self.candidate = Some(Candidate::beside(in_force, staged.clone(), due));
        Some(Step::Candidate(revision))
    }

    /// Processes a release whose load started after this many rollbacks. If there was a rollback meanwhile it is kept
    /// out, as if it had been the candidate by then.
    pub fn loaded(&mut self, staged: Staged<R>, returns: u64, now: Duration) -> Option<Step> {
        let stands = self.in_force.as_ref().is_some_and(|in_force| in_force.revision == staged.revision);
        if self.returns == returns || stands {
            return self.announced(staged, now);
        }
        let revision = staged.revision.clone();
        self.keep_out(staged);
        Some(Step::KeptOut(revision))
    }

    /// Resumes a candidate whose sets soaked for `stood` in an earlier process, by namespace, and which was ahead for
    /// some services. Without an active release there is no candidate.
    pub fn resume(
        &mut self,
        staged: Staged<R>,
        stood: impl Fn(&str) -> Duration,
        ahead: BTreeSet<ServiceId>,
        now: Duration,
    ) {
        let due = |namespace: &str| now.saturating_add(self.soak.saturating_sub(stood(namespace)));
        if let Some(in_force) = &self.in_force {
            (self.candidate, self.ahead) = (Some(Candidate::beside(in_force, staged, due)), ahead);
        }
    }

    /// Returns how long the sets of the candidate have soaked, by namespace.
    pub fn stood(&self, now: Duration) -> BTreeMap<String, Duration> {
        let due = self.candidate.iter().flat_map(|candidate| &candidate.due);
        due.map(|(namespace, due)| (namespace.clone(), self.soak.saturating_sub(due.saturating_sub(now)))).collect()
    }

    /// Returns when the first set of the candidate is due; never in a follower.
    pub fn due(&self) -> Option<Duration> {
        self.candidate.as_ref().filter(|_| self.follows.is_none()).map(Candidate::first)
    }

    /// Processes the passage of time.
    pub fn passed(&mut self, now: Duration) -> Option<Step> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        let candidate = self.candidate.take()?;
        if candidate.last() > now {
            self.put_part_in_force(candidate, now, now)
        } else {
            Some(self.put_in_force(candidate.staged, now))
        }
    }

    /// Activates those sets of the candidate that are due by then; the others keep soaking.
    fn put_part_in_force(&mut self, mut candidate: Candidate<R>, by: Duration, now: Duration) -> Option<Step> {
        let in_force = self.in_force.as_ref()?;
        let mixed = in_force.with(&candidate.staged, &candidate.due_by(by));
        candidate.due.retain(|_, due| *due > by);
        let mut ahead = std::mem::take(&mut self.ahead);
        ahead.retain(|service| candidate.staged.set(service.namespace()) != mixed.set(service.namespace()));
        let step = self.put_in_force(mixed, now);
        (self.candidate, self.ahead) = (Some(candidate), ahead);
        Some(step)
    }

    /// Activates the candidate now, or what was rolled back; for one service, only there.
    ///
    /// # Errors
    /// When there is nothing to promote.
    pub fn promote(&mut self, scope: &Scope, now: Duration) -> Result<Option<Step>, String> {
        self.may_be_ordered()?;
        match scope {
            Scope::All => {
                if let Some(candidate) = self.candidate.take() {
                    return Ok(Some(self.put_in_force(candidate.staged, now)));
                }
                let none = "there is no candidate policy set";
                let Some(mut rolled_back) = self.rolled_back.take() else {
                    return Err(format!("{none}, so there is nothing to promote"));
                };
                let Some(staged) = rolled_back.staged.pop() else {
                    let revision = rolled_back.revision.clone();
                    self.rolled_back = Some(rolled_back);
                    return Err(format!(
                        "{none}, and release {revision}, which was rolled back, has not been loaded since the start: \
                         provide its files again"
                    ));
                };
                // What else was rolled back and is not meant stays out.
                let rest = rolled_back.without(&staged);
                let step = self.put_in_force(staged, now);
                self.rolled_back = rest;
                Ok(Some(step))
            }
            Scope::Service(service) => {
                if self.behind.remove(service) {
                    return Ok(self.apart(service));
                }
                if self.candidate.is_none() {
                    let rolled_back = self.rolled_back.as_ref().map(|rolled_back| {
                        let revision = &rolled_back.revision;
                        format!(
                            ": release {revision} was rolled back; `flyball policy promote` activates it for all \
                         services"
                        )
                    });
                    return Err(format!("{service} has no candidate policy set{}", rolled_back.unwrap_or_default()));
                }
                self.ahead.insert(service.clone());
                Ok(self.apart(service))
            }
        }
    }

    /// Returns to the previous release, and keeps the newest one out until it is promoted or edited; for one service,
    /// only there, until the next release is active.
    ///
    /// # Errors
    /// When there is no previous release.
    pub fn roll_back(&mut self, scope: &Scope) -> Result<Option<Step>, String> {
        self.may_be_ordered()?;
        match scope {
            Scope::All => {
                let newest = self.candidate.take().map(|candidate| candidate.staged);
                let Some(previous) = self.previous.take() else {
                    let Some(newest) = newest else {
                        return Err(
                            "no previous policy set is known here, so there is nothing to roll back to".to_owned()
                        );
                    };
                    self.keep_out(newest);
                    self.returns = self.returns.saturating_add(1);
                    return Ok(None);
                };
                self.previous = (!self.earlier.is_empty()).then(|| self.earlier.remove(0));
                self.since = None;
                let taken_back = self.in_force.replace(previous.clone());
                // Both: a rollback is meant against the release and against what was to follow it.
                taken_back.into_iter().chain(newest).for_each(|staged| self.keep_out(staged));
                self.behind.clear();
                self.returns = self.returns.saturating_add(1);
                Ok(Some(Step::InForce(previous.revision)))
            }
            Scope::Service(service) => {
                if self.ahead.remove(service) {
                    return Ok(self.apart(service));
                }
                if self.previous.is_none() {
                    return Err(format!("no previous policy set is known for {service}"));
                }
                self.behind.insert(service.clone());
                Ok(self.apart(service))
            }
        }
    }

    /// Refuses an order that would not last.
    fn may_be_ordered(&self) -> Result<(), String> {
        match self.follows {
            None => Ok(()),
            Some(_) => {
                Err("this process is a follower: send the order to the leader (`kubectl get lease` names it)"
                    .to_owned())
            }
        }
    }

    /// Keeps a release out, except for the parts that are active.
    fn keep_out(&mut self, staged: Staged<R>) {
        self.drop_candidate();
        let sets = self.in_force.as_ref().map_or_else(BTreeSet::new, |in_force| staged.beyond(in_force));
        let none = || RolledBack { revision: staged.revision.clone(), sets: BTreeSet::new(), staged: Vec::new() };
        let rolled_back = self.rolled_back.get_or_insert_with(none);
        rolled_back.sets.extend(sets);
        rolled_back.push(staged);
    }

    fn drop_candidate(&mut self) {
        self.candidate = None;
        self.ahead.clear();
    }

    fn put_in_force(&mut self, staged: Staged<R>, now: Duration) -> Step {
        self.drop_candidate();
        self.behind.clear();
        self.rolled_back = None;
        let revision = staged.revision.clone();
        let stood = self.since.is_none_or(|since| now.saturating_sub(since) >= LEAST);
        let last = self.in_force.replace(staged).filter(|_| stood || self.previous.is_none());
        self.since = Some(now);
        // Each once, at its newest place, and never the active one.
        let before = last.into_iter().chain(self.previous.take()).chain(std::mem::take(&mut self.earlier));
        let mut kept: Vec<Staged<R>> = Vec::new();
        for staged in before {
            let known = kept.iter().any(|other| other.revision == staged.revision) || staged.revision == revision;
            if !known && kept.len() < KEPT {
                kept.push(staged);
            }
        }
        let mut kept = kept.into_iter();
        (self.previous, self.earlier) = (kept.next(), kept.collect());
        Step::InForce(revision)
    }

    fn apart(&self, service: &ServiceId) -> Option<Step> {
        let set = self.of(service).0?.set(service.namespace())?;
        Some(Step::Apart(set.clone()))
    }
}
