//! Which disks the node knows: path, identity and epoch of each, so that a swapped or stale one is refused, and so is
//! another set of disks while there are objects: an object's disk follows from the paths of all of them.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Set by the operator when the disk is lost and an empty one is mounted at its path.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    replaced: bool,
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

    /// Takes `configured` for the set of disks from now on. Another set than the one before is refused unless no disk
    /// of either holds an object; a disk of the old set that is not there cannot tell.
    pub(crate) fn settle(&mut self, configured: &[PathBuf]) -> Result<(), NodeError> {
        let now: BTreeSet<String> = configured.iter().map(|path| key(path)).collect();
        let missing: Vec<_> = self.mountpaths.keys().filter(|path| !now.contains(*path)).cloned().collect();
        let added: Vec<_> = now.iter().filter(|path| !self.mountpaths.contains_key(*path)).cloned().collect();
        if self.mountpaths.is_empty() || (missing.is_empty() && added.is_empty()) {
            return Ok(());
        }
        for path in now.iter().chain(&missing).map(Path::new) {
            let unseen = missing.iter().any(|m| Path::new(m) == path) && !is_marked(path);
            if unseen || holds_objects(path)? {
                return Err(NodeError::MountpathSet {
                    expected: self.mountpaths.keys().cloned().collect::<Vec<_>>().join(", "),
                    got: configured.iter().map(|path| key(path)).collect::<Vec<_>>().join(", "),
                    why: match unseen {
                        true => format!("{} is not there to tell whether it holds objects", path.display()),
                        false => format!("{} holds objects", path.display()),
                    },
                });
            }
        }
        self.mountpaths.retain(|path, _| now.contains(path));
        Ok(())
    }

    /// What to expect of the disk at `path`: what is remembered; of a new one its own word, or nothing if it is empty.
    pub(crate) fn expect(&self, path: &Path, cluster: &str, node: &str) -> Attach {
        let known = self.mountpaths.get(&key(path)).filter(|known| !known.replaced);
        let marked = is_marked(path);
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
        let known = Known { uuid: identity.mountpath.clone(), epoch: identity.epoch, replaced: false };
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

/// The path as it was written: placement takes it by its bytes, so `/m/` is not `/m`.
fn key(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn is_marked(path: &Path) -> bool {
    path.join(".weir/identity").exists()
}

/// Whether any file is beneath a bucket's directory; these, and no others, begin with `@` (docs/FORMAT.md). A path
/// where nothing is holds none.
fn holds_objects(root: &Path) -> Result<bool, NodeError> {
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        let failed = |error| NodeError::Io { what: dir.display().to_string(), error };
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if dir == root && !entry.file_name().as_encoded_bytes().starts_with(b"@") {
                continue;
            }
            if !entry.file_type().map_err(failed)?.is_dir() {
                return Ok(true);
            }
            dirs.push(entry.path());
        }
    }
    Ok(false)
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

    #[test]
    fn another_set_of_disks_is_refused_while_there_are_objects() {
        let dir = tempfile::tempdir().unwrap();
        let disk = |name: &str| dir.path().join(name);
        let attached = |names: &[&str]| {
            let mut registry = Registry::default();
            for name in names {
                fs::create_dir_all(disk(name).join(".weir")).unwrap();
                fs::write(disk(name).join(".weir/identity"), "").unwrap();
                let identity = Identity {
                    cluster: "c".into(),
                    node: "n".into(),
                    mountpath: (*name).into(),
                    format: 1,
                    epoch: 1,
                };
                registry.note(&disk(name), &identity);
            }
            registry
        };
        let check = |known: &[&str], configured: &[&str]| {
            let mut registry = attached(known);
            let paths: Vec<_> = configured.iter().map(|name| disk(name)).collect();
            registry.settle(&paths).map(|()| registry.mountpaths.len()).map_err(|e| e.to_string())
        };
        assert_eq!(check(&[], &["a", "b"]), Ok(0), "a first start");
        assert_eq!(check(&["a", "b"], &["b", "a"]), Ok(2), "order means nothing");
        assert_eq!(check(&["a", "b"], &["a", "c"]), Ok(1), "nothing is stored");
        fs::create_dir_all(disk("b/@ais/bucket/%ob/deep")).unwrap();
        assert_eq!(check(&["a", "b"], &["a"]), Ok(1), "directories hold nothing");
        fs::write(disk("b/@ais/bucket/%ob/deep/object"), "").unwrap();
        for configured in [&["a"][..], &["b"], &["a", "b", "c"], &["a", "c"], &["a", "b/"]] {
            let error = check(&["a", "b"], configured).unwrap_err();
            assert!(error.contains("holds objects") && error.contains("expected"), "{error}");
        }
        assert_eq!(check(&["a", "b"], &["a", "b"]), Ok(2));
        fs::remove_file(disk("b/@ais/bucket/%ob/deep/object")).unwrap();
        let mut registry = attached(&["a", "b"]);
        fs::remove_dir_all(disk("b")).unwrap();
        let error = registry.settle(&[disk("a")]).unwrap_err().to_string();
        assert!(error.contains("is not there"), "{error}");
    }

    #[test]
    fn a_disk_said_to_be_replaced_may_be_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("mp1");
        let text = format!("[mountpaths.{:?}]\nuuid = \"m\"\nepoch = 3\n", key(&disk));
        fs::write(dir.path().join(FILE), &text).unwrap();
        assert!(!Registry::read(dir.path()).unwrap().expect(&disk, "c", "n").create);
        fs::write(dir.path().join(FILE), text + "replaced = true\n").unwrap();
        let mut registry = Registry::read(dir.path()).unwrap();
        registry.settle(std::slice::from_ref(&disk)).unwrap();
        let expected = registry.expect(&disk, "c", "n");
        assert!(expected.create && expected.epoch_min == 0 && expected.mountpath.as_deref() != Some("m"));
    }
}
