//! What a process does when it starts to lead: it learns what its predecessor left, and settles it.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Epoch, WriteEnd};

use super::roster::{Roster, TakeOver};
use super::world::World;

/// Pause before the journal is read again.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the terms of this process until it is aborted.
pub(super) async fn lead(world: Arc<World>, roster: Arc<Roster>) {
    let mut terms = world.ports.leadership.terms();
    loop {
        let term = *terms.borrow_and_update();
        if let Some(epoch) = term {
            tracing::info!(epoch = epoch.number(), "became leader");
            tokio::select! {
                () = begin(&world, &roster, epoch) => {}
                // What is not taken over by now is left to the next leader.
                _ = terms.changed() => continue,
            }
        } else {
            tracing::info!("became follower");
        }
        if terms.changed().await.is_err() {
            return;
        }
    }
}

/// Takes over: reads what was written before, informs every service, lets writes through, and settles what is open. The
/// services are informed first, so that no decision of this term relies on a follower's memory (INV-23).
async fn begin(world: &World, roster: &Arc<Roster>, epoch: Epoch) {
    while !world.gate.has_taken_over(epoch) {
        match take_over(world, roster, epoch).await {
            Ok(TakeOver::Done) => tracing::info!(epoch = epoch.number(), "takeover complete"),
            Ok(TakeOver::TermOver) => return,
            Err(error) => {
                tracing::warn!(epoch = epoch.number(), %error, "takeover failed; retrying");
                world.ports.clock.sleep_until(world.ports.clock.now().plus(PAUSE).mono).await;
            }
        }
    }
    world.gate.settle_open(|end| settled(world, roster, end)).await;
}

/// After the fence nothing that others send lands, except what the server has already admitted; the write gate waits
/// for that before it trusts what it reads.
async fn take_over(world: &World, roster: &Arc<Roster>, epoch: Epoch) -> Result<TakeOver, String> {
    world.ports.leadership.fence(epoch).await?;
    world.ports.journal.refresh().await.map_err(|error| error.to_string())?;
    let roster = roster.clone();
    match world.off_the_loop(move || roster.take_over(epoch)).await {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("reading the journal panicked".to_owned()),
    }
}

/// Informs a service how a write of an earlier run ended.
async fn settled(world: &World, roster: &Arc<Roster>, end: WriteEnd) {
    let (roster, change) = (roster.clone(), end.change.id.clone());
    if world.off_the_loop(move || roster.settled(end)).await.is_err() {
        tracing::error!(%change, "recording the outcome of an earlier write failed");
    }
}
