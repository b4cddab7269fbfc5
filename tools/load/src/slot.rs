//! One request at a time: what a connection of the loader does, redirects and stale connections included.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use weir_types::limits::{LOAD_CHUNK_BYTES, LOAD_ENDPOINTS_MAX, LOAD_ERROR_BYTES_MAX};
use xxhash_rust::xxh3::xxh3_64;

use crate::answer::Answer;
pub(crate) use crate::conn::Watch;
use crate::conn::{Conn, Scratch, Sink};
use crate::content::{Content, ContentKey};
use crate::endpoint;
use crate::error::{Failure, FailureKind};
use crate::plan::Plan;
use crate::request::{Ask, Requests, Target};

/// Redirects of one request that are followed.
const REDIRECTS_MAX: usize = 3;
/// How long a server may think about `Expect: 100-continue` before it gets the body anyway (RFC 9110, 10.1.1).
const EXPECT_WAIT: Duration = Duration::from_secs(1);
/// Time to connect.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// What one request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Read object so-and-so.
    Get(u64),
    /// Read so many bytes (second) of it (first) from an offset (third) on.
    Range(u64, u64, u64),
    /// Store it.
    Put(u64),
    /// List what follows it.
    List(u64),
}

/// What an endpoint does with requests for objects, as its first answer has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Unknown,
    /// It takes bodies.
    Takes,
    /// It says who does.
    Redirects,
    /// It takes some, and says of others who does: a gateway that is a target, too.
    TakesItsOwn,
}

impl Role {
    /// After an object that it said of who takes it.
    fn redirects(self) -> Self {
        if matches!(self, Self::Takes | Self::TakesItsOwn) { Self::TakesItsOwn } else { Self::Redirects }
    }

    /// After an object that it took.
    fn takes(self) -> Self {
        if matches!(self, Self::Redirects | Self::TakesItsOwn) { Self::TakesItsOwn } else { Self::Takes }
    }
}

/// What the connections of one thread share.
pub(crate) struct Shared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) content: Arc<Content>,
    requests: Requests,
    roles: Vec<Cell<Role>>,
    scratch: Rc<RefCell<Scratch>>,
}

impl Shared {
    pub(crate) fn new(plan: Arc<Plan>, content: Arc<Content>) -> Rc<Self> {
        let requests = Requests::new(&plan, SystemTime::now());
        let roles = plan.endpoints.iter().map(|_| Cell::new(Role::Unknown)).collect();
        Rc::new(Self { plan, content, requests, roles, scratch: Scratch::new() })
    }
}

/// One connection of the loader: at most one TCP connection to each server it is led to.
pub(crate) struct Slot {
    shared: Rc<Shared>,
    pub(crate) watch: Rc<Watch>,
    conns: Vec<(String, Conn)>,
    target: Target,
    head: Vec<u8>,
    chunk: Vec<u8>,
    name: Vec<u8>,
    /// Bytes that a good answer's body has, at least.
    expected: u64,
}

impl Slot {
    pub(crate) fn new(shared: &Rc<Shared>) -> Self {
        Self {
            shared: shared.clone(),
            watch: Rc::default(),
            conns: Vec::new(),
            target: Target::default(),
            head: Vec::new(),
            chunk: Vec::new(),
            name: Vec::new(),
            expected: 0,
        }
    }

    /// Carries out one operation; the bytes of content that went either way. A connection on which it failed is closed.
    pub(crate) async fn run(&mut self, operation: Operation) -> Result<u64, Failure> {
        let number = match operation {
            Operation::Get(n) | Operation::Put(n) | Operation::Range(n, ..) | Operation::List(n) => n,
        };
        self.name.clear();
        self.shared.plan.push_name(&mut self.name, number);
        let endpoints = self.shared.plan.endpoints.len();
        let at = if endpoints > 1 { (xxh3_64(&self.name) % endpoints as u64) as usize } else { 0 };
        self.expected = 0;
        let outcome = match operation {
            Operation::Put(_) => self.put(at, number).await,
            Operation::List(_) => self.list(at, number).await,
            Operation::Get(_) => self.get(at, number, None).await,
            Operation::Range(_, length, offset) => self.get(at, number, Some((offset, length))).await,
        };
        outcome.map_err(|failure| Failure {
            message: format!("{}: {}", String::from_utf8_lossy(&self.name), failure.message),
            ..failure
        })
    }

