use serde::{Deserialize, Serialize};
use weir_types::Bucket;

use crate::NodeId;

/// Files in directories of targets that become objects (AIS: `PromoteArgs`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PromoteOrder {
    /// The objects' bucket.
    pub bucket: Bucket,
    /// Its ID: one made anew under the name is another.
    pub bid: u64,
    /// A file or a directory: an absolute path at each target that takes part.
    pub source: String,
    /// What the objects' names begin with; of a single file, unless it ends with a slash, the object's whole name.
    pub object: String,
    /// Of a directory also what is in the directories in it.
    pub recursive: bool,
    /// In place of objects that are there.
    pub overwrite: bool,
    /// A file that became an object is removed.
    pub delete_source: bool,
    /// The one target whose files these are; none: every target's.
    pub target: Option<NodeId>,
}

/// What a path of a target's host leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Promotable {
    /// Nothing, or what no object can be made of.
    Nothing,
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// What of a file is another when its content is, or when another file has its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of its content, nanoseconds since 1970.
    pub modified_ns: i64,
    /// Last change of its inode, nanoseconds since 1970.
    pub changed_ns: i64,
}

impl PromoteOrder {
    /// The name of the object of a file, by its path: beneath the source, or the source itself. None if it is neither.
    pub fn name_of(&self, file: &str) -> Option<String> {
        if file == self.source {
            let is_whole = !self.object.is_empty() && !self.object.ends_with('/');
            let base = if is_whole { "" } else { file.rsplit('/').next()? };
            return Some(format!("{}{base}", self.object));
        }
        let inner = file.strip_prefix(self.source.trim_end_matches('/'))?.strip_prefix('/')?;
        Some(format!("{}{inner}", self.object))
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{BucketName, Provider};

    use super::*;

    #[test]
    fn files_and_directories_name_their_objects() {
        let check = |source: &str, object: &str, file: &str, expected: Option<&str>| {
            let order = PromoteOrder {
                bucket: Bucket::global(Provider::Ais, BucketName::new("b").unwrap()),
                bid: 1,
                source: source.into(),
                object: object.into(),
                recursive: true,
                overwrite: false,
                delete_source: false,
                target: None,
            };
            assert_eq!(order.name_of(file).as_deref(), expected, "{source} {object:?} {file}");
        };
        check("/d/f1", "", "/d/f1", Some("f1"));
        check("/d/f1", "aaa", "/d/f1", Some("aaa"));
        check("/d/f1", "aaa/", "/d/f1", Some("aaa/f1"));
        check("/d", "", "/d/f1", Some("f1"));
        check("/d", "aaa/", "/d/e/f1", Some("aaa/e/f1"));
        check("/d/", "aaa/", "/d/e/f1", Some("aaa/e/f1"));
        check("/d", "p-", "/d/f1", Some("p-f1"));
        check("/d", "", "/dd/f1", None);
        check("/d", "", "/e", None);
    }
}
