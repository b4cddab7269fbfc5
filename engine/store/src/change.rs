use weir_types::{Bucket, Checksum, CustomMeta, ObjectName};

use crate::{
    CommitId, ContentHeaders, Durability, Etag, Flight, Lead, PartInfo, Prepared, Record, RemoteIdentity,
    StoreError,
};
use std::sync::Arc;

/// One ETag condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// `*`: any object.
    Any,
    /// One of these, without quotes.
    Etags(Vec<String>),
}

impl Condition {
    fn fits(&self, record: &Record) -> bool {
        match self {
            Self::Any => true,
            Self::Etags(etags) => etags.contains(&record.etag_text()),
        }
    }
}

/// Preconditions of a change; all must hold of the object as the committer finds it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Terms {
    /// The object exists and fits.
    pub if_match: Option<Condition>,
    /// No object exists that fits.
    pub if_none_match: Option<Condition>,
    /// The object, if there is one, was not changed since: nanoseconds since 1970.
    pub if_unmodified_since_ns: Option<u64>,
    /// The object, if there is one, was changed since: nanoseconds since 1970.
    pub if_modified_since_ns: Option<u64>,
    /// Size in bytes that the object must have.
    pub if_size: Option<u64>,
    /// The object is that of this commit: nothing has changed it since. A removal with it is a move's: it is the node's own, and
    /// makes no name of a bucket go.
    pub if_commit: Option<CommitId>,
    /// The same of a client's change.
    pub if_unchanged: Option<CommitId>,
}

impl Terms {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The commits that the object must be of.
    pub(crate) fn commits(&self) -> impl Iterator<Item = CommitId> {
        self.if_commit.into_iter().chain(self.if_unchanged)
    }

    /// Checks them against the present object. `If-Match`, `if_size`, `if_commit` and `if_unchanged` of an absent
    /// object give `NotFound`.
    pub fn check(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        present: Option<&Record>,
    ) -> Result<(), StoreError> {
        let got = || present.map_or_else(|| "(absent)".to_owned(), Record::etag_text);
        let refuse = |what| Err(StoreError::Precondition { what, name: name.clone(), got: got() });
        let needed = self.if_match.is_some() || self.if_size.is_some() || self.commits().next().is_some();
        if present.is_none() && needed {
            return Err(StoreError::NotFound { bucket: bucket.clone(), name: name.clone() });
        }
        let Some(record) = present else { return Ok(()) };
        let modified = record.last_modified_ns();
        if self.if_match.as_ref().is_some_and(|c| !c.fits(record)) {
            return refuse("If-Match");
        }
        if self.if_none_match.as_ref().is_some_and(|c| c.fits(record)) {
            return refuse("If-None-Match");
        }
        if self.if_unmodified_since_ns.is_some_and(|t| modified > t) {
            return refuse("If-Unmodified-Since");
        }
        if self.if_modified_since_ns.is_some_and(|t| modified <= t) {
            return refuse("If-Modified-Since");
        }
        if self.if_size.is_some_and(|size| size != record.size) {
            return refuse("size condition");
        }
        if self.commits().any(|commit| commit != record.commit) {
            return refuse("commit ID");
        }
        Ok(())
    }
}

/// How a PUT numbers its version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum VersionRule {
    /// One more than the present object's; 1 for a new one.
    #[default]
    Next,
    /// This one.
    Set(u64),
}

impl VersionRule {
    /// The version that comes after the present object's.
    pub(crate) fn after(self, present: Option<&Record>) -> u64 {
        match self {
            Self::Next => present.map_or(0, |p| p.version).saturating_add(1),
            Self::Set(version) => version,
        }
    }
}

/// Metadata that comes with an object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attrs {
    /// Custom metadata.
    pub custom: CustomMeta,
    /// Content headers.
    pub content: ContentHeaders,
    /// ETag; none: derived from the commit.
    pub etag: Option<Etag>,
    /// Identity at the origin, for a copy of a remote object.
    pub remote: Option<RemoteIdentity>,
    /// Version.
    pub version: VersionRule,
    /// Time of the last change, where it is not now.
    pub modified_ns: Option<u64>,
    /// What else it was at another target, which it comes from.
    pub moved: Option<Moved>,
}

/// Of an object that moves to its owner: it is the same as before, and does not count as a change of its name. It is kept only
/// where nothing as new is ([`StoreError::Outdated`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moved {
    /// Which change made it.
    pub commit: CommitId,
    /// Its first version's time, nanoseconds since 1970.
    pub created_ns: u64,
}

