//! A disk that begins to answer EIO: its node takes it out of service and goes on with the others. Then it is mended, as
//! after a loose cable, and its node takes it back as the guide for operators says: nothing that was acknowledged is lost.

use std::path::Path;
use std::sync::{Arc, Mutex};

use weir_faultdisk::ctl::answer as tell;
use weir_faultdisk::disk::Recorded;
use weir_faultdisk::fuse::Served;
use weir_faultdisk::rig::{Fs, Loop, Mounted};
use weir_faultdisk::rng::Rng;

use super::{Event, mountpaths};
use crate::cluster::until;
use crate::error::ChaosError;
use crate::node::remove;

/// What the disk is formatted with.
pub(super) const FILE_SYSTEM: Fs = Fs::Ext4;
/// The disk's size.
const BYTES: u64 = 512 << 20;

/// A disk in a file, with a file system that is mounted.
struct Disk {
    disk: Arc<Mutex<Recorded>>,
    mounted: Option<Mounted>,
    device: Loop,
    _served: Served,
}

impl Disk {
    /// Mounted at `at`; its files lie in `dir`.
    fn make(dir: &Path, at: &Path) -> Result<Self, ChaosError> {
        remove(dir)?;
        let serving = dir.join("served");
        std::fs::create_dir_all(&serving).map_err(ChaosError::io("create", &serving))?;
        let disk = Recorded::open(&dir.join("image"), BYTES, &dir.join("log"))?;
        let disk = Arc::new(Mutex::new(disk));
        let served = Served::start(&serving, disk.clone())?;
        let device = Loop::attach(&served.disk())?;
        device.format(FILE_SYSTEM)?;
        let mounted = Some(Mounted::new(device.device(), at, FILE_SYSTEM)?);
        Ok(Self { disk, mounted, device, _served: served })
    }

    fn tell(&self, line: &str) -> Result<(), ChaosError> {
        let got = tell(&self.disk, line);
        if got == "ok" { Ok(()) } else { Err(ChaosError::Program { command: line.to_owned(), got }) }
    }

    fn unmount(&mut self) -> Result<(), ChaosError> {
        self.mounted.take().map_or(Ok(()), |mounted| mounted.unmount().map_err(ChaosError::from))
    }

    fn mount(&mut self, at: &Path) -> Result<(), ChaosError> {
        self.mounted = Some(Mounted::new(self.device.device(), at, FILE_SYSTEM)?);
        Ok(())
    }
}

pub(super) fn fail(event: &Event<'_, '_>, dice: &mut Rng) -> Result<(), ChaosError> {
    let cluster = event.cluster();
    let target = event.take_target(dice)?;
    let at = cluster.node(target).fresh_mountpath()?;
    let files = cluster.node(target).dir().join("failing");
    let mut disk = Disk::make(&files, &at)?;
    mountpaths::attach(cluster, target, &at)?;
    cluster.settled(target)?;
    event.scene.more(event.operations)?;
    // From here on the target answers 503 for what only this disk has.
    event.scene.lose(target, true);
    disk.tell(&format!("eio-write 0 {BYTES}"))?;
    disk.tell("eio-flush")?;
    until("the disk is taken out of service", || {
        mountpaths::states(cluster, target, &at).filter(|states| states.disabled).map(drop)
    })?;
    event.scene.more(event.operations)?;
    disk.tell("clear")?;
    back(event, target, &at, &mut disk)?;
    mountpaths::detach(cluster, target, &at)?;
    cluster.settled(target)?;
    disk.unmount()?;
    drop(disk);
    remove(&files)
}

/// The node ends, its file system is looked at by being mounted again, the node starts and is told to take the disk back.
fn back(event: &Event<'_, '_>, target: usize, at: &Path, disk: &mut Disk) -> Result<(), ChaosError> {
    let cluster = event.cluster();
    cluster.node(target).kill();
    disk.unmount()?;
    disk.mount(at)?;
    cluster.start_node(target)?;
    cluster.ready(target)?;
    mountpaths::enable(cluster, target, at)?;
    cluster.settled(target)?;
    event.scene.lose(target, false);
    Ok(())
}
