//! Faults of a disk, and the socket that sets them: one command a line, one answer a line.
//!
//! | line | the disk from then on |
//! |---|---|
//! | `eio-read LO HI`, `eio-write LO HI` | answers EIO to what touches bytes LO..HI |
//! | `eio-flush` | answers EIO to every flush |
//! | `enospc LO HI` | answers ENOSPC to writes that touch bytes LO..HI |
//! | `delay MS [read\|write\|flush]` | waits before each (such) operation |
//! | `flip OFFSET BIT` | holds that bit of that byte inverted, once |
//! | `cut` | answers EIO to everything and records nothing: the power is gone |
//! | `cut-at SEQ` | as `cut`, once it has received SEQ records |
//! | `clear` | works again; what was flipped stays |
//! | `seq` | (answers the number of records) |

use crate::RigError;
use crate::disk::Recorded;
use nix::errno::Errno;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads bytes.
    Read,
    /// Writes bytes.
    Write,
    /// Makes what was written durable.
    Flush,
}

/// Ranges of byte positions, half open.
type Ranges = Vec<(u64, u64)>;
/// Most ranges of one kind: the list is walked at each operation.
const RANGES_MAX: usize = 1024;

/// The faults in force.
#[derive(Debug, Default, Clone)]
pub struct Faults {
    eio_read: Ranges,
    eio_write: Ranges,
    enospc: Ranges,
    eio_flush: bool,
    delay: [Duration; 3],
    cut_at: Option<u64>,
}

impl Faults {
    /// The error for an operation on `offset..offset + len` when the disk has `seq` records, if there is one.
    pub fn verdict(&self, access: Access, offset: u64, len: u64, seq: u64) -> Result<(), Errno> {
        let hit = |ranges: &Ranges| ranges.iter().any(|(lo, hi)| *lo < offset + len && offset < *hi);
        if self.cut_at.is_some_and(|at| seq >= at) {
            return Err(Errno::EIO);
        }
        match access {
            Access::Read if hit(&self.eio_read) => Err(Errno::EIO),
            Access::Write if hit(&self.eio_write) => Err(Errno::EIO),
            Access::Write if hit(&self.enospc) => Err(Errno::ENOSPC),
            Access::Flush if self.eio_flush => Err(Errno::EIO),
            _ => Ok(()),
        }
    }

    /// How long to wait before an operation.
    pub fn delay(&self, access: Access) -> Duration {
        self.delay[access as usize]
    }
}

/// What a line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Range(Fault, u64, u64),
    EioFlush,
    Delay(Option<Access>, Duration),
    Flip(u64, u8),
    CutAt(Option<u64>),
    Clear,
    Seq,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    EioRead,
    EioWrite,
    Enospc,
}

fn parse(line: &str) -> Option<Command> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let range = |fault, lo: &str, hi: &str| {
        let (lo, hi) = (lo.parse().ok()?, hi.parse().ok()?);
        (lo < hi).then_some(Command::Range(fault, lo, hi))
    };
    match words.as_slice() {
        ["eio-read", lo, hi] => range(Fault::EioRead, lo, hi),
        ["eio-write", lo, hi] => range(Fault::EioWrite, lo, hi),
        ["enospc", lo, hi] => range(Fault::Enospc, lo, hi),
        ["eio-flush"] => Some(Command::EioFlush),
        ["delay", ms] => Some(Command::Delay(None, Duration::from_millis(ms.parse().ok()?))),
        ["delay", ms, kind] => {
            let access = match *kind {
                "read" => Access::Read,
                "write" => Access::Write,
                "flush" => Access::Flush,
                _ => return None,
            };
            Some(Command::Delay(Some(access), Duration::from_millis(ms.parse().ok()?)))
        }
        ["flip", offset, bit] => {
            let bit: u8 = bit.parse().ok()?;
            (bit < 8).then_some(Command::Flip(offset.parse().ok()?, bit))
        }
        ["cut"] => Some(Command::CutAt(None)),
        ["cut-at", seq] => Some(Command::CutAt(Some(seq.parse().ok()?))),
        ["clear"] => Some(Command::Clear),
        ["seq"] => Some(Command::Seq),
        _ => None,
    }
}

