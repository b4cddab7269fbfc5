//! Rows from the disk: all of them into an index, or a few in order and in bounded memory.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use weir_types::Bucket;

use super::collect::{Seek, successor};
use super::index::{Build, Index};
use super::rows::{Packed, facts};
use crate::layout::BucketDirs;
use crate::record::RECORD_XATTR;
use crate::recover::dirs_in;
use crate::{Access, Disk, DiskError, DiskErrorKind, DiskPath, EntryKind, Record, StoreError, Volume};

/// Files opened side by side.
const OPENS: usize = 32;
/// Places to look at that a bounded walk holds.
const PLACES_MAX: usize = 4096;

/// Removes the mark of an index being built, should its builder go away.
struct Guard<'a> {
    index: &'a Index,
    bucket: &'a Bucket,
    number: u64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.index.give_up(self.bucket, self.number);
    }
}

impl<D: Disk> Volume<D> {
    /// Walks the bucket once into its index.
    pub(super) async fn walk_into_index(&self, bucket: &Bucket, mut build: Build) -> Result<(), StoreError> {
        let index = &self.mountpath.index;
        let _guard = Guard { index, bucket, number: build.number() };
        let dirs = BucketDirs::of(bucket)?;
        let mut open = vec![(dirs.objects.clone(), Vec::new())];
        for shelf in dirs_in(&self.disk, &dirs.named).await? {
            open.push((dirs.named.join(shelf)?, Vec::new()));
        }
        while let Some((dir, prefix)) = open.pop() {
            let mut files = Vec::new();
            self.list_below(&dir, &mut |path, name, kind| match kind {
                EntryKind::Dir => open.push((path, [prefix.as_slice(), name, b"/"].concat())),
                EntryKind::File => files.push((path, [prefix.as_slice(), name].concat())),
                EntryKind::Other => {}
            })
            .await?;
            for some in files.chunks(OPENS) {
                for row in join_all(some.iter().map(|(path, name)| self.row(path, name))).await {
                    if let Some(row) = row?
                        && !index.add(&mut build, row)
                    {
                        index.finish(bucket, build, false);
                        return Ok(());
                    }
                }
            }
        }
        index.finish(bucket, build, true);
        Ok(())
    }

    /// The row of a file, if it is an object: its name is the path, or for an escaped one what its record says.
    async fn row(&self, path: &DiskPath, name: &[u8]) -> Result<Option<Packed>, StoreError> {
        use DiskErrorKind as K;
        let read = async {
            let file = self.disk.open(path, Access::Buffered).await?;
            let record = self.disk.xattr_get(&file, RECORD_XATTR).await?;
            Ok::<_, DiskError>((record, self.disk.stat(&file).await?))
        };
        let (bytes, stat) = match read.await {
            // Renamed or removed since the directory was read: the committer's own notes say what became of it.
            Err(e) if matches!(e.kind, K::NotFound | K::NotDirectory | K::IsDirectory) => return Ok(None),
            found => found?,
        };
        // What cannot be opened is not listed: no record, or not the bytes it speaks of.
        let Some(record) = bytes.and_then(|bytes| Record::decode(&bytes).ok()) else { return Ok(None) };
        if !stat.regular || stat.size != record.size {
            return Ok(None);
        }
        let name = match &record.name {
            Some(name) => name.as_str(),
            None => match std::str::from_utf8(name) {
                Ok(name) => name,
                Err(_) => return Ok(None),
            },
        };
        Ok(Some(Packed::new(name, &facts(&record))))
    }

    /// Calls `each` with the path, name and kind of every entry; an absent directory has none.
    async fn list_below(
        &self,
        dir: &DiskPath,
        each: &mut dyn FnMut(DiskPath, &[u8], EntryKind),
    ) -> Result<(), StoreError> {
        let listed = self
            .disk
            .list_dir(dir, &mut |entry| {
                if let Ok(path) = dir.join(&entry.name) {
                    each(path, &entry.name, entry.kind);
                }
            })
            .await;
        match listed {
            Err(e) if !matches!(e.kind, DiskErrorKind::NotFound | DiskErrorKind::NotDirectory) => {
                Err(e.into())
            }
            _ => Ok(()),
        }
    }
}

