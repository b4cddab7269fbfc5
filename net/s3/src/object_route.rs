//! Operations on objects, from method, query and headers.

use weir_types::limits::S3_PAGE_MAX;
use weir_types::{BucketName, ObjectName, RangeSpec};

use crate::attributes::Wanted;
use crate::attrs::{Acl, ObjectAttrs, Overrides, check_storage_class, refuse_unsupported};
use crate::body::BodyPlan;
use crate::conditions::{ReadConditions, WriteConditions};
use crate::encryption::{refuse_on_read, refuse_on_write};
use crate::error::{Result, S3Code, S3Error};
use crate::flexible::{ChecksumType, Expected, FlexibleKind};
use crate::multipart::{copy_range, part_number};
use crate::names::{bucket_name, object_name};
use crate::op::{
    Absent, CompleteUpload, CopyObject, CopySource, CreateUpload, DeleteObject, GetAttributes, GetObject,
    ObjectOp, PutObject, UploadPart, UploadPartCopy,
};
use crate::request::{Query, RequestHead, decode};
use crate::route::method_not_allowed;
use crate::tags::Tags;
use crate::uploads::ListParts;

/// Reads an operation on an object.
pub(crate) fn object_op<H: RequestHead + ?Sized>(
    head: &H,
    query: &Query,
    bucket: &BucketName,
    key: &ObjectName,
) -> Result<ObjectOp> {
    check_version(query.get("versionId"))?;
    match head.method() {
        "GET" => get(head, query),
        "HEAD" => Ok(ObjectOp::Head(get_object(head, query)?)),
        "PUT" => put(head, query, bucket, key),
        "POST" => post(head, query),
        "DELETE" => delete(head, query),
        _ => Err(method_not_allowed("GET, HEAD, PUT, DELETE, POST")),
    }
}

/// What S3 answers about the lock of an object in a bucket without object lock, as all here are.
const NO_LOCK: Absent =
    Absent::Refused(S3Code::InvalidRequest, "the bucket has no object lock configuration");

/// Objects have one version, `null`.
fn check_version(version: Option<&str>) -> Result<()> {
    match version {
        None | Some("" | "null") => Ok(()),
        Some(other) => Err(S3Error::from(S3Code::NoSuchVersion).with("VersionId", other)),
    }
}

fn get<H: RequestHead + ?Sized>(head: &H, query: &Query) -> Result<ObjectOp> {
    const ABSENT: [(&str, Absent); 3] =
        [("torrent", Absent::Error(S3Code::NoSuchKey)), ("retention", NO_LOCK), ("legal-hold", NO_LOCK)];
    if let Some((_, absent)) = ABSENT.iter().find(|(name, _)| query.has(name)) {
        return Ok(ObjectOp::Absent(*absent));
    }
    if query.has("acl") {
        return Ok(ObjectOp::GetAcl);
    }
    if query.has("tagging") {
        return Ok(ObjectOp::GetTagging);
    }
    if query.has("attributes") {
        return Ok(ObjectOp::GetAttributes(attributes(head)?));
    }
    match query.get("uploadId") {
        Some(id) => Ok(ObjectOp::ListParts(ListParts::parse(query, id)?)),
        None => Ok(ObjectOp::Get(get_object(head, query)?)),
    }
}

fn get_object<H: RequestHead + ?Sized>(head: &H, query: &Query) -> Result<GetObject> {
    refuse_on_read(head)?;
    let range = head.header("range").and_then(|value| RangeSpec::parse(value).ok());
    let part = query.filled("partNumber").map(part_number).transpose()?;
    if part.is_some() && range.is_some() {
        return Err(S3Error::new(S3Code::InvalidRequest, "Range and partNumber cannot both be given"));
    }
    Ok(GetObject {
        range,
        part,
        conditions: ReadConditions::parse(head),
        overrides: Overrides::parse(query)?,
        checksum_mode: head.header("x-amz-checksum-mode").is_some_and(|v| v.eq_ignore_ascii_case("ENABLED")),
    })
}

