//! Waiting for what must happen: a test says what, and how long no machine takes, never how fast.

use std::time::Duration;

/// Longer than anything takes that these tests wait for, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Waits until `holds`; fails with `what` if it never does.
pub async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "not so: {what}");
}
