//! Which mountpath this is: a readable file on it, checked before anything else is read.

use std::fmt::Write as _;

use crate::blocks::crc32c;
use crate::layout::IDENTITY_DIR;
use crate::{Access, Buffer as _, Disk, DiskError, DiskErrorKind, DiskPath, FORMAT_VERSION, StoreError};

const FILE: &str = "identity";
const NEW_FILE: &str = "identity.new";
/// More than any identity file.
const FILE_BYTES_MAX: usize = 4096;
/// Epochs fit the high bits of a sequence.
const EPOCH_MAX: u64 = (1 << 24) - 1;
/// Names an empty file system may have at its root.
const IGNORED: [&str; 1] = ["lost+found"];

/// What is written on a mountpath.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// UUID of the cluster.
    pub cluster: String,
    /// ID of the node.
    pub node: String,
    /// UUID of the mountpath.
    pub mountpath: String,
    /// On-disk format.
    pub format: u16,
    /// How often it was attached; the high bits of every sequence.
    pub epoch: u64,
}

/// What the node expects of a mountpath.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attach {
    /// UUID of the cluster.
    pub cluster: String,
    /// ID of the node.
    pub node: String,
    /// UUID of the mountpath, where the node knows it; for a new one, the UUID to give it.
    pub mountpath: Option<String>,
    /// The least epoch it may have: what [`Identity::epoch`] was when the node last attached it. 0 if not known.
    pub epoch_min: u64,
    /// Whether an empty mountpath may be made ours.
    pub create: bool,
}

/// Why a mountpath is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It has no identity, and may not be given one.
    #[error("mountpath has no identity file: expected mountpath {expected}; is the disk mounted?")]
    Missing {
        /// The UUID expected, or `any`.
        expected: String,
    },
    /// It has no identity and is not empty: somebody else's data.
    #[error(
        "mountpath has no identity file but is not empty (it holds {entry:?}): expected an empty directory"
    )]
    NotEmpty {
        /// One of its entries.
        entry: String,
    },
    /// It belongs elsewhere.
    #[error("foreign mountpath: expected {what} {expected:?}, got {got:?}")]
    Foreign {
        /// `cluster` or `node`.
        what: &'static str,
        /// Ours.
        expected: String,
        /// Its.
        got: String,
    },
    /// It is another one of ours.
    #[error("swapped mountpath: expected {expected:?}, got {got:?}")]
    Swapped {
        /// UUID expected here.
        expected: String,
        /// UUID found.
        got: String,
    },
    /// It is an old state of ours: a restored snapshot or image.
    #[error("stale mountpath: expected epoch {expected} or later, got {got}")]
    Stale {
        /// The least epoch.
        expected: u64,
        /// Its epoch.
        got: u64,
    },
    /// Written by a later version.
    #[error("mountpath has format {got}: expected at most {FORMAT_VERSION}")]
    Format {
        /// Its format.
        got: u16,
    },
    /// The file is damaged.
    #[error("identity file is damaged: {what}")]
    Damaged {
        /// How.
        what: &'static str,
    },
    /// No more starts fit the format.
    #[error("mountpath was attached {EPOCH_MAX} times: its epochs are used up")]
    EpochsUsedUp,
}

/// Checks or makes the identity and begins the next epoch, at least `epoch_min`, durably.
pub(crate) async fn attach<D: Disk>(
    disk: &D,
    attach: &Attach,
    epoch_min: u64,
) -> Result<Identity, StoreError> {
    let dir = DiskPath::root().join(IDENTITY_DIR)?;
    let mut identity = match read(disk, &dir.join(FILE)?).await? {
        Some(text) => {
            let identity = Identity::parse(&text)?;
            check(&identity, attach)?;
            identity
        }
        None => create(disk, &dir, attach).await?,
    };
    identity.epoch = (identity.epoch + 1).max(epoch_min);
    if identity.epoch > EPOCH_MAX {
        return Err(IdentityError::EpochsUsedUp.into());
    }
    write(disk, &dir, &identity).await?;
    exists_ok(disk.mkdir(&crate::layout::work_dir()).await)?;
    Ok(identity)
}

fn check(identity: &Identity, attach: &Attach) -> Result<(), IdentityError> {
    let foreign = |what, expected: &str, got: &str| IdentityError::Foreign {
        what,
        expected: expected.to_owned(),
        got: got.to_owned(),
    };
    if identity.cluster != attach.cluster {
        return Err(foreign("cluster", &attach.cluster, &identity.cluster));
    }
    if identity.node != attach.node {
        return Err(foreign("node", &attach.node, &identity.node));
    }
    if let Some(expected) = attach.mountpath.as_ref().filter(|m| **m != identity.mountpath) {
        return Err(IdentityError::Swapped { expected: expected.clone(), got: identity.mountpath.clone() });
    }
    if identity.epoch < attach.epoch_min {
        return Err(IdentityError::Stale { expected: attach.epoch_min, got: identity.epoch });
    }
    Ok(())
}

