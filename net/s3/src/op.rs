//! Every operation of the dialect with its typed parameters. What is not here is refused by the router.

use weir_types::{Access, BucketName, ObjectName, RangeSpec};

use crate::attrs::{Acl, ObjectAttrs, Overrides};
use crate::body::BodyPlan;
use crate::conditions::{ReadConditions, WriteConditions};
use crate::error::{Result, S3Code, S3Error};
use crate::flexible::{ChecksumType, FlexibleKind};
use crate::listing::{ListObjects, ListVersions};
use crate::tags::Tags;
use crate::uploads::{ListBuckets, ListParts, ListUploads};

/// One request, classified.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "one value lives per request, on the stack of its task")]
pub enum S3Op {
    /// `GET /`: the buckets that the credential may see.
    ListBuckets(ListBuckets),
    /// On a bucket: for the control core.
    Bucket {
        /// The bucket addressed.
        bucket: BucketName,
        /// What to do with it.
        op: BucketOp,
    },
    /// On an object: for the shard.
    Object {
        /// The bucket addressed.
        bucket: BucketName,
        /// The object addressed.
        key: ObjectName,
        /// What to do with it.
        op: ObjectOp,
    },
}

/// Operations on a bucket. Those with a `body` field in their comment take an XML body: read it (bounded by
/// `XML_BYTES_MAX`), check it with [`BodyPlan::verify`] and give it to the `parse` function named.
#[derive(Debug, Clone, PartialEq)]
pub enum BucketOp {
    /// Body: [`crate::documents::parse_create_bucket`] (may be empty).
    Create(CreateBucket),
    /// Delete an empty bucket: 204, `BucketNotEmpty`, `NoSuchBucket`.
    Delete,
    /// 200 with `x-amz-bucket-region`, or 404 without a body.
    Head,
    /// Answer: [`crate::render::location`].
    GetLocation,
    /// Answer: [`crate::render::versioning`].
    GetVersioning,
    /// Body: [`crate::documents::parse_versioning`].
    PutVersioning(BodyPlan),
    /// Both generations of the listing. Answer: [`ListObjects::render`].
    ListObjects(ListObjects),
    /// Answer: [`ListVersions::render`].
    ListVersions(ListVersions),
    /// Answer: [`ListUploads::render`].
    ListUploads(ListUploads),
    /// Multi-object delete. Body: [`crate::documents::parse_delete`]; answer: [`crate::render::delete_result`].
    DeleteObjects(BodyPlan),
    /// Answer: [`crate::render::private_acl`].
    GetAcl,
    /// A canned ACL is accepted; private is what holds. Body: [`crate::documents::parse_acl`]. Answer 200, empty.
    PutAcl(Acl, BodyPlan),
    /// The bucket's own tags; the bucket's existence is checked first. Answer: [`crate::render::tagging`] or `NoSuchTagSet`.
    GetTagging,
    /// Body: [`crate::documents::parse_tagging`]. Answer 204.
    PutTagging(BodyPlan),
    /// Answer 204.
    DeleteTagging,
    /// A subresource that no bucket of this server has: answer `NoSuchBucket` if the bucket is absent, else this.
    Absent(Absent),
    /// A subresource whose removal is idempotent and which no bucket has: 204 if the bucket exists.
    DeleteAbsent(&'static str),
}

/// What a bucket of this server never has, as its GET answers once the bucket is known to exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// With an error of its own, such as `NoSuchBucketPolicy`.
    Error(crate::S3Code),
    /// The same where the code's usual message does not say enough.
    Refused(crate::S3Code, &'static str),
    /// With 200 and this fixed document, such as an empty `BucketLoggingStatus`.
    Document(&'static str),
}

impl Absent {
    /// The document, or the error to answer.
    pub fn answer(self) -> Result<&'static str> {
        match self {
            Self::Document(text) => Ok(text),
            Self::Error(code) => Err(code.into()),
            Self::Refused(code, message) => Err(S3Error::new(code, message)),
        }
    }
}

/// Parameters of CreateBucket.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateBucket {
    /// Canned ACL asked for.
    pub acl: Acl,
    /// Checks of the body.
    pub body: BodyPlan,
}

