//! Identifiers by AIS's rules (`cmn/cos/uuid.go`), so that AIS's tools accept ours. Entropy is an argument.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ClusterError, hrw};

const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ALPHANUMERIC: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const ID_BYTES_MAX: usize = 32;
const NODE_ID_BYTES_MIN: usize = 8;
const UUID_BYTES_MIN: usize = 9;

/// Letters, digits, and inner `-` or `_`.
fn is_nice(text: &str) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    bytes.len() <= ID_BYTES_MAX
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|b| plain(b) || matches!(b, b'-' | b'_'))
}

/// A letter, then letters and digits: one character per entropy byte. The bias of the modulo costs
/// a fraction of a bit per character.
fn spell(entropy: &[u8]) -> String {
    let mut out = String::with_capacity(entropy.len());
    for (i, byte) in entropy.iter().enumerate() {
        let from: &[u8] = if i == 0 { LETTERS } else { ALPHANUMERIC };
        out.push(char::from(from[usize::from(*byte) % from.len()]));
    }
    out
}

/// A node's identity: 8 to 32 letters, digits, inner `-` and `_`. Its placement digest is computed once, here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId {
    text: String,
    digest: u64,
}

impl NodeId {
    /// Checks and takes an ID.
    pub fn new(text: impl Into<String>) -> Result<Self, ClusterError> {
        let text = text.into();
        if text.len() < NODE_ID_BYTES_MIN || !is_nice(&text) {
            let expected = "8 to 32 letters, digits, inner '-' or '_'";
            return Err(ClusterError::Id { what: "node ID", got: text, expected });
        }
        let digest = hrw::digest(text.as_bytes());
        Ok(Self { text, digest })
    }

    /// A new ID of 8 characters from 8 random bytes.
    pub fn generate(entropy: [u8; 8]) -> Self {
        let text = spell(&entropy);
        let digest = hrw::digest(text.as_bytes());
        Self { text, digest }
    }

    /// The ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The digest that placement mixes with an object's (AIS: `id_digest`).
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

/// The order of the texts; the digest only follows from it.
impl Ord for NodeId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}
impl PartialOrd for NodeId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
/// As the text's, which `Borrow` asks for.
impl std::hash::Hash for NodeId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}
/// Maps keyed by ID are asked with plain text; order and equality of both are the text's.
impl std::borrow::Borrow<str> for NodeId {
    fn borrow(&self) -> &str {
        &self.text
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and takes an ID.
            pub fn new(text: impl Into<String>) -> Result<Self, ClusterError> {
                let text = text.into();
                if $valid(text.as_str()) {
                    Ok(Self(text))
                } else {
                    Err(ClusterError::Id { what: $what, got: text, expected: $expected })
                }
            }

            /// A new ID from random bytes, one character each: a letter first.
            pub fn generate(entropy: [u8; 11]) -> Self {
                Self(spell(&entropy))
            }

            /// The ID.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        text_id!(@conversions $name);
    };
    (@conversions $name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl TryFrom<String> for $name {
            type Error = ClusterError;
            fn try_from(text: String) -> Result<Self, ClusterError> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }
    };
}
text_id!(@conversions NodeId);

fn is_uuid(text: &str) -> bool {
    text.len() >= UUID_BYTES_MIN && is_nice(text)
}

/// `g` and a number: how rebalance jobs are named after the version of their metadata.
fn is_rebalance(text: &str) -> bool {
    text.strip_prefix('g')
        .is_some_and(|n| !n.is_empty() && n.len() < 20 && n.bytes().all(|b| b.is_ascii_digit()))
}

text_id!(
    /// The cluster's identity: 9 to 32 letters, digits, inner `-` and `_`.
    ClusterUuid,
    "cluster UUID",
    "9 to 32 letters, digits, inner '-' or '_'",
    is_uuid
);
text_id!(
    /// A job's identity: as a cluster's with a letter first, or `g<N>` for a rebalance.
    JobId,
    "job ID",
    "9 to 32 letters, digits, inner '-' or '_', first a letter; or g and a number",
    |text: &str| (is_uuid(text) && text.starts_with(|c: char| c.is_ascii_alphabetic())) || is_rebalance(text)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids() {
        for good in ["t1t1t1t1", "kWQp8080", "a-b_c-d_9", "12345678", &"x".repeat(32)] {
            assert_eq!(NodeId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "short12", "-1234567", "1234567_", "abc.defgh", "ab/cdefgh", "ééééé", &"x".repeat(33)]
        {
            assert!(NodeId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn uuids() {
        for good in ["kN3lq0Yx9", "Yx3l2Jk9p", "A-_-_-_-b"] {
            assert!(ClusterUuid::new(good).is_ok() && JobId::new(good).is_ok(), "{good:?}");
        }
        assert!(ClusterUuid::new("3kN3lq0Yx9").is_ok() && JobId::new("3kN3lq0Yx9").is_err());
        assert!(JobId::new("g12").is_ok() && ClusterUuid::new("g12").is_err());
        for bad in ["", "g", "gx", "12345678", "abcdefgh-", "a b c d e"] {
            assert!(JobId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn generated_ids_are_valid() {
        for byte in 0..=255u8 {
            assert!(NodeId::new(NodeId::generate([byte; 8]).as_str()).is_ok());
            assert!(JobId::new(JobId::generate([byte; 11]).as_str()).is_ok());
            assert!(ClusterUuid::new(ClusterUuid::generate([byte; 11]).as_str()).is_ok());
        }
        assert_ne!(NodeId::generate([1; 8]), NodeId::generate([2; 8]));
    }
}
