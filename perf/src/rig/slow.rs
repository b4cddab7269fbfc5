//! A disk that takes a given time for each operation: XFS on a loop device over the image that `faultdisk` serves.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::command::{self, clean_up, words};
use super::disk::{self, Backing, unmount};
use super::place::Place;
use super::process::{Server, Start};
use crate::error::{PerfError, Result};

const READY_LIMIT: Duration = Duration::from_secs(20);

/// The disk. Dropping it makes it fast again, unmounts, detaches and ends its server.
#[derive(Debug)]
pub(crate) struct SlowDisk {
    program: PathBuf,
    control: PathBuf,
    served: PathBuf,
    device: String,
    mount: PathBuf,
    /// Ended last.
    server: Option<Server>,
}

impl SlowDisk {
    /// A file system of `bytes` without a delay as yet, mounted at `<base>/<name>`. The program lies beside `weir`.
    pub(crate) fn make(
        place: &Place,
        backing: &Backing,
        weir: &Path,
        name: &str,
        bytes: u64,
    ) -> Result<Self> {
        let program = weir.with_file_name("faultdisk");
        if !program.is_file() {
            let what = format!("no {}: cargo build --release -p weir-faultdisk", program.display());
            return Err(PerfError::Refused(what));
        }
        let (run, served) = (place.dir("run")?, place.dir(&format!("{name}-served"))?);
        let mut slow = Self {
            control: run.join(format!("{name}-control")),
            mount: place.dir(name)?,
            device: String::new(),
            server: None,
            program,
            served,
        };
        let _ = std::fs::remove_file(&slow.control);
        let mut serve = Command::new(&slow.program);
        serve.arg("serve").arg(&slow.served).arg(backing.file(&format!("{name}.img"))).arg(bytes.to_string());
        serve.arg(backing.file(&format!("{name}.log"))).arg("--ctl").arg(&slow.control);
        let start = Start { name, cpus: "", cgroup: None, dir: &run };
        let server = slow.server.insert(start.run(&serve)?);
        let image = slow.served.join("disk");
        server.wait_ready(READY_LIMIT, || image.exists() && slow.control.exists())?;
        let attach = format!("losetup -f --show --direct-io=on {}", image.display());
        slow.device = command::run(&mut words(&attach))?.trim().to_owned();
        disk::format(&slow.device, &slow.mount)?;
        Ok(slow)
    }

    /// Where its file system is.
    pub(crate) fn mount(&self) -> &Path {
        &self.mount
    }

    /// What each operation takes from now on.
    pub(crate) fn delay(&self, milliseconds: u64) -> Result<()> {
        let mut control = Command::new(&self.program);
        control.arg("ctl").arg(&self.control).arg("delay").arg(milliseconds.to_string());
        command::run(&mut control).map(|_| ())
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        let _ = self.delay(0);
        unmount(&self.mount);
        if !self.device.is_empty() && !clean_up(&format!("losetup -d {}", self.device)) {
            eprintln!("{} stays: weir-perf clean removes it", self.device);
        }
        unmount(&self.served);
    }
}
