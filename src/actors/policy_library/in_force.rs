//! The active policy sets, for which services, and their candidates.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::release::{Compiling, Loader, Release};
use super::replay::{Recorded, replay};
use super::status::{Reported, note, warn};
use crate::cycle::staging::{RolledBack, Scope, Staged, Staging, Step};
use crate::decide::{PolicySet, Vocabulary};
use crate::instrument::ProcessMetrics;
use crate::model::time::elapsed;
use crate::model::{Now, PolicyComparison, ServiceId, Timestamp};
use crate::ports::policy_memory::{
    KeptCandidate, KeptPolicies, PolicyMemory, PolicyOperation, PolicyOrder, PolicyOrderEnd,
};
use crate::ports::{PolicyFaults, PolicyFiles};

/// Which policies are active, and what was wrong with the newest if they were refused. Every change is one swap; one
/// cycle uses one snapshot.
#[derive(Default)]
pub struct InForce {
    staging: ArcSwap<Staging<Release>>,
    pub(super) reported: Mutex<Reported>,
    /// Held while the staging changes.
    turn: Mutex<()>,
    /// Held while persisting: what is read first is written first.
    keeping: Mutex<()>,
}

/// The sets that one service uses.
pub struct Sets {
    /// The set that decides.
    pub in_force: Option<Arc<PolicySet>>,
    /// The set evaluated alongside it, for the record.
    pub candidate: Option<Arc<PolicySet>>,
}

impl InForce {
    /// Returns policies without a set yet, whose candidates soak for `soak`.
    pub fn staged(soak: Duration) -> Self {
        Self { staging: ArcSwap::from_pointee(Staging::new(soak)), ..Self::default() }
    }

    /// Returns the sets that a service uses.
    pub fn of(&self, service: &ServiceId) -> Sets {
        let staging = self.staging.load();
        let (in_force, candidate) = staging.of(service);
        let set = |staged: &Staged<Release>| staged.release.of(service.namespace()).clone();
        let in_force = in_force.map(set);
        let same = |set: &Arc<PolicySet>| in_force.as_ref().is_some_and(|ours| ours.revision() == set.revision());
        let candidate = candidate.map(set).filter(|set| !same(set));
        Sets { in_force, candidate }
    }

    /// Returns the active set for services whose namespace has none of its own.
    pub fn load(&self) -> Option<Arc<PolicySet>> {
        self.staging.load().in_force.as_ref().map(|staged| staged.release.all.clone())
    }

    /// Returns when the candidate is due, by the monotonic clock.
    pub(super) fn due(&self) -> Option<Duration> {
        self.staging.load().due()
    }

    /// Compiles `files`, runs their tests and stages them after the active set; on any fault or failure the last good
    /// set stays. A fault in the files of a namespace affects only that namespace.
    pub fn take(&self, files: &PolicyFiles, vocabulary: &Vocabulary, deadline: Compiling, metrics: &ProcessMetrics) {
        self.announced(files, Loader { vocabulary, deadline }, &Recorded::default(), Duration::ZERO, metrics);
    }

    /// The same at a given time, with decisions on which the new set is compared with the old one.
    pub(super) fn announced(
        &self,
        files: &PolicyFiles,
        loader: Loader<'_>,
        recorded: &Recorded,
        now: Duration,
        metrics: &ProcessMetrics,
    ) {
        let before = self.staging.load_full();
        let newest = before.candidate.as_ref().map(|candidate| &candidate.staged).or(before.in_force.as_ref());
        let (mut release, namespaces) = match loader.load(files, newest.map(|staged| &*staged.release)) {
            Ok(loaded) => loaded,
            // The sets of namespaces stay as they were, including faults.
            Err(all) => {
                let namespaces = self.refused().namespaces;
                return self.settle(&files.origin, PolicyFaults { all, namespaces }, metrics);
            }
        };
        if let Some(in_force) = &before.in_force {
            release.replay = replay(&in_force.release, &release, recorded);
        }
        let (warnings, staged) = (release.warnings(), staged(release));
        let step = self.change(|staging| staging.loaded(staged, before.returns, now));
        note(step.as_ref(), &files.origin, metrics);
        if matches!(step, Some(Step::InForce(_) | Step::Candidate(_))) {
            warn(&files.origin, &warnings);
        }
        self.settle(&files.origin, PolicyFaults { all: Vec::new(), namespaces }, metrics);
    }