/// Carries out one line on `disk`; the answer without its newline.
pub fn answer(disk: &Mutex<Recorded>, line: &str) -> String {
    let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(command) = parse(line) else {
        let expected = "eio-read|eio-write|enospc LO HI, eio-flush, delay MS [read|write|flush], flip OFFSET BIT, \
                        cut, cut-at SEQ, clear or seq";
        return format!("error: {}", RigError::Line { line: line.to_owned(), expected });
    };
    let seq = disk.seq();
    let faults = disk.faults_mut();
    match command {
        Command::Range(fault, lo, hi) => {
            let ranges = match fault {
                Fault::EioRead => &mut faults.eio_read,
                Fault::EioWrite => &mut faults.eio_write,
                Fault::Enospc => &mut faults.enospc,
            };
            if ranges.len() >= RANGES_MAX {
                return format!("error: {RANGES_MAX} ranges are set already; clear first");
            }
            ranges.push((lo, hi));
        }
        Command::EioFlush => faults.eio_flush = true,
        Command::Delay(None, d) => faults.delay = [d; 3],
        Command::Delay(Some(access), d) => faults.delay[access as usize] = d,
        Command::Flip(offset, bit) => {
            if let Err(e) = disk.flip(offset, bit) {
                return format!("error: {e}");
            }
        }
        Command::CutAt(at) => faults.cut_at = Some(at.unwrap_or(seq)),
        Command::Clear => *faults = Faults::default(),
        Command::Seq => return format!("ok {seq}"),
    }
    "ok".to_owned()
}

/// Listens at `path` on a thread of its own for as long as the process lives; one connection at a time.
pub fn listen(path: &Path, disk: Arc<Mutex<Recorded>>) -> Result<(), RigError> {
    let listener = UnixListener::bind(path).map_err(RigError::io("listen at", path))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away ends its own conversation only.
            let _ = converse(&stream, &disk);
        }
    });
    Ok(())
}

fn converse(stream: &UnixStream, disk: &Mutex<Recorded>) -> std::io::Result<()> {
    let mut out = stream;
    for line in BufReader::new(stream).lines() {
        writeln!(out, "{}", answer(disk, &line?))?;
    }
    Ok(())
}

/// Sends one line to the socket at `path` and returns the answer.
pub fn send(path: &Path, line: &str) -> Result<String, RigError> {
    let stream = UnixStream::connect(path).map_err(RigError::io("connect to", path))?;
    writeln!(&stream, "{line}").map_err(RigError::io("write to", path))?;
    let mut reply = String::new();
    BufReader::new(&stream).read_line(&mut reply).map_err(RigError::io("read from", path))?;
    Ok(reply.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |line, expected| assert_eq!(parse(line), expected, "{line}");
        check("eio-read 0 512", Some(Command::Range(Fault::EioRead, 0, 512)));
        check("enospc 5 5", None);
        check("eio-write x 5", None);
        check("delay 20", Some(Command::Delay(None, Duration::from_millis(20))));
        check("delay 20 flush", Some(Command::Delay(Some(Access::Flush), Duration::from_millis(20))));
        check("delay 20 fsck", None);
        check("flip 77 7", Some(Command::Flip(77, 7)));
        check("flip 77 8", None);
        check("cut", Some(Command::CutAt(None)));
        check("cut-at 12", Some(Command::CutAt(Some(12))));
        check("", None);
    }

    #[test]
    fn verdicts() {
        let faults = Faults {
            eio_read: vec![(1000, 2000)],
            enospc: vec![(0, 10)],
            eio_flush: true,
            cut_at: Some(9),
            ..Faults::default()
        };
        let check = |access, offset, len, seq, expected| {
            assert_eq!(
                faults.verdict(access, offset, len, seq),
                expected,
                "{access:?} {offset}+{len} at {seq}"
            );
        };
        check(Access::Read, 0, 1000, 0, Ok(()));
        check(Access::Read, 0, 1001, 0, Err(Errno::EIO));
        check(Access::Read, 1999, 5, 0, Err(Errno::EIO));
        check(Access::Read, 2000, 5, 0, Ok(()));
        check(Access::Write, 1000, 5, 0, Ok(()));
        check(Access::Write, 9, 5, 0, Err(Errno::ENOSPC));
        check(Access::Flush, 0, 0, 0, Err(Errno::EIO));
        check(Access::Read, 0, 1, 8, Ok(()));
        check(Access::Read, 0, 1, 9, Err(Errno::EIO));
    }
}
