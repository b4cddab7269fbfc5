//! Disks to measure on: XFS on a loop device with direct I/O over a prefaulted file in tmpfs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::{self, clean_up, words};
use super::place::Place;
use crate::error::{PerfError, Result};

/// The directory of the images, a mount of its own.
pub(crate) const BACKING: &str = "back";
/// How long an unmount is tried: an ended io_uring process holds its files for a moment.
const UNMOUNT_TRIES: u32 = 100;

/// The tmpfs that holds the images; unmounted when dropped, after its disks.
#[derive(Debug)]
pub(crate) struct Backing {
    dir: PathBuf,
}

impl Backing {
    /// Room for `bytes` of images.
    pub(crate) fn make(place: &Place, bytes: u64) -> Result<Self> {
        let dir = place.dir(BACKING)?;
        // Without huge pages each 4 KiB of an image is a page of its own, and copying takes twice the time.
        let mount =
            format!("mount -t tmpfs -o size={},huge=always weir-perf {}", bytes + (64 << 20), dir.display());
        command::run(&mut words(&mount))?;
        Ok(Self { dir })
    }

    /// A file of it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        unmount(&self.dir);
    }
}

/// One loop device with its image. Dropping it unmounts, detaches and removes.
#[derive(Debug)]
pub(crate) struct Disk {
    image: PathBuf,
    device: String,
    mount: PathBuf,
}

impl Disk {
    /// Attaches a prefaulted image of `bytes` and makes a file system on it, mounted at `<base>/<name>`; the name may be a path.
    pub(crate) fn make(place: &Place, backing: &Backing, name: &str, bytes: u64) -> Result<Self> {
        let image = backing.dir.join(format!("{}.img", name.replace('/', "-")));
        let mount = place.dir(name)?;
        command::run(&mut words(&format!("fallocate -l {bytes} {}", image.display())))?;
        let attach = format!("losetup -f --show --direct-io=on --sector-size 4096 {}", image.display());
        let device = match command::run(&mut words(&attach)) {
            Ok(said) => said.trim().to_owned(),
            Err(error) => {
                let _ = std::fs::remove_file(&image);
                return Err(error);
            }
        };
        let disk = Self { image, device, mount };
        let scheduler = format!("/sys/block/{}/queue/scheduler", disk.name());
        std::fs::write(&scheduler, "none").map_err(PerfError::io(scheduler))?;
        disk.format()?;
        Ok(disk)
    }

    /// An empty file system, mounted: what was on the disk is gone.
    pub(crate) fn format(&self) -> Result<()> {
        unmount(&self.mount);
        format(&self.device, &self.mount)
    }

    /// Where its file system is.
    pub(crate) fn mount(&self) -> &Path {
        &self.mount
    }

    /// As in /proc/diskstats.
    pub(crate) fn name(&self) -> &str {
        self.device.trim_start_matches("/dev/")
    }

    /// `major:minor`.
    pub(crate) fn number(&self) -> Result<String> {
        let path = format!("/sys/block/{}/dev", self.name());
        let text = std::fs::read_to_string(&path).map_err(PerfError::io(path))?;
        Ok(text.trim().to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if unmount(&self.mount) && clean_up(&format!("losetup -d {}", self.device)) {
            let _ = std::fs::remove_file(&self.image);
        } else {
            eprintln!("{} stays: weir-perf clean removes it", self.device);
        }
    }
}

/// Makes an empty file system on a device and mounts it.
pub(crate) fn format(device: &str, mount: &Path) -> Result<()> {
    command::run(&mut words(&format!("mkfs.xfs -q -f -K -i size=1024 {device}")))?;
    command::run(&mut words(&format!("mount -o noatime {device} {}", mount.display()))).map(|_| ())
}

/// Unmounts if it is mounted; true when it is not any more.
pub(crate) fn unmount(mount: &Path) -> bool {
    for _ in 0..UNMOUNT_TRIES {
        if !clean_up(&format!("mountpoint -q {}", mount.display())) {
            return true;
        }
        if clean_up(&format!("umount {}", mount.display())) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    eprintln!("cannot unmount {}", mount.display());
    false
}