/// Something to look at for a row.
enum Place {
    /// A directory: rows that begin with its key.
    Dir(DiskPath),
    /// A file: the row of its key.
    File(DiskPath),
    /// An escaped row, read already.
    Row(Packed),
}

/// Rows of a bucket in order, from its directories, holding at most [`PLACES_MAX`] places and one directory's
/// smallest entries. What did not fit is found by looking again from where it would have been.
pub(super) struct Rows<'a, D: Disk> {
    volume: &'a Volume<D>,
    dirs: BucketDirs,
    prefix: &'a str,
    places: BTreeMap<Vec<u8>, Place>,
    /// From this key on places are missing.
    cut: Option<Vec<u8>>,
    started: bool,
}

impl<'a, D: Disk> Rows<'a, D> {
    pub(super) fn new(volume: &'a Volume<D>, bucket: &Bucket, prefix: &'a str) -> Result<Self, StoreError> {
        let dirs = BucketDirs::of(bucket)?;
        Ok(Self { volume, dirs, prefix, places: BTreeMap::new(), cut: None, started: false })
    }

    /// The first row that `seek` admits.
    pub(super) async fn next(&mut self, seek: &Seek) -> Result<Option<Packed>, StoreError> {
        let mut seek = seek.clone();
        if !std::mem::replace(&mut self.started, true) {
            self.start(&seek).await?;
        }
        loop {
            let Some((key, place)) = self.places.pop_first() else {
                let Some(cut) = self.cut.take() else { return Ok(None) };
                if cut > seek.bound {
                    seek = Seek { bound: cut, inclusive: true };
                }
                self.start(&seek).await?;
                continue;
            };
            match place {
                Place::Dir(path) if reaches(&key, &seek) => self.open_dir(&path, &key, &seek).await?,
                Place::File(path) if seek.admits(&key) => {
                    if let Some(row) = self.volume.row(&path, &key).await? {
                        return Ok(Some(row));
                    }
                }
                Place::Row(row) if seek.admits(&key) => return Ok(Some(row)),
                _ => {}
            }
        }
    }

    async fn start(&mut self, seek: &Seek) -> Result<(), StoreError> {
        self.places.clear();
        let (root, named) = (self.dirs.objects.clone(), self.dirs.named.clone());
        self.open_dir(&root, b"", seek).await?;
        for shelf in dirs_in(&self.volume.disk, &named).await? {
            let mut files = Vec::new();
            self.volume.list_below(&named.join(shelf)?, &mut |path, _, _| files.push(path)).await?;
            for path in files {
                if let Some(row) = self.volume.row(&path, b"").await? {
                    self.add(row.name().to_vec(), Place::Row(row), seek);
                }
            }
        }
        Ok(())
    }

    async fn open_dir(&mut self, path: &DiskPath, key: &[u8], seek: &Seek) -> Result<(), StoreError> {
        let volume = self.volume;
        volume
            .list_below(path, &mut |path, name, kind| match kind {
                EntryKind::Dir => self.add([key, name, b"/"].concat(), Place::Dir(path), seek),
                EntryKind::File => self.add([key, name].concat(), Place::File(path), seek),
                EntryKind::Other => {}
            })
            .await
    }

    fn add(&mut self, key: Vec<u8>, place: Place, seek: &Seek) {
        let prefix = self.prefix.as_bytes();
        let wanted = match place {
            Place::Dir(_) => (key.starts_with(prefix) || prefix.starts_with(&key)) && reaches(&key, seek),
            Place::File(_) | Place::Row(_) => key.starts_with(prefix) && seek.admits(&key),
        };
        if !wanted || self.cut.as_ref().is_some_and(|cut| key >= *cut) {
            return;
        }
        self.places.insert(key, place);
        if self.places.len() > PLACES_MAX
            && let Some((key, _)) = self.places.pop_last()
        {
            self.cut = Some(key);
        }
    }
}

/// Whether a directory's rows can be at or after the wanted place.
fn reaches(key: &[u8], seek: &Seek) -> bool {
    successor(key).is_none_or(|end| end > seek.bound)
}
