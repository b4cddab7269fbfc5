//! The rig's own workload: whole files put in place by write, fsync, rename, fsync of the directory, and removed by
//! unlink and fsync of the directory. With a step planted to be missing it must be found out: a rig that does not is blind.

use crate::RigError;
use crate::history::{ABSENT, Allowed};
use crate::rng::Rng;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The step that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Plant {
    /// No step: the workload is right.
    None,
    /// The file is not synced before the rename.
    NoFsync,
    /// The directory is not synced after a rename or an unlink.
    NoDirFsync,
    /// Acknowledged before any sync.
    AckFirst,
}

const DIRS: u64 = 4;
const NAMES: u64 = 40;
const BYTES_MAX: u64 = 48 << 10;

/// Runs `ops` operations below `root`, printing the history; `seq` is the disk's `seq` file.
pub fn run(
    root: &Path,
    seq: &Path,
    ops: u64,
    seed: u64,
    plant: Plant,
    out: &mut impl Write,
) -> Result<(), RigError> {
    let mut rng = Rng::new(seed);
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    for d in 0..DIRS {
        let dir = root.join(format!("d{d}"));
        std::fs::create_dir(&dir).map_err(RigError::io("create", &dir))?;
    }
    sync(root)?;
    for id in 0..ops {
        let name = format!("d{}/n{}", rng.below(DIRS), rng.below(NAMES));
        let path = root.join(&name);
        let dir = path.parent().unwrap_or(root).to_owned();
        let version = versions.entry(name.clone()).or_default();
        *version += 1;
        let remove = path.exists() && rng.chance(20);
        let size = rng.below(BYTES_MAX) + 1;
        let value = if remove { ABSENT.to_owned() } else { format!("v{version}:{size}") };
        say(out, &format!("begin {id} {} {name} {value}", read_seq(seq)?))?;
        if plant == Plant::AckFirst {
            say(out, &format!("ack {id} {}", read_seq(seq)?))?;
        }
        if remove {
            std::fs::remove_file(&path).map_err(RigError::io("remove", &path))?;
        } else {
            put(root, &path, &content(&name, &value), plant)?;
        }
        if plant != Plant::NoDirFsync {
            sync(&dir)?;
        }
        if plant != Plant::AckFirst {
            say(out, &format!("ack {id} {}", read_seq(seq)?))?;
        }
    }
    Ok(())
}

fn put(root: &Path, path: &Path, content: &[u8], plant: Plant) -> Result<(), RigError> {
    let work = root.join("work");
    let mut file = File::create(&work).map_err(RigError::io("create", &work))?;
    file.write_all(content).map_err(RigError::io("write", &work))?;
    if plant != Plant::NoFsync {
        file.sync_all().map_err(RigError::io("sync", &work))?;
    }
    std::fs::rename(&work, path).map_err(RigError::io("rename to", path))
}

fn sync(dir: &Path) -> Result<(), RigError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(RigError::io("sync", dir))
}

fn say(out: &mut impl Write, line: &str) -> Result<(), RigError> {
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(RigError::io("write to", "standard output"))
}

/// The number of records of the disk behind `seq`.
pub fn read_seq(seq: &Path) -> Result<u64, RigError> {
    let text = std::fs::read_to_string(seq).map_err(RigError::io("read", seq))?;
    text.trim().parse().map_err(|_| RigError::Line { line: text.clone(), expected: "a number of records" })
}

/// The bytes of `name` at `value` (`vVERSION:SIZE`): a line that says so, then bytes that the two determine.
fn content(name: &str, value: &str) -> Vec<u8> {
    let size = value.split(':').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let seed = name.bytes().chain(value.bytes()).fold(5381u64, |h, b| h.wrapping_mul(33) ^ u64::from(b));
    let mut bytes = format!("{value}\n").into_bytes();
    bytes.extend(Rng::new(seed).bytes(size));
    bytes
}

/// Compares the files below `root` with what may be there; one line for each finding.
pub fn check(root: &Path, allowed: &[Allowed]) -> Result<Vec<String>, RigError> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for d in 0..DIRS {
        let dir = root.join(format!("d{d}"));
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(RigError::io("list", &dir)(e)),
        };
        for entry in entries {
            let entry = entry.map_err(RigError::io("list", &dir))?;
            files.insert(format!("d{d}/{}", entry.file_name().to_string_lossy()), entry.path());
        }
    }
    let mut findings = Vec::new();
    for a in allowed {
        let found = match files.remove(&a.name) {
            None => Some(ABSENT.to_owned()),
            Some(path) => whole(&a.name, &std::fs::read(&path).map_err(RigError::io("read", &path))?),
        };
        match found {
            None => findings.push(format!("torn {}: content that nobody wrote", a.name)),
            Some(found) if a.admits(&found) => {}
            Some(found) => findings.push(format!("lost {}: acknowledged {}, found {found}", a.name, a.acked)),
        }
    }
    findings.extend(files.keys().map(|name| format!("torn {name}: a name that nobody wrote")));
    Ok(findings)
}

/// The value whose bytes these are, if they are those of one value, whole.
fn whole(name: &str, bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|b| *b == b'\n').next()?;
    let value = std::str::from_utf8(line).ok()?;
    (content(name, value) == bytes).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d0")).unwrap();
        let file = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        let allowed = |acked: &str, begun: &[&str]| {
            [Allowed {
                name: "d0/n".into(),
                acked: acked.into(),
                begun: begun.iter().map(|v| (*v).to_owned()).collect(),
            }]
        };
        let check = |allowed: &[Allowed], expected: &[&str]| {
            let found = check(dir.path(), allowed).unwrap();
            let kinds: Vec<&str> = found.iter().filter_map(|f| f.split(':').next()).collect();
            assert_eq!(kinds, expected, "{found:?}");
        };
        check(&allowed(ABSENT, &[]), &[]);
        check(&allowed("v1:10", &[]), &["lost d0/n"]);
        file("d0/n", &content("d0/n", "v1:10"));
        check(&allowed("v1:10", &[]), &[]);
        check(&allowed("v2:10", &[]), &["lost d0/n"]);
        check(&allowed(ABSENT, &["v1:10"]), &[]);
        check(&[], &["torn d0/n"]);
        file("d0/n", &content("d0/n", "v1:10")[..9]);
        check(&allowed("v1:10", &[]), &["torn d0/n"]);
        file("d0/n", b"");
        check(&allowed("v1:10", &[]), &["torn d0/n"]);
    }
}
