//! What a process does when it begins to lead: it learns what its predecessor left, and settles that.

use std::sync::Arc;
use std::time::Duration;

use crate::model::Epoch;
use crate::ports::JournalError;

use super::roster::Roster;
use super::world::World;

/// Pause before the journal is read once more.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the terms of this process until it is aborted.
pub(super) async fn lead(world: Arc<World>, roster: Arc<Roster>) {
    let mut terms = world.ports.leadership.terms();
    loop {
        let term = *terms.borrow_and_update();
        if let Some(epoch) = term {
            tracing::info!(epoch = epoch.number(), "leads");
            tokio::select! {
                () = begin(&world, &roster, epoch) => {}
                // What is not taken over by now is for whoever leads next.
                _ = terms.changed() => continue,
            }
        } else {
            tracing::info!("follows");
        }
        if terms.changed().await.is_err() {
            return;
        }
    }
}

/// Takes over: reads what was written before, tells every service, lets writes through, and settles what is open. The
/// services are told first, so that no decision of this term is made on the memory of a follower (INV-23).
async fn begin(world: &World, roster: &Roster, epoch: Epoch) {
    while !world.gate.has_taken_over(epoch) {
        match take_over(world, roster, epoch).await {
            Ok(()) => tracing::info!(epoch = epoch.number(), "has taken over"),
            Err(error) => {
                tracing::warn!(epoch = epoch.number(), %error, "cannot take over yet");
                world.ports.clock.sleep_until(world.ports.clock.now().plus(PAUSE).mono).await;
            }
        }
    }
    world.gate.settle_open(|end| roster.settled(end)).await;
}

/// From the fence on nothing more lands of what others send, but for what the server has let in already; that the write
/// gate waits for before it believes what it reads.
async fn take_over(world: &World, roster: &Roster, epoch: Epoch) -> Result<(), String> {
    world.ports.leadership.fence(epoch).await?;
    let read = async {
        world.ports.journal.refresh().await?;
        roster.take_over()?;
        world.gate.take_over(epoch)
    };
    read.await.map_err(|error: JournalError| error.to_string())
}
