//! What an operator has done with a disk.

use std::path::Path;

use weir_control::{BY_COMMAND, BackendError};
use weir_shard::{Disk, Duty, WalkerPort};
use weir_types::limits;

use super::{Keeper, duty, failed};
use crate::mounts;
use crate::registry::{Standing, holds_objects};

impl Keeper {
    pub(super) fn attach(&mut self, path: &Path, label: &str) -> Result<(), BackendError> {
        check_label(path, label)?;
        match self.registry.standing(path) {
            Some(Standing::Attached | Standing::Returning) => {
                return Err(refused(path, "is attached already"));
            }
            Some(Standing::Detaching | Standing::Disabling | Standing::Removed) => {
                self.registry.label(path, label);
                return self.stay(path);
            }
            Some(Standing::Disabled) => {
                return Err(refused(path, "is out of service: enable it, or detach it first"));
            }
            Some(Standing::Detached) | None => {}
        }
        self.check_new(path)?;
        self.take_in(path, Standing::Attached, Some(label))
    }

    pub(super) fn enable(&mut self, path: &Path) -> Result<(), BackendError> {
        match self.registry.standing(path) {
            Some(Standing::Attached | Standing::Returning) => Ok(()),
            Some(Standing::Detaching | Standing::Disabling | Standing::Removed) => self.stay(path),
            Some(Standing::Disabled) => self.take_in(path, Standing::Returning, None),
            Some(Standing::Detached) | None => {
                Err(refused(path, "is not a mountpath of this node: attach it"))
            }
        }
    }

    fn check_new(&self, path: &Path) -> Result<(), BackendError> {
        if !path.is_absolute() {
            return Err(refused(path, "is no absolute path"));
        }
        if !path.is_dir() {
            return Err(refused(path, "is no directory"));
        }
        let max = limits::MOUNTPATHS_MAX;
        if self.registry.count() >= max {
            return Err(refused(path, &format!("is one too many: a node has {max} mountpaths at most")));
        }
        let set = self.disks.load();
        let others = set.disks.iter().map(|disk| &disk.path).chain(set.away.iter().map(|away| &away.path));
        for other in others {
            if other.starts_with(path) || path.starts_with(other.as_path()) {
                return Err(refused(path, &format!("and {} are one inside the other", other.display())));
            }
        }
        // What is on it is from before: nobody knows what was removed since.
        match holds_objects(path) {
            Ok(false) => Ok(()),
            Ok(true) => Err(refused(
                path,
                "holds objects from before: remove its directories @* if they are not needed, then attach it",
            )),
            Err(error) => Err(refused(path, &error.to_string())),
        }
    }

    /// Opens a disk and makes it one of the set, with a label if it gets one.
    fn take_in(&mut self, path: &Path, standing: Standing, label: Option<&str>) -> Result<(), BackendError> {
        let epoch = self.registry.next_epoch();
        self.write().map_err(failed)?;
        let disk = self.start(path, epoch).map_err(|error| refused(path, &error.to_string()))?;
        self.registry.note(path, disk.mountpath.identity(), standing, false);
        if let Some(label) = label {
            self.registry.label(path, label);
        }
        let now = self.disks.now();
        self.registry.settled = now.disks.is_empty() && now.away.is_empty();
        let id = disk.id;
        let mut disks = now.disks.clone();
        disks.push(Disk { duty: duty(standing), ..disk });
        if let Err(error) = self.publish(disks) {
            self.let_go(id);
            return Err(error);
        }
        tracing::info!("{} is attached", path.display());
        Ok(())
    }

    /// A disk that was on its way out stays.
    fn stay(&mut self, path: &Path) -> Result<(), BackendError> {
        self.registry.set(path, Standing::Attached);
        self.registry.settled = false;
        let as_is = self.disks.now().disks.clone();
        self.publish(with_duty(as_is, path, Duty::Serving))
    }

    /// Takes a disk out: at once, or when what it holds is moved to the others.
    pub(super) fn take_out(
        &mut self,
        path: &Path,
        resilver: bool,
        to: Standing,
        walker: &WalkerPort,
    ) -> Result<(), BackendError> {
        match self.registry.standing(path) {
            None | Some(Standing::Detached) => return Err(refused(path, "is not a mountpath of this node")),
            Some(Standing::Disabled) if to == Standing::Detached => return self.give_up(path),
            Some(Standing::Disabled) => return Ok(()),
            Some(_) => {}
        }
        if !resilver {
            return self.close(path, to, BY_COMMAND, walker);
        }
        let now = self.disks.now();
        let stays = now.disks.iter().filter(|d| d.duty == Duty::Serving && **d.path != *path);
        let free: u64 = stays.clone().map(|disk| disk.mountpath.space().free).sum();
        if stays.clone().next().is_none() {
            let why = "is the last one: nothing could take what it holds (without a resilver it can go)";
            return Err(refused(path, why));
        }
        let leaving = now.find(path).ok_or_else(|| refused(path, "is not open"))?;
        let shared = stays.clone().any(|disk| mounts::same_file_system(&disk.path, path));
        let used = leaving.mountpath.space().used;
        if used > free && !shared {
            return Err(BackendError::NoRoom(format!(
                "mountpath {}: {used} bytes are in use, and the others have {free} free: they cannot take what it holds",
                path.display()
            )));
        }
        let leaves = if to == Standing::Detached { Standing::Detaching } else { Standing::Disabling };
        self.registry.set(path, leaves);
        self.registry.settled = false;
        tracing::info!("{} is emptied", path.display());
        self.publish(with_duty(now.disks.clone(), path, Duty::Leaving))
    }

    /// Takes a disk out that has failed. One that is not in the set any more is out.
    pub(super) fn fail(&mut self, path: &Path, why: &str, walker: &WalkerPort) {
        if self.disks.load().find(path).is_none() {
            return;
        }
        tracing::error!("{} has failed and is out of service, its names answer 503: {why}", path.display());
        if let Err(error) = self.close(path, Standing::Disabled, why, walker) {
            tracing::error!("{}: {error}", path.display());
        }
    }

    /// Forgets a disk that is out of service, with what it may hold.
    fn give_up(&mut self, path: &Path) -> Result<(), BackendError> {
        self.registry.set(path, Standing::Detached);
        tracing::info!("{} is detached: what it held is given up", path.display());
        let as_is = self.disks.now().disks.clone();
        self.publish(as_is)
    }
}

fn with_duty(mut disks: Vec<Disk>, path: &Path, duty: Duty) -> Vec<Disk> {
    disks.iter_mut().filter(|disk| **disk.path == *path).for_each(|disk| disk.duty = duty);
    disks
}

fn check_label(path: &Path, label: &str) -> Result<(), BackendError> {
    let max = limits::MOUNTPATH_LABEL_BYTES_MAX;
    match label.len() <= max && !label.chars().any(char::is_control) {
        true => Ok(()),
        false => {
            Err(refused(path, &format!("has a label of more than {max} bytes, or with control characters")))
        }
    }
}

fn refused(path: &Path, why: &str) -> BackendError {
    BackendError::Mountpath(format!("mountpath {}: {why}", path.display()))
}