/// Operations on an object.
#[derive(Debug, Clone, PartialEq)]
pub enum ObjectOp {
    /// GetObject and HeadObject differ only in whether the body is sent.
    Get(GetObject),
    /// See [`ObjectOp::Get`].
    Head(GetObject),
    /// Answer: 200 with `ETag` and checksum headers, no body.
    Put(PutObject),
    /// Answer: [`crate::render::copy_object_result`].
    Copy(CopyObject),
    /// Answer: 204 even when there was none.
    Delete(DeleteObject),
    /// Answer: [`crate::attributes::render`].
    GetAttributes(GetAttributes),
    /// Answer: [`crate::render::tagging`]; an object without tags has an empty set.
    GetTagging,
    /// Body: [`crate::documents::parse_tagging`]. Answer 200.
    PutTagging(BodyPlan),
    /// Answer 204.
    DeleteTagging,
    /// Answer: [`crate::render::private_acl`].
    GetAcl,
    /// As [`BucketOp::PutAcl`].
    PutAcl(Acl, BodyPlan),
    /// Answer: [`crate::render::initiate_multipart`].
    CreateUpload(CreateUpload),
    /// Answer: 200 with `ETag` and checksum headers.
    UploadPart(UploadPart),
    /// Answer: [`crate::render::copy_part_result`].
    UploadPartCopy(UploadPartCopy),
    /// Body: [`crate::documents::parse_complete`]; then [`crate::multipart::check_parts`]; answer: [`crate::render::complete_multipart`].
    CompleteUpload(CompleteUpload),
    /// Answer 204 or `NoSuchUpload`.
    AbortUpload {
        /// The upload.
        upload_id: String,
    },
    /// Answer: [`ListParts::render`].
    ListParts(ListParts),
    /// A subresource that no object has: answer `NoSuchKey` if the object is absent, else this.
    Absent(Absent),
}

/// Parameters of GetObject and HeadObject.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GetObject {
    /// `Range`, when it was one well-formed byte range; anything else is ignored as RFC 9110 says.
    pub range: Option<RangeSpec>,
    /// `partNumber`, 1..=10000; excludes `range`.
    pub part: Option<u32>,
    /// `If-*`; ask [`ReadConditions::check`] before anything is sent. `If-Range` is among them.
    pub conditions: ReadConditions,
    /// `response-*`: headers of the answer to replace.
    pub overrides: Overrides,
    /// `x-amz-checksum-mode: ENABLED`: add the stored checksums to a whole-object answer.
    pub checksum_mode: bool,
}

/// Parameters of PutObject.
#[derive(Debug, Clone, PartialEq)]
pub struct PutObject {
    /// Content headers, user metadata and tags to keep with the object.
    pub attrs: ObjectAttrs,
    /// How the body is framed and what must hold for it.
    pub body: BodyPlan,
    /// `If-Match`, `If-None-Match`: evaluated by the committer.
    pub conditions: WriteConditions,
}

/// The object that a copy reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// Its bucket.
    pub bucket: BucketName,
    /// Its name.
    pub key: ObjectName,
}

/// Parameters of CopyObject.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyObject {
    /// What is read.
    pub source: CopySource,
    /// `x-amz-copy-source-if-*`: a failing one is 412, never 304. Ask [`ReadConditions::check_source`].
    pub source_conditions: ReadConditions,
    /// `None` copies the source's attributes, `Some` replaces them (`x-amz-metadata-directive: REPLACE`).
    pub replace: Option<ObjectAttrs>,
    /// `None` copies the source's tags, `Some` replaces them (`x-amz-tagging-directive: REPLACE`).
    pub replace_tags: Option<Tags>,
    /// Conditions on the destination.
    pub conditions: WriteConditions,
    /// Checksum to compute for the copy; `None` keeps the source's.
    pub checksum: Option<FlexibleKind>,
}

/// Parameters of DeleteObject.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeleteObject {
    /// `If-Match` and its kin.
    pub conditions: WriteConditions,
}

/// Parameters of GetObjectAttributes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GetAttributes {
    /// Which of them are asked for.
    pub wanted: crate::attributes::Wanted,
    /// `x-amz-max-parts`, at most 1000.
    pub max_parts: usize,
    /// `x-amz-part-number-marker`: parts after this number.
    pub part_marker: u32,
    /// `If-*`.
    pub conditions: ReadConditions,
}

