//! Faults that a test injects before the API double, each for the next requests of one verb.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use flyball::demo::kubernetes::call::{self, Verb};
use flyball::demo::kubernetes::resource::Resource;
use flyball::demo::kubernetes::status;

use super::connection::Cut;

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Handled after a delay, even if the client has left by then.
    DelayBefore(Duration),
    /// Not handled until [`Faults::release`], even if the client has left by then.
    HoldBefore,
    /// Handled at once, answered after a delay.
    DelayAnswer(Duration),
    /// Handled, but not answered until [`Faults::release`].
    HoldAnswer,
    /// Handled, but the connection is closed instead of an answer.
    Cut,
    /// Not handled; answered with this status and body.
    Answer {
        /// HTTP status.
        code: u16,
        /// Body.
        body: Value,
    },
}

impl Fault {
    /// Returns an answer with the API's own error object for `code`.
    pub fn status(code: u16) -> Self {
        Self::Answer { code, body: status::failure(code, "ordered by a test") }
    }
}

/// Injected faults and counters, shared by the server and the test.
#[derive(Debug, Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

/// The affected requests: of one kind, or of any.
type Meant = (Verb, Option<Resource>);

#[derive(Debug)]
struct Shared {
    orders: Mutex<BTreeMap<Meant, VecDeque<Fault>>>,
    held: watch::Sender<bool>,
    frozen: watch::Sender<bool>,
    counts: watch::Sender<BTreeMap<(Verb, Resource), Counts>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    received: u64,
    handled: u64,
}

impl Default for Faults {
    fn default() -> Self {
        let shared = Shared {
            orders: Mutex::default(),
            held: watch::Sender::new(true),
            frozen: watch::Sender::new(false),
            counts: watch::Sender::default(),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Faults {
    /// Injects `fault` into the next `times` requests of `verb`, after those injected before.
    pub fn order(&self, verb: Verb, times: usize, fault: Fault) {
        self.order_for((verb, None), times, fault);
    }

    /// Injects `fault` into the next `times` requests of `verb` for one kind; it takes precedence over those for any.
    pub fn order_of(&self, resource: Resource, verb: Verb, times: usize, fault: Fault) {
        self.order_for((verb, Some(resource)), times, fault);
    }

    fn order_for(&self, meant: Meant, times: usize, fault: Fault) {
        self.shared.orders.lock().entry(meant).or_default().extend(std::iter::repeat_n(fault, times));
        self.shared.held.send_replace(true);
    }

    /// Withdraws the pending faults and releases what is held.
    pub fn clear(&self) {
        self.shared.orders.lock().clear();
        self.release();
        self.freeze_watches(false);
    }

    /// Releases held requests and answers.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Freezes (or resumes) everything that open watches send; the connections stay open.
    pub fn freeze_watches(&self, frozen: bool) {
        self.shared.frozen.send_replace(frozen);
    }

    /// Returns the number of `verb` requests received so far.
    pub fn requests(&self, verb: Verb) -> u64 {
        total(&self.shared.counts.borrow(), verb).received
    }

    /// Returns the number of `verb` requests for one kind received so far.
    pub fn requests_of(&self, resource: Resource, verb: Verb) -> u64 {
        self.shared.counts.borrow().get(&(verb, resource)).map_or(0, |counts| counts.received)
    }

    /// Waits until `count` requests of `verb` have been received.
    pub async fn wait_for_requests(&self, verb: Verb, count: u64) {
        self.wait_for(verb, |counts| counts.received >= count).await;
    }

    /// Waits until `count` requests of `verb` have been handled, answered or not.
    pub async fn wait_for_handled(&self, verb: Verb, count: u64) {
        self.wait_for(verb, |counts| counts.handled >= count).await;
    }

    async fn wait_for(&self, verb: Verb, wanted: impl Fn(Counts) -> bool) {
        let mut counts = self.shared.counts.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = counts.wait_for(|counts| wanted(total(counts, verb))).await;
    }

    /// Counts a request and returns the fault that applies to it.
    fn next(&self, verb: Verb, resource: Resource) -> Option<Fault> {
        self.shared.counts.send_modify(|counts| counts.entry((verb, resource)).or_default().received += 1);
        let mut orders = self.shared.orders.lock();
        let mut next = |key| orders.get_mut(&key).and_then(VecDeque::pop_front);
        next((verb, Some(resource))).or_else(|| next((verb, None)))
    }

    /// Counts a request as handled.
    fn handled(&self, verb: Verb, resource: Resource) {
        self.shared.counts.send_modify(|counts| counts.entry((verb, resource)).or_default().handled += 1);
    }

    /// Waits until what is held is released.
    async fn released(&self) {
        let mut held = self.shared.held.subscribe();
        let _ = held.wait_for(|held| !held).await;
    }

    /// Returns what a watch sends, held back while watches are frozen.
    fn freezable(&self, sent: Body) -> impl Stream<Item = Result<Bytes, axum::Error>> + use<> {
        let frozen = self.shared.frozen.subscribe();
        futures::stream::unfold((sent.into_data_stream(), frozen), |(mut sent, mut frozen)| async move {
            loop {
                // Without the sender, the server is gone and its connections are cut.
                frozen.wait_for(|frozen| !frozen).await.ok()?;
                tokio::select! {
                    biased;
                    changed = frozen.changed() => changed.ok()?,
                    part = sent.next() => return part.map(|part| (part, (sent, frozen))),
                }
            }
        })
    }
}

/// Stands before the API double: lets the fault that is due happen to a request.
pub(super) async fn meet(
    State(faults): State<Faults>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
    next: Next,
) -> Response {
    let Ok((verb, place)) = call::subject(request.method(), request.uri()) else { return next.run(request).await };
    // All of it, or a delayed request would end with its client.
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else { return StatusCode::BAD_REQUEST.into_response() };
    let request = Request::from_parts(parts, Body::from(body));
    let fault = faults.next(verb, place.resource);
    if let Some(Fault::Answer { code, body }) = &fault {
        return answer_as_ordered(*code, body);
    }
    // In its own task: a request is handled even if the client does not wait for the answer.
    let done = tokio::spawn(async move {
        match &fault {
            Some(Fault::DelayBefore(time)) => tokio::time::sleep(*time).await,
            Some(Fault::HoldBefore) => faults.released().await,
            _ => {}
        }
        let response = next.run(request).await;
        faults.handled(verb, place.resource);
        match fault {
            Some(Fault::DelayAnswer(time)) => tokio::time::sleep(time).await,
            Some(Fault::HoldAnswer) => faults.released().await,
            Some(Fault::Cut) => cut.now(),
            Some(Fault::DelayBefore(_) | Fault::HoldBefore | Fault::Answer { .. }) | None => {}
        }
        match verb {
            Verb::Watch => response.map(|sent| Body::from_stream(faults.freezable(sent))),
            _ => response,
        }
    });
    done.await.unwrap()
}

fn answer_as_ordered(code: u16, body: &Value) -> Response {
    let code = StatusCode::from_u16(code).unwrap();
    let mut response = (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    if matches!(code, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Returns the sum over all kinds.
fn total(counts: &BTreeMap<(Verb, Resource), Counts>, verb: Verb) -> Counts {
    counts.iter().filter(|((of, _), _)| *of == verb).fold(Counts::default(), |sum, (_, one)| Counts {
        received: sum.received + one.received,
        handled: sum.handled + one.handled,
    })
}
