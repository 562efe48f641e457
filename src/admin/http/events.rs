//! Server-sent events: one text for all who look, bounded for each of them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame};
use parking_lot::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who may look at the same time. Less than all connections: metrics are read beside them.
const MAX_SUBSCRIBERS: usize = 32;
/// Events that wait for one who reads slowly; what comes then he does not get.
const WAITING: usize = 4;
/// Events after which the answer ends; browsers come back by themselves. Shorter than a connection may last: they
/// take an answer that is cut off for an error.
const LONGEST: usize = 120;

/// Who looks at the page now.
#[derive(Debug)]
pub(in crate::admin) struct Subscribers {
    places: Arc<Semaphore>,
    all: Mutex<Vec<Sender<Bytes>>>,
}

impl Default for Subscribers {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_SUBSCRIBERS)), all: Mutex::default() }
    }
}

impl Subscribers {
    /// One more, who gets `first` at once; `None`: there are too many.
    pub(in crate::admin) fn subscribe(&self, first: Bytes) -> Option<Events> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (sender, receiver) = channel(WAITING);
        // There is room: nothing is in it yet.
        let _ = sender.try_send(first);
        self.all.lock().push(sender);
        Some(Events { receiver, left: LONGEST, _place: place })
    }

    /// True when somebody looks; forgets who does not any more.
    pub(in crate::admin) fn any(&self) -> bool {
        let mut all = self.all.lock();
        all.retain(|sender| !sender.is_closed());
        !all.is_empty()
    }

    /// Tells all.
    pub(in crate::admin) fn tell(&self, event: &Bytes) {
        for sender in self.all.lock().iter() {
            let _ = sender.try_send(event.clone());
        }
    }
}

/// An event in the form that goes over the wire. JSON has no line breaks of its own.
pub(in crate::admin) fn event(name: &str, data: &serde_json::Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// The events of one who looks.
#[derive(Debug)]
pub(in crate::admin) struct Events {
    receiver: Receiver<Bytes>,
    left: usize,
    _place: OwnedSemaphorePermit,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.receiver.poll_recv(cx).map(|event| {
            self.left -= 1;
            event.map(|event| Ok(Frame::data(event)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn next(events: &mut Events) -> Option<Bytes> {
        events.frame().await.and_then(|frame| frame.ok()?.into_data().ok())
    }

    #[tokio::test]
    async fn who_does_not_read_misses_events_and_costs_no_more() {
        let subscribers = Subscribers::default();
        let mut slow = subscribers.subscribe(Bytes::from_static(b"0")).unwrap();
        for n in 1..100 {
            subscribers.tell(&Bytes::from(n.to_string()));
        }
        for n in 0..WAITING {
            assert_eq!(next(&mut slow).await.unwrap(), n.to_string());
        }
        subscribers.tell(&Bytes::from_static(b"later"));
        assert_eq!(next(&mut slow).await.unwrap(), "later");
        drop(slow);
        assert!(!subscribers.any());
    }

    #[tokio::test]
    async fn there_is_an_end_and_a_bound() {
        let subscribers = Subscribers::default();
        let mut all: Vec<Events> = (0..MAX_SUBSCRIBERS)
            .map(|_| subscribers.subscribe(Bytes::from_static(b"first")).unwrap())
            .collect();
        assert!(subscribers.subscribe(Bytes::new()).is_none());
        all.truncate(1);
        assert!(subscribers.any());
        let mut got = 0;
        while next(&mut all[0]).await.is_some() {
            got += 1;
            subscribers.tell(&Bytes::from_static(b"more"));
        }
        assert_eq!(got, LONGEST);
        assert!(subscribers.subscribe(Bytes::new()).is_some());
    }
}
