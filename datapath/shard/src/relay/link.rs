//! Connections to peers, made when needed and kept for the next request: bounded in number, and none is used again that the
//! other side has ended.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use weir_cluster::NodeId;
use weir_http::{HeaderSlots, HttpError, Reply, parse_reply};
use weir_ring::{Handle, sys};
use weir_types::limits;

use crate::conn::{Conn, ConnError};
use crate::fail::Failure;

/// What is received at a time while the head of an answer is waited for: the body of a small one comes along.
const REPLY_BYTES: usize = 64 << 10;

/// Why a peer gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// It cannot be reached.
    #[error("{0}")]
    Away(String),
    /// The connection ended or stalled.
    #[error("the connection to it: {0}")]
    Conn(#[from] ConnError),
    /// What came is no answer.
    #[error("{0}")]
    Http(#[from] HttpError),
    /// It answered that it cannot.
    #[error("it answered {0}")]
    Answered(u16),
}

/// A shard's connections to its peers.
#[derive(Default)]
pub(crate) struct Links {
    idle: RefCell<HashMap<SocketAddr, Vec<(Instant, Conn)>>>,
    under_way: RefCell<HashMap<NodeId, usize>>,
}

/// A request's right to go on to a peer; what is under way at once is bounded.
pub(crate) struct Turn<'l> {
    links: &'l Links,
    to: NodeId,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut under_way = self.links.under_way.borrow_mut();
        match under_way.get_mut(&self.to) {
            Some(n) if *n > 1 => *n -= 1,
            _ => drop(under_way.remove(&self.to)),
        }
    }
}

impl Links {
    /// The right to pass on a request.
    pub(crate) fn turn(&self, to: &NodeId) -> Result<Turn<'_>, Failure> {
        let mut under_way = self.under_way.borrow_mut();
        let (all, to_it) = (under_way.values().sum::<usize>(), under_way.get(to).copied().unwrap_or(0));
        if all >= limits::RELAYS_MAX || to_it >= limits::RELAYS_TO_ONE_MAX {
            return Err(Failure::Overloaded("too many requests wait for other nodes"));
        }
        under_way.insert(to.clone(), to_it + 1);
        Ok(Turn { links: self, to: to.clone() })
    }

    /// A connection that was used before and is open still.
    fn used(&self, to: SocketAddr, now: Instant) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&to)?;
        while let Some((since, conn)) = kept.pop() {
            if is_young(since, now) && sys::is_quiet(&conn.sock) {
                return Some(Link::new(to, conn));
            }
        }
        None
    }

    /// Closes what has idled for longer than it is used again, after a burst or since its peer has left.
    pub(crate) fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|_, kept| {
            kept.retain(|(since, _)| is_young(*since, now));
            !kept.is_empty()
        });
    }

    /// A new connection.
    async fn fresh(&self, handle: &Handle, to: SocketAddr) -> Result<Link, LinkError> {
        let within = Duration::from_secs(limits::PEER_CONNECT_SECONDS_MAX);
        let connected = handle.timeout(within, handle.connect(to)).await;
        let away = |why: String| LinkError::Away(format!("{to}: {why}"));
        let sock = connected.map_err(|_| away(format!("no connection in {within:?}")))?;
        let sock = sock.map_err(|e| away(e.to_string()))?;
        // Refused, it is only slower.
        let _ = sys::nodelay(&sock, true);
        Ok(Link::new(to, Conn::new(handle.clone(), sock)))
    }

    /// Sends a head, on a connection at hand if there is one, and waits that long for an answer if one comes `first`.
    /// `again`: what can be asked twice is, if the peer ended a connection at hand at that very moment. From a peer that
    /// lets it wait nothing is asked twice: it may be at work.
    pub(super) async fn ask(
        &self,
        handle: &Handle,
        to: SocketAddr,
        head: &[u8],
        first: Option<Duration>,
        again: bool,
    ) -> Result<(Link, Option<Reply>), LinkError> {
        let ask = async |mut link: Link| {
            link.conn.send_bytes(head).await?;
            let reply = match first {
                Some(within) => Some(link.reply(within).await?),
                None => None,
            };
            Ok::<_, LinkError>((link, reply))
        };
        if let Some(link) = self.used(to, handle.now()) {
            match ask(link).await {
                Err(LinkError::Conn(ConnError::Closed | ConnError::Io(_))) if again => {}
                asked => return asked,
            }
        }
        ask(self.fresh(handle, to).await?).await
    }

    /// Keeps a connection on which everything was answered.
    pub(super) fn keep(&self, link: Link, now: Instant) {
        let Link { to, mut conn, .. } = link;
        if !conn.pending().is_empty() {
            return;
        }
        conn.rest();
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(to).or_default();
        if kept.len() < limits::PEER_IDLE_MAX {
            kept.push((now, conn));
        }
    }
}

/// Whether a connection that idles since then may be used again.
fn is_young(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < Duration::from_secs(limits::PEER_IDLE_SECONDS_MAX)
}

/// One connection to a peer.
pub(super) struct Link {
    to: SocketAddr,
    pub(super) conn: Conn,
    slots: Box<HeaderSlots>,
}

