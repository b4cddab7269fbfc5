//! The network between the processes of a simulation: requests and answers are lost, late, and out of order.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use parking_lot::Mutex;

use super::world::{NOBODY, Place, World};
use crate::peers::{Hub, PeerAnswer, PeerCall, PeerError};

/// What is wrong with the network, and who is on it.
#[derive(Default)]
pub(super) struct Net {
    /// The processes that listen, by their endpoints.
    listening: RefCell<BTreeMap<String, (Place, Hub)>>,
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

/// A message takes this long at most, if it is not late.
const USUAL_MAX: Duration = Duration::from_millis(3);
/// And this long if it is.
const LATE_MAX: Duration = Duration::from_millis(2500);

impl Net {
    pub(super) fn listen(&self, endpoint: &str, place: Place, hub: Hub) {
        self.listening.borrow_mut().insert(endpoint.to_owned(), (place, hub));
    }

    pub(super) fn gone(&self, place: Place) {
        let all = self.listening.take();
        let (gone, stay): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, (p, _))| *p == place);
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

    fn hub(&self, endpoint: &str) -> Option<(Place, Hub)> {
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

/// What a call between processes does here; `None` if there is no simulation. A message that is on its way comes, whatever
/// becomes of its sender.
pub(crate) fn exchange(
    endpoint: &str,
    call: &PeerCall,
) -> Option<impl Future<Output = Result<PeerAnswer, PeerError>> + Send + use<>> {
    let world = World::here()?;
    let name = call.name();
    let body = postcard::to_stdvec(call).expect("a call can be written");
    let (reply, answer) = oneshot::channel();
    let (from, endpoint) = (world.place(), endpoint.to_owned());
    let to = world.net.hub(&endpoint).map_or(NOBODY, |(place, _)| place);
    let reply = Arc::new(Mutex::new(Some(reply)));
    let kept = reply.clone();
    if let Some(takes) = world.fate(from, to) {
        world.spawn_at(NOBODY, async move {
            sleep(takes).await;
            arrive(from, &endpoint, body, reply);
        });
    }
    Some(async move {
        let answer = answer.await;
        drop(kept);
        answer.unwrap_or_else(|_| Err(PeerError::Failed(format!("{name}: it was cut off"))))
    })
}

type Reply = Arc<Mutex<Option<oneshot::Sender<Result<PeerAnswer, PeerError>>>>>;

async fn sleep(time: Duration) {
    let sleep = World::here().map(|world| world.sleep(time));
    if let Some(sleep) = sleep {
        sleep.await;
    }
}

fn arrive(from: Place, endpoint: &str, body: Vec<u8>, reply: Reply) {
    let Some(world) = World::here() else { return };
    let Some((to, hub)) = world.net.hub(endpoint) else {
        if let Some(reply) = reply.lock().take() {
            // The kernel there says so.
            let _ = reply.send(Err(PeerError::Unreachable(format!("nobody listens at {endpoint}"))));
        }
        return;
    };
    // Its own task: it goes on if the one that asked does not wait.
    world.spawn_at(to, async move {
        let call: PeerCall = postcard::from_bytes(&body).expect("a call is read as it was written");
        let answer = hub.answer(call).await;
        let body = postcard::to_stdvec(&answer).expect("an answer can be written");
        let takes = World::here().and_then(|world| world.fate(to, from));
        let (Some(takes), Some(world)) = (takes, World::here()) else { return };
        world.spawn_at(NOBODY, async move {
            sleep(takes).await;
            let answer = postcard::from_bytes(&body).map_err(|e| PeerError::Failed(e.to_string()));
            if let Some(reply) = reply.lock().take() {
                let _ = reply.send(answer);
            }
        });
    });
}