/// Parameters of CreateMultipartUpload.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateUpload {
    /// Kept for the completed object.
    pub attrs: ObjectAttrs,
    /// `x-amz-checksum-algorithm`: the checksum that each part carries.
    pub checksum: Option<FlexibleKind>,
    /// `x-amz-checksum-type`; by default what the kind allows (CRC64NVME: full object, others: composite).
    pub checksum_type: Option<ChecksumType>,
}

/// Parameters of UploadPart.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadPart {
    /// The upload.
    pub upload_id: String,
    /// 1..=10000.
    pub part: u32,
    /// How the body is framed and what must hold for it.
    pub body: BodyPlan,
}

/// Parameters of UploadPartCopy.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadPartCopy {
    /// The upload.
    pub upload_id: String,
    /// 1..=10000.
    pub part: u32,
    /// What is read.
    pub source: CopySource,
    /// `x-amz-copy-source-range`, first and last byte included; one past the source's end is `InvalidRange`:
    /// ask [`crate::multipart::resolve_copy_range`].
    pub range: Option<(u64, u64)>,
    /// `x-amz-copy-source-if-*`.
    pub source_conditions: ReadConditions,
}

/// Parameters of CompleteMultipartUpload.
#[derive(Debug, Clone, PartialEq)]
pub struct CompleteUpload {
    /// The upload. When it is gone because an earlier attempt succeeded, the object's tag equals
    /// [`crate::multipart::etag`] of the tags that the body names: answer that success again.
    pub upload_id: String,
    /// `If-Match`, `If-None-Match` on the name.
    pub conditions: WriteConditions,
    /// Checks of the XML body; never aws-chunked object bytes.
    pub body: BodyPlan,
    /// `x-amz-checksum-*`: what the completed object must have.
    pub expected: Option<crate::flexible::Expected>,
    /// `x-amz-mp-object-size`: size that the completed object must have.
    pub size: Option<u64>,
}

impl CompleteUpload {
    /// Compares the object to be with what the client expects of it: its size in bytes, and the checksum formed of its
    /// parts' ones, if the upload keeps any.
    pub fn check(&self, size: u64, checksum: Option<&crate::flexible::StoredChecksum>) -> Result<()> {
        if let Some(expected) = self.size.filter(|expected| *expected != size) {
            let text = format!("the parts have {size} bytes, x-amz-mp-object-size says {expected}");
            return Err(S3Error::new(S3Code::InvalidRequest, text));
        }
        match (&self.expected, checksum) {
            (None, _) => Ok(()),
            (Some(expected), Some(sum)) if sum.kind == expected.kind => expected.check(sum),
            (Some(expected), _) => {
                let text = format!("the upload keeps no {}", expected.kind.as_str());
                Err(S3Error::new(S3Code::InvalidRequest, text))
            }
        }
    }
}

impl S3Op {
    /// What the credential must allow, on the bucket if there is one.
    pub fn access(&self) -> Access {
        match self {
            Self::ListBuckets(_) => Access::LIST_BUCKETS,
            Self::Bucket { op, .. } => op.access(),
            Self::Object { op, .. } => op.access(),
        }
    }

    /// S3's name of the operation, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ListBuckets(_) => "ListBuckets",
            Self::Bucket { op, .. } => op.name(),
            Self::Object { op, .. } => op.name(),
        }
    }

    /// The bucket addressed.
    pub fn bucket(&self) -> Option<&BucketName> {
        match self {
            Self::ListBuckets(_) => None,
            Self::Bucket { bucket, .. } | Self::Object { bucket, .. } => Some(bucket),
        }
    }

    /// The other bucket that is read by a copy; it needs [`Access::GET`] of its own.
    pub fn source(&self) -> Option<&CopySource> {
        match self {
            Self::Object { op: ObjectOp::Copy(c), .. } => Some(&c.source),
            Self::Object { op: ObjectOp::UploadPartCopy(c), .. } => Some(&c.source),
            _ => None,
        }
    }

    /// How the request's body is framed and checked; `None` where a body means nothing and is drained.
    pub fn body(&self) -> Option<&BodyPlan> {
        match self {
            Self::ListBuckets(_) => None,
            Self::Bucket { op, .. } => match op {
                BucketOp::Create(c) => Some(&c.body),
                BucketOp::PutVersioning(b) | BucketOp::DeleteObjects(b) | BucketOp::PutTagging(b) => Some(b),
                BucketOp::PutAcl(_, b) => Some(b),
                _ => None,
            },
            Self::Object { op, .. } => op.body(),
        }
    }
}

