use serde::{Deserialize, Serialize};

use crate::limits::CUSTOM_META_BYTES_MAX;

/// What keys begin with whose pairs are the server's own: clients neither see nor set them.
pub const RESERVED_META_PREFIX: &str = "weir.";

/// Custom metadata of an object: ordered key/value pairs, at most 2 KiB in all (keys and values). The server's own pairs
/// are counted apart, so that they take nothing from what a client may have, and have the same bound.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CustomMeta(Vec<(String, String)>);

/// Why a pair is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CustomMetaError {
    /// A key is empty.
    #[error("custom metadata key is empty")]
    EmptyKey,
    /// A key or value holds a control byte that the record cannot carry.
    #[error("custom metadata {key:?} holds a control character")]
    Control {
        /// The key concerned.
        key: String,
    },
    /// All pairs together are too large.
    #[error("custom metadata has {got} bytes: expected at most {CUSTOM_META_BYTES_MAX}")]
    TooLarge {
        /// Bytes of all keys and values.
        got: usize,
    },
}

impl CustomMeta {
    /// Adds or replaces a pair, keeping the order of first arrival.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) -> Result<(), CustomMetaError> {
        let (key, value) = (key.into(), value.into());
        if key.is_empty() {
            return Err(CustomMetaError::EmptyKey);
        }
        if key.chars().chain(value.chars()).any(|c| c.is_control() && c != '\t') {
            return Err(CustomMetaError::Control { key });
        }
        let own = is_reserved(&key);
        let others = self.0.iter().filter(|(k, _)| is_reserved(k) == own && *k != key);
        let got = others.map(bytes_of).sum::<usize>() + key.len() + value.len();
        if got > CUSTOM_META_BYTES_MAX {
            return Err(CustomMetaError::TooLarge { got });
        }
        match self.0.iter_mut().find(|(k, _)| *k == key) {
            Some(pair) => pair.1 = value,
            None => self.0.push((key, value)),
        }
        Ok(())
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Removes a pair.
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(k, _)| k != key);
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(bytes_of).sum()
    }
}

fn is_reserved(key: &str) -> bool {
    key.starts_with(RESERVED_META_PREFIX)
}

fn bytes_of((key, value): &(String, String)) -> usize {
    key.len() + value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_replaces_and_bounds() {
        let mut m = CustomMeta::default();
        m.set("a", "1").unwrap();
        m.set("b", "2").unwrap();
        m.set("a", "3").unwrap();
        assert_eq!(m.iter().collect::<Vec<_>>(), [("a", "3"), ("b", "2")]);
        assert_eq!(m.set("", "x"), Err(CustomMetaError::EmptyKey));
        assert!(m.set("c", "x\u{1}").is_err());
        m.set("a", "x".repeat(2045)).unwrap();
        assert_eq!(m.set("c", "1"), Err(CustomMetaError::TooLarge { got: 2050 }));
        // The server's own pairs neither take from the client's bound nor add to it.
        m.set("weir.a", "x".repeat(2042)).unwrap();
        assert_eq!(m.set("weir.b", "1"), Err(CustomMetaError::TooLarge { got: 2055 }));
        assert_eq!(m.set("c", "1"), Err(CustomMetaError::TooLarge { got: 2050 }));
        assert_eq!(m.bytes(), 2048 + 2048);
    }
}