    async fn get(&mut self, at: usize, number: u64, range: Option<(u64, u64)>) -> Result<u64, Failure> {
        let shared = self.shared.clone();
        shared.requests.object(&mut self.target, at, number);
        let ask = match range {
            Some((offset, length)) => Ask::Range(offset, (offset + length).saturating_sub(1)),
            None => Ask::Get,
        };
        let expected = match range {
            Some((_, length)) => Some(length),
            None => shared.plan.sizes.as_ref().map(|sizes| sizes.of(number, shared.plan.seed)),
        };
        let mut address = self.address(at)?;
        for hop in 0..=REDIRECTS_MAX {
            let role = shared.roles.get(at).filter(|_| hop == 0);
            // A redirect is short.
            let short = role.is_some_and(|role| role.get() == Role::Redirects);
            self.expected = expected.filter(|_| !short).unwrap_or(0);
            shared.requests.head(&mut self.head, &self.target, ask);
            let (mut conn, answer) = self.exchange(address).await?;
            if answer.is_redirect() {
                role.inspect(|role| role.set(role.get().redirects()));
                address = self.follow(conn, &answer).await?;
                continue;
            }
            if !answer.is_success() {
                return Err(self.refused(conn, &answer).await);
            }
            let sink = match shared.plan.verify {
                true => Sink::Check(&shared.content, self.key(), range.map_or(0, |(offset, _)| offset)),
                false => Sink::Nowhere,
            };
            let bytes = conn.body(answer.body, sink).await?;
            if let Some(expected) = expected.filter(|expected| *expected != bytes) {
                return Err(FailureKind::Content.with(format!("expected {expected} bytes, got {bytes}")));
            }
            self.keep(conn, &answer);
            return Ok(bytes);
        }
        Err(FailureKind::Redirect
            .with(format!("expected an answer, got {REDIRECTS_MAX} redirects and one more")))
    }

    async fn list(&mut self, at: usize, number: u64) -> Result<u64, Failure> {
        let shared = self.shared.clone();
        shared.requests.list(&mut self.head, &mut self.target, at, number);
        let address = self.address(at)?;
        let (mut conn, answer) = self.exchange(address).await?;
        if !answer.is_success() {
            return Err(self.refused(conn, &answer).await);
        }
        let bytes = conn.body(answer.body, Sink::Nowhere).await?;
        self.keep(conn, &answer);
        Ok(bytes)
    }

    async fn put(&mut self, at: usize, number: u64) -> Result<u64, Failure> {
        let shared = self.shared.clone();
        let size = shared.plan.sizes.as_ref().map_or(0, |sizes| sizes.of(number, shared.plan.seed));
        shared.requests.object(&mut self.target, at, number);
        let mut address = self.address(at)?;
        for hop in 0..=REDIRECTS_MAX {
            let role = shared.roles.get(at).filter(|_| hop == 0);
            let (conn, answer) = match role.map(Cell::get) {
                Some(Role::Unknown) => self.put_expecting(address, size).await?,
                Some(Role::Redirects) => {
                    shared.requests.head(&mut self.head, &self.target, Ask::PutNowhere);
                    let (mut conn, answer) = self.exchange(address).await?;
                    if answer.is_success() {
                        let message = "expected the redirect that came before, got success: an empty object is there now";
                        return Err(FailureKind::Redirect.with(message));
                    }
                    if answer.status == 400 {
                        conn.body(answer.body, Sink::Nowhere).await?;
                        self.keep(conn, &answer);
                        role.inspect(|role| role.set(Role::TakesItsOwn));
                        self.put_whole(address, size).await?
                    } else {
                        (conn, answer)
                    }
                }
                Some(Role::Takes | Role::TakesItsOwn) | None => self.put_whole(address, size).await?,
            };
            if answer.is_redirect() {
                role.inspect(|role| role.set(role.get().redirects()));
                address = self.follow(conn, &answer).await?;
                continue;
            }
            if !answer.is_success() {
                return Err(self.refused(conn, &answer).await);
            }
            role.inspect(|role| role.set(role.get().takes()));
            let mut conn = conn;
            conn.body(answer.body, Sink::Nowhere).await?;
            self.keep(conn, &answer);
            return Ok(size);
        }
        Err(FailureKind::Redirect
            .with(format!("expected an answer, got {REDIRECTS_MAX} redirects and one more")))
    }

    /// The first PUT to an endpoint: the body goes only where it is wanted.
    async fn put_expecting(&mut self, address: SocketAddr, size: u64) -> Result<(Conn, Answer), Failure> {
        let shared = self.shared.clone();
        shared.requests.head(&mut self.head, &self.target, Ask::PutExpecting(size));
        let mut conn = self.conn(address).await?;
        conn.send(&self.head).await?;
        if conn.answers_within(EXPECT_WAIT).await {
            let answer = conn.answer().await?;
            if answer.status != 100 {
                // The server may still wait for a body: this connection is of no more use.
                return Ok((conn, Answer { close: true, ..answer }));
            }
        }
        let key = self.key();
        conn.send_object(&[], &shared.content, key, size, &mut self.chunk).await?;
        let answer = conn.answer().await?;
        Ok((conn, answer))
    }

