use std::fmt;

use weir_types::limits::FILE_COMPONENT_BYTES_MAX;

/// Longest path below a mountpath, in bytes: the kernel's PATH_MAX less its NUL.
const PATH_BYTES_MAX: usize = 4095;

/// A path relative to a mountpath's root: checked components joined by `/`; empty is the root itself.
/// A component is 1 to 255 bytes, neither `.` nor `..`, without `/` and NUL, so no path leaves the mountpath.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct DiskPath(Vec<u8>);

/// Why bytes are no component of a path, or a path is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The component cannot be a file's name.
    #[error("path component of {bytes} bytes: expected 1 to 255 without '/', NUL, and neither '.' nor '..'")]
    Component {
        /// Its length.
        bytes: usize,
    },
    /// The whole path is too long.
    #[error("path of {bytes} bytes: expected at most {PATH_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// Whether a file system can hold `component` as a name.
pub(crate) fn is_component(component: &[u8]) -> bool {
    (1..=FILE_COMPONENT_BYTES_MAX).contains(&component.len())
        && component != b"."
        && component != b".."
        && !component.iter().any(|b| *b == b'/' || *b == 0)
}

impl DiskPath {
    /// The mountpath's own directory.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The path with one more component.
    pub fn join(&self, component: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let component = component.as_ref();
        if !is_component(component) {
            return Err(PathError::Component { bytes: component.len() });
        }
        let mut path = Vec::with_capacity(self.0.len() + 1 + component.len());
        path.extend_from_slice(&self.0);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
        if path.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong { bytes: path.len() });
        }
        Ok(Self(path))
    }

    /// The path with every component of `below`, split at `/`.
    pub fn join_all(&self, below: impl AsRef<[u8]>) -> Result<Self, PathError> {
        below.as_ref().split(|b| *b == b'/').try_fold(self.clone(), |path, component| path.join(component))
    }

    /// The bytes, components joined by `/`; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the mountpath's own directory.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components from the root down.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|c| !c.is_empty())
    }

    /// The directory that holds it; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let cut = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(self.0.get(..cut).unwrap_or_default().to_vec()))
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|b| *b == b'/').next().unwrap_or_default()
    }

    /// Whether `self` is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        ancestor.is_root()
            || self.0 == ancestor.0
            || (self.0.starts_with(&ancestor.0) && self.0.get(ancestor.0.len()) == Some(&b'/'))
    }
}

impl fmt::Display for DiskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str(".") } else { f.write_str(&String::from_utf8_lossy(&self.0)) }
    }
}
impl fmt::Debug for DiskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_checked() {
        let root = DiskPath::root();
        for bad in ["", ".", "..", "a/b", "a\0", &"x".repeat(256)] {
            assert!(root.join(bad).is_err(), "{bad:?}");
        }
        for bad in ["a//b", "/a", "a/", "../x", "a/./b"] {
            assert!(root.join_all(bad).is_err(), "{bad:?}");
        }
        let p = root.join_all("a/b/c").unwrap();
        assert_eq!(p.as_bytes(), b"a/b/c");
        assert_eq!(p.file_name(), b"c");
        assert_eq!(p.parent().unwrap().as_bytes(), b"a/b");
        assert_eq!(root.join("a").unwrap().parent(), Some(DiskPath::root()));
        assert_eq!(root.parent(), None);
        assert!(p.is_within(&root.join("a").unwrap()) && p.is_within(&root) && p.is_within(&p));
        assert!(!root.join("ab").unwrap().is_within(&root.join("a").unwrap()));
        assert_eq!(p.components().count(), 3);
        assert_eq!(root.components().count(), 0);
    }

    #[test]
    fn length_is_bound() {
        let mut p = DiskPath::root();
        while p.as_bytes().len() + 256 <= PATH_BYTES_MAX {
            p = p.join("y".repeat(255)).unwrap();
        }
        assert_eq!(p.join("z".repeat(255)), Err(PathError::TooLong { bytes: p.as_bytes().len() + 256 }));
    }
}