fn attributes<H: RequestHead + ?Sized>(head: &H) -> Result<GetAttributes> {
    refuse_on_read(head)?;
    let count = |name: &'static str| match head.header(name).map(str::trim).filter(|v| !v.is_empty()) {
        None => Ok(None),
        Some(v) => v.parse::<u32>().map(Some).map_err(|_| S3Error::argument(name, v, "expected a number")),
    };
    let max_parts = count("x-amz-max-parts")?.map_or(S3_PAGE_MAX, |n| (n as usize).min(S3_PAGE_MAX));
    Ok(GetAttributes {
        wanted: Wanted::parse(head)?,
        max_parts,
        part_marker: count("x-amz-part-number-marker")?.unwrap_or(0),
        conditions: ReadConditions::parse(head),
    })
}

fn put<H: RequestHead + ?Sized>(
    head: &H,
    query: &Query,
    bucket: &BucketName,
    key: &ObjectName,
) -> Result<ObjectOp> {
    if query.has("retention") || query.has("legal-hold") {
        return Ok(ObjectOp::Absent(NO_LOCK));
    }
    if let Some(name) = ["renameObject", "encryption"].iter().find(|name| query.has(name)) {
        return Err(S3Error::not_implemented(name));
    }
    if query.has("acl") {
        return Ok(ObjectOp::PutAcl(Acl::parse(head)?, BodyPlan::parse_document(head)?));
    }
    if query.has("tagging") {
        return Ok(ObjectOp::PutTagging(BodyPlan::parse_document(head)?));
    }
    refuse_on_write(head)?;
    match (query.get("uploadId"), query.get("partNumber")) {
        (Some(id), Some(number)) => put_part(head, id, part_number(number)?),
        (None, None) => match head.header("x-amz-copy-source") {
            Some(source) => Ok(ObjectOp::Copy(copy(head, source, bucket, key)?)),
            None => put_object(head),
        },
        _ => Err(S3Error::new(S3Code::InvalidRequest, "uploadId and partNumber go together")),
    }
}

fn put_object<H: RequestHead + ?Sized>(head: &H) -> Result<ObjectOp> {
    // Read for its errors: what holds is private.
    Acl::parse(head)?;
    let (attrs, body) = (ObjectAttrs::parse(head)?, BodyPlan::parse_object(head)?);
    Ok(ObjectOp::Put(PutObject { attrs, body, conditions: WriteConditions::parse(head) }))
}

fn put_part<H: RequestHead + ?Sized>(head: &H, id: &str, part: u32) -> Result<ObjectOp> {
    let upload_id = id.to_owned();
    let Some(source) = head.header("x-amz-copy-source") else {
        return Ok(ObjectOp::UploadPart(UploadPart { upload_id, part, body: BodyPlan::parse_object(head)? }));
    };
    Ok(ObjectOp::UploadPartCopy(UploadPartCopy {
        upload_id,
        part,
        source: copy_source(source)?,
        range: head.header("x-amz-copy-source-range").map(copy_range).transpose()?,
        source_conditions: ReadConditions::parse_source(head),
    }))
}

/// `[/]bucket/key[?versionId=…]`, URL-encoded; the version is split off before decoding.
fn copy_source(value: &str) -> Result<CopySource> {
    let invalid = || S3Error::argument("x-amz-copy-source", value, "expected bucket/key, URL-encoded");
    let (path, version) = value.split_once("?versionId=").map_or((value, None), |(p, v)| (p, Some(v)));
    check_version(version)?;
    let path = decode(path).map_err(|_| invalid())?;
    let path = path.strip_prefix('/').unwrap_or(&path);
    if path.starts_with("arn:") {
        return Err(S3Error::not_implemented("a copy source by ARN"));
    }
    let (bucket, key) =
        path.split_once('/').filter(|(b, k)| !b.is_empty() && !k.is_empty()).ok_or_else(invalid)?;
    Ok(CopySource { bucket: bucket_name(bucket)?, key: object_name(key.as_bytes())? })
}