impl Attrs {
    /// The metadata of an object that comes from another target.
    pub fn moved(record: &Record) -> Self {
        Self {
            custom: record.custom.clone(),
            content: record.content.clone(),
            etag: record.etag.clone(),
            remote: record.remote.clone(),
            version: VersionRule::Set(record.version),
            modified_ns: Some(record.modified_ns),
            moved: Some(Moved { commit: record.commit, created_ns: record.created_ns }),
        }
    }

    /// Refuses what comes from another target where the present object is as new.
    pub(crate) fn refuse_outdated(
        &self,
        name: &ObjectName,
        present: Option<&Record>,
    ) -> Result<(), StoreError> {
        match (self.moved, present) {
            (Some(moved), Some(present)) if present.commit >= moved.commit => {
                Err(StoreError::Outdated { name: name.clone(), present: present.commit })
            }
            _ => Ok(()),
        }
    }
}

/// What a multipart upload will become, as its creation stated it.
pub type UploadAttrs = Attrs;

/// A whole object that is to have a name.
pub struct Put<F> {
    /// Its bucket.
    pub bucket: Bucket,
    /// Its name.
    pub name: ObjectName,
    /// Its bytes.
    pub prepared: Prepared<F>,
    /// Preconditions.
    pub terms: Terms,
    /// Its metadata.
    pub attrs: Attrs,
    /// The flight that this ends, for a cold arrival.
    pub flight: Option<Lead<F>>,
    /// The multipart upload that this completes; it is gone afterwards.
    pub upload: Option<String>,
}

/// How custom metadata is changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CustomChange {
    /// These pairs are set, others stay.
    Merge(CustomMeta),
    /// These pairs are all.
    Replace(CustomMeta),
    /// Custom metadata and content headers are these.
    ReplaceAll(CustomMeta, ContentHeaders),
}

/// A change of names, for the committer of the mountpath.
pub enum Change<F> {
    /// Names an object, new or in place of another.
    Put(Box<Put<F>>),
    /// Takes an object in that exists elsewhere, as it is: its record stays, commit ID included. Durable. Refused by a
    /// `Precondition` unless its commit ID is greater than that of the present object, or the same where `damaged`.
    Adopt {
        /// What is here of the same commit is not what it should be.
        damaged: bool,
        /// Its bucket.
        bucket: Bucket,
        /// Its name.
        name: ObjectName,
        /// Its bytes.
        prepared: Prepared<F>,
        /// Its metadata.
        record: Box<Record>,
    },
    /// Removes an object; `NotFound` if there is none.
    Delete {
        /// Its bucket.
        bucket: Bucket,
        /// Its name.
        name: ObjectName,
        /// Preconditions.
        terms: Terms,
        /// What the removal must survive.
        durability: Durability,
    },
    /// Changes custom metadata in place; version and times stay.
    SetCustom {
        /// Its bucket.
        bucket: Bucket,
        /// Its name.
        name: ObjectName,
        /// How.
        change: CustomChange,
        /// Preconditions.
        terms: Terms,
        /// What the change must survive.
        durability: Durability,
    },
    /// Writes down how many copies of an object there are, if it still is of this commit, which stays. Durable.
    SetCopies {
        /// Its bucket.
        bucket: Bucket,
        /// Its name.
        name: ObjectName,
        /// Which change made it.
        commit: CommitId,
        /// How many.
        copies: u8,
    },
    /// Drops the local copy of a remote object; like a relaxed delete.
    Evict {
        /// Its bucket.
        bucket: Bucket,
        /// Its name.
        name: ObjectName,
    },
    /// Removes, durably, an object that its owner has by now, if it still is of this commit; `NotFound` if there is none.
    Release {
        /// Its bucket.
        bucket: Bucket,
        /// Its name.
        name: ObjectName,
        /// Which change made what the owner has.
        commit: CommitId,
        /// By which version of the map it is the owner. It may have given the object up since the owners changed again.
        map_version: u64,
    },
    /// Removes everything this mountpath holds of a bucket, durably; nothing to remove is no error.
    DestroyBucket {
        /// The bucket.
        bucket: Bucket,
    },
    /// Changes nothing: done when every change of the bucket that came before it is done.
    Settle {
        /// The bucket.
        bucket: Bucket,
    },
    /// Begins a multipart upload.
    CreateUpload {
        /// Bucket of the object to be.
        bucket: Bucket,
        /// Name of the object to be.
        name: ObjectName,
        /// Its metadata.
        attrs: UploadAttrs,
        /// What the upload must survive.
        durability: Durability,
    },
    /// Takes an upload in that was begun elsewhere, under the ID it has; its parts follow as parts do. Durable.
    AdoptUpload {
        /// Bucket of the object to be.
        bucket: Bucket,
        /// Name of the object to be.
        name: ObjectName,
        /// Its ID.
        upload: String,
        /// Its metadata; `modified_ns` is the upload's beginning.
        attrs: UploadAttrs,
    },
    /// Stores a part in place of any of that number.
    PutPart {
        /// Bucket of the upload.
        bucket: Bucket,
        /// Name of the object to be.
        name: ObjectName,
        /// ID of the upload.
        upload: String,
        /// 1 to 10,000.
        number: u32,
        /// Its bytes.
        prepared: Prepared<F>,
        /// Its ETag; none: derived from the commit.
        etag: Option<Etag>,
    },
    /// Drops an upload and its parts.
    AbortUpload {
        /// Bucket of the upload.
        bucket: Bucket,
        /// Name of the object to be.
        name: ObjectName,
        /// ID of the upload.
        upload: String,
        /// What the removal must survive.
        durability: Durability,
    },
    /// Drops an upload that is elsewhere now.
    DropUpload {
        /// Bucket of the upload.
        bucket: Bucket,
        /// Name of the object to be.
        name: ObjectName,
        /// ID of the upload.
        upload: String,
        /// By which version of the map the target that has it owns its name; `None`: another mountpath of this one has it, or
        /// nobody is to.
        map_version: Option<u64>,
    },
    /// Asks for the lead of a cold read.
    ColdBegin {
        /// Bucket of the remote object.
        bucket: Bucket,
        /// Its name.
        name: ObjectName,
    },
}

