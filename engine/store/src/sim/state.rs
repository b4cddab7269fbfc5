//! The simulated file system: what is in its cache, what is durable, and what a crash leaves.

use std::collections::{BTreeMap, BTreeSet};

use super::Random;

/// What becomes of unsynced writes at a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// The process died, the host lives: all is kept, and still unsynced.
    Kept,
    /// Power loss: none reached the disk.
    Dropped,
    /// Power loss: all had reached the disk.
    Flushed,
    /// Power loss: any 512-byte sector of any write, any attribute, any name may have.
    Torn,
    /// Power loss: any whole write, attribute or name may have, in any order.
    Reordered,
}

impl Crash {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Kept, Self::Dropped, Self::Flushed, Self::Torn, Self::Reordered];

    /// Whether the host's memory is lost.
    pub fn is_power_loss(self) -> bool {
        self != Self::Kept
    }
}

const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(super) enum FileOp {
    Write(u64, Vec<u8>),
    Truncate(u64),
    Xattr(String, Vec<u8>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) data: Vec<u8>,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
}

impl Content {
    pub(super) fn apply(&mut self, op: &FileOp) {
        match op {
            FileOp::Write(offset, bytes) => {
                let (start, end) = (*offset as usize, *offset as usize + bytes.len());
                if self.data.len() < end {
                    self.data.resize(end, 0);
                }
                self.data[start..end].copy_from_slice(bytes);
            }
            FileOp::Truncate(size) => self.data.resize(*size as usize, 0),
            FileOp::Xattr(name, value) => {
                self.xattrs.insert(name.clone(), value.clone());
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Inode {
    File {
        cached: Content,
        durable: Content,
        pending: Vec<FileOp>,
        /// Operations that were pending once and are durable.
        landed: u64,
    },
    Dir {
        cached: BTreeMap<Vec<u8>, u64>,
        durable: BTreeMap<Vec<u8>, u64>,
        pending: Vec<(Vec<u8>, Option<u64>)>,
        /// The same.
        landed: u64,
    },
}

impl Inode {
    pub(super) fn file() -> Self {
        Self::File { cached: Content::default(), durable: Content::default(), pending: Vec::new(), landed: 0 }
    }
    pub(super) fn dir() -> Self {
        Self::Dir { cached: BTreeMap::new(), durable: BTreeMap::new(), pending: Vec::new(), landed: 0 }
    }

    /// Operations so far: a mark for [`land`](Self::land).
    pub(super) fn mark(&self) -> u64 {
        match self {
            Self::File { pending, landed, .. } => landed + pending.len() as u64,
            Self::Dir { pending, landed, .. } => landed + pending.len() as u64,
        }
    }

    /// Makes the last write durable and nothing before it, unless something before it is of the same bytes.
    pub(super) fn land_last(&mut self) {
        let Self::File { durable, pending, .. } = self else { return };
        let Some((FileOp::Write(offset, bytes), earlier)) = pending.split_last() else { return };
        let (start, end) = (*offset, offset + bytes.len() as u64);
        let apart = earlier.iter().all(|op| match op {
            FileOp::Write(at, other) => *at >= end || at + other.len() as u64 <= start,
            FileOp::Truncate(_) => false,
            FileOp::Xattr(..) => true,
        });
        if !apart {
            return self.land(u64::MAX);
        }
        if let Some(op) = pending.pop() {
            durable.apply(&op);
        }
    }

    /// Makes durable what was done before a mark.
    pub(super) fn land(&mut self, mark: u64) {
        match self {
            Self::File { durable, pending, landed, .. } => {
                let count = (mark.saturating_sub(*landed) as usize).min(pending.len());
                pending.drain(..count).for_each(|op| durable.apply(&op));
                *landed += count as u64;
            }
            Self::Dir { durable, pending, landed, .. } => {
                let count = (mark.saturating_sub(*landed) as usize).min(pending.len());
                for (name, child) in pending.drain(..count) {
                    match child {
                        Some(child) => durable.insert(name, child),
                        None => durable.remove(&name),
                    };
                }
                *landed += count as u64;
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) next: u64,
    pub(super) capacity: u64,
    pub(super) shares: bool,
}

pub(super) const ROOT: u64 = 1;

impl State {
    pub(super) fn new() -> Self {
        let inodes = BTreeMap::from([(ROOT, Inode::dir())]);
        Self { inodes, next: ROOT + 1, capacity: u64::MAX, shares: true }
    }

    /// The file system after a crash.
    pub(super) fn crash(&self, crash: Crash, random: &mut Random) -> Self {
        if crash == Crash::Kept {
            return self.clone();
        }
        let inodes =
            self.inodes.iter().map(|(number, inode)| (*number, survivor(inode, crash, random))).collect();
        let mut state = Self { inodes, ..self.clone() };
        state.drop_unreachable(random);
        state
    }

    /// A directory that a lost rename left in two places stays in one.
    fn drop_unreachable(&mut self, random: &mut Random) {
        let mut seen = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(number) = open.pop() {
            let Some(Inode::Dir { cached, .. }) = self.inodes.get(&number).cloned() else { continue };
            let mut entries: Vec<_> = cached.into_iter().collect();
            if random.coin() {
                entries.reverse();
            }
            for (name, child) in entries {
                let is_dir = matches!(self.inodes.get(&child), Some(Inode::Dir { .. }));
                if is_dir && !seen.insert(child) {
                    if let Some(Inode::Dir { cached, durable, .. }) = self.inodes.get_mut(&number) {
                        cached.remove(&name);
                        durable.remove(&name);
                    }
                } else {
                    seen.insert(child);
                    open.push(child);
                }
            }
        }
        self.inodes.retain(|number, _| seen.contains(number));
    }
}

fn survivor(inode: &Inode, crash: Crash, random: &mut Random) -> Inode {
    match inode {
        Inode::File { durable, pending, .. } => {
            let mut content = durable.clone();
            for op in pending {
                match (crash, op) {
                    (Crash::Dropped | Crash::Kept, _) => {}
                    (Crash::Flushed, op) => content.apply(op),
                    (Crash::Torn, FileOp::Write(offset, bytes)) => {
                        for (i, sector) in bytes.chunks(SECTOR).enumerate() {
                            if random.coin() {
                                content.apply(&FileOp::Write(offset + (i * SECTOR) as u64, sector.to_vec()));
                            }
                        }
                    }
                    (Crash::Torn | Crash::Reordered, op) => {
                        if random.coin() {
                            content.apply(op);
                        }
                    }
                }
            }
            Inode::File { cached: content.clone(), durable: content, pending: Vec::new(), landed: 0 }
        }
        Inode::Dir { durable, pending, .. } => {
            let mut entries = durable.clone();
            for (name, child) in pending {
                let lands = match crash {
                    Crash::Dropped | Crash::Kept => false,
                    Crash::Flushed => true,
                    Crash::Torn | Crash::Reordered => random.coin(),
                };
                match (lands, child) {
                    (true, Some(child)) => {
                        entries.insert(name.clone(), *child);
                    }
                    (true, None) => {
                        entries.remove(name);
                    }
                    (false, _) => {}
                }
            }
            Inode::Dir { cached: entries.clone(), durable: entries, pending: Vec::new(), landed: 0 }
        }
    }
}