fn copy<H: RequestHead + ?Sized>(
    head: &H,
    source: &str,
    bucket: &BucketName,
    key: &ObjectName,
) -> Result<CopyObject> {
    Acl::parse(head)?;
    let source = copy_source(source)?;
    let replace = match replaces(head, "x-amz-metadata-directive")? {
        true => Some(ObjectAttrs::parse(head)?),
        false => {
            check_storage_class(head)?;
            refuse_unsupported(head)?;
            None
        }
    };
    let replace_tags = match replaces(head, "x-amz-tagging-directive")? {
        true => Some(head.header("x-amz-tagging").map(Tags::parse_header).transpose()?.unwrap_or_default()),
        false => None,
    };
    if source.bucket == *bucket && source.key == *key && replace.is_none() && replace_tags.is_none() {
        let text = "a copy of an object onto itself must change its metadata or tags";
        return Err(S3Error::new(S3Code::InvalidRequest, text));
    }
    Ok(CopyObject {
        source,
        source_conditions: ReadConditions::parse_source(head),
        replace,
        replace_tags,
        conditions: WriteConditions::parse(head),
        checksum: algorithm(head)?,
    })
}

fn replaces<H: RequestHead + ?Sized>(head: &H, name: &'static str) -> Result<bool> {
    match head.header(name) {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(S3Error::argument(name, other, "expected COPY or REPLACE")),
    }
}

fn algorithm<H: RequestHead + ?Sized>(head: &H) -> Result<Option<FlexibleKind>> {
    let Some(name) = head.header("x-amz-checksum-algorithm") else { return Ok(None) };
    FlexibleKind::parse(name)
        .map(Some)
        .ok_or_else(|| S3Error::new(S3Code::InvalidRequest, "x-amz-checksum-algorithm names no checksum"))
}

fn post<H: RequestHead + ?Sized>(head: &H, query: &Query) -> Result<ObjectOp> {
    if let Some(name) = ["select", "restore"].iter().find(|name| query.has(name)) {
        return Err(S3Error::not_implemented(name));
    }
    if query.has("uploads") {
        return create_upload(head);
    }
    match query.get("uploadId") {
        Some(id) => complete_upload(head, id),
        None => Err(method_not_allowed("GET, HEAD, PUT, DELETE")),
    }
}

fn create_upload<H: RequestHead + ?Sized>(head: &H) -> Result<ObjectOp> {
    refuse_on_write(head)?;
    Acl::parse(head)?;
    let checksum = algorithm(head)?;
    let asked = match head.header("x-amz-checksum-type") {
        None => None,
        Some(t) => Some(ChecksumType::parse(t).ok_or_else(|| {
            S3Error::new(S3Code::InvalidRequest, "expected the checksum type COMPOSITE or FULL_OBJECT")
        })?),
    };
    let checksum_type = match (checksum, asked) {
        (Some(kind), asked) => Some(ChecksumType::resolve(kind, asked)?),
        (None, None) => None,
        (None, Some(_)) => {
            return Err(S3Error::new(
                S3Code::InvalidRequest,
                "x-amz-checksum-type needs x-amz-checksum-algorithm",
            ));
        }
    };
    Ok(ObjectOp::CreateUpload(CreateUpload { attrs: ObjectAttrs::parse(head)?, checksum, checksum_type }))
}

fn complete_upload<H: RequestHead + ?Sized>(head: &H, id: &str) -> Result<ObjectOp> {
    refuse_on_read(head)?;
    const SIZE: &str = "x-amz-mp-object-size";
    let size =
        |v: &str| v.trim().parse().map_err(|_| S3Error::argument(SIZE, v, "expected a number of bytes"));
    let of_kind =
        |kind: FlexibleKind| head.header(kind.header()).map(|v| Expected { kind, wire: v.trim().to_owned() });
    let mut body = BodyPlan::parse_document(head)?;
    // Here the header tells of the object, not of this body.
    body.checksum = None;
    Ok(ObjectOp::CompleteUpload(CompleteUpload {
        upload_id: id.to_owned(),
        conditions: WriteConditions::parse(head),
        body,
        expected: FlexibleKind::ALL.into_iter().find_map(of_kind),
        size: head.header(SIZE).map(size).transpose()?,
    }))
}

fn delete<H: RequestHead + ?Sized>(head: &H, query: &Query) -> Result<ObjectOp> {
    if query.has("tagging") {
        return Ok(ObjectOp::DeleteTagging);
    }
    match query.get("uploadId") {
        Some(id) => Ok(ObjectOp::AbortUpload { upload_id: id.to_owned() }),
        None => Ok(ObjectOp::Delete(DeleteObject { conditions: WriteConditions::parse_delete(head)? })),
    }
}

#[cfg(test)]
#[path = "object_route_tests.rs"]
mod tests;