async fn create<D: Disk>(disk: &D, dir: &DiskPath, attach: &Attach) -> Result<Identity, StoreError> {
    let mut found = None;
    disk.list_dir(&DiskPath::root(), &mut |entry| {
        let name = String::from_utf8_lossy(&entry.name).into_owned();
        if name != IDENTITY_DIR && !IGNORED.contains(&name.as_str()) {
            found.get_or_insert(name);
        }
    })
    .await?;
    if let Some(entry) = found {
        return Err(IdentityError::NotEmpty { entry }.into());
    }
    let Some(mountpath) = attach.mountpath.clone().filter(|_| attach.create && attach.epoch_min == 0) else {
        return Err(
            IdentityError::Missing { expected: attach.mountpath.clone().unwrap_or("any".into()) }.into()
        );
    };
    exists_ok(disk.mkdir(dir).await)?;
    Ok(Identity {
        cluster: attach.cluster.clone(),
        node: attach.node.clone(),
        mountpath,
        format: FORMAT_VERSION,
        epoch: 0,
    })
}

async fn read<D: Disk>(disk: &D, path: &DiskPath) -> Result<Option<String>, StoreError> {
    let file = match disk.open(path, Access::Buffered).await {
        Ok(file) => file,
        Err(e) if matches!(e.kind, DiskErrorKind::NotFound) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let size = disk.stat(&file).await?.size;
    if size > FILE_BYTES_MAX as u64 {
        return Err(IdentityError::Damaged { what: "too long" }.into());
    }
    let bytes = crate::object::read_full(disk, &file, 0, size as usize).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| IdentityError::Damaged { what: "not text" })?;
    Ok(Some(text.to_owned()))
}

/// New file, sync, rename, directories: the old or the new identity is there at any time.
async fn write<D: Disk>(disk: &D, dir: &DiskPath, identity: &Identity) -> Result<(), StoreError> {
    let new = dir.join(NEW_FILE)?;
    match disk.unlink(&new).await {
        Err(e) if e.kind != DiskErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    let file = disk.create(&new, false).await?;
    let text = identity.text();
    let mut buf = disk.buffer(text.len()).await?;
    buf.set_len(text.len());
    buf.copy_from_slice(text.as_bytes());
    let (_, written) = disk.write(&file, 0, buf).await;
    written?;
    disk.sync(&file).await?;
    disk.rename(&new, &dir.join(FILE)?).await?;
    disk.sync_dir(dir).await?;
    disk.sync_dir(&DiskPath::root()).await?;
    Ok(())
}

fn exists_ok(made: Result<(), DiskError>) -> Result<(), DiskError> {
    match made {
        Err(e) if e.kind == DiskErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

impl Identity {
    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = String::from("# Identity of a Weir mountpath. Do not edit, copy or remove.\n");
        let Self { cluster, node, mountpath, format, epoch } = self;
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "format = {format}\ncluster = {cluster:?}\nnode = {node:?}\nmountpath = {mountpath:?}\nepoch = {epoch}\n"
        );
        let check = crc32c(text.as_bytes());
        let _ = writeln!(text, "check = \"{check:08x}\"");
        text
    }

    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let damaged = |what| IdentityError::Damaged { what };
        let at = text.find("check = ").ok_or(damaged("no check line"))?;
        let (body, check) = text.split_at(at);
        let value = |key: &'static str| {
            let line = body.lines().find_map(|l| l.strip_prefix(key)?.trim_start().strip_prefix('='));
            line.map(|v| v.trim().trim_matches('"').to_owned()).ok_or(damaged("a field is missing"))
        };
        let number = |key| value(key)?.parse::<u64>().map_err(|_| damaged("a number is malformed"));
        let format = u16::try_from(number("format")?).map_err(|_| damaged("a number is malformed"))?;
        if format > FORMAT_VERSION {
            return Err(IdentityError::Format { got: format });
        }
        if check.trim_end() != format!("check = \"{:08x}\"", crc32c(body.as_bytes())) {
            return Err(damaged("its checksum does not fit"));
        }
        Ok(Self {
            cluster: value("cluster")?,
            node: value("node")?,
            mountpath: value("mountpath")?,
            format,
            epoch: number("epoch")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { cluster: "c".into(), node: "n".into(), mountpath: "m".into(), format: 1, epoch: 7 }
    }

    #[test]
    fn text_round_trips_and_damage_is_seen() {
        let text = identity().text();
        assert_eq!(Identity::parse(&text), Ok(identity()));
        for at in 0..text.len() - 1 {
            let mut bad = text.clone().into_bytes();
            bad[at] ^= 1;
            if let Ok(bad) = String::from_utf8(bad) {
                assert!(Identity::parse(&bad).is_err(), "byte {at}");
            }
        }
        let later = text.replace("format = 1", "format = 2");
        assert_eq!(Identity::parse(&later), Err(IdentityError::Format { got: 2 }));
    }

    #[test]
    fn every_kind_of_wrong_disk_is_named() {
        let good = Attach {
            cluster: "c".into(),
            node: "n".into(),
            mountpath: Some("m".into()),
            epoch_min: 7,
            create: false,
        };
        let check =
            |attach: &Attach, want: Option<IdentityError>| assert_eq!(check(&identity(), attach).err(), want);
        check(&good, None);
        check(&Attach { mountpath: None, ..good.clone() }, None);
        let swapped = IdentityError::Swapped { expected: "x".into(), got: "m".into() };
        check(&Attach { mountpath: Some("x".into()), ..good.clone() }, Some(swapped));
        let foreign = |what| IdentityError::Foreign { what, expected: "x".into(), got: what[..1].into() };
        check(&Attach { cluster: "x".into(), ..good.clone() }, Some(foreign("cluster")));
        check(&Attach { node: "x".into(), ..good.clone() }, Some(foreign("node")));
        check(&Attach { epoch_min: 8, ..good }, Some(IdentityError::Stale { expected: 8, got: 7 }));
    }
}
