//! A FUSE server for three names: the root, `disk` (the image) and `seq` (the number of records so far, in decimal).
//!
//! Speaks the kernel's protocol on `/dev/fuse` itself, version 7.31. Files are opened for direct I/O, so that neither
//! reads nor writes stay in the page cache of the FUSE file: what the loop device writes is here when it is answered.
//! Source: the kernel's include/uapi/linux/fuse.h.

use crate::RigError;
use crate::ctl::Access;
use crate::disk::Recorded;
use crate::log::WRITE_BYTES_MAX;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs::{File, OpenOptions};
use std::io::{IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

const HEADER_BYTES: usize = 40;
const WRITE_HEADER_BYTES: usize = 40;
const ROOT: u64 = 1;
const DISK: u64 = 2;
const SEQ: u64 = 3;
/// Names and attributes never change: the kernel may keep them this many seconds.
const VALID_SECONDS: u64 = 3600;
/// Digits of a sequence, padded, so that the size of `seq` never changes.
const SEQ_BYTES: usize = 20;

mod op {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const SETATTR: u32 = 4;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const WRITE: u32 = 16;
    pub(super) const STATFS: u32 = 17;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FSYNC: u32 = 20;
    pub(super) const FLUSH: u32 = 25;
    pub(super) const INIT: u32 = 26;
    pub(super) const OPENDIR: u32 = 27;
    pub(super) const READDIR: u32 = 28;
    pub(super) const RELEASEDIR: u32 = 29;
    pub(super) const FSYNCDIR: u32 = 30;
    pub(super) const INTERRUPT: u32 = 36;
    pub(super) const DESTROY: u32 = 38;
    pub(super) const BATCH_FORGET: u32 = 42;
}

/// A mounted disk; dropping it unmounts.
#[derive(Debug)]
pub struct Served {
    mount_point: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Mounts `disk` at the existing directory `mount_point` and serves it on a thread.
    pub fn start(mount_point: &Path, disk: Arc<Mutex<Recorded>>) -> Result<Self, RigError> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(RigError::io("open", "/dev/fuse"))?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,max_read={WRITE_BYTES_MAX}",
            device.as_raw_fd()
        );
        mount(Some("faultdisk"), mount_point, Some("fuse"), MsFlags::empty(), Some(options.as_str()))
            .map_err(RigError::io("mount", mount_point))?;
        let thread = std::thread::Builder::new().name("faultdisk".into()).spawn(move || {
            Server { device, disk }.run();
        });
        let thread = thread.map_err(RigError::io("start a thread for", mount_point))?;
        Ok(Self { mount_point: mount_point.to_owned(), thread: Some(thread) })
    }

    /// The image as a file.
    pub fn disk(&self) -> PathBuf {
        self.mount_point.join("disk")
    }

    /// The file that holds the number of records so far.
    pub fn seq(&self) -> PathBuf {
        self.mount_point.join("seq")
    }

    /// Serves until somebody else unmounts.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Lazily: after an error the kernel may still hold the file. The server ends when it lets go, so only an
            // unmount that left nothing behind can be waited for.
            if umount2(&self.mount_point, MntFlags::empty()).is_ok() {
                let _ = thread.join();
            } else {
                let _ = umount2(&self.mount_point, MntFlags::MNT_DETACH);
            }
        }
    }
}

struct Server {
    device: File,
    disk: Arc<Mutex<Recorded>>,
}

enum Answer {
    Data(Vec<u8>),
    Error(Errno),
    Nothing,
    End,
}

impl Server {
    fn run(mut self) {
        let mut buffer = vec![0; WRITE_BYTES_MAX as usize + 4096];
        loop {
            let len = match self.device.read(&mut buffer) {
                Ok(len) => len,
                Err(e) if e.raw_os_error() == Some(Errno::ENODEV as i32) => return,
                // Interrupted, or a request that was withdrawn while it was read.
                Err(_) => continue,
            };
            let request = &buffer[..len];
            let (Some(opcode), Some(unique), Some(node)) =
                (u32_at(request, 4), u64_at(request, 8), u64_at(request, 16))
            else {
                continue;
            };
            let answer = self.answer(opcode, node, request.get(HEADER_BYTES..).unwrap_or(&[]));
            let (error, data) = match answer {
                Answer::Data(data) => (0, data),
                Answer::Error(e) => (-(e as i32), Vec::new()),
                Answer::Nothing => continue,
                Answer::End => return,
            };
            let mut head = Vec::with_capacity(16);
            head.extend_from_slice(&(16 + data.len() as u32).to_le_bytes());
            head.extend_from_slice(&error.to_le_bytes());
            head.extend_from_slice(&unique.to_le_bytes());
            // The request may have been withdrawn: then nobody waits for the answer.
            let _ = self.device.write_vectored(&[IoSlice::new(&head), IoSlice::new(&data)]);
        }
    }

