//! Several processes: the one that leads says what is in force, the others follow.

use std::time::Duration;

use super::in_force::InForce;
use super::status::note;
use crate::cycle::staging::{Announcement, Staging};
use crate::instrument::ProcessMetrics;

impl InForce {
    /// Follows what the leader says.
    pub(super) fn follow(&self, announcement: &str, now: Duration, metrics: &ProcessMetrics) {
        let announcement: Announcement = match serde_json::from_str(announcement) {
            Ok(announcement) => announcement,
            // One of another version: then each goes by itself, as those did.
            Err(error) => return tracing::warn!(%error, "the leader's policy announcement cannot be read"),
        };
        let step = self.change(|staging| staging.follow(announcement, now));
        note(step.as_ref(), "the leader", metrics);
    }

    /// Decides by itself from here on.
    pub(super) fn lead(&self) {
        self.change(Staging::lead);
    }

    /// Returns what those who follow are to hear; `None` before anything is in force.
    pub(super) fn announcement(&self) -> Option<String> {
        serde_json::to_string(&self.staging().announcement()?).ok()
    }
}
