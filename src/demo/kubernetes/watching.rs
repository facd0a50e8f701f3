//! A watch: one JSON event per line, until it times out, the client leaves, or changes were compacted away.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::objects::{Happening, Objects};
use super::resource::{self, Resource, text};
use super::status::Refusal;

/// Time between two bookmarks; a real server sends one a minute, and one before a watch ends.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(30);

/// What a client subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The kind.
    pub resource: Resource,
    /// The namespace; `None` for all.
    pub namespace: Option<String>,
    /// The object; `None` for all.
    pub name: Option<String>,
    /// The label selector; empty for all.
    pub labels: String,
    /// The start version; `None` for the current state, then every change.
    pub from: Option<u64>,
    /// The duration.
    pub timeout: Duration,
    /// Whether bookmarks are wanted.
    pub bookmarks: bool,
}

struct Watch {
    objects: Objects,
    wanted: Subscription,
    newest: watch::Receiver<u64>,
    seen: u64,
    ready: VecDeque<Bytes>,
    /// Objects shown so far that a label change may remove from view.
    shown: BTreeSet<(String, String)>,
    ends: Instant,
    bookmark: Instant,
    ended: bool,
}

/// Returns the lines of a watch.
pub fn stream(objects: Objects, wanted: Subscription) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let now = Instant::now();
    let mut watch = Watch {
        newest: objects.newest(),
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
    /// Queues everything that exists, as if it had just been added.
    fn send_present(&mut self) {
        let page = self.objects.list(self.wanted.resource, self.wanted.namespace.as_deref(), None, usize::MAX);
        self.seen = page.version;
        for object in page.items {
            self.queue("ADDED", &object);
        }
    }

    /// Records what the client knows. Using the current state instead of that at the client's version is inexact, but
    /// matters only if labels changed in between.
    fn note_present(&mut self) {
        let page = self.objects.list(self.wanted.resource, self.wanted.namespace.as_deref(), None, usize::MAX);
        let selected = page.items.iter().filter(|object| resource::selected(object, &self.wanted.labels));
        self.shown = selected.map(|object| place(object)).collect();
    }

    async fn next_line(&mut self) -> Option<Bytes> {
        loop {
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

    /// Queues what has changed since the last call.
    fn collect(&mut self) {
        self.newest.mark_unchanged();
        match self.objects.changes(self.wanted.resource, self.wanted.namespace.as_deref(), self.seen) {
            Ok((changes, version)) => {
                // A client may have read a version from a list that is newer than this call.
                self.seen = self.seen.max(version);
                for (happening, object) in changes {
                    self.queue(word(happening), &object);
                }
            }
            Err(refusal) => self.end_with(&refusal),
        }
    }

    /// Waits for a change, a due bookmark, or the end.
    async fn wait(&mut self) {
        tokio::select! {
            changed = self.newest.changed() => self.ended |= changed.is_err(),
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
        // With a label selector, objects appear and disappear with their labels.
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
