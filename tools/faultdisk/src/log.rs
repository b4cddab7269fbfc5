//! The log of a disk: every write with its bytes and every flush, in the order in which the disk received them.
//!
//! Form: the magic, then records of kind (1 byte), sequence (8), offset (8), length (4), all little-endian, followed by
//! the bytes of a write. Sequences count from 1 without a gap, so record `n` is the `n`-th.

use crate::RigError;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"weirfdl1";
const HEAD_BYTES: u64 = 21;
/// Longest write the server accepts, in bytes: what one FUSE request may carry.
pub const WRITE_BYTES_MAX: u32 = 1 << 20;

/// What a record says the disk received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes that may still be in the volatile cache.
    Write,
    /// Everything before it is on the medium.
    Flush,
}

/// One record, without the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log, from 1.
    pub seq: u64,
    /// Write or flush.
    pub kind: Kind,
    /// First byte on the disk; 0 for a flush.
    pub offset: u64,
    /// Bytes written; 0 for a flush.
    pub len: u32,
    /// Where in the log file the bytes stand.
    at: u64,
}

/// Appends records.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    seq: u64,
}

impl Writer {
    /// A new, empty log in place of what was at `path`.
    pub fn create(path: &Path) -> Result<Self, RigError> {
        let mut file = File::create(path).map_err(RigError::io("create", path))?;
        file.write_all(MAGIC).map_err(RigError::io("write", path))?;
        Ok(Self { file, path: path.to_owned(), seq: 0 })
    }

    /// Records so far.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Appends a write of `data` at `offset`.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), RigError> {
        self.append(1, offset, data)
    }

    /// Appends a flush.
    pub fn flush(&mut self) -> Result<(), RigError> {
        self.append(2, 0, &[])
    }

    fn append(&mut self, kind: u8, offset: u64, data: &[u8]) -> Result<(), RigError> {
        let seq = self.seq + 1;
        let mut record = Vec::with_capacity(HEAD_BYTES as usize + data.len());
        record.push(kind);
        record.extend_from_slice(&seq.to_le_bytes());
        record.extend_from_slice(&offset.to_le_bytes());
        record.extend_from_slice(&(data.len() as u32).to_le_bytes());
        record.extend_from_slice(data);
        self.file.write_all(&record).map_err(RigError::io("write", &self.path))?;
        self.seq = seq;
        Ok(())
    }
}

/// A whole log: its records in memory, their bytes in the file.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
    records: Vec<Record>,
}

impl Log {
    /// Reads the records of the log at `path`.
    pub fn open(path: &Path) -> Result<Self, RigError> {
        let file = File::open(path).map_err(RigError::io("open", path))?;
        let size = file.metadata().map_err(RigError::io("stat", path))?.len();
        let broken = |at, expected| RigError::Log { path: path.to_owned(), at, expected };
        let mut reader = BufReader::with_capacity(1 << 20, &file);
        let mut magic = [0; 8];
        reader.read_exact(&mut magic).map_err(|_| broken(0, "a log's magic"))?;
        if &magic != MAGIC {
            return Err(broken(0, "a log's magic"));
        }
        let mut records = Vec::new();
        let mut at = MAGIC.len() as u64;
        while at < size {
            let mut head = [0; HEAD_BYTES as usize];
            reader.read_exact(&mut head).map_err(|_| broken(at, "a whole record head"))?;
            let seq = number(&head, 1, 8);
            let (offset, len) = (number(&head, 9, 8), number(&head, 17, 4) as u32);
            let kind = match head[0] {
                1 if len <= WRITE_BYTES_MAX => Kind::Write,
                2 if len == 0 => Kind::Flush,
                _ => return Err(broken(at, "a write of at most 1 MiB or a flush")),
            };
            if seq != records.len() as u64 + 1 || at + HEAD_BYTES + u64::from(len) > size {
                return Err(broken(at, "the next sequence and all its bytes"));
            }
            records.push(Record { seq, kind, offset, len, at: at + HEAD_BYTES });
            at += HEAD_BYTES + u64::from(len);
            reader.seek_relative(i64::from(len)).map_err(RigError::io("seek", path))?;
        }
        Ok(Self { file, path: path.to_owned(), records })
    }

    /// Every record in order; record `n` is at index `n - 1`.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The bytes of a write.
    pub fn data(&self, record: &Record) -> Result<Vec<u8>, RigError> {
        let mut data = vec![0; record.len as usize];
        self.file.read_exact_at(&mut data, record.at).map_err(RigError::io("read", &self.path))?;
        Ok(data)
    }
}

fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes.iter().skip(at).take(len).rev().fold(0, |n, b| (n << 8) | u64::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut w = Writer::create(&path).unwrap();
        w.write(4096, b"abc").unwrap();
        w.flush().unwrap();
        w.write(0, b"").unwrap();
        assert_eq!(w.seq(), 3);
        let log = Log::open(&path).unwrap();
        let seen: Vec<_> = log.records().iter().map(|r| (r.seq, r.kind, r.offset, r.len)).collect();
        assert_eq!(seen, [(1, Kind::Write, 4096, 3), (2, Kind::Flush, 0, 0), (3, Kind::Write, 0, 0)]);
        assert_eq!(log.data(&log.records()[0]).unwrap(), b"abc");
    }

    #[test]
    fn damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut w = Writer::create(&path).unwrap();
        w.write(0, b"abcdef").unwrap();
        let whole = std::fs::read(&path).unwrap();
        let check = |bytes: &[u8], at: u64| {
            std::fs::write(&path, bytes).unwrap();
            match Log::open(&path) {
                Err(RigError::Log { at: found, .. }) => assert_eq!(found, at),
                other => panic!("{other:?}"),
            }
        };
        check(&whole[..4], 0);
        check(b"another!", 0);
        check(&whole[..20], 8);
        check(&whole[..whole.len() - 1], 8);
        let mut kind = whole.clone();
        kind[8] = 9;
        check(&kind, 8);
        let mut seq = whole;
        seq[9] = 5;
        check(&seq, 8);
    }
}
