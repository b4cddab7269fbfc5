//! A TCP proxy that fails on purpose: cuts, silence, delays, a bandwidth limit, wrong heads.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What happens to the answers of one connection, in the order of connections; the last one stays.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The connection is cut after so many bytes of answer, heads included.
    CutAfter(u64),
    /// It falls silent after so many bytes, and stays open.
    StallAfter(u64),
    /// It is closed before any answer.
    Refuse,
    /// The answer starts after this time.
    Delay(Duration),
    /// Answers are at most so many bytes a second.
    Bandwidth(u64),
    /// This is the answer, whatever the question; the server is not asked.
    Answer(&'static str),
}

/// The proxy; stops with the process.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    faults: Arc<Mutex<Vec<Fault>>>,
}

/// What passed.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicUsize,
    pub(crate) open: AtomicUsize,
    pub(crate) requests: AtomicUsize,
    pub(crate) answer_bytes: AtomicU64,
    /// The heads of all requests, as sent.
    pub(crate) heads: Mutex<String>,
}

impl Proxy {
    pub(crate) fn start(to: SocketAddr, faults: &[Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let faults = Arc::new(Mutex::new(faults.iter().rev().copied().collect::<Vec<_>>()));
        let (s, f) = (seen.clone(), faults.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let fault = next(&f);
                s.connections.fetch_add(1, Ordering::SeqCst);
                let (s, client) = (s.clone(), client.unwrap());
                std::thread::spawn(move || {
                    s.open.fetch_add(1, Ordering::SeqCst);
                    pass(&client, to, fault, &s);
                    drop(client.shutdown(Shutdown::Both));
                    s.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { addr, seen, faults }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What happens to the connections to come.
    pub(crate) fn set(&self, faults: &[Fault]) {
        *self.faults.lock().unwrap() = faults.iter().rev().copied().collect();
    }
}

fn next(faults: &Mutex<Vec<Fault>>) -> Fault {
    let mut faults = faults.lock().unwrap();
    if faults.len() > 1 { faults.pop().unwrap() } else { faults.last().copied().unwrap_or(Fault::None) }
}

fn pass(client: &TcpStream, to: SocketAddr, fault: Fault, seen: &Arc<Seen>) {
    match fault {
        Fault::Refuse => return,
        Fault::Answer(text) => return answer(client, text, seen),
        _ => {}
    }
    let server = TcpStream::connect(to).unwrap();
    let (mut from, mut out) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let counted = seen.clone();
    let questions = std::thread::spawn(move || {
        let mut buf = [0; 64 << 10];
        while let Ok(n @ 1..) = from.read(&mut buf) {
            note(&counted, &buf[..n]);
            if out.write_all(&buf[..n]).is_err() {
                break;
            }
        }
        drop(out.shutdown(Shutdown::Both));
    });
    let silent = answers(&server, client, fault, seen);
    if !silent {
        drop(client.shutdown(Shutdown::Both));
    }
    drop(server.shutdown(if silent { Shutdown::Read } else { Shutdown::Both }));
    questions.join().unwrap();
}

/// Passes answers on; true when it ended in silence.
fn answers(mut server: &TcpStream, mut client: &TcpStream, fault: Fault, seen: &Seen) -> bool {
    let mut buf = vec![0; 32 << 10];
    let (mut passed, begin, first) = (0u64, Instant::now(), AtomicBool::new(true));
    loop {
        let n = match server.read(&mut buf) {
            Ok(n @ 1..) => n,
            _ => return false,
        };
        if let (Fault::Delay(d), true) = (fault, first.swap(false, Ordering::Relaxed)) {
            std::thread::sleep(d);
        }
        let room = match fault {
            Fault::CutAfter(max) | Fault::StallAfter(max) => (max - passed).min(n as u64) as usize,
            _ => n,
        };
        if let Fault::Bandwidth(rate) = fault {
            let due = Duration::from_secs_f64(passed as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
        }
        if client.write_all(&buf[..room]).is_err() {
            return false;
        }
        passed += room as u64;
        seen.answer_bytes.fetch_add(room as u64, Ordering::SeqCst);
        match fault {
            Fault::CutAfter(max) if passed == max => return false,
            Fault::StallAfter(max) if passed == max => return true,
            _ => {}
        }
    }
}

fn answer(mut client: &TcpStream, text: &str, seen: &Seen) {
    let mut buf = [0; 8 << 10];
    while let Ok(n @ 1..) = client.read(&mut buf) {
        note(seen, &buf[..n]);
        if client.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// Requests of these tests have no body and fit one packet.
fn note(seen: &Seen, bytes: &[u8]) {
    seen.requests.fetch_add(1, Ordering::SeqCst);
    seen.heads.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
}
