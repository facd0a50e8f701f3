//! Several processes: the leader says what is active, the others follow.

use std::time::Duration;

use super::in_force::InForce;
use super::status::note;
use crate::cycle::staging::{Announcement, Staging};
use crate::instrument::ProcessMetrics;

impl InForce {
    /// Follows the leader's announcement.
    pub(super) fn follow(&self, announcement: &str, now: Duration, metrics: &ProcessMetrics) {
        let announcement: Announcement = match serde_json::from_str(announcement) {
            Ok(announcement) => announcement,
            // From another version: then each process decides on its own, as older versions did.
            Err(error) => return tracing::warn!(%error, "the leader's policy announcement cannot be read"),
        };
        let step = self.change(|staging| staging.follow(announcement, now));
        note(step.as_ref(), "the leader", metrics);
    }

    /// Decides on its own from here on.
    pub(super) fn lead(&self) {
        self.change(Staging::lead);
    }

    /// Returns the announcement for followers; `None` before anything is active.
    pub(super) fn announcement(&self) -> Option<String> {
        serde_json::to_string(&self.staging().announcement()?).ok()
    }
}
