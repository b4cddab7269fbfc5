//! XML bodies of requests.

use weir_types::ObjectName;
use weir_types::limits::{PARTS_MAX, S3_PAGE_MAX};

use crate::conditions::{EtagMatch, WriteConditions, unquoted};
use crate::dates::parse_any_date;
use crate::error::{Result, S3Code, S3Error};
use crate::flexible::{Expected, FlexibleKind};
use crate::render::Owner;
use crate::tags::Tags;
use crate::xml::{Node, malformed};

/// Reads a `CreateBucketConfiguration`: the location constraint, if one is named. An empty body is none.
pub fn parse_create_bucket(body: &[u8]) -> Result<Option<String>> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let root = Node::parse(body, "CreateBucketConfiguration")?;
    Ok(root.text_of("LocationConstraint").map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned))
}

/// Reads a `VersioningConfiguration`: whether versioning is enabled. `MfaDelete` is refused.
pub fn parse_versioning(body: &[u8]) -> Result<bool> {
    let root = Node::parse(body, "VersioningConfiguration")?;
    if root.text_of("MfaDelete").is_some_and(|v| v.trim() != "Disabled") {
        return Err(S3Error::not_implemented("MfaDelete"));
    }
    match root.required("Status")?.trim() {
        "Enabled" => Ok(true),
        "Suspended" => Ok(false),
        other => Err(malformed(format!("expected Enabled or Suspended, got {other:.32}"))),
    }
}

/// Reads a `Tagging` of an object or a bucket, which differ in how many tags they may have.
pub fn parse_tagging(body: &[u8], count_max: usize) -> Result<Tags> {
    let root = Node::parse(body, "Tagging")?;
    let set = root.child("TagSet").ok_or_else(|| malformed("Tagging has no TagSet"))?;
    let tag = |t: &Node| Ok((t.required("Key")?.to_owned(), t.required("Value")?.to_owned()));
    Tags::new(set.all("Tag").map(tag).collect::<Result<_>>()?, count_max)
}

/// Reads an `AccessControlPolicy`. The one list that holds on this server is accepted: full control for its owner, and
/// nothing else. An empty body (the ACL was canned) is accepted too.
pub fn parse_acl(body: &[u8], owner: &Owner) -> Result<()> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let root = Node::parse(body, "AccessControlPolicy")?;
    let list = root.child("AccessControlList").ok_or_else(|| S3Error::from(S3Code::MalformedACLError))?;
    let mut full = false;
    for grant in list.all("Grant") {
        let grantee = grant.child("Grantee").ok_or_else(|| S3Error::from(S3Code::MalformedACLError))?;
        if grantee.child("EmailAddress").is_some() {
            return Err(S3Code::UnresolvableGrantByEmailAddress.into());
        }
        match grantee.text_of("ID").map(str::trim) {
            Some(id) if id == owner.id => {}
            Some(id) => return Err(S3Error::argument("CanonicalUser/ID", id, "the grantee is not known")),
            None => return Err(S3Error::not_implemented("a grant to a group")),
        }
        full |= grant.text_of("Permission").is_some_and(|p| p.trim() == "FULL_CONTROL");
    }
    if full { Ok(()) } else { Err(S3Error::not_implemented("an ACL without full control for the owner")) }
}

/// A `Delete`: up to 1000 objects.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteRequest {
    /// What to remove, in the order sent.
    pub objects: Vec<DeleteTarget>,
    /// Only failures are to be answered.
    pub quiet: bool,
}

/// One object of a [`DeleteRequest`].
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteTarget {
    /// The key as sent, for the answer.
    pub key: String,
    /// The object, or why it can be none: answered for this key alone.
    pub name: Result<ObjectName>,
    /// Conditions on its removal.
    pub conditions: WriteConditions,
}

/// Reads a `Delete`.
pub fn parse_delete(body: &[u8]) -> Result<DeleteRequest> {
    let root = Node::parse(body, "Delete")?;
    let objects: Vec<_> = root.all("Object").map(delete_target).collect::<Result<_>>()?;
    if objects.is_empty() || objects.len() > S3_PAGE_MAX {
        return Err(malformed(format!("{} objects: expected 1 to {S3_PAGE_MAX}", objects.len())));
    }
    let quiet = root.text_of("Quiet").is_some_and(|q| q.trim().eq_ignore_ascii_case("true"));
    Ok(DeleteRequest { objects, quiet })
}

fn delete_target(node: &Node) -> Result<DeleteTarget> {
    let key = node.required("Key")?.to_owned();
    let mut name = crate::names::object_name(key.as_bytes());
    if node.text_of("VersionId").is_some_and(|v| !matches!(v.trim(), "" | "null")) {
        name = name.and(Err(S3Code::NoSuchVersion.into()));
    }
    let date = |t: &str| parse_any_date(t).ok_or_else(|| malformed("LastModifiedTime is not a date"));
    let size = |t: &str| t.trim().parse().map_err(|_| malformed("Size is not a number"));
    let conditions = WriteConditions {
        if_match: node.text_of("ETag").map(EtagMatch::parse),
        if_none_match: None,
        if_match_mtime: node.text_of("LastModifiedTime").map(date).transpose()?,
        if_match_size: node.text_of("Size").map(size).transpose()?,
    };
    Ok(DeleteTarget { key, name, conditions })
}

/// A part as `CompleteMultipartUpload` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPart {
    /// 1..=10000.
    pub number: u32,
    /// Its tag, unquoted.
    pub etag: String,
    /// Checksums that it must have.
    pub checksums: Vec<Expected>,
}

/// Reads a `CompleteMultipartUpload`: parts in ascending order (`InvalidPartOrder` otherwise), at least one.
pub fn parse_complete(body: &[u8]) -> Result<Vec<NamedPart>> {
    let root = Node::parse(body, "CompleteMultipartUpload")?;
    let parts: Vec<_> = root.all("Part").map(named_part).collect::<Result<_>>()?;
    if parts.is_empty() || parts.len() > PARTS_MAX as usize {
        return Err(malformed(format!("{} parts: expected 1 to {PARTS_MAX}", parts.len())));
    }
    if parts.windows(2).any(|w| matches!(w, [a, b] if a.number >= b.number)) {
        return Err(S3Code::InvalidPartOrder.into());
    }
    Ok(parts)
}

fn named_part(node: &Node) -> Result<NamedPart> {
    let number = node.required("PartNumber")?.trim().parse().ok().filter(|n| (1..=PARTS_MAX).contains(n));
    let number = number.ok_or_else(|| {
        S3Error::new(S3Code::InvalidArgument, format!("a part number must be between 1 and {PARTS_MAX}"))
    })?;
    let sum = |kind: FlexibleKind| {
        let wire = node.text_of(kind.element())?.trim().to_owned();
        Some(Expected { kind, wire })
    };
    let checksums = FlexibleKind::ALL.into_iter().filter_map(sum).collect();
    Ok(NamedPart { number, etag: unquoted(node.required("ETag")?.trim()).to_owned(), checksums })
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