impl Link {
    fn new(to: SocketAddr, conn: Conn) -> Self {
        Self { to, conn, slots: Box::default() }
    }

    /// The head of the next answer; its bytes are pending still.
    pub(super) async fn reply(&mut self, within: Duration) -> Result<Reply, LinkError> {
        let end = self.conn.handle.now() + within;
        loop {
            if let Some(reply) = parse_reply(self.conn.pending(), &mut self.slots)? {
                return Ok(reply);
            }
            let left = end.saturating_duration_since(self.conn.handle.now());
            self.conn.more(left, REPLY_BYTES).await?;
        }
    }

    /// The fields of an answer whose head is pending.
    pub(super) fn fields(&self, reply: &Reply) -> impl Iterator<Item = (&str, &str)> {
        reply.fields(self.conn.pending(), &self.slots)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use weir_ring::{Reactor, ReactorConfig};

    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    /// A reactor, and a peer that accepts only what it is told to.
    fn with_peer() -> (Reactor, TcpListener, SocketAddr) {
        let config = ReactorConfig { buffers: 16, spin: Duration::ZERO, ..ReactorConfig::default() };
        let peer = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = peer.local_addr().unwrap();
        (Reactor::new(&config).unwrap(), peer, to)
    }

    /// A connection that is kept, and the peer's end of it.
    async fn kept(links: &Links, handle: &Handle, peer: &TcpListener, to: SocketAddr) -> TcpStream {
        let link = links.fresh(handle, to).await.unwrap();
        let end = peer.accept().unwrap().0;
        links.keep(link, handle.now());
        end
    }

    fn is_asked_anew(peer: &TcpListener) -> bool {
        peer.set_nonblocking(true).unwrap();
        peer.accept().is_ok()
    }

    #[test]
    fn a_peer_that_lets_a_request_wait_is_not_asked_twice() {
        let (reactor, peer, to) = with_peer();
        let (links, handle) = (Links::default(), reactor.handle());
        reactor.block_on(async {
            let _open = kept(&links, &handle, &peer, to).await;
            let asked = links.ask(&handle, to, HEAD, Some(Duration::from_millis(50)), true).await;
            assert!(matches!(asked, Err(LinkError::Conn(ConnError::Stalled(_)))));
        });
        assert!(!is_asked_anew(&peer));
    }

    #[test]
    fn what_can_be_is_asked_twice_where_the_peer_ended_the_connection() {
        for again in [false, true] {
            let (reactor, peer, to) = with_peer();
            let (links, handle) = (Links::default(), reactor.handle());
            let (answered, peer) = reactor.block_on(async {
                let mut end = kept(&links, &handle, &peer, to).await;
                let served = thread::spawn(move || {
                    end.read_exact(&mut [0; HEAD.len()]).unwrap();
                    drop(end);
                    if again {
                        let mut end = peer.accept().unwrap().0;
                        end.read_exact(&mut [0; HEAD.len()]).unwrap();
                        end.write_all(ANSWER).unwrap();
                    }
                    peer
                });
                let within = Duration::from_secs(limits::PEER_ANSWER_SECONDS_MAX);
                let asked = links.ask(&handle, to, HEAD, Some(within), again).await;
                (asked.map(|(_, reply)| reply.unwrap().status), served.join().unwrap())
            });
            match again {
                true => assert_eq!(answered.unwrap(), 200),
                false => assert!(matches!(answered, Err(LinkError::Conn(ConnError::Closed)))),
            }
            assert!(!is_asked_anew(&peer));
        }
    }

    #[test]
    fn connections_that_idle_are_closed() {
        let (reactor, peer, to) = with_peer();
        let (links, handle) = (Links::default(), reactor.handle());
        reactor.block_on(async {
            let begun = handle.now();
            let mut end = kept(&links, &handle, &peer, to).await;
            links.sweep(begun);
            assert!(links.used(to, begun).is_some_and(|link| {
                links.keep(link, begun);
                true
            }));
            links.sweep(begun + Duration::from_secs(limits::PEER_IDLE_SECONDS_MAX));
            assert!(links.idle.borrow().is_empty(), "nothing is kept of its peer");
            assert_eq!(end.read(&mut [0]).unwrap(), 0, "it is closed");
        });
    }

    #[test]
    fn one_node_does_not_take_the_turns_of_others() {
        let links = Links::default();
        let [one, another, third] = ["node0001", "node0002", "node0003"].map(|id| NodeId::new(id).unwrap());
        let mut turns: Vec<_> =
            (0..limits::RELAYS_TO_ONE_MAX).map(|_| links.turn(&one).ok().unwrap()).collect();
        assert!(links.turn(&one).is_err());
        turns.extend((0..limits::RELAYS_TO_ONE_MAX).map(|_| links.turn(&another).ok().unwrap()));
        assert!(links.turn(&third).is_err(), "all are under way");
        turns.truncate(1);
        assert!(links.turn(&one).is_ok() && links.turn(&third).is_ok());
        turns.clear();
        assert!(links.under_way.borrow().is_empty());
    }
}
