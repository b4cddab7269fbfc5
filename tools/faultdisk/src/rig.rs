//! The parts of the rig that belong to the system: loop devices, file systems, mounts. Each cleans up when dropped.

use crate::RigError;
use crate::replay::Tears;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A file system that crash images are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Fs {
    /// XFS with reflinks and 1 KiB inodes.
    Xfs,
    /// ext4 as it comes.
    Ext4,
}

impl Fs {
    /// Its name, as the kernel and `mkfs` call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xfs => "xfs",
            Self::Ext4 => "ext4",
        }
    }

    /// Where the disk may tear a write so that this file system still recovers by itself. XFS marks a metadata block by
    /// the log position of its last change, in the block's first bytes, and leaves a block that is marked as new as it
    /// is: torn within the block it refuses the mount. ext4 replays whole blocks, but for the superblock in its first
    /// block: that is written in place, bears a checksum and is read before anything is replayed.
    pub fn tears(self) -> Tears {
        match self {
            Self::Xfs => Tears::between(4096),
            Self::Ext4 => Tears { sector: 512, head: 4096 },
        }
    }

    fn mkfs_options(self) -> &'static [&'static str] {
        match self {
            Self::Xfs => &["-q", "-f", "-K", "-i", "size=1024", "-m", "reflink=1"],
            Self::Ext4 => &["-q", "-F", "-E", "nodiscard,lazy_itable_init=1"],
        }
    }

    fn mount_options(self) -> &'static str {
        match self {
            // Images of one file system share its UUID.
            Self::Xfs => "nouuid",
            // No background writes that have nothing to do with the workload.
            Self::Ext4 => "noinit_itable",
        }
    }
}

/// What this machine lacks to run the rig on `fs`, if anything.
pub fn missing(fs: Fs) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("root".into());
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        if std::fs::OpenOptions::new().read(true).write(true).open(device).is_err() {
            return Some(format!("access to {device}"));
        }
    }
    let mkfs = format!("mkfs.{}", fs.name());
    for program in ["losetup", mkfs.as_str()] {
        if Command::new(program).arg("-V").output().is_err() {
            return Some(format!("the program {program}"));
        }
    }
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let known = |name: &str| known.lines().any(|l| l.split_ascii_whitespace().next_back() == Some(name));
    [fs.name(), "fuse"].into_iter().find(|name| !known(name)).map(|name| format!("{name} in the kernel"))
}

/// Runs a program to its end; its standard output.
pub fn run(command: &mut Command) -> Result<String, RigError> {
    let text = format!("{command:?}");
    let fail = |reason| RigError::Command { command: text.clone(), reason };
    let output = command.output().map_err(|e| fail(e.to_string()))?;
    if !output.status.success() {
        return Err(fail(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A loop device on a file.
#[derive(Debug)]
pub struct Loop(PathBuf);

impl Loop {
    /// Attaches the next free loop device to `file`.
    pub fn attach(file: &Path) -> Result<Self, RigError> {
        run(Command::new("losetup").args(["--find", "--show"]).arg(file)).map(|d| Self(PathBuf::from(d)))
    }

    /// The device file.
    pub fn device(&self) -> &Path {
        &self.0
    }

    /// Makes a new file system on it.
    pub fn format(&self, fs: Fs) -> Result<(), RigError> {
        let mut mkfs = Command::new(format!("mkfs.{}", fs.name()));
        run(mkfs.args(fs.mkfs_options()).arg(&self.0)).map(drop)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // Detached when its last user lets go, so also after an unmount that was only lazy.
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).output();
    }
}

/// How long an unmount may be refused as busy before it counts as an error.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// A mounted file system.
#[derive(Debug)]
pub struct Mounted {
    at: PathBuf,
    live: bool,
}

impl Mounted {
    /// Mounts `device` at the existing directory `at`.
    pub fn new(device: &Path, at: &Path, fs: Fs) -> Result<Self, RigError> {
        mount(Some(device), at, Some(fs.name()), MsFlags::empty(), Some(fs.mount_options()))
            .map_err(RigError::io("mount", at))?;
        Ok(Self { at: at.to_owned(), live: true })
    }

    /// Unmounts for good: when it returns, the device has no user.
    pub fn unmount(mut self) -> Result<(), RigError> {
        let start = Instant::now();
        loop {
            match umount2(&self.at, MntFlags::empty()) {
                Ok(()) => {
                    self.live = false;
                    return Ok(());
                }
                // A process that was just killed may not have let go yet.
                Err(nix::errno::Errno::EBUSY) if start.elapsed() < BUSY_MAX => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(e) => return Err(RigError::io("unmount", &self.at)(e)),
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.live {
            let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        }
    }
}

/// A directory of one run, removed at its end.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new directory below `parent`.
    pub fn new(parent: &Path) -> Result<Self, RigError> {
        let path = parent.join(format!("faultdisk-{}-{:x}", std::process::id(), unique()));
        std::fs::create_dir_all(&path).map_err(RigError::io("create", &path))?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A new directory in it.
    pub fn dir(&self, name: &str) -> Result<PathBuf, RigError> {
        let path = self.0.join(name);
        std::fs::create_dir_all(&path).map_err(RigError::io("create", &path))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Not across a mount that could not be undone: `remove_dir_all` would delete into it.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if !mounts.contains(&*self.0.to_string_lossy()) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
