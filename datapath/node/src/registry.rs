//! Which disks belong to the node: path, identity, epoch and standing of each, so that a swapped or stale one is refused, one
//! that was attached while the node ran is found again, and one that was taken away stays away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_store::{Attach, Identity};

use crate::NodeError;

const FILE: &str = "mountpaths.toml";

/// What the node remembers of its disks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Registry {
    /// The greatest epoch that any disk was attached with: commit IDs go on from there, whichever disks are left.
    #[serde(default)]
    epoch: u64,
    /// Whether every name was on the disk that it belongs to.
    #[serde(default = "yes")]
    pub(crate) settled: bool,
    /// Whether the copies of all objects were even when the node stopped: not where it died.
    #[serde(default)]
    pub(crate) even: bool,
    #[serde(default)]
    mountpaths: BTreeMap<String, Known>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { epoch: 0, settled: true, even: true, mountpaths: BTreeMap::new() }
    }
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    uuid: String,
    epoch: u64,
    #[serde(default)]
    standing: Standing,
    /// Whether the last start was told of it; else it was attached while the node ran.
    #[serde(default = "yes")]
    given: bool,
    /// Why it is out of service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    why: String,
    /// What the operator calls it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    label: String,
    /// It went out of service while names were being moved: any name may be on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    any: bool,
    /// Set by the operator when the disk is lost and an empty one is mounted at its path.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    replaced: bool,
}

/// What becomes of a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// Names belong to it.
    #[default]
    Attached,
    /// It was out of service: what others have of its names goes, then names belong to it again.
    Returning,
    /// What it holds is moved away; then it leaves the node.
    Detaching,
    /// What it holds is moved away; then it is out of service.
    Disabling,
    /// As `Detaching`, because a start was not told of it any more.
    Removed,
    /// Out of service; what it may hold is not given up.
    Disabled,
    /// Not the node's any more. It comes back only with nothing on it.
    Detached,
}

impl Standing {
    /// Whether the disk is open.
    pub(crate) fn is_open(self) -> bool {
        !matches!(self, Self::Disabled | Self::Detached)
    }
}

