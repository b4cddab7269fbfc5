use std::sync::Arc;

use weir_types::{Bucket, ObjectName};

use crate::layout::BucketDirs;
use crate::object::{Object, Source};
use crate::record::RECORD_XATTR;
use crate::sidecar::Sidecar;
use crate::{
    Access, Blocks, Disk, DiskErrorKind, DiskPath, FileStat, Mountpath, Record, RecordError, StoreError,
    Unfiled, WriteOptions, Writer,
};

/// Times an open begins again because the object was replaced under it.
const OPEN_TRIES: u32 = 16;

/// What one thread uses of a mountpath: its own disk, and the state all share.
pub struct Volume<D: Disk> {
    pub(crate) disk: D,
    pub(crate) mountpath: Arc<Mountpath<D::File>>,
}

impl<D: Disk> Clone for Volume<D> {
    fn clone(&self) -> Self {
        Self { disk: self.disk.clone(), mountpath: self.mountpath.clone() }
    }
}

/// A file found under a name.
#[derive(Clone)]
pub(crate) struct Located<F> {
    pub(crate) file: F,
    pub(crate) path: DiskPath,
    pub(crate) stat: FileStat,
    /// `None`: the file has no record, so it is no object.
    pub(crate) record: Option<Result<Record, RecordError>>,
}

/// Where a name is, or why it is not.
pub(crate) struct Found<F> {
    pub(crate) located: Option<Located<F>>,
    /// The name cannot stand under its own path now: what is there is in the way.
    pub(crate) blocked: bool,
}

/// A path looked at.
pub(crate) enum Look<F> {
    Here(Box<Located<F>>),
    Absent,
    /// A directory is there, a file is above it, or the file system cannot hold the path.
    Blocked,
}

impl<D: Disk> Volume<D> {
    /// A thread's view of a mountpath.
    pub fn new(disk: D, mountpath: Arc<Mountpath<D::File>>) -> Self {
        Self { disk, mountpath }
    }

    /// The shared state.
    pub fn mountpath(&self) -> &Arc<Mountpath<D::File>> {
        &self.mountpath
    }

    /// The thread's disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// Opens an object through the page cache.
    pub async fn open(&self, bucket: &Bucket, name: &ObjectName) -> Result<Object<D>, StoreError> {
        self.open_as(bucket, name, Access::Buffered).await
    }

    /// Opens an object: `NotFound` if there is none. A relaxed object that another boot wrote is read and checked
    /// whole first; if it does not fit its checksums it is absent.
    pub async fn open_as(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        access: Access,
    ) -> Result<Object<D>, StoreError> {
        let absent = || StoreError::NotFound { bucket: bucket.clone(), name: name.clone() };
        match self.mountpath.acknowledged().find(bucket, name) {
            Some(Unfiled::Deleted) => return Err(absent()),
            Some(Unfiled::Put { record, content }) => {
                return Ok(self.object(name, record, Source::Memory(content), None));
            }
            None => {}
        }
        let dirs = BucketDirs::of(bucket)?;
        for _ in 0..OPEN_TRIES {
            let located = self.locate(&dirs, name, access).await?.located.ok_or_else(absent)?;
            match self.object_of(&dirs.beside, name, located).await {
                // What lies beside the object went away: it was replaced or deleted since it was located.
                Err(StoreError::Disk(e)) if e.kind == DiskErrorKind::NotFound => {}
                Ok(None) => return Err(absent()),
                Ok(Some(object)) => return Ok(object),
                Err(error) => return Err(error),
            }
        }
        Err(absent())
    }

    /// The metadata of an object; the same checks as [`open`](Self::open).
    pub async fn head(&self, bucket: &Bucket, name: &ObjectName) -> Result<Arc<Record>, StoreError> {
        Ok(self.open(bucket, name).await?.record)
    }

    /// Begins an object in a work file.
    pub async fn writer(&self, options: &WriteOptions<'_>) -> Result<Writer<D>, StoreError> {
        Writer::begin(self.disk.clone(), self.mountpath.clone(), options).await
    }

