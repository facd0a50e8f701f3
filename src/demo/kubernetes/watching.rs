//! A watch: one JSON event a line, until its time is over, the client leaves, or changes were compacted away.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::faults::Faults;
use super::objects::{Happening, Objects};
use super::resource::{self, Resource, text};
use super::status::Refusal;

/// Time between two bookmarks; a real server sends one a minute, and one before a watch ends.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(30);

/// What a client asks to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Of which kind.
    pub resource: Resource,
    /// In which namespace; `None` for all.
    pub namespace: Option<String>,
    /// Of which object; `None` for all.
    pub name: Option<String>,
    /// With which labels; empty for all.
    pub labels: String,
    /// From which version on; `None` for the state now, then every change.
    pub from: Option<u64>,
    /// How long.
    pub timeout: Duration,
    /// Whether bookmarks are wanted.
    pub bookmarks: bool,
}

struct Watch {
    objects: Objects,
    wanted: Subscription,
    newest: watch::Receiver<u64>,
    frozen: watch::Receiver<bool>,
    seen: u64,
    ready: VecDeque<Bytes>,
    /// Objects shown so far that a change of labels may take out of sight.
    shown: BTreeSet<(String, String)>,
    ends: Instant,
    bookmark: Instant,
    ended: bool,
}

/// Returns the lines of a watch.
pub fn stream(
    objects: Objects,
    faults: &Faults,
    wanted: Subscription,
) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    let now = Instant::now();
    let mut watch = Watch {
        newest: objects.newest(),
        frozen: faults.frozen(),
        seen: wanted.from.unwrap_or(0),
        ready: VecDeque::new(),
        shown: BTreeSet::new(),
        ends: now + wanted.timeout,
        bookmark: now + BOOKMARK_INTERVAL,
        ended: false,
        objects,
        wanted,
    };
    match watch.wanted.from {
        None => watch.send_present(),
        Some(_) => watch.note_present(),
    }
    futures::stream::unfold(watch, |mut watch| async move {
        let line = watch.next_line().await?;
        Some((Ok(line), watch))
    })
}

impl Watch {
    /// Queues everything there is, as if it had just been added.
    fn send_present(&mut self) {
        let page = self.objects.list(self.wanted.resource, self.wanted.namespace.as_deref(), None, usize::MAX);
        self.seen = page.version;
        for object in page.items {
            self.queue("ADDED", &object);
        }
    }

    /// Notes what the client knows of. That it is what there is now, and not at the client's version, is inexact, and
    /// shows only if labels changed in between.
    fn note_present(&mut self) {
        let page = self.objects.list(self.wanted.resource, self.wanted.namespace.as_deref(), None, usize::MAX);
        let selected = page.items.iter().filter(|object| resource::selected(object, &self.wanted.labels));
        self.shown = selected.map(|object| place(object)).collect();
    }

    async fn next_line(&mut self) -> Option<Bytes> {
        loop {
            // The senders live as long as the server.
            let _ = self.frozen.wait_for(|frozen| !frozen).await;
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            self.collect();
            if self.ready.is_empty() && !self.ended {
                self.wait().await;
            }
        }
    }

    /// Queues what has changed since the last look.
    fn collect(&mut self) {
        self.newest.mark_unchanged();
        match self.objects.changes(self.wanted.resource, self.wanted.namespace.as_deref(), self.seen) {
            Ok((changes, version)) => {
                // A client may have read a version from a list that is newer than this look.
                self.seen = self.seen.max(version);
                for (happening, object) in changes {
                    self.queue(word(happening), &object);
                }
            }
            Err(refusal) => self.end_with(&refusal),
        }
    }

    /// Waits for a change, a bookmark's time, the end, or a freeze.
    async fn wait(&mut self) {
        tokio::select! {
            changed = self.newest.changed() => self.ended |= changed.is_err(),
            changed = self.frozen.changed() => self.ended |= changed.is_err(),
            () = tokio::time::sleep_until(self.bookmark) => {
                self.bookmark = Instant::now() + BOOKMARK_INTERVAL;
                self.queue_bookmark();
            }
            () = tokio::time::sleep_until(self.ends) => {
                self.queue_bookmark();
                self.ended = true;
            }
        }
    }

    fn queue_bookmark(&mut self) {
        if self.wanted.bookmarks {
            let (kind, version) = (self.wanted.resource.kind(), self.wanted.resource.api_version());
            let metadata = json!({ "resourceVersion": self.seen.to_string(), "creationTimestamp": null });
            self.ready
                .push_back(line("BOOKMARK", &json!({ "kind": kind, "apiVersion": version, "metadata": metadata })));
        }
    }

    fn queue(&mut self, word: &str, object: &Value) {
        if self.wanted.name.as_deref().is_some_and(|name| name != text(object, "/metadata/name")) {
            return;
        }
        let selected = resource::selected(object, &self.wanted.labels);
        let known = !self.shown.insert(place(object));
        if !selected || word == "DELETED" {
            self.shown.remove(&place(object));
        }
        // For who selects by labels, an object comes and goes with them.
        let word = match (known, selected) {
            (false, false) => return,
            (true, false) => "DELETED",
            (false, true) if word == "MODIFIED" => "ADDED",
            (_, true) => word,
        };
        self.ready.push_back(line(word, object));
    }

    fn end_with(&mut self, refusal: &Refusal) {
        self.ready.push_back(line("ERROR", &refusal.body()));
        self.ended = true;
    }
}

fn place(object: &Value) -> (String, String) {
    (text(object, "/metadata/namespace").to_owned(), text(object, "/metadata/name").to_owned())
}

fn word(happening: Happening) -> &'static str {
    match happening {
        Happening::Added => "ADDED",
        Happening::Modified => "MODIFIED",
        Happening::Deleted => "DELETED",
    }
}

fn line(word: &str, object: &Value) -> Bytes {
    let mut text = json!({ "type": word, "object": object }).to_string();
    text.push('\n');
    text.into()
}