    /// Restores what was active when the process ended, and its candidate. What no longer loads is dropped. `last` is
    /// the time of the previous process's last known decision: the time since then does not count.
    pub(super) fn restore(
        &self,
        kept: KeptPolicies,
        last: Option<Timestamp>,
        loader: Loader<'_>,
        now: Duration,
        metrics: &ProcessMetrics,
    ) {
        let good = |files| {
            let loaded = loader.restored(files).map(staged);
            loaded.inspect_err(|faults| tracing::warn!(?faults, "a kept policy set does not load")).ok()
        };
        let (in_force, previous) = (kept.in_force.and_then(good), kept.previous.and_then(good));
        let earlier = kept.earlier.into_iter().filter_map(good).collect();
        let candidate = kept.candidate.and_then(|kept| {
            let staged = good(kept.files)?;
            let stood = move |namespace: &str| {
                let since = *kept.sets.get(namespace).unwrap_or(&kept.since);
                last.map_or(Duration::ZERO, |last| elapsed(last, since))
            };
            Some((compared(staged, kept.replay), stood))
        });
        self.reported.lock().last_order = kept.last_order;
        let step = self.change(|staging| {
            let sets = kept.rolled_back_sets;
            staging.rolled_back = kept.rolled_back.map(|revision| RolledBack { revision, sets, staged: Vec::new() });
            staging.behind = kept.behind;
            (staging.previous, staging.earlier) = (previous, earlier);
            staging.in_force = in_force;
            if let Some((candidate, stood)) = candidate {
                staging.resume(candidate, stood, kept.ahead, now);
            }
            staging.in_force.as_ref().map(|staged| Step::InForce(staged.revision.clone()))
        });
        note(step.as_ref(), "the state directory", metrics);
        let warnings = self.staging().in_force.as_ref().map(|staged| staged.release.warnings());
        warn("the state directory", &warnings.unwrap_or_default());
    }

    /// Persists what has to outlive the process.
    ///
    /// # Errors
    /// Why it could not.
    pub(super) fn keep(&self, memory: &dyn PolicyMemory, now: Now) -> Result<(), String> {
        let _keeping = self.keeping.lock();
        memory.keep(&self.kept(now))
    }

    /// Returns what has to outlive the process.
    pub(super) fn kept(&self, now: Now) -> KeptPolicies {
        let staging = self.staging.load();
        let files = |staged: &Staged<Release>| staged.release.files.clone();
        let stood = staging.stood(now.mono);
        KeptPolicies {
            in_force: staging.in_force.as_ref().map(files),
            previous: staging.previous.as_ref().map(files),
            earlier: staging.earlier.iter().map(files).collect(),
            rolled_back: staging.rolled_back.as_ref().map(|rolled_back| rolled_back.revision.clone()),
            rolled_back_sets: staging.rolled_back.as_ref().map_or_else(Default::default, |one| one.sets.clone()),
            behind: staging.behind.clone(),
            candidate: staging.candidate.as_ref().map(|candidate| KeptCandidate {
                files: files(&candidate.staged),
                since: before(now.wall, stood.values().min().copied().unwrap_or_default()),
                sets: stood.iter().map(|(namespace, stood)| (namespace.clone(), before(now.wall, *stood))).collect(),
                replay: candidate.staged.release.replay.clone(),
            }),
            ahead: staging.ahead.clone(),
            last_order: self.reported.lock().last_order.clone(),
        }
    }

    /// Promotes a candidate whose time has come.
    pub(super) fn passed(&self, now: Duration, metrics: &ProcessMetrics) {
        let step = self.change(|staging| staging.passed(now));
        note(step.as_ref(), "soak", metrics);
    }

    /// Executes an operator's order once, and returns whether it was new: then it has to be persisted, even if there
    /// was nothing to do. A restart must not execute it again.
    pub(super) fn obey(&self, order: &PolicyOrder, now: Duration, metrics: &ProcessMetrics) -> bool {
        if self.reported.lock().last_order.as_ref().is_some_and(|end| end.id == order.id) {
            return false;
        }
        let scope = order.service.clone().map_or(Scope::All, Scope::Service);
        let result = self.change(|staging| match order.operation {
            PolicyOperation::Promote => staging.promote(&scope, now),
            PolicyOperation::Rollback => staging.roll_back(&scope),
        });
        note(result.as_ref().ok().and_then(Option::as_ref), "order", metrics);
        tracing::info!(operation = ?order.operation, by = order.by, reason = order.reason, ?result, "policy order result");
        let (done, words) = match result {
            Ok(Some(Step::InForce(revision))) => (true, format!("release {revision} is active")),
            Ok(Some(Step::Apart(revision))) => {
                let service = order.service.as_ref().map_or("it", ServiceId::as_str);
                (true, format!("{service} uses revision {revision}"))
            }
            Ok(_) => (true, "the candidate was withdrawn, the active policy set is unchanged".to_owned()),
            Err(why) => (false, why),
        };
        self.reported.lock().last_order = Some(PolicyOrderEnd { id: order.id.clone(), done, words });
        true
    }

    pub(super) fn staging(&self) -> Arc<Staging<Release>> {
        self.staging.load_full()
    }

    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Staging<Release>) -> R) -> R {
        let _turn = self.turn.lock();
        let mut staging = (**self.staging.load()).clone();
        let changed = change(&mut staging);
        self.staging.store(Arc::new(staging));
        changed
    }
}

/// Returns the time `span` earlier; the same if there is none.
fn before(at: Timestamp, span: Duration) -> Timestamp {
    at.checked_sub(span).unwrap_or(at)
}