    /// The file under a name: the plain path first, then the escaped one. A plain file without a record is given
    /// only if there is no escaped one.
    pub(crate) async fn locate(
        &self,
        dirs: &BucketDirs,
        name: &ObjectName,
        access: Access,
    ) -> Result<Found<D::File>, StoreError> {
        let plain = match dirs.plain(name) {
            Some(path) => self.locate_at(path, access).await?,
            None => Look::Blocked,
        };
        let (plain, blocked) = match plain {
            Look::Here(located) if located.record.is_some() => {
                return Ok(Found { located: Some(*located), blocked: false });
            }
            Look::Here(located) => (Some(*located), false),
            Look::Absent => (None, false),
            Look::Blocked => (None, true),
        };
        let escaped = match self.locate_at(dirs.escaped(name)?, access).await? {
            Look::Here(located) => Some(*located),
            Look::Absent | Look::Blocked => None,
        };
        if let Some(Located { record: Some(Ok(record)), path, .. }) = &escaped
            && record.name.as_ref() != Some(name)
        {
            let error = RecordError::Malformed { field: "name" };
            return Err(StoreError::Record { path: path.to_string(), error });
        }
        Ok(Found { located: escaped.or(plain), blocked })
    }

    /// The regular file at a path, with its record.
    pub(crate) async fn locate_at(
        &self,
        path: DiskPath,
        access: Access,
    ) -> Result<Look<D::File>, StoreError> {
        use DiskErrorKind as K;
        let file = match self.disk.open(&path, access).await {
            Ok(file) => file,
            Err(e) if e.kind == K::NotFound => return Ok(Look::Absent),
            Err(e) if matches!(e.kind, K::NotDirectory | K::IsDirectory | K::TooLong) => {
                return Ok(Look::Blocked);
            }
            Err(e) => return Err(e.into()),
        };
        let record = self.disk.xattr_get(&file, RECORD_XATTR).await?.map(|bytes| Record::decode(&bytes));
        let stat = self.disk.stat(&file).await?;
        if !stat.regular {
            return Ok(Look::Blocked);
        }
        Ok(Look::Here(Box::new(Located { file, path, stat, record })))
    }

    /// The object in a located file; `None` if it is absent after all (no record, or a relaxed one that did not survive).
    pub(crate) async fn object_of(
        &self,
        beside_dir: &DiskPath,
        name: &ObjectName,
        located: Located<D::File>,
    ) -> Result<Option<Object<D>>, StoreError> {
        let Located { file, path, stat, record } = located;
        let error = |error| StoreError::Record { path: path.to_string(), error };
        let Some(record) = record.transpose().map_err(error)? else { return Ok(None) };
        if !record.spans.is_empty() {
            return Err(error(RecordError::Unsupported { what: "spans in other files" }));
        }
        let doubtful = record.boot.is_some_and(|boot| boot != self.mountpath.options().boot)
            && !self.mountpath.is_verified(record.commit);
        if stat.size != record.size {
            let wrong = StoreError::Truncated { name: name.clone(), expected: record.size, got: stat.size };
            return if doubtful { Ok(None) } else { Err(wrong) };
        }
        let commit = record.commit;
        let beside = match self.open_beside(beside_dir, &record).await {
            Ok(beside) => beside,
            Err(e) if doubtful && is_damage(&e) => return Ok(None),
            Err(e) => return Err(e),
        };
        let object = self.object(name, Arc::new(record), Source::File(file), beside);
        if doubtful {
            match object.verify().await {
                Ok(()) => self.mountpath.note_verified(commit),
                Err(e) if is_damage(&e) => return Ok(None),
                Err(e) => return Err(e),
            }
        }
        Ok(Some(object))
    }

    async fn open_beside(
        &self,
        dir: &DiskPath,
        record: &Record,
    ) -> Result<Option<Sidecar<D::File>>, StoreError> {
        let Blocks::Beside { file, block_bytes } = record.blocks else { return Ok(None) };
        let path = dir.join(file.to_string())?;
        let beside = Sidecar::open(&self.disk, path.clone()).await?;
        if beside.blocks() != crate::blocks::block_count(record.size, block_bytes) {
            let error = RecordError::Malformed { field: "block count" };
            return Err(StoreError::Record { path: path.to_string(), error });
        }
        Ok(Some(beside))
    }

    fn object(
        &self,
        name: &ObjectName,
        record: Arc<Record>,
        source: Source<D::File>,
        beside: Option<Sidecar<D::File>>,
    ) -> Object<D> {
        Object {
            disk: self.disk.clone(),
            mountpath: self.mountpath.clone(),
            name: name.clone(),
            record,
            source,
            beside,
        }
    }
}

/// Whether the error says that the object's bytes or what lies beside them are not what was written.
fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt { .. } | StoreError::Truncated { .. } | StoreError::Record { .. } => true,
        StoreError::Disk(e) => e.kind == DiskErrorKind::NotFound,
        _ => false,
    }
}