    /// Head and body in one go; again on a fresh connection if the one that was kept had been closed meanwhile.
    async fn put_whole(&mut self, address: SocketAddr, size: u64) -> Result<(Conn, Answer), Failure> {
        let shared = self.shared.clone();
        shared.requests.head(&mut self.head, &self.target, Ask::Put(size));
        let key = self.key();
        loop {
            let mut conn = self.conn(address).await?;
            let sent = conn.send_object(&self.head, &shared.content, key, size, &mut self.chunk).await;
            // A server that refuses may answer before it has the body, and close: its answer says why.
            let answer = conn.answer().await;
            match (sent, answer) {
                (_, Ok(answer)) if !answer.is_success() => {
                    return Ok((conn, Answer { close: true, ..answer }));
                }
                (Ok(()), Ok(answer)) => return Ok((conn, answer)),
                (Err(failure), _) | (Ok(()), Err(failure)) => stale(&conn, failure)?,
            }
        }
    }

    /// Sends the head and reads the answer's; again on a fresh connection if the one that was kept had been closed meanwhile.
    async fn exchange(&mut self, address: SocketAddr) -> Result<(Conn, Answer), Failure> {
        loop {
            let mut conn = self.conn(address).await?;
            let outcome = match conn.send(&self.head).await {
                Ok(()) => conn.answer().await,
                Err(failure) => Err(failure),
            };
            match outcome {
                Ok(answer) => return Ok((conn, answer)),
                Err(failure) => stale(&conn, failure)?,
            }
        }
    }

    /// The connection to the target's server, taken out until it is kept again.
    async fn conn(&mut self, address: SocketAddr) -> Result<Conn, Failure> {
        let kept = self.conns.iter().position(|(authority, _)| *authority == self.target.authority);
        let mut conn = match kept {
            Some(at) => self.conns.swap_remove(at).1,
            None => Conn::open(address, CONNECT_WAIT, &self.watch, &self.shared.scratch).await?,
        };
        conn.stream_rate = self.shared.plan.stream_rate;
        conn.watched(self.expected);
        Ok(conn)
    }

    fn keep(&mut self, conn: Conn, answer: &Answer) {
        if !answer.close && self.conns.len() < LOAD_ENDPOINTS_MAX {
            self.conns.push((self.target.authority.clone(), conn));
        }
        if self.chunk.capacity() > 2 * LOAD_CHUNK_BYTES {
            self.chunk = Vec::new();
        }
    }

    /// Goes where a redirect points to.
    async fn follow(&mut self, mut conn: Conn, answer: &Answer) -> Result<SocketAddr, Failure> {
        conn.body(answer.body, Sink::Nowhere).await?;
        self.keep(conn, answer);
        let nowhere =
            |got: &str| FailureKind::Redirect.with(format!("expected a Location with http://, got {got:?}"));
        let location = answer.location.as_deref().ok_or_else(|| nowhere(""))?;
        let (authority, path) = endpoint::split(location).map_err(|_| nowhere(location))?;
        let address = endpoint::lookup(authority)
            .map_err(|e| FailureKind::Redirect.with(format!("{location}: {e}")))?;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        self.target = Target { authority: authority.to_owned(), path: path.into(), query: query.into() };
        Ok(address)
    }

    /// The failure that an answer without success is, with the front of what it says.
    async fn refused(&mut self, mut conn: Conn, answer: &Answer) -> Failure {
        let mut front = Vec::new();
        let read = conn.body(answer.body, Sink::Front(&mut front, LOAD_ERROR_BYTES_MAX)).await;
        let (status, authority) = (answer.status, self.target.authority.clone());
        if read.is_ok() {
            self.keep(conn, answer);
        }
        let said = String::from_utf8_lossy(&front);
        FailureKind::Status(status).with(format!("{authority} answered {status} {}", said.trim()))
    }

    fn address(&self, at: usize) -> Result<SocketAddr, Failure> {
        let endpoint = self.shared.plan.endpoints.get(at);
        endpoint.map(|e| e.address).ok_or_else(|| FailureKind::Connect.with("no endpoint"))
    }

    fn key(&self) -> ContentKey {
        self.shared.content.key(&self.name)
    }
}

/// A connection that answered before and broke now was closed between two requests: that is no failure of the server.
/// Its request may be sent again; every other failure stands.
fn stale(conn: &Conn, failure: Failure) -> Result<(), Failure> {
    if failure.kind == FailureKind::Broken && conn.answers > 0 { Ok(()) } else { Err(failure) }
}
