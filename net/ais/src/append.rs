use std::fmt;

use weir_cluster::NodeId;
use weir_types::checksum;
use weir_types::limits::PARTS_MAX;
use weir_types::{Checksum, ChecksumKind};

use crate::AisError;

/// Hex digits of a digest.
const DIGEST_CHARS: usize = 16;

/// What an append answers and the next one gives back: `node|upload|parts|digest`. AIS's has four parts of the same
/// first one (`ais/tgtobj.go`, `apndOI.pack`); to clients it is opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendHandle {
    /// The target that answered. The name may have another owner since.
    pub node: NodeId,
    /// The upload whose parts are what was appended.
    pub upload: String,
    /// How many parts were acknowledged.
    pub parts: u32,
    /// Sizes and checksums of these parts, one after the other.
    digest: u64,
}

impl AppendHandle {
    /// Of an upload without parts.
    pub fn new(node: NodeId, upload: String) -> Self {
        Self { node, upload, parts: 0, digest: 0 }
    }

    /// The handle after one more part, which has `size` bytes and this checksum.
    pub fn with_part(&self, size: u64, sum: &Checksum) -> Self {
        let mut bytes = [self.digest.to_be_bytes(), size.to_be_bytes()].concat();
        bytes.extend_from_slice(&sum.value);
        let digest = checksum::of(ChecksumKind::XxHash2, &bytes).value;
        let digest = digest.iter().fold(0, |digest, byte| digest << 8 | u64::from(*byte));
        Self { parts: self.parts.saturating_add(1), digest, ..self.clone() }
    }

    /// What was acknowledged, whoever answered: of one upload, two handles that say the same stand for the same bytes.
    pub fn acknowledged(&self) -> String {
        format!("{}|{:016x}", self.parts, self.digest)
    }

    /// Reads the four parts.
    pub fn parse(text: &str) -> Result<Self, AisError> {
        Self::read(text).ok_or_else(|| {
            AisError::Bad(format!(
                "invalid append handle {text:?}: expected node|upload|parts|digest, as an append answers it"
            ))
        })
    }

    fn read(text: &str) -> Option<Self> {
        let items: Vec<&str> = text.splitn(5, '|').collect();
        let [node, upload, parts, digest] = items[..] else { return None };
        let node = NodeId::new(node).ok()?;
        let parts = parts.parse().ok().filter(|parts| *parts <= PARTS_MAX)?;
        let is_hex = digest.len() == DIGEST_CHARS && digest.bytes().all(|b| b.is_ascii_hexdigit());
        let digest = is_hex.then(|| u64::from_str_radix(digest, 16).ok())??;
        (!upload.is_empty()).then(|| Self { node, upload: upload.into(), parts, digest })
    }
}

impl fmt::Display for AppendHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|{}", self.node, self.upload, self.acknowledged())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> Checksum {
        checksum::of(ChecksumKind::Crc32c, bytes)
    }

    fn of(parts: &[&[u8]]) -> AppendHandle {
        let begun = AppendHandle::new(NodeId::new("t1t1t1t1").unwrap(), "0a1b".into());
        parts.iter().fold(begun, |handle, part| handle.with_part(part.len() as u64, &sum(part)))
    }

    #[test]
    fn come_back_as_they_were() {
        assert_eq!(of(&[]).to_string(), "t1t1t1t1|0a1b|0|0000000000000000");
        let cases: [&[&[u8]]; 3] = [&[], &[b"a"], &[b"a", b"", b"bc"]];
        for parts in cases {
            let handle = of(parts);
            assert_eq!(handle.parts as usize, parts.len());
            assert_eq!(AppendHandle::parse(&handle.to_string()), Ok(handle));
        }
    }

    #[test]
    fn stand_for_their_parts_alone() {
        assert_eq!(of(&[b"a", b"b"]), of(&[b"a", b"b"]));
        let others: [&[&[u8]]; 5] = [&[b"a"], &[b"ab"], &[b"b", b"a"], &[b"a", b"c"], &[b"a", b"b", b""]];
        for other in others {
            assert_ne!(of(&[b"a", b"b"]), of(other), "{other:?}");
        }
    }

    #[test]
    fn refused() {
        for bad in [
            "",
            "nonsense",
            "|||",
            "t1t1t1t1|0a1b|0",
            "t1t1t1t1|0a1b|0|",
            "t1t1t1t1|0a1b|0|0000000000000000|",
            "t1t1t1t1||0|0000000000000000",
            "t1|0a1b|0|0000000000000000",
            "t1t1t1t1|0a1b|-1|0000000000000000",
            "t1t1t1t1|0a1b|x|0000000000000000",
            "t1t1t1t1|0a1b|10001|0000000000000000",
            "t1t1t1t1|0a1b|0|000000000000000",
            "t1t1t1t1|0a1b|0|+000000000000000",
            "t1t1t1t1|wk/x|xxhash2|AAA=",
        ] {
            let refused = AppendHandle::parse(bad).unwrap_err();
            assert_eq!(refused.status(), 400, "{bad}");
            assert!(refused.to_string().contains(&format!("{bad:?}: expected node|upload|parts|digest")));
        }
    }
}
