//! Turns announced files into a release: compiled, linted and tested by their own tests, or refused with every fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cycle::staging::{Parts, revision_of};
use crate::decide::{Deadline, PolicyFault, PolicySet, Vocabulary, compile, lint, run_tests};
use crate::model::{PolicyComparison, PolicyRevision, Provenance};
use crate::ports::policy_memory::GoodFiles;
use crate::ports::{PolicyFile, PolicyFiles};

/// Most warnings that are listed.
const MOST_WARNINGS: usize = 100;

/// The set of all services, and those of namespaces with policies of their own.
#[derive(Debug, Clone)]
pub(super) struct Release {
    /// The set of all services.
    pub(super) all: Arc<PolicySet>,
    /// The sets that bind the services of a namespace instead.
    pub(super) namespaces: BTreeMap<String, Arc<PolicySet>>,
    /// What it was made of.
    pub(super) files: GoodFiles,
    /// What loads but is likely a mistake, in each of its sets, by namespace; the set of all others has the empty name.
    pub(super) warnings: BTreeMap<String, Warnings>,
    /// How it compares with the active release on recorded inputs, as of its load.
    pub(super) replay: PolicyComparison,
}

impl Release {
    /// Returns the set that binds the services of a namespace.
    pub(super) fn of(&self, namespace: &str) -> &Arc<PolicySet> {
        self.namespaces.get(namespace).unwrap_or(&self.all)
    }

    /// Returns the revisions of its sets by namespace; the set of all others has the empty name.
    pub(super) fn revisions(&self) -> BTreeMap<String, PolicyRevision> {
        let own = self.namespaces.iter().map(|(namespace, set)| (namespace.clone(), set.revision().clone()));
        std::iter::once((String::new(), self.all.revision().clone())).chain(own).collect()
    }

    /// Returns what loads but is likely a mistake; what is in the set of all services is not repeated for namespaces.
    pub(super) fn warnings(&self) -> Vec<String> {
        let all: BTreeSet<_> = self.warnings.get("").into_iter().flatten().collect();
        let own = self.warnings.iter().filter(|(namespace, _)| !namespace.is_empty()).flat_map(|(namespace, found)| {
            let own = found.iter().filter(|found| !all.contains(found));
            own.map(move |found| format!("namespace {namespace}: {found}"))
        });
        let mut found: Vec<_> = self.warnings.get("").into_iter().flatten().cloned().chain(own).collect();
        if let Some(more) = found.len().checked_sub(MOST_WARNINGS).filter(|more| *more > 0) {
            found.truncate(MOST_WARNINGS);
            found.push(format!("{more} more warnings; they are listed once the first ones are fixed"));
        }
        found
    }

    /// Returns where its sets come from, by revision, if they say so.
    pub(super) fn provenance(&self) -> impl Iterator<Item = (PolicyRevision, Provenance)> {
        let whole = std::iter::once((self.revision(), self.all.provenance()));
        let sets = std::iter::once(&self.all).chain(self.namespaces.values());
        let sets = sets.map(|set| (set.revision().clone(), set.provenance()));
        whole.chain(sets).filter_map(|(revision, from)| Some((revision, (**from?).clone())))
    }

    /// Returns the revision of the whole.
    pub(super) fn revision(&self) -> PolicyRevision {
        revision_of(&self.revisions())
    }
}

impl Parts for Release {
    fn with(&self, newer: &Self, namespaces: &BTreeSet<String>) -> Self {
        let from = |namespace: &str| if namespaces.contains(namespace) { newer } else { self };
        let base = from("");
        let mut mixed = Self { namespaces: BTreeMap::new(), replay: newer.replay.clone(), ..base.clone() };
        (mixed.files.namespaces, mixed.files.bases) = (BTreeMap::new(), BTreeMap::new());
        mixed.warnings.retain(|namespace, _| namespace.is_empty());
        for namespace in self.namespaces.keys().chain(newer.namespaces.keys()) {
            let from = from(namespace);
            let GoodFiles { files, namespaces, bases, .. } = &from.files;
            let under = bases.get(namespace).unwrap_or(files);
            if *under != mixed.files.files {
                mixed.files.bases.insert(namespace.clone(), under.clone());
            }
            mixed.files.namespaces.insert(namespace.clone(), namespaces.get(namespace).cloned().unwrap_or_default());
            mixed.namespaces.insert(namespace.clone(), from.of(namespace).clone());
            mixed.warnings.insert(namespace.clone(), from.warnings.get(namespace).cloned().unwrap_or_default());
        }
        mixed
    }
}

/// What is wrong with files, one fault per line.
pub(super) type Faults = Vec<String>;