/// A disk that is out of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Out {
    pub(crate) path: PathBuf,
    pub(crate) why: String,
    pub(crate) any: bool,
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

    /// The disks to open at a start that was told of `configured`, with what becomes of each:
    ///
    /// | remembered as | told of | not told of |
    /// |---|---|---|
    /// | not at all | attached | - |
    /// | attached by a start | attached | removed: its names move to the others |
    /// | attached while the node ran | attached | attached |
    /// | detaching, disabling, returning | goes on | goes on |
    /// | removed | attached | goes on |
    /// | disabled | stays out of service | stays out of service |
    /// | detached | is not used | is not used |
    pub(crate) fn begin(&mut self, configured: &[PathBuf]) -> Vec<(PathBuf, Standing)> {
        let told: BTreeSet<String> = configured.iter().map(|path| key(path)).collect();
        let before = self.placed();
        // A node that lost its memory cannot know what is where.
        let forgot = self.mountpaths.is_empty() && configured.iter().any(|path| is_marked(path));
        for (path, known) in &mut self.mountpaths {
            let told = told.contains(path);
            known.standing = match known.standing {
                Standing::Disabled if known.replaced => Standing::Attached,
                Standing::Attached if !told && known.given => Standing::Removed,
                Standing::Removed if told => Standing::Attached,
                other => other,
            };
            known.given = told;
            if told && known.standing == Standing::Detached {
                tracing::warn!(
                    "{path} was detached and is not used: `weir mountpath attach {path}` attaches it again"
                );
            }
        }
        let mut open: Vec<(PathBuf, Standing)> = configured
            .iter()
            .filter(|path| !self.mountpaths.contains_key(&key(path)))
            .map(|path| (path.clone(), Standing::Attached))
            .collect();
        let known = self.mountpaths.iter().filter(|(_, known)| known.standing.is_open());
        open.extend(known.map(|(path, known)| (PathBuf::from(path), known.standing)));
        open.sort();
        let after = open.iter().filter(|(_, standing)| *standing == Standing::Attached);
        let same = before == after.map(|(path, _)| key(path)).collect();
        let all_attached = open.iter().all(|(_, standing)| *standing == Standing::Attached);
        self.settled &= all_attached && !forgot && (same || before.is_empty());
        open
    }

    fn placed(&self) -> BTreeSet<String> {
        let attached = self.mountpaths.iter().filter(|(_, known)| known.standing == Standing::Attached);
        attached.map(|(path, _)| path.clone()).collect()
    }

    /// Disks that are out of service.
    pub(crate) fn out(&self) -> Vec<Out> {
        let disabled = self.mountpaths.iter().filter(|(_, known)| known.standing == Standing::Disabled);
        let out = |(path, known): (&String, &Known)| Out {
            path: path.into(),
            why: known.why.clone(),
            any: known.any,
        };
        disabled.map(out).collect()
    }

    /// How a disk stands; none that is not known.
    pub(crate) fn standing(&self, path: &Path) -> Option<Standing> {
        self.mountpaths.get(&key(path)).map(|known| known.standing)
    }

    /// Disks that are the node's, those out of service included.
    pub(crate) fn count(&self) -> usize {
        self.mountpaths.values().filter(|known| known.standing != Standing::Detached).count()
    }

    /// The least epoch of the next disk that is attached. It is written down before it is used.
    pub(crate) fn next_epoch(&mut self) -> u64 {
        self.epoch = self.mountpaths.values().map(|known| known.epoch).fold(self.epoch, u64::max) + 1;
        self.epoch
    }

    /// Of a node that is one of several: while it knows no disk it is new to its cluster, so what its disks hold of an earlier
    /// membership may have been removed or replaced since, and is refused.
    pub(crate) fn refuse_earlier_membership(&self, configured: &[PathBuf]) -> Result<(), NodeError> {
        for path in configured.iter().filter(|_| self.mountpaths.is_empty()) {
            if holds_objects(path)? {
                let why = "it holds objects of an earlier membership of this node, and the cluster has gone on without \
                           them: empty it, or give the node its former directory";
                return Err(NodeError::Mountpath { path: path.display().to_string(), why: why.into() });
            }
        }
        Ok(())
    }

    /// What to expect of the disk at `path`: what is remembered; of a new one its own word, or nothing if it is empty.
    pub(crate) fn expect(&self, path: &Path, cluster: &str, node: &str) -> Attach {
        let known = self.mountpaths.get(&key(path)).filter(|known| !known.replaced);
        let marked = is_marked(path);
        // A detached disk may have been emptied by hand, its mark included.
        let known = known.filter(|known| marked || known.standing != Standing::Detached);
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
    pub(crate) fn note(&mut self, path: &Path, identity: &Identity, standing: Standing, given: bool) {
        self.epoch = self.epoch.max(identity.epoch);
        let label = self.mountpaths.get(&key(path)).map_or_else(String::new, |known| known.label.clone());
        let known = Known {
            uuid: identity.mountpath.clone(),
            epoch: identity.epoch,
            standing,
            given,
            why: String::new(),
            label,
            any: false,
            replaced: false,
        };
        self.mountpaths.insert(key(path), known);
    }

    /// Remembers what a known disk is called.
    pub(crate) fn label(&mut self, path: &Path, label: &str) {
        if let Some(known) = self.mountpaths.get_mut(&key(path)) {
            label.clone_into(&mut known.label);
        }
    }

    /// What disks are called, those that are called something.
    pub(crate) fn labels(&self) -> BTreeMap<PathBuf, String> {
        let called = self.mountpaths.iter().filter(|(_, known)| !known.label.is_empty());
        called.map(|(path, known)| (path.into(), known.label.clone())).collect()
    }

    /// Remembers what becomes of a known disk.
    pub(crate) fn set(&mut self, path: &Path, standing: Standing) {
        if let Some(known) = self.mountpaths.get_mut(&key(path)) {
            known.standing = standing;
        }
    }

    /// Remembers that a disk is out of service.
    pub(crate) fn disable(&mut self, path: &Path, why: &str, any: bool) {
        if let Some(known) = self.mountpaths.get_mut(&key(path)) {
            (known.standing, known.why, known.any) = (Standing::Disabled, why.to_owned(), any);
        }
    }

    /// Whether a disk is remembered that could be said to be out of service.
    pub(crate) fn knows(&self, path: &Path) -> bool {
        self.mountpaths.get(&key(path)).is_some_and(|known| !known.replaced)
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
pub(crate) fn holds_objects(root: &Path) -> Result<bool, NodeError> {
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

    fn identity(epoch: u64) -> Identity {
        Identity { cluster: "c".into(), node: "n".into(), mountpath: "m".into(), format: 1, epoch }
    }

    #[test]
    fn known_disks_are_expected_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("mp1");
        fs::create_dir(&disk).unwrap();
        let mut registry = Registry::read(dir.path()).unwrap();
        let first = registry.expect(&disk, "c", "n");
        assert!(first.create && first.mountpath.is_some() && first.epoch_min == 0);
        registry.note(&disk, &identity(3), Standing::Attached, true);
        registry.write(dir.path()).unwrap();
        let mut again = Registry::read(dir.path()).unwrap();
        let expected = again.expect(&disk, "c", "n");
        assert_eq!(
            (expected.mountpath.as_deref(), expected.epoch_min, expected.create),
            (Some("m"), 3, false)
        );
        assert_eq!(again.next_epoch(), 4, "no epoch is used twice");
        // A disk that says who it is, at a path that is new to the node: its own word counts.
        let moved = dir.path().join("mp2");
        fs::create_dir_all(moved.join(".weir")).unwrap();
        fs::write(moved.join(".weir/identity"), "").unwrap();
        assert_eq!(registry.expect(&moved, "c", "n").mountpath, None);
    }

    #[test]
    fn copies_count_as_even_where_somebody_wrote_down_that_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let mut registry = Registry::read(dir.path()).unwrap();
        assert!(registry.even, "a new node has none");
        fs::write(dir.path().join(FILE), "epoch = 3\n").unwrap();
        assert!(!Registry::read(dir.path()).unwrap().even, "nobody knows");
        for even in [false, true] {
            registry.even = even;
            registry.write(dir.path()).unwrap();
            assert_eq!(Registry::read(dir.path()).unwrap().even, even);
        }
    }

    #[test]
    fn objects_of_an_earlier_membership_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("mp1");
        fs::create_dir(&disk).unwrap();
        let mut registry = Registry::default();
        let disks = [disk.clone()];
        registry.refuse_earlier_membership(&disks).unwrap();
        fs::create_dir_all(disk.join("@ais/b/%ob")).unwrap();
        registry.refuse_earlier_membership(&disks).unwrap();
        fs::write(disk.join("@ais/b/%ob/o"), "o").unwrap();
        let refused = registry.refuse_earlier_membership(&disks).unwrap_err();
        assert!(refused.to_string().contains("earlier membership"), "{refused}");
        // A node that knows the disk is still a member.
        registry.note(&disk, &identity(3), Standing::Attached, true);
        registry.refuse_earlier_membership(&disks).unwrap();
    }

    #[test]
    fn what_becomes_of_disks_at_a_start() {
        use Standing::{Attached, Detached, Detaching, Disabled, Removed};
        let check =
            |known: &[(&str, Standing, bool)], told: &[&str], open: &[(&str, Standing)], settled: bool| {
                let mut registry = Registry::default();
                for (path, standing, given) in known {
                    registry.note(Path::new(path), &identity(1), *standing, *given);
                }
                let told: Vec<_> = told.iter().map(PathBuf::from).collect();
                let got = registry.begin(&told);
                let open: Vec<_> =
                    open.iter().map(|(path, standing)| (PathBuf::from(path), *standing)).collect();
                assert_eq!((got, registry.settled), (open, settled), "{known:?} {told:?}");
            };
        check(&[], &["/b", "/a"], &[("/a", Attached), ("/b", Attached)], true);
        let both = [("/a", Attached, true), ("/b", Attached, true)];
        check(&both, &["/b", "/a"], &[("/a", Attached), ("/b", Attached)], true);
        check(&both, &["/a"], &[("/a", Attached), ("/b", Removed)], false);
        check(&both[..1], &["/a", "/b"], &[("/a", Attached), ("/b", Attached)], false);
        check(&[both[0], ("/b", Attached, false)], &["/a"], &[("/a", Attached), ("/b", Attached)], true);
        check(
            &[both[0], ("/b", Removed, false)],
            &["/a", "/b"],
            &[("/a", Attached), ("/b", Attached)],
            false,
        );
        check(
            &[both[0], ("/b", Detaching, true)],
            &["/a", "/b"],
            &[("/a", Attached), ("/b", Detaching)],
            false,
        );
        check(&[both[0], ("/b", Disabled, true)], &["/a", "/b"], &[("/a", Attached)], true);
        check(&[both[0], ("/b", Detached, true)], &["/a", "/b"], &[("/a", Attached)], true);
    }

    #[test]
    fn a_disk_said_to_be_replaced_may_be_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("mp1");
        let text = format!("[mountpaths.{:?}]\nuuid = \"m\"\nepoch = 3\n", key(&disk));
        fs::write(dir.path().join(FILE), &text).unwrap();
        assert!(!Registry::read(dir.path()).unwrap().expect(&disk, "c", "n").create);
        fs::write(dir.path().join(FILE), text + "standing = \"disabled\"\nreplaced = true\n").unwrap();
        let mut registry = Registry::read(dir.path()).unwrap();
        assert_eq!(registry.begin(std::slice::from_ref(&disk)), [(disk.clone(), Standing::Attached)]);
        let expected = registry.expect(&disk, "c", "n");
        assert!(expected.create && expected.epoch_min == 0 && expected.mountpath.as_deref() != Some("m"));
    }

    #[test]
    fn objects_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("@ais/bucket/%ob/deep")).unwrap();
        assert!(!holds_objects(dir.path()).unwrap(), "directories hold nothing");
        fs::write(dir.path().join("journal"), "").unwrap();
        assert!(!holds_objects(dir.path()).unwrap(), "not a bucket's");
        fs::write(dir.path().join("@ais/bucket/%ob/deep/object"), "").unwrap();
        assert!(holds_objects(dir.path()).unwrap());
    }
}
