//! The active policies as files in the state directory, alongside the orders of people.
//!
//! `policies.json` is written by the process alone, `policy-order.json` by `flyball policy promote` and `rollback`,
//! like the kill switch: anyone who may write there may give orders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::whole_file::{read_limited, replace};
use crate::model::Timestamp;
use crate::model::time::elapsed;
use crate::ports::policy_memory::{KeptPolicies, PolicyMemory, PolicyOrder};

/// How long an order is valid: it must not be obeyed by a start days later.
const ORDER_AGE: Duration = Duration::from_secs(30);
/// Time between two checks for an order.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Largest order that is read.
const ORDER_LIMIT: u64 = 64 * 1024;
/// The kept policies.
const KEPT: &str = "policies.json";
/// The order.
const ORDER: &str = "policy-order.json";

/// The files of one state directory. Dropping it ends the watch.
#[derive(Debug)]
pub struct PolicyState {
    kept: PathBuf,
    orders: watch::Receiver<Option<PolicyOrder>>,
    _task: AbortOnDropHandle<()>,
}

impl PolicyState {
    /// Opens the files of a state directory. Needs a running tokio.
    pub fn open(state: &Path) -> Self {
        let order = state.join(ORDER);
        let (sender, mut orders) = watch::channel(read_order(&order));
        orders.mark_changed();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(POLL_INTERVAL).await;
                let path = order.clone();
                match tokio::task::spawn_blocking(move || read_order(&path)).await {
                    Ok(next) if next.is_some() && next != *sender.borrow() => {
                        sender.send_replace(next);
                    }
                    Ok(_) => {}
                    // One failed read must not stop later orders from being read.
                    Err(error) => tracing::warn!(%error, "the policy order could not be read, reading it again"),
                }
            }
        });
        Self { kept: state.join(KEPT), orders, _task: AbortOnDropHandle::new(task) }
    }
}

impl PolicyMemory for PolicyState {
    fn kept(&self) -> KeptPolicies {
        let text = match fs::read(&self.kept) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return KeptPolicies::default(),
            Err(error) => {
                tracing::warn!(path = %self.kept.display(), %error, "the saved policies cannot be read");
                return KeptPolicies::default();
            }
        };
        let kept = serde_json::from_slice(&text);
        kept.inspect_err(|error| tracing::warn!(path = %self.kept.display(), %error, "the saved policies are damaged"))
            .unwrap_or_default()
    }

    fn keep(&self, policies: &KeptPolicies) -> Result<(), String> {
        let text = serde_json::to_vec(policies).map_err(|error| error.to_string())?;
        if fs::read(&self.kept).is_ok_and(|kept| kept == text) {
            return Ok(());
        }
        let temporary = self.kept.with_extension("new");
        replace(&self.kept, &temporary, &text)
            .map_err(|error| format!("{} cannot be written: {error}", self.kept.display()))
    }

    fn orders(&self) -> watch::Receiver<Option<PolicyOrder>> {
        self.orders.clone()
    }
}

/// Gives an order to the process that owns this state directory.
///
/// # Errors
/// When it cannot be written.
pub fn give(state: &Path, order: &PolicyOrder) -> io::Result<()> {
    // Two people may give orders at once, each from a process of their own.
    let temporary = state.join(format!("{ORDER}.{}.new", std::process::id()));
    replace(&state.join(ORDER), &temporary, &serde_json::to_vec(order)?)
}

/// Withdraws an order that has not been obeyed, and returns whether it was still there.
pub fn take_back(state: &Path, order: &PolicyOrder) -> bool {
    let path = state.join(ORDER);
    read_order(&path).is_some_and(|there| there.id == order.id) && fs::remove_file(path).is_ok()
}

/// Reads the order; `None` if it is missing, expired or malformed.
fn read_order(path: &Path) -> Option<PolicyOrder> {
    let order: PolicyOrder = serde_json::from_slice(&read_limited(path, ORDER_LIMIT).ok()?).ok()?;
    (elapsed(Timestamp::now(), order.at) <= ORDER_AGE).then_some(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::policy_memory::{GoodFiles, PolicyOperation};

    fn order(id: &str) -> PolicyOrder {
        PolicyOrder {
            id: id.to_owned(),
            at: Timestamp::now(),
            operation: PolicyOperation::Rollback,
            service: None,
            by: "me".to_owned(),
            reason: "odd".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_read_back_and_damage_counts_as_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let memory = PolicyState::open(directory.path());
        assert_eq!(memory.kept(), KeptPolicies::default());
        let files = GoodFiles { origin: "a".to_owned(), ..GoodFiles::default() };
        let kept = KeptPolicies { in_force: Some(files), ..KeptPolicies::default() };
        memory.keep(&kept).unwrap();
        assert_eq!(PolicyState::open(directory.path()).kept(), kept);
        fs::write(directory.path().join(KEPT), "{").unwrap();
        assert_eq!(memory.kept(), KeptPolicies::default());
        fs::remove_dir_all(directory.path()).unwrap();
        assert!(memory.keep(&kept).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn orders_are_heard_within_a_second_and_garbage_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let memory = PolicyState::open(directory.path());
        let mut orders = memory.orders();
        assert_eq!(*orders.borrow_and_update(), None);
        let first = order("1");
        // The temporary file of another process does not interfere.
        fs::create_dir(directory.path().join(ORDER).with_extension("new")).unwrap();
        give(directory.path(), &first).unwrap();
        tokio::time::timeout(Duration::from_secs(1), orders.changed()).await.unwrap().unwrap();
        assert_eq!(*orders.borrow_and_update(), Some(first.clone()));
        assert!(!take_back(directory.path(), &order("2")), "that of somebody else stays");
        assert!(take_back(directory.path(), &first) && !take_back(directory.path(), &first));
        fs::write(directory.path().join(ORDER), "{").unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(2), orders.changed()).await.is_err());
        give(directory.path(), &PolicyOrder { at: Timestamp::UNIX_EPOCH, ..order("2") }).unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(2), orders.changed()).await.is_err(), "from long ago");
    }

    /// A pipe without a writer must not block readers of flyball's files.
    #[test]
    fn a_pipe_in_place_of_an_order_is_no_order() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join(ORDER);
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (sender, read) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(read_order(&pipe)));
        assert_eq!(read.recv_timeout(Duration::from_secs(10)).ok(), Some(None), "it waits for a writer");
    }
}
