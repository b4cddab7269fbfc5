//! What a node's memory may come to, by its limits: named at start, part by part.

use std::fmt;

use weir_types::limits;

/// Bytes that the parts of a node may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MemoryBounds {
    /// I/O buffers of all shards.
    pub(crate) io_buffers: usize,
    /// Listing indexes.
    pub(crate) indexes: usize,
    /// Small objects on their way to the committers of all mountpaths.
    pub(crate) to_commit: usize,
    /// Small objects that are in a journal and not yet in their files, of all mountpaths.
    pub(crate) journaled: usize,
    /// Small objects in demand.
    pub(crate) hot: usize,
    /// Connections of clients of all shards.
    pub(crate) connections: usize,
    /// What each of them takes at most.
    pub(crate) connection: usize,
}

impl MemoryBounds {
    /// Those of a node with so many shards, buffers for each, and mountpaths, that keeps `hot` bytes of objects in demand.
    pub(crate) fn of(shards: usize, buffers: usize, mountpaths: usize, hot: usize) -> Self {
        Self {
            io_buffers: shards * buffers * limits::IO_BUFFER_BYTES,
            indexes: limits::LIST_INDEX_BYTES_MAX,
            to_commit: mountpaths * limits::COMMIT_BODIES_BYTES_MAX,
            journaled: mountpaths * limits::JOURNAL_UNFILED_BYTES_MAX,
            hot,
            connections: shards * limits::CONNECTIONS_MAX,
            // Its head, and what of a body came with it.
            connection: limits::HEAD_BYTES_MAX + (64 << 10),
        }
    }

    /// All of it, connections apart: how many there are is the clients' doing.
    fn sum(&self) -> usize {
        self.io_buffers + self.indexes + self.to_commit + self.journaled + self.hot
    }
}

impl fmt::Display for MemoryBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { io_buffers, indexes, to_commit, journaled, hot, connections, connection } = self;
        write!(
            f,
            "{} MiB ({} MiB I/O buffers, {} MiB listing indexes, {} MiB small objects on their way to the disks, {} MiB journaled \
             objects, {} MiB objects in demand) and {connections} connections of up to {} KiB",
            self.sum() >> 20,
            io_buffers >> 20,
            indexes >> 20,
            to_commit >> 20,
            journaled >> 20,
            hot >> 20,
            connection >> 10,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_has_every_part() {
        let text = MemoryBounds::of(2, 8, 3, 64 << 20).to_string();
        let (sum, parts) = text.split_once(" MiB (").unwrap();
        let (parts, _) = parts.split_once(')').unwrap();
        let numbers = parts.split(", ").map(|part| part.split(' ').next().unwrap().parse::<usize>().unwrap());
        assert_eq!(sum.parse::<usize>().unwrap(), numbers.sum::<usize>(), "{text}");
        // A full queue of the largest bodies that stay in memory, and a batch, for each of three mountpaths.
        assert!(text.contains("780 MiB small objects on their way to the disks"), "{text}");
        assert!(text.contains("20000 connections of up to 96 KiB"), "{text}");
    }
}