/// What is likely a mistake, one finding per line.
type Warnings = Vec<String>;

/// Creates the deadline of one compilation.
pub(super) type Compiling = fn() -> Deadline;

/// The inputs for making a release.
#[derive(Clone, Copy)]
pub(super) struct Loader<'a> {
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) deadline: Compiling,
}

impl Loader<'_> {
    /// Makes a release, and lists the faults of each namespace whose own policies are bad; there the good ones of
    /// `last` stay. A fault in the files of a namespace affects only that namespace.
    ///
    /// # Errors
    /// The faults of the files for all services: then there is no release.
    pub(super) fn load(
        self,
        files: &PolicyFiles,
        last: Option<&Release>,
    ) -> Result<(Release, BTreeMap<String, Faults>), Faults> {
        let base = files.files.as_ref().map_err(|error| vec![error.clone()])?;
        let with = |own: &[PolicyFile]| self.tested(&base.iter().chain(own).collect::<Vec<_>>());
        let (all, found) = with(&[])?;
        let warnings = [(String::new(), found)].into();
        let good = GoodFiles { origin: files.origin.clone(), files: base.clone(), ..GoodFiles::default() };
        let mut release =
            Release { all, namespaces: BTreeMap::new(), files: good, warnings, replay: PolicyComparison::default() };
        let mut faults = BTreeMap::new();
        for (namespace, own) in &files.namespaces {
            let compiled = own.as_ref().map_err(|error| vec![error.clone()]);
            let compiled = compiled.and_then(|own| Ok((with(own)?, own)));
            // Its last good files stay, combined with the current common set, or, if that fails, as they were.
            let last_good = || {
                let last = last?;
                let (set, own) = (last.namespaces.get(namespace)?, last.files.namespaces.get(namespace)?);
                let as_it_was = || (set.clone(), last.warnings.get(namespace).cloned().unwrap_or_default());
                Some((with(own).unwrap_or_else(|_| as_it_was()), own))
            };
            let taken = match compiled {
                Ok(taken) => Some(taken),
                Err(own) => {
                    faults.insert(namespace.clone(), own);
                    last_good()
                }
            };
            if let Some(((set, found), own)) = taken {
                release.namespaces.insert(namespace.clone(), set);
                release.warnings.insert(namespace.clone(), found);
                release.files.namespaces.insert(namespace.clone(), own.clone());
            }
        }
        Ok((release, faults))
    }

    /// Recreates the release made from these files.
    ///
    /// # Errors
    /// The faults of the files for all services, or of those that a namespace still uses.
    pub(super) fn restored(self, files: GoodFiles) -> Result<Release, Faults> {
        let (bases, own) = (files.bases.clone(), files.namespaces.clone());
        let (mut release, _) = self.load(&announced(files), None)?;
        for (namespace, base) in bases {
            let own = own.get(&namespace).cloned().unwrap_or_default();
            let (set, found) = self.tested(&base.iter().chain(&own).collect::<Vec<_>>())?;
            release.namespaces.insert(namespace.clone(), set);
            release.warnings.insert(namespace.clone(), found);
            release.files.namespaces.insert(namespace.clone(), own);
            release.files.bases.insert(namespace, base);
        }
        Ok(release)
    }

    /// Compiles a set, lints it and runs its own tests; one that fails them is as bad as one that does not compile.
    fn tested(self, files: &[&PolicyFile]) -> Result<(Arc<PolicySet>, Warnings), Faults> {
        let texts = || files.iter().map(|file| (file.path.as_str(), &*file.text));
        let deadline = (self.deadline)();
        let set = Arc::new(compile(texts(), self.vocabulary, &deadline).map_err(|faults| worded(&faults))?);
        let report = run_tests(&set, self.vocabulary, texts(), &|_| true, &|| Arc::clone(&deadline));
        let report = report.map_err(|faults| worded(&faults))?;
        let failed = report.tests.iter().filter_map(|test| Some((test, test.failure.as_ref()?)));
        let failed: Vec<_> = failed.map(|(test, failure)| format!("{failure} (test `{}`)", test.name)).collect();
        if !failed.is_empty() {
            return Err(failed);
        }
        let found = lint(&set, texts()).into_iter().chain(report.idle());
        let found = found.map(|found| found.fault.to_string()).collect();
        Ok((set, found))
    }
}

fn worded(faults: &[PolicyFault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// Returns persisted files as if announced.
fn announced(files: GoodFiles) -> PolicyFiles {
    let GoodFiles { origin, files, namespaces, .. } = files;
    let namespaces = namespaces.into_iter().map(|(namespace, files)| (namespace, Ok(files))).collect();
    PolicyFiles { origin, files: Ok(files), namespaces }
}