    fn disk(&self) -> MutexGuard<'_, Recorded> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, opcode: u32, node: u64, body: &[u8]) -> Answer {
        match opcode {
            op::INIT => Answer::Data(init()),
            op::LOOKUP => self.lookup(node, body),
            op::GETATTR | op::SETATTR => {
                let mut out = fields(&[VALID_SECONDS, 0]);
                out.extend(self.attributes(node));
                Answer::Data(out)
            }
            // fh, then FOPEN_DIRECT_IO for files.
            op::OPEN => Answer::Data(fields(&[0, 1])),
            op::OPENDIR => Answer::Data(fields(&[0, 0])),
            op::READ => self.read(node, body),
            op::WRITE if node == DISK => self.write(body),
            op::FSYNC if node == DISK => self.flush(),
            op::FSYNC | op::FLUSH | op::RELEASE | op::RELEASEDIR | op::FSYNCDIR | op::READDIR => {
                Answer::Data(Vec::new())
            }
            op::STATFS => Answer::Data(statfs()),
            op::FORGET | op::INTERRUPT | op::BATCH_FORGET => Answer::Nothing,
            op::DESTROY => Answer::End,
            _ => Answer::Error(Errno::ENOSYS),
        }
    }

    fn lookup(&self, parent: u64, body: &[u8]) -> Answer {
        let name = body.split(|b| *b == 0).next().unwrap_or(&[]);
        let node = match (parent, name) {
            (ROOT, b"disk") => DISK,
            (ROOT, b"seq") => SEQ,
            _ => return Answer::Error(Errno::ENOENT),
        };
        let mut out = fields(&[node, 0, VALID_SECONDS, VALID_SECONDS, 0]);
        out.extend(self.attributes(node));
        Answer::Data(out)
    }

    fn attributes(&self, node: u64) -> Vec<u8> {
        let (mode, size, links): (u32, u64, u32) = match node {
            ROOT => (0o040_755, 0, 2),
            SEQ => (0o100_444, SEQ_BYTES as u64, 1),
            _ => (0o100_600, self.disk().size(), 1),
        };
        let mut out = fields(&[node, size, size / 512, 0, 0, 0]);
        for n in [0, 0, 0, mode, links, 0, 0, 0, 4096, 0] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out
    }

    /// Waits as the faults say, without holding the disk.
    fn wait(&self, access: Access) {
        let delay = self.disk().delay(access);
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
    }

    fn read(&self, node: u64, body: &[u8]) -> Answer {
        let (Some(offset), Some(len)) = (u64_at(body, 8), u32_at(body, 16)) else {
            return Answer::Error(Errno::EINVAL);
        };
        if node == SEQ {
            let text = format!("{:>width$}\n", self.disk().seq(), width = SEQ_BYTES - 1).into_bytes();
            let from = text.len().min(offset as usize);
            return Answer::Data(text[from..].to_vec());
        }
        self.wait(Access::Read);
        match self.disk().read(offset, len.min(WRITE_BYTES_MAX) as usize) {
            Ok(data) => Answer::Data(data),
            Err(e) => Answer::Error(e),
        }
    }

    fn write(&self, body: &[u8]) -> Answer {
        let (Some(offset), Some(len)) = (u64_at(body, 8), u32_at(body, 16)) else {
            return Answer::Error(Errno::EINVAL);
        };
        let Some(data) = body.get(WRITE_HEADER_BYTES..WRITE_HEADER_BYTES + len as usize) else {
            return Answer::Error(Errno::EINVAL);
        };
        self.wait(Access::Write);
        match self.disk().write(offset, data) {
            Ok(()) => Answer::Data(fields(&[u64::from(len)])),
            Err(e) => Answer::Error(e),
        }
    }

    fn flush(&self) -> Answer {
        self.wait(Access::Flush);
        match self.disk().flush() {
            Ok(()) => Answer::Data(Vec::new()),
            Err(e) => Answer::Error(e),
        }
    }
}

/// The reply to INIT: writes of up to 1 MiB, no write-back cache, no asynchronous direct I/O.
fn init() -> Vec<u8> {
    const BIG_WRITES: u32 = 1 << 5;
    const MAX_PAGES: u32 = 1 << 22;
    let mut out = Vec::with_capacity(64);
    for n in [7, 31, 128 << 10, BIG_WRITES | MAX_PAGES] {
        out.extend_from_slice(&u32::to_le_bytes(n));
    }
    for n in [16u16, 12] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    for n in [WRITE_BYTES_MAX, 1] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    for n in [(WRITE_BYTES_MAX / 4096) as u16, 0] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    out.resize(64, 0);
    out
}

fn statfs() -> Vec<u8> {
    let mut out = fields(&[1 << 20, 1 << 20, 1 << 20, 100, 100]);
    for n in [4096u32, 255, 4096, 0] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    out.resize(80, 0);
    out
}

fn fields(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
