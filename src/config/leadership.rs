//! Several processes of which one writes, and where state that must outlive each of them is kept.

use std::time::Duration;

use super::durations;
use super::faults::Faults;
use super::object_name;
use super::tree::Node;
use super::{IntentStore, Settings};
use crate::adapters::kubernetes::settings::Timing;
use crate::model::{Mode, WRITE_MARGIN};

/// The value used instead of `state`: intents are `LoopAction` objects.
const LOOP_ACTIONS: &str = "loopactions";
/// Intents are kept in the journal.
const STATE: &str = "state";

const SECOND: Duration = Duration::from_secs(1);
/// The longest lease: the time without a writer after its holder has died.
const LONGEST: Duration = Duration::from_mins(2);
/// The shortest lease: long enough to renew in time and to leave room for a write in between.
const SHORTEST: Duration = Duration::from_secs(12);

/// A holder renews after half of `renew_deadline`: the rest must fit a pause and one more request.
const RETRIES: u32 = 3;

/// The lease that one of several processes holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSettings {
    /// Its name, in flyball's own namespace.
    pub name: String,
    /// Its timing.
    pub timing: Timing,
}

/// Reads the name of the lease, or its name and timing.
pub fn lease(node: &Node<'_>, faults: &mut Faults) -> Option<LeaseSettings> {
    let standard = Timing::default();
    if node.is_text() {
        return Some(LeaseSettings { name: object_name(node, faults)?, timing: standard });
    }
    let table = node.table(&["lease", "duration", "renew_deadline", "retry"], faults)?;
    let name = table.read("lease", faults, object_name);
    let name = name.required(&table.at("lease"), "name the Lease, such as flyball", faults);
    let mut span = |key: &str, least, most, standard| {
        table.read(key, faults, |node, faults| node.span(least, most, faults)).or_default(standard)
    };
    let duration = span("duration", SHORTEST, LONGEST, standard.duration);
    let longest = duration.unwrap_or(LONGEST).saturating_sub(SECOND);
    let renew_deadline = span("renew_deadline", WRITE_MARGIN, longest, standard.renew_deadline.min(longest));
    let retry = span("retry", SECOND / 2, WRITE_MARGIN, standard.retry);
    if let (Some(retry), Some(deadline)) = (retry, renew_deadline)
        && retry * RETRIES > deadline
    {
        let [retry, deadline] = [retry, deadline].map(durations::show);
        let message = format!(
            "{retry} is above a third of renew_deadline {deadline}: a single failed request would end the leadership"
        );
        faults.add(table.at("retry"), message);
        return None;
    }
    Some(LeaseSettings {
        name: name?,
        // A Lease counts whole seconds: other processes must not see a shorter one than its holder counts.
        timing: Timing {
            duration: Duration::from_secs(duration?.as_secs()),
            renew_deadline: renew_deadline?,
            retry: retry?,
        },
    })
}

/// Reads where intents are kept.
pub fn intents(node: &Node<'_>, faults: &mut Faults) -> Option<IntentStore> {
    match node.text(faults)? {
        STATE => Some(IntentStore::Journal),
        LOOP_ACTIONS => Some(IntentStore::LoopActions),
        other => node.refuse(&super::tree::unknown("value", other, &[STATE, LOOP_ACTIONS]), faults),
    }
}

impl Settings {
    /// Returns whether a service is, or may be declared to be, in mode `auto`.
    pub fn may_be_auto(&self) -> bool {
        self.declarations().is_some() || self.listed().iter().any(|service| service.mode == Mode::Auto)
    }

    /// Returns why these settings are unfit for `auto`, and the remedy; `volatile` says why `state` does not outlive
    /// the process, if it does not.
    pub fn unfit_for_auto(&self, volatile: Option<&str>) -> Option<String> {
        const REMEDY: &str =
            "write `intents: loopactions` to store them in the Kubernetes API (deploy/overlays/replicas)";
        if self.intents == IntentStore::LoopActions || !self.may_be_auto() {
            return None;
        }
        if self.leadership.is_some() {
            return Some(format!(
                "with `leadership` another replica can take over, but the writes of this one, including those in \
                 flight, would be in its own journal only; {REMEDY}, or run one replica without `leadership`"
            ));
        }
        let state = self.state.display();
        volatile.map(|why| {
            format!(
                "`state` ({state}) does not outlive the pod: {why}; cooldowns, budgets and writes in flight would be \
                 lost; {REMEDY}, or mount a durable volume there"
            )
        })
    }
}

/// Returns why files at `path` do not outlive a pod, according to the mounts of the process (`/proc/self/mountinfo`);
/// `None` if nothing indicates that.
pub fn volatile(mounts: &str, path: &str) -> Option<String> {
    let mount = |line: &str| {
        let (place, source) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?.to_owned(), place.next()?.to_owned());
        Some((root, point, source.split(' ').next()?.to_owned()))
    };
    let holds = |point: &str| {
        point == "/" || path == point || path.strip_prefix(point).is_some_and(|rest| rest.starts_with('/'))
    };
    let nearest = mounts.lines().filter_map(mount).filter(|(_, point, _)| holds(point));
    let (root, point, kind) = nearest.max_by_key(|(_, point, _)| point.len())?;
    if root.contains("kubernetes.io~empty-dir") {
        return Some(format!("{point} is an emptyDir"));
    }
    matches!(kind.as_str(), "overlay" | "tmpfs" | "ramfs").then(|| format!("{point} is of type {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_outlive_a_pod_is_told_by_its_mounts() {
        let mounts = "\
            1 0 0:50 / / rw,relatime master:1 - overlay overlay rw\n\
            2 1 8:1 /var/lib/kubelet/pods/7/volumes/kubernetes.io~empty-dir/state /var/lib/empty rw - ext4 /dev/sda1 rw\n\
            3 1 8:16 / /var/lib/flyball rw,relatime - ext4 /dev/sdb rw\n\
            4 1 0:60 / /var/lib/flyball/memory rw - tmpfs tmpfs rw\n";
        let check = |path: &str, words: Option<&str>| assert_eq!(volatile(mounts, path).as_deref(), words, "{path}");
        check("/var/lib/flyball", None);
        check("/var/lib/flyball/deeper", None);
        check("/var/lib/flyballs", Some("/ is of type overlay"));
        check("/var/lib/empty/state", Some("/var/lib/empty is an emptyDir"));
        check("/var/lib/flyball/memory", Some("/var/lib/flyball/memory is of type tmpfs"));
        assert_eq!(volatile("", "/anywhere"), None, "where nothing is known nothing is claimed");
    }
}
