//! The kill switch as a file: what the loop reads, and what `flyball kill` and `flyball resume` write.
//!
//! The file holds a [`KillOrder`](crate::model::kill::KillOrder) in JSON or YAML. Missing, empty, unreadable, malformed
//! or huge: engaged.
//!
//! | file | what |
//! |---|---|
//! | `switch` | the port: polls the file |
//! | `order` | reads one order, or says why it cannot be read |
//! | `turn` | changes the order atomically |

mod order;
mod switch;
mod turn;

pub use order::{KillFileError, read_state};
pub use switch::KillFile;
pub use turn::{Engaged, Scope, engage, release};

/// Returns the path of a file that does not exist yet, and the temporary directory that contains it.
#[cfg(test)]
fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kill.json");
    (directory, path)
}
