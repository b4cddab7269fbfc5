//! The network between the processes of a simulation: questions and answers are lost, late, and out of order.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;

use weir_auth::NOT_KNOWN;

use super::shard::Shard;
use super::world::{NOBODY, Place, World};
use crate::peers::{Hub, PeerAnswer, PeerCall, PeerError};

/// What is wrong with the network, and who is on it.
#[derive(Default)]
pub(super) struct Net {
    /// The processes that listen, by their endpoints.
    listening: RefCell<BTreeMap<String, Listener>>,
    /// Pairs that do not reach each other, in this direction.
    cut: RefCell<BTreeSet<(Place, Place)>>,
    /// Of 1000 messages, how many are lost.
    loss: RefCell<u64>,
    /// Of 1000 messages, how many are late by up to seconds.
    late: RefCell<u64>,
    /// What every message takes besides.
    slow: RefCell<Duration>,
    /// Messages sent so far.
    sent: RefCell<u64>,
}

/// Who listens at an endpoint.
#[derive(Clone)]
pub(super) struct Listener {
    pub(super) place: Place,
    pub(super) hub: Hub,
    pub(super) shard: Arc<Shard>,
}

/// What became of a question without an answer.
pub(super) enum Lost {
    /// Nobody listens: the kernel there says so.
    Nobody,
    /// It was cut off.
    CutOff,
}

/// A message takes this long at most, if it is not late.
const USUAL_MAX: Duration = Duration::from_millis(3);
/// And this long if it is.
const LATE_MAX: Duration = Duration::from_millis(2500);

/// Before a connection breaks on which nothing comes any more.
const BREAKS_AFTER: Duration = Duration::from_secs(10);

impl Net {
    pub(super) fn listen(&self, endpoint: &str, listener: Listener) {
        self.listening.borrow_mut().insert(endpoint.to_owned(), listener);
    }

    pub(super) fn gone(&self, place: Place) {
        let all = self.listening.take();
        let (gone, stay): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, at)| at.place == place);
        *self.listening.borrow_mut() = stay.into_iter().collect();
        drop(gone);
    }

    pub(super) fn clear(&self) {
        let all = self.listening.take();
        drop(all);
    }

    pub(super) fn weather(&self, loss: u64, late: u64) {
        (*self.loss.borrow_mut(), *self.late.borrow_mut()) = (loss, late);
    }

    /// Lets every message take so much longer.
    pub(super) fn slow(&self, time: Duration) {
        *self.slow.borrow_mut() = time;
    }

    /// Cuts the way from one to another.
    pub(super) fn cut(&self, from: Place, to: Place) {
        self.cut.borrow_mut().insert((from, to));
    }

    pub(super) fn heal(&self) {
        self.cut.borrow_mut().clear();
    }

    pub(super) fn sent(&self) -> u64 {
        *self.sent.borrow()
    }

    fn listener(&self, endpoint: &str) -> Option<Listener> {
        self.listening.borrow().get(endpoint).cloned()
    }
}

impl World {
    /// How long a message is on its way; `None` if it never comes.
    fn fate(&self, from: Place, to: Place) -> Option<Duration> {
        *self.net.sent.borrow_mut() += 1;
        let late = self.chance(*self.net.late.borrow());
        let max = if late { LATE_MAX } else { USUAL_MAX };
        let takes = Duration::from_nanos(50_000 + self.below(u64::try_from(max.as_nanos()).unwrap_or(1)));
        let lost = self.chance(*self.net.loss.borrow()) || self.net.cut.borrow().contains(&(from, to));
        self.note(if lost { 1 } else { 2 } ^ (from as u64) << 8 ^ (to as u64) << 16);
        (!lost).then_some(takes + *self.net.slow.borrow())
    }
}

