//! How an object's bytes reach the client: one decision from what is known of object and connection. Pure.
//!
//! Measured on one core (`docs/decisions/0017-get-strategies.md`): bytes in memory beat everything up to 64 KiB, sendfile
//! of what is in the page cache from there on, and reads past the page cache beat reads through it where the disk is asked.

use crate::disk::Residency;

/// Shorter ranges are copied: two more system calls cost more than the copy.
pub(super) const SENDFILE_BYTES_MIN: u64 = 16 << 10;

/// The ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Strategy {
    /// Head and body from memory in one send.
    Memory,
    /// From the page cache to the socket within the kernel. Nothing is checked on the way, so it was before.
    Sendfile,
    /// Read through the page cache and checked: what is there, or is to be there for the next time.
    Cached,
    /// Read past the page cache and checked, the next piece while the last one is sent.
    Direct,
    /// The same, sent without copying.
    ZeroCopy,
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Bytes asked for.
    pub(crate) bytes: u64,
    /// The object's bytes are in memory.
    pub(crate) in_memory: bool,
    /// What the page cache has of the bytes asked for.
    pub(crate) residency: Residency,
    /// All of the object was checked when it was in the page cache.
    pub(crate) checked: bool,
    /// What the page cache lacks of it is to be brought there.
    pub(crate) promote: bool,
    /// What the connection can do.
    pub(crate) transport: Transport,
}

/// What a connection can do beside sending bytes from memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Transport {
    /// The kernel may take a file's pages as they are.
    pub(crate) sendfile: bool,
    /// The network card may take them from our memory.
    pub(crate) zero_copy: bool,
}

/// The way for one request.
pub(crate) fn choose(facts: Facts) -> Strategy {
    match facts.residency {
        _ if facts.in_memory => Strategy::Memory,
        Residency::Whole
            if facts.checked && facts.transport.sendfile && facts.bytes >= SENDFILE_BYTES_MIN =>
        {
            Strategy::Sendfile
        }
        Residency::Whole => Strategy::Cached,
        Residency::Part | Residency::Evicted if facts.promote => Strategy::Cached,
        Residency::Part | Residency::Evicted if facts.transport.zero_copy => Strategy::ZeroCopy,
        Residency::Part | Residency::Evicted => Strategy::Direct,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices() {
        use Residency::{Evicted, Part, Whole};
        use Strategy as S;
        let plain = Transport { sendfile: true, zero_copy: false };
        let card = Transport { sendfile: true, zero_copy: true };
        let neither = Transport { sendfile: false, zero_copy: false };
        let check = |bytes, in_memory, residency, checked, promote, transport, expected| {
            let facts = Facts { bytes, in_memory, residency, checked, promote, transport };
            assert_eq!(choose(facts), expected, "{facts:?}");
        };
        let (small, large) = (4096, 1 << 20);
        for transport in [plain, card, neither] {
            check(small, true, Part, false, true, transport, S::Memory);
            check(large, false, Whole, false, true, transport, S::Cached);
            check(large, false, Part, true, true, transport, S::Cached);
            check(small, false, Whole, true, true, transport, S::Cached);
        }
        check(large, false, Whole, true, true, plain, S::Sendfile);
        check(large, false, Whole, true, true, neither, S::Cached);
        check(large, false, Part, false, false, plain, S::Direct);
        check(large, false, Part, false, false, card, S::ZeroCopy);
        check(large, false, Evicted, true, true, plain, S::Cached);
        check(large, false, Evicted, true, false, plain, S::Direct);
        check(small, false, Evicted, false, false, card, S::ZeroCopy);
    }
}
