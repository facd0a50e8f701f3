//! What a power loss leaves of the journal: any part of what was written but not synced.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redb::backends::InMemoryBackend;
use redb::{DatabaseError, StorageBackend};

use super::{append, decision, ended, intent, seqs};
use crate::adapters::store::journal::RedbJournal;
use crate::adapters::store::queue::GATHER;
use crate::adapters::store::settings::StoreSettings;
use crate::instrument::JournalMetrics;
use crate::ports::journal::{Entry, Journal};

/// Images per moment between a write and its sync, each with another part of the writes.
const IMAGES: u64 = 12;

/// A disk that records, at every sync, what could be found on it after a power loss.
#[derive(Debug, Default)]
struct Disk {
    state: Mutex<State>,
    /// Acknowledged entries.
    answered: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// The content as read.
    bytes: Vec<u8>,
    /// The durable content.
    synced: Vec<u8>,
    /// Writes since then.
    pending: Vec<(usize, Vec<u8>)>,
    /// Possible contents, each with the number of entries acknowledged by then.
    images: Vec<(usize, Vec<u8>)>,
}

impl State {
    /// Returns the durable content plus the part of the rest that `choice` picks.
    fn image(&self, choice: u64) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let mut random = choice.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for (offset, data) in &self.pending {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if random >> 63 == 0 {
                bytes[*offset..offset + data.len()].copy_from_slice(data);
            }
        }
        bytes
    }
}

/// The disk as one journal sees it.
#[derive(Debug)]
struct Mounted(Arc<Disk>);

impl StorageBackend for Mounted {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.state.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = offset as usize;
        out.copy_from_slice(&self.0.state.lock().bytes[offset..offset + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let state = &mut *self.0.state.lock();
        state.bytes.resize(len as usize, 0);
        state.synced.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = &mut *self.0.state.lock();
        let answered = self.0.answered.load(Ordering::SeqCst);
        let images: Vec<_> = (0..IMAGES).map(|choice| (answered, state.image(choice))).collect();
        state.images.extend(images);
        state.synced.clone_from(&state.bytes);
        state.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let state = &mut *self.0.state.lock();
        let offset = offset as usize;
        state.bytes[offset..offset + data.len()].copy_from_slice(data);
        state.pending.push((offset, data.to_vec()));
        Ok(())
    }
}

fn open(backend: impl StorageBackend) -> RedbJournal {
    let once = Mutex::new(Some(backend));
    let backend = move |_| once.lock().take().ok_or(DatabaseError::DatabaseAlreadyOpen);
    let (settings, metrics) = (StoreSettings::default(), JournalMetrics::default());
    RedbJournal::open_backend("disk".to_owned(), backend, settings, metrics, 1, Duration::from_hours(1)).unwrap()
}

/// A journal to which entries were appended one after the other, with `pause` between them.
fn played(script: &[Entry], pause: Duration) -> Vec<(usize, Vec<u8>)> {
    let disk = Arc::new(Disk::default());
    let journal = open(Mounted(disk.clone()));
    disk.state.lock().images.clear();
    for entry in script {
        append(&journal, entry.clone()).unwrap();
        disk.answered.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(pause);
    }
    drop(journal);
    std::mem::take(&mut disk.state.lock().images)
}

#[test]
fn whatever_was_acknowledged_survives_a_loss_of_power_between_any_two_writes() {
    let script = [decision(1), Entry::Prepared(intent(1)), decision(2), ended(1), Entry::Prepared(intent(2))];
    let states = [
        (vec![], vec![]),
        (vec![1], vec![]),
        (vec![1], vec![1]),
        (vec![2, 1], vec![1]),
        (vec![2, 1], vec![]),
        (vec![2, 1], vec![2]),
    ];
    // Without a pause each commit follows a one-phase commit, with it a two-phase one.
    for pause in [Duration::ZERO, 2 * GATHER] {
        let images = played(&script, pause);
        assert!(images.len() as u64 >= IMAGES * script.len() as u64);
        for (answered, image) in images {
            let disk = InMemoryBackend::new();
            disk.set_len(image.len() as u64).unwrap();
            disk.write(0, &image).unwrap();
            let journal = open(disk);
            let open_intents = journal.open_intents().unwrap();
            let found = (seqs(&journal), open_intents.iter().map(|intent| intent.change.decision.cycle.seq).collect());
            assert!(states[answered..].iter().take(2).any(|state| *state == found), "{answered} answered: {found:?}");
        }
    }
}
