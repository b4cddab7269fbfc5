//! File systems of their own: one in a file, one on a disk that fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use weir_faultdisk::disk::Recorded;
use weir_faultdisk::fuse::Served;
use weir_faultdisk::rig::{Fs, Loop, Mounted, missing};

/// A file system of its own, in a file.
pub(crate) struct LoopMount(PathBuf);

impl LoopMount {
    /// None where this process may not mount.
    pub(crate) fn make(dir: &Path, name: &str, mib: u64) -> Option<Self> {
        let (image, at) = (dir.join(format!("{name}.img")), dir.join(name));
        fs::create_dir_all(&at).unwrap();
        fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let run = |program: &str, arguments: &[&Path]| {
            let done =
                Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
            done.is_ok_and(|status| status.success())
        };
        let made = run("mkfs.ext4", &[Path::new("-q"), &image])
            && run("mount", &[Path::new("-o"), Path::new("loop"), &image, &at]);
        made.then_some(Self(at))
    }

    pub(crate) fn unmount(&self) -> bool {
        Command::new("umount").arg(&self.0).stderr(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// A mounted file system on a disk that fails when it is told to.
pub(crate) struct FailingDisk {
    pub(crate) disk: Arc<Mutex<Recorded>>,
    pub(crate) mounted: Mounted,
    _device: Loop,
    _served: Served,
}

impl FailingDisk {
    pub(crate) fn make(dir: &Path, name: &str) -> Option<Self> {
        if let Some(missing) = missing(Fs::Ext4) {
            eprintln!("not run: {missing} is not here");
            return None;
        }
        let (serving, at) = (dir.join("served"), dir.join(name));
        fs::create_dir_all(&serving).unwrap();
        fs::create_dir_all(&at).unwrap();
        let disk = Recorded::open(&dir.join("image"), FAILING_BYTES, &dir.join("log")).unwrap();
        let disk = Arc::new(Mutex::new(disk));
        let served = Served::start(&serving, disk.clone()).unwrap();
        let device = Loop::attach(&served.disk()).unwrap();
        device.format(Fs::Ext4).unwrap();
        let mounted = Mounted::new(device.device(), &at, Fs::Ext4).unwrap();
        Some(Self { disk, mounted, _device: device, _served: served })
    }
}

pub(crate) const FAILING_BYTES: u64 = 192 << 20;
