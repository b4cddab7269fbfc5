//! Values of names: `vVERSION:SIZE:CUSTOM`, and the bytes that a name has at a version.

use std::fmt;
use weir_faultdisk::rng::Rng;

/// What a name holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    /// Counts the writes of the name.
    pub(crate) version: u64,
    /// Bytes.
    pub(crate) size: u64,
    /// Counts the changes of its custom metadata since.
    pub(crate) custom: u64,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}:{}:{}", self.version, self.size, self.custom)
    }
}

/// The bytes of `name` at `version`.
pub(crate) fn bytes(name: &str, version: u64, size: u64) -> Vec<u8> {
    let seed = name.bytes().fold(version.wrapping_mul(0x9e37_79b9), |h, b| h.wrapping_mul(33) ^ u64::from(b));
    Rng::new(seed).bytes(size as usize)
}
