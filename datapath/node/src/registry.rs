//! Which disks the node knows: path, identity and epoch of each, so that a swapped or stale one is refused.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_store::{Attach, Identity};

use crate::NodeError;

const FILE: &str = "mountpaths.toml";

/// What the node remembers of its disks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Registry {
    #[serde(default)]
    mountpaths: BTreeMap<String, Known>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    uuid: String,
    epoch: u64,
}

impl Registry {
    /// Reads it; none yet is an empty one.
    pub(crate) fn read(dir: &Path) -> Result<Self, NodeError> {
        let path = dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text)
                .map_err(|e| NodeError::Config { place: path.display().to_string(), got: e.to_string() }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(NodeError::Io { what: path.display().to_string(), error }),
        }
    }

    /// What to expect of the disk at `path`: what is remembered; of a new one its own word, or nothing if it is empty.
    pub(crate) fn expect(&self, path: &Path, cluster: &str, node: &str) -> Attach {
        let known = self.mountpaths.get(&key(path));
        let marked = path.join(".weir/identity").exists();
        let fresh = || uuid::Uuid::new_v4().to_string();
        Attach {
            cluster: cluster.to_owned(),
            node: node.to_owned(),
            mountpath: known.map(|k| k.uuid.clone()).or_else(|| (!marked).then(fresh)),
            epoch_min: known.map_or(0, |k| k.epoch),
            create: known.is_none(),
        }
    }

    /// Remembers an attached disk.
    pub(crate) fn note(&mut self, path: &Path, identity: &Identity) {
        let known = Known { uuid: identity.mountpath.clone(), epoch: identity.epoch };
        self.mountpaths.insert(key(path), known);
    }

    /// Writes it durably: the new file replaces the old one in one step.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), NodeError> {
        let (path, new): (PathBuf, PathBuf) = (dir.join(FILE), dir.join("mountpaths.toml.new"));
        let text = toml::to_string_pretty(self)
            .map_err(|e| NodeError::Config { place: path.display().to_string(), got: e.to_string() })?;
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|error| NodeError::Io { what: path.display().to_string(), error })
    }
}

fn key(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_disks_are_expected_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("mp1");
        fs::create_dir(&disk).unwrap();
        let mut registry = Registry::read(dir.path()).unwrap();
        let first = registry.expect(&disk, "c", "n");
        assert!(first.create && first.mountpath.is_some() && first.epoch_min == 0);
        let identity =
            Identity { cluster: "c".into(), node: "n".into(), mountpath: "m".into(), format: 1, epoch: 3 };
        registry.note(&disk, &identity);
        registry.write(dir.path()).unwrap();
        let again = Registry::read(dir.path()).unwrap().expect(&disk, "c", "n");
        assert_eq!((again.mountpath.as_deref(), again.epoch_min, again.create), (Some("m"), 3, false));
        // A disk that says who it is, at a path that is new to the node: its own word counts.
        let moved = dir.path().join("mp2");
        fs::create_dir_all(moved.join(".weir")).unwrap();
        fs::write(moved.join(".weir/identity"), "").unwrap();
        assert_eq!(registry.expect(&moved, "c", "n").mountpath, None);
    }
}