/// What a PUT did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The object's metadata now.
    pub record: Arc<Record>,
    /// Size of the object it replaced.
    pub replaced_bytes: Option<u64>,
}

impl Committed {
    /// The bucket's checksum of the content.
    pub fn checksum(&self) -> Checksum {
        self.record.checksum()
    }
}

/// What a change did.
#[allow(clippy::large_enum_variant, reason = "one a request, moved once")]
pub enum Outcome<F> {
    /// A PUT or a metadata change.
    Committed(Committed),
    /// A removal or an eviction; the metadata that was, where it could be read.
    Deleted(Option<Arc<Record>>),
    /// A bucket's data is gone from here.
    Destroyed,
    /// What came before is done.
    Settled,
    /// An upload began: its ID.
    Upload(String),
    /// A part is stored.
    Part(PartInfo),
    /// An upload is gone.
    Aborted,
    /// The cold object is here already.
    Present(Arc<Record>),
    /// Bring the cold object in.
    Lead(Lead<F>),
    /// Somebody brings it in: read along.
    Follow(Arc<Flight<F>>),
    /// Not carried out: the name does not belong to this mountpath, or will not for long. The change comes back.
    Misplaced(Box<Change<F>>),
    /// Not carried out: the object has copies, or is to have some, and all of them change together. The change comes back.
    HasCopies(Box<Change<F>>),
}

/// Takes a change's result, on the committer's thread: it must only hand it on.
pub type Reply<F> = Box<dyn FnOnce(Result<Outcome<F>, StoreError>) + Send>;

/// What is the same in every copy of an object, of a change that is made to all of them ([`crate::Copies`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Together {
    /// Version of the set of disks under which the copies' places were chosen.
    pub set: u64,
    /// The commit.
    pub commit: CommitId,
    /// When the first version was made, nanoseconds since 1970.
    pub created_ns: u64,
    /// How many copies there are afterwards.
    pub copies: u8,
}

/// A change, its time, and who wants to know.
pub struct Request<F> {
    /// What.
    pub change: Change<F>,
    /// Of one copy's part in a change of all.
    pub together: Option<Together>,
    /// Now, nanoseconds since 1970.
    pub now_ns: u64,
    /// Called exactly once, when the outcome is as durable as was asked.
    pub reply: Reply<F>,
}

impl<F> Change<F> {
    /// The bucket and name it is about; no name: the whole bucket.
    pub fn key(&self) -> (&Bucket, Option<&ObjectName>) {
        match self {
            Self::Put(put) => (&put.bucket, Some(&put.name)),
            Self::Delete { bucket, name, .. }
            | Self::Adopt { bucket, name, .. }
            | Self::SetCustom { bucket, name, .. }
            | Self::SetCopies { bucket, name, .. }
            | Self::Evict { bucket, name }
            | Self::Release { bucket, name, .. }
            | Self::CreateUpload { bucket, name, .. }
            | Self::AdoptUpload { bucket, name, .. }
            | Self::PutPart { bucket, name, .. }
            | Self::AbortUpload { bucket, name, .. }
            | Self::DropUpload { bucket, name, .. }
            | Self::ColdBegin { bucket, name } => (bucket, Some(name)),
            Self::DestroyBucket { bucket } | Self::Settle { bucket } => (bucket, None),
        }
    }
}