fn staged(release: Release) -> Staged<Release> {
    Staged::new(release.revisions(), release)
}

/// Attaches to a release its comparison at load time.
fn compared(staged: Staged<Release>, replay: PolicyComparison) -> Staged<Release> {
    Staged { release: Arc::new(Release { replay, ..(*staged.release).clone() }), ..staged }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::watch;

    use super::*;
    use crate::instrument::Metrics;
    use crate::model::{CandidateDecision, Choice, PolicyRevision};
    use crate::ports::PolicyFile;

    const NOW: Now = Now { wall: Timestamp::UNIX_EPOCH, mono: Duration::ZERO };

    /// A memory that persists slowly, so that others get every chance to start meanwhile.
    #[derive(Default)]
    struct Slow {
        inside: AtomicUsize,
        most: AtomicUsize,
    }

    impl PolicyMemory for Slow {
        fn kept(&self) -> KeptPolicies {
            KeptPolicies::default()
        }

        fn keep(&self, _: &KeptPolicies) -> Result<(), String> {
            self.most.fetch_max(self.inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            (0..1000).for_each(|_| std::thread::yield_now());
            self.inside.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }

        fn orders(&self) -> watch::Receiver<Option<PolicyOrder>> {
            watch::channel(None).1
        }
    }

    fn announce(in_force: &InForce, text: &str) {
        let file = PolicyFile { path: "t.rhai".to_owned(), text: text.into() };
        let files = PolicyFiles { origin: "test".to_owned(), files: Ok(vec![file]), namespaces: BTreeMap::new() };
        let vocabulary = Vocabulary::of([]).unwrap();
        in_force.take(&files, &vocabulary, || Arc::new(|| None), &Metrics::new().process());
    }

    #[test]
    fn a_decision_made_beside_a_former_candidate_says_nothing_of_the_present_one() {
        let in_force = InForce::staged(Duration::from_mins(10));
        let to = |count: u32| {
            let rule = "rule(\"r\", #{ priority: 1, goal: \"cost\" }, |s, p|";
            announce(&in_force, &format!("{rule} [when(s.can_scale_up), scale_to({count})]);"));
            in_force.of(&"shop/cart".parse().unwrap()).candidate.map(|set| set.revision().clone())
        };
        let compared = |revision: PolicyRevision| {
            let choice = Choice::Nothing("why".into());
            let decision = "shop/cart@1-1".parse().unwrap();
            in_force.compared(&decision, &choice, &CandidateDecision { revision, choice: choice.clone() });
            in_force.status(Duration::ZERO).candidate.unwrap().live.decisions
        };
        assert_eq!(to(5), None);
        let former = to(6).unwrap();
        assert_eq!(compared(former.clone()), 1);
        let present = to(7).unwrap();
        assert_eq!((compared(former), compared(present)), (0, 1));
    }

    /// A team rule against a fleet rule of the same rank is in no directory that `policy check` reads.
    #[test]
    fn what_is_likely_a_mistake_is_shown_for_the_active_sets() {
        let rule = |name: &str, when: &str, action: &str| {
            format!("rule(\"{name}\", #{{ priority: 1, goal: \"protect\" }}, |s, p| [when({when}), {action}]);")
        };
        let file = |path: &str, text: String| PolicyFile { path: path.to_owned(), text: text.into() };
        let fleet = format!("let unused = 1;\n{}", rule("up", "s.can_scale_up", "scale_by(2)"));
        let team = rule("down", "s.rollout", "scale_to(3)");
        let files = PolicyFiles {
            origin: "test".to_owned(),
            files: Ok(vec![file("t.rhai", fleet)]),
            namespaces: [("shop".to_owned(), Ok(vec![file("shop/t.rhai", team)]))].into(),
        };
        let unused = "t.rhai:1:5: variable `unused` is not used: delete it";
        let pair = "namespace shop: t.rhai:2:1: rule up: it can match together with down at equal priority and goal";
        for soak in [Duration::ZERO, Duration::from_mins(10)] {
            let in_force = InForce::staged(soak);
            if !soak.is_zero() {
                announce(&in_force, &rule("other", "s.can_scale_up", "scale_by(3)"));
            }
            in_force.take(&files, &Vocabulary::of([]).unwrap(), || Arc::new(|| None), &Metrics::new().process());
            let status = serde_json::to_value(in_force.status(Duration::ZERO)).unwrap();
            let shown = if soak.is_zero() { &status } else { &status["candidate"] };
            let shown: Vec<_> = shown["warnings"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
            assert!(shown.len() == 2 && shown[0] == unused && shown[1].starts_with(pair), "{shown:#?}");
        }
    }

    #[test]
    fn the_end_of_a_load_and_an_order_are_kept_one_after_the_other() {
        let (in_force, memory, together) = (InForce::default(), Slow::default(), Barrier::new(3));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    together.wait();
                    in_force.keep(&memory, NOW).unwrap();
                });
            }
        });
        assert_eq!(memory.most.load(Ordering::SeqCst), 1);
    }
}
