//! The journal on disk: one file, one writer thread, group commit.
//!
//! | file | duty |
//! |---|---|
//! | [`settings`] | how much is kept |
//! | `rules` | what every journal refuses (INV-10, INV-11), whatever the storage |
//! | `memory` | [`MemoryJournal`]: the rules over plain maps, for tests and benchmarks |
//! | `tables` | the layout of the file, reads, and the rules over one transaction |
//! | `fits` | fitted model parameters |
//! | `packed` | the on-disk format of records |
//! | `retention` | removes the oldest of what has ended, in small steps |
//! | `queue` | what waits to be written, and in which order |
//! | `writer` | group commit, recovery after a failure |
//! | `journal` | [`RedbJournal`]: opening, and the port |
//! | `holder` | which process has the file locked |
//! | `place` | whether the file is still the one at its path |
//! | `overlay` | [`JournalReader`]: reads a file without changing a byte of it |
//!
//! An awaited entry is durable after one sync of the disk. As soon as nothing is awaited, a two-phase commit seals it:
//! from then on a flipped bit is detected as damage at the next start, and never taken for a torn last write and rolled
//! back, which would lose an acknowledged intent.

mod fits;
mod holder;
mod journal;
mod memory;
mod overlay;
mod packed;
mod place;
mod queue;
mod retention;
mod rules;
pub mod settings;
mod tables;
mod writer;

pub use journal::RedbJournal;
pub use memory::MemoryJournal;
pub use overlay::JournalReader;
pub use settings::StoreSettings;

#[cfg(test)]
mod tests;
