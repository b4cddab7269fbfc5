use weir_types::Bucket;

use crate::layout::{self, BucketDirs};
use crate::volume::Look;
use crate::{
    Access, Committer, Disk, DiskError, DiskErrorKind, DiskPath, EntryKind, StoreError, Volume,
    layout::UPLOAD_FILE,
};

/// What [`Committer::recover`] found and removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Recovered {
    /// Work files removed, and directories on their way out.
    pub work_files: usize,
    /// Uploads removed because their object is complete, or because they never began.
    pub uploads_removed: usize,
    /// Uploads in progress.
    pub uploads: usize,
    /// Buckets with something on this mountpath.
    pub buckets: usize,
    /// Names that were acknowledged and whose files were not known to be durable: filed now.
    pub refiled: usize,
}

impl<D: Disk> Volume<D> {
    /// The buckets that have a directory on this mountpath.
    pub async fn buckets(&self) -> Result<Vec<Bucket>, StoreError> {
        let mut out = Vec::new();
        for (name, provider) in dirs_in(&self.disk, &DiskPath::root()).await?.into_iter().filter_map(|name| {
            let provider = layout::provider_of_dir(&name)?;
            Some((name, provider))
        }) {
            let mut open = vec![(DiskPath::root().join(&name)?, weir_types::Namespace::default())];
            while let Some((dir, namespace)) = open.pop() {
                for name in dirs_in(&self.disk, &dir).await? {
                    let Ok(text) = std::str::from_utf8(&name) else { continue };
                    let inner = match (text.strip_prefix('@'), text.strip_prefix('#')) {
                        (Some(uuid), _) if namespace.is_global() => {
                            Some(weir_types::Namespace { uuid: uuid.into(), name: String::new() })
                        }
                        (_, Some(ns)) if namespace.name.is_empty() => {
                            Some(weir_types::Namespace { uuid: namespace.uuid.clone(), name: ns.into() })
                        }
                        _ => None,
                    };
                    match (inner, weir_types::BucketName::new(text)) {
                        (Some(inner), _) => open.push((dir.join(&name)?, inner)),
                        (None, Ok(name)) => out.push(Bucket { provider, namespace: namespace.clone(), name }),
                        _ => {}
                    }
                }
            }
        }
        Ok(out)
    }
}

impl<D: Disk> Committer<D> {
    /// Clears what an earlier life left: work files, and uploads that are complete or never began. Called once, before
    /// the first change; before all of that it files what the journal holds. It looks at no object but those of uploads
    /// and those in the journal, so its time does not grow with the objects; orphans beside objects are found later, by [`tend`](Self::tend).
    pub async fn recover(&mut self) -> Result<Recovered, StoreError> {
        let mut found = Recovered::default();
        self.sweep_work_dir(&mut found).await?;
        found.refiled = self.open_journal().await?;
        for bucket in self.volume().buckets().await? {
            found.buckets += 1;
            self.recover_uploads(&bucket, &mut found).await?;
            self.sweep_later(bucket);
        }
        Ok(found)
    }

    async fn sweep_work_dir(&mut self, found: &mut Recovered) -> Result<(), StoreError> {
        let work = layout::work_dir();
        let mut entries = Vec::new();
        self.volume().disk().list_dir(&work, &mut |entry| entries.push(entry)).await?;
        for entry in entries {
            let path = work.join(&entry.name)?;
            found.work_files += 1;
            match entry.kind {
                EntryKind::Dir => self.doom_later(path),
                EntryKind::File | EntryKind::Other => gone_ok(self.volume().disk().unlink(&path).await)?,
            }
        }
        Ok(())
    }

    async fn recover_uploads(&mut self, bucket: &Bucket, found: &mut Recovered) -> Result<(), StoreError> {
        let dirs = BucketDirs::of(bucket)?;
        for id in dirs_in(self.volume().disk(), &dirs.uploads).await? {
            let dir = dirs.uploads.join(&id)?;
            if self.is_over(&dirs, &dir, &id).await? {
                self.doom_now(&dir).await?;
                found.uploads_removed += 1;
            } else {
                self.count_upload(bucket);
                found.uploads += 1;
            }
        }
        Ok(())
    }

    /// Whether an upload never began, or its object is in place.
    async fn is_over(&self, dirs: &BucketDirs, dir: &DiskPath, id: &[u8]) -> Result<bool, StoreError> {
        let upload = self.volume().locate_at(dir.join(UPLOAD_FILE)?, Access::Buffered).await?;
        let Look::Here(upload) = upload else { return Ok(true) };
        let Some(Ok(upload)) = upload.record else { return Ok(upload.record.is_none()) };
        let Some(name) = &upload.name else { return Ok(true) };
        let object = self.volume().locate(dirs, name, Access::Buffered).await?.located;
        let record = object.and_then(|o| o.record).and_then(Result::ok);
        Ok(record.and_then(|r| r.upload).is_some_and(|u| u.as_bytes() == id))
    }
}

/// Names of the directories in a directory; none if it is absent.
pub(crate) async fn dirs_in<D: Disk>(disk: &D, dir: &DiskPath) -> Result<Vec<Vec<u8>>, DiskError> {
    let mut out = Vec::new();
    let listed = disk
        .list_dir(dir, &mut |entry| {
            if entry.kind == EntryKind::Dir {
                out.push(entry.name);
            }
        })
        .await;
    gone_ok(listed)?;
    Ok(out)
}

fn gone_ok(done: Result<(), DiskError>) -> Result<(), DiskError> {
    match done {
        Err(e) if e.kind == DiskErrorKind::NotFound => Ok(()),
        done => done,
    }
}
