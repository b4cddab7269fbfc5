use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::OBJECT_NAME_BYTES_MAX;

/// An object's name exactly as the client sent it after percent-decoding: UTF-8, 1 to 1024 bytes, no NUL.
/// It is never a path: the store decides how a file system can hold it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectName(String);

/// Why bytes are no object name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectNameError {
    /// Nothing came.
    #[error("object name is empty: expected 1 to {OBJECT_NAME_BYTES_MAX} bytes")]
    Empty,
    /// Too long.
    #[error("object name has {got} bytes: expected at most {OBJECT_NAME_BYTES_MAX}")]
    TooLong {
        /// Bytes that came.
        got: usize,
    },
    /// Not UTF-8.
    #[error("object name is not UTF-8 from byte {at}")]
    NotUtf8 {
        /// First bad byte.
        at: usize,
    },
    /// Holds NUL, which neither a file system nor XML can hold.
    #[error("object name holds a NUL byte at {at}")]
    Nul {
        /// Where.
        at: usize,
    },
}

impl ObjectName {
    /// Checks and takes a name.
    pub fn new(text: impl Into<String>) -> Result<Self, ObjectNameError> {
        let text = text.into();
        if text.is_empty() {
            return Err(ObjectNameError::Empty);
        }
        if text.len() > OBJECT_NAME_BYTES_MAX {
            return Err(ObjectNameError::TooLong { got: text.len() });
        }
        if let Some(at) = text.bytes().position(|b| b == 0) {
            return Err(ObjectNameError::Nul { at });
        }
        Ok(Self(text))
    }

    /// Checks and takes a name from raw bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ObjectNameError> {
        let text =
            std::str::from_utf8(bytes).map_err(|e| ObjectNameError::NotUtf8 { at: e.valid_up_to() })?;
        Self::new(text)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for ObjectName {
    type Error = ObjectNameError;
    fn try_from(text: String) -> Result<Self, ObjectNameError> {
        Self::new(text)
    }
}
impl From<ObjectName> for String {
    fn from(name: ObjectName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_as_sent() {
        for good in ["a", "/", "..", "a//b", "a/../b", "dir/", "\u{1}", "ж", &"n".repeat(1024)] {
            assert_eq!(ObjectName::from_bytes(good.as_bytes()).unwrap().as_str(), good);
        }
        assert_eq!(ObjectName::new(""), Err(ObjectNameError::Empty));
        assert_eq!(ObjectName::new("n".repeat(1025)), Err(ObjectNameError::TooLong { got: 1025 }));
        assert_eq!(ObjectName::new("a\0"), Err(ObjectNameError::Nul { at: 1 }));
        assert_eq!(ObjectName::from_bytes(b"a\xc0\xaf"), Err(ObjectNameError::NotUtf8 { at: 1 }));
    }
}