impl BucketOp {
    /// What the credential must allow.
    pub fn access(&self) -> Access {
        match self {
            Self::Create(_) => Access::CREATE_BUCKET,
            Self::Delete => Access::DESTROY_BUCKET,
            Self::ListObjects(_) | Self::ListVersions(_) | Self::ListUploads(_) => Access::LIST_OBJECTS,
            Self::DeleteObjects(_) => Access::DELETE_OBJECT,
            Self::PutVersioning(_) | Self::PutTagging(_) | Self::DeleteTagging | Self::DeleteAbsent(_) => {
                Access::PATCH
            }
            Self::PutAcl(..) => Access::SET_BUCKET_ACL,
            Self::Head
            | Self::GetLocation
            | Self::GetVersioning
            | Self::GetAcl
            | Self::GetTagging
            | Self::Absent(_) => Access::HEAD_BUCKET,
        }
    }

    /// S3's name of the operation.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "CreateBucket",
            Self::Delete => "DeleteBucket",
            Self::Head => "HeadBucket",
            Self::GetLocation => "GetBucketLocation",
            Self::GetVersioning => "GetBucketVersioning",
            Self::PutVersioning(_) => "PutBucketVersioning",
            Self::ListObjects(_) => "ListObjects",
            Self::ListVersions(_) => "ListObjectVersions",
            Self::ListUploads(_) => "ListMultipartUploads",
            Self::DeleteObjects(_) => "DeleteObjects",
            Self::GetAcl => "GetBucketAcl",
            Self::PutAcl(..) => "PutBucketAcl",
            Self::GetTagging => "GetBucketTagging",
            Self::PutTagging(_) => "PutBucketTagging",
            Self::DeleteTagging => "DeleteBucketTagging",
            Self::Absent(_) => "GetBucketSubresource",
            Self::DeleteAbsent(_) => "DeleteBucketSubresource",
        }
    }
}

impl ObjectOp {
    /// What the request says about its body, for operations that take one.
    pub fn body(&self) -> Option<&BodyPlan> {
        match self {
            Self::Put(p) => Some(&p.body),
            Self::UploadPart(p) => Some(&p.body),
            Self::CompleteUpload(c) => Some(&c.body),
            Self::PutTagging(b) | Self::PutAcl(_, b) => Some(b),
            _ => None,
        }
    }

    /// What the credential must allow.
    pub fn access(&self) -> Access {
        match self {
            Self::Get(_) => Access::GET,
            Self::Head(_) | Self::GetAttributes(_) | Self::GetTagging | Self::GetAcl | Self::Absent(_) => {
                Access::HEAD_OBJECT
            }
            Self::Put(_)
            | Self::Copy(_)
            | Self::CreateUpload(_)
            | Self::UploadPart(_)
            | Self::UploadPartCopy(_)
            | Self::CompleteUpload(_)
            | Self::AbortUpload { .. } => Access::PUT,
            Self::ListParts(_) => Access::LIST_OBJECTS,
            Self::Delete(_) => Access::DELETE_OBJECT,
            Self::PutTagging(_) | Self::DeleteTagging | Self::PutAcl(..) => Access::UPDATE_OBJECT,
        }
    }

    /// S3's name of the operation.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Get(_) => "GetObject",
            Self::Head(_) => "HeadObject",
            Self::Put(_) => "PutObject",
            Self::Copy(_) => "CopyObject",
            Self::Delete(_) => "DeleteObject",
            Self::GetAttributes(_) => "GetObjectAttributes",
            Self::GetTagging => "GetObjectTagging",
            Self::PutTagging(_) => "PutObjectTagging",
            Self::DeleteTagging => "DeleteObjectTagging",
            Self::GetAcl => "GetObjectAcl",
            Self::PutAcl(..) => "PutObjectAcl",
            Self::CreateUpload(_) => "CreateMultipartUpload",
            Self::UploadPart(_) => "UploadPart",
            Self::UploadPartCopy(_) => "UploadPartCopy",
            Self::CompleteUpload(_) => "CompleteMultipartUpload",
            Self::AbortUpload { .. } => "AbortMultipartUpload",
            Self::ListParts(_) => "ListParts",
            Self::Absent(_) => "GetObjectSubresource",
        }
    }
}