/// What a call between processes does here; `None` if there is no simulation.
pub(crate) fn exchange(
    endpoint: &str,
    to: &str,
    call: &PeerCall,
) -> Option<impl Future<Output = Result<PeerAnswer, PeerError>> + Send + use<>> {
    let (name, at, to) = (call.name(), endpoint.to_owned(), to.to_owned());
    let body = postcard::to_stdvec(call).expect("a call can be written");
    let answered = carry(endpoint, move |there: Listener| async move {
        // What is meant for who was there before.
        if to != NOT_KNOWN && !there.hub.raft.published().me().has(&to) {
            return None;
        }
        let call: PeerCall = postcard::from_bytes(&body).expect("a call is read as it was written");
        let answer = there.hub.answer(call).await;
        Some(postcard::to_stdvec(&answer).expect("an answer can be written"))
    })?;
    Some(async move {
        match answered.await {
            Ok(Some(body)) => postcard::from_bytes(&body).map_err(|e| PeerError::Failed(e.to_string())),
            Ok(None) => Err(PeerError::Refused(format!("{name}: another node is at {at}"))),
            Err(Lost::Nobody) => Err(PeerError::Unreachable(format!("nobody listens at {at}"))),
            Err(Lost::CutOff) => Err(PeerError::Failed(format!("{name}: it was cut off"))),
        }
    })
}

/// Has whoever listens at an endpoint answer; `None` if there is no simulation. A message that is on its way comes, whatever
/// becomes of its sender.
pub(super) fn carry<A, F, Q>(
    endpoint: &str,
    question: Q,
) -> Option<impl Future<Output = Result<A, Lost>> + Send + use<A, F, Q>>
where
    A: Send + 'static,
    F: Future<Output = A> + Send + 'static,
    Q: FnOnce(Listener) -> F + Send + 'static,
{
    let world = World::here()?;
    let (reply, answer) = oneshot::channel();
    let (from, endpoint) = (world.place(), endpoint.to_owned());
    let to = world.net.listener(&endpoint).map_or(NOBODY, |there| there.place);
    let asker = Asker(Some(reply));
    if let Some(takes) = world.fate(from, to) {
        world.spawn_at(NOBODY, async move {
            sleep(takes).await;
            arrive(from, &endpoint, question, asker);
        });
    }
    Some(async move { answer.await.unwrap_or(Err(Lost::CutOff)) })
}

/// Who waits for an answer. If none comes, be it that a message is lost or that who was asked dies, the connection breaks
/// in the end.
struct Asker<A: Send + 'static>(Option<oneshot::Sender<Result<A, Lost>>>);

impl<A: Send + 'static> Asker<A> {
    fn tell(mut self, answer: Result<A, Lost>) {
        if let Some(reply) = self.0.take() {
            // Who asked may not wait any more.
            let _ = reply.send(answer);
        }
    }
}

impl<A: Send + 'static> Drop for Asker<A> {
    fn drop(&mut self) {
        if let (Some(reply), Some(world)) = (self.0.take(), World::here()) {
            world.spawn_at(NOBODY, async move {
                sleep(BREAKS_AFTER).await;
                let _ = reply.send(Err(Lost::CutOff));
            });
        }
    }
}

async fn sleep(time: Duration) {
    let sleep = World::here().map(|world| world.sleep(time));
    if let Some(sleep) = sleep {
        sleep.await;
    }
}

fn arrive<A, F, Q>(from: Place, endpoint: &str, question: Q, asker: Asker<A>)
where
    A: Send + 'static,
    F: Future<Output = A> + Send + 'static,
    Q: FnOnce(Listener) -> F + Send + 'static,
{
    let Some(world) = World::here() else { return };
    let Some(there) = world.net.listener(endpoint) else { return asker.tell(Err(Lost::Nobody)) };
    let to = there.place;
    // Its own task: it goes on if the one that asked does not wait.
    world.spawn_at(to, async move {
        let answer = question(there).await;
        let takes = World::here().and_then(|world| world.fate(to, from));
        let (Some(takes), Some(world)) = (takes, World::here()) else { return };
        world.spawn_at(NOBODY, async move {
            sleep(takes).await;
            asker.tell(Ok(answer));
        });
    });
}
