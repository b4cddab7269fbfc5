//! XML answers that fit a few lines each, and the error document.

use crate::attrs::Acl;
use crate::dates::iso8601;
use crate::error::S3Error;
use crate::flexible::{ChecksumType, StoredChecksum};
use crate::tags::Tags;
use crate::xml::Writer;

/// The content type of every document here.
pub const CONTENT_TYPE: &str = "application/xml";

/// Who owns every bucket and object of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Canonical user ID.
    pub id: String,
    /// Name for people.
    pub display_name: String,
}

impl Default for Owner {
    fn default() -> Self {
        Self { id: "weir".into(), display_name: "weir".into() }
    }
}

/// An entity tag as it stands in headers and documents.
pub fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

pub(crate) fn owner_into(w: &mut Writer, element: &'static str, owner: &Owner) {
    w.element(element, |w| {
        w.text("ID", &owner.id);
        w.text("DisplayName", &owner.display_name);
    });
}

/// The error document. A HEAD request and a 304 get the status and headers alone.
pub fn error(error: &S3Error, resource: &str, request_id: &str, host_id: &str) -> Vec<u8> {
    let mut w = Writer::bare("Error");
    w.text("Code", error.code.as_str());
    w.text("Message", &error.message);
    for (element, value) in &error.details {
        w.text(element, value);
    }
    w.text("Resource", resource);
    w.text("RequestId", request_id);
    w.text("HostId", host_id);
    w.finish()
}

/// Whether an answer to `method` with this error has the document as its body.
pub fn error_has_body(error: &S3Error, method: &str) -> bool {
    method != "HEAD" && error.status() != 304
}

/// Answer of GetBucketLocation: the default region is an empty element.
pub fn location(region: &str) -> Vec<u8> {
    let mut w = Writer::new("LocationConstraint");
    if region != DEFAULT_REGION {
        w.own_text(region);
    }
    w.finish()
}

/// The region whose location constraint is empty.
pub const DEFAULT_REGION: &str = "us-east-1";

/// Answer of GetBucketVersioning: `None` for a bucket where it was never set.
pub fn versioning(enabled: Option<bool>) -> Vec<u8> {
    let mut w = Writer::new("VersioningConfiguration");
    w.optional("Status", enabled.map(|on| if on { "Enabled" } else { "Suspended" }));
    w.finish()
}

/// Answer of the tagging operations.
pub fn tagging(tags: &Tags) -> Vec<u8> {
    let mut w = Writer::new("Tagging");
    w.element("TagSet", |w| {
        for (key, value) in tags.iter() {
            w.element("Tag", |w| {
                w.text("Key", key);
                w.text("Value", value);
            });
        }
    });
    w.finish()
}

/// Answer of the ACL operations for what holds on this server: the owner has everything, nobody else anything.
pub fn private_acl(owner: &Owner) -> Vec<u8> {
    acl(owner, Acl::Private)
}

/// The document of a canned ACL, for a caller that keeps which one was set.
pub fn acl(owner: &Owner, acl: Acl) -> Vec<u8> {
    const ALL: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
    const KNOWN: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
    const LOG: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";
    let groups: &[(&str, &str)] = match acl {
        Acl::PublicRead => &[(ALL, "READ")],
        Acl::PublicReadWrite => &[(ALL, "READ"), (ALL, "WRITE")],
        Acl::AuthenticatedRead => &[(KNOWN, "READ")],
        Acl::LogDeliveryWrite => &[(LOG, "WRITE"), (LOG, "READ_ACP")],
        // Bucket and objects have one owner, who has all of it already.
        Acl::Private | Acl::AwsExecRead | Acl::BucketOwnerRead | Acl::BucketOwnerFullControl => &[],
    };
    let mut w = Writer::new("AccessControlPolicy");
    owner_into(&mut w, "Owner", owner);
    w.element("AccessControlList", |w| {
        for (uri, permission) in groups {
            grant_into(
                w,
                " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"Group\"",
                permission,
                |w| {
                    w.text("URI", uri);
                },
            );
        }
        let user = " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\"";
        grant_into(w, user, "FULL_CONTROL", |w| {
            w.text("ID", &owner.id);
            w.text("DisplayName", &owner.display_name);
        });
    });
    w.finish()
}

fn grant_into(w: &mut Writer, attributes: &'static str, permission: &str, grantee: impl FnOnce(&mut Writer)) {
    w.element("Grant", |w| {
        w.start("Grantee", attributes);
        grantee(w);
        w.end();
        w.text("Permission", permission);
    });
}

fn checksum_into(w: &mut Writer, checksum: Option<&StoredChecksum>) {
    if let Some(sum) = checksum {
        w.text(sum.kind.element(), &sum.wire());
        w.text("ChecksumType", sum.checksum_type().as_str());
    }
}

/// Answer of CopyObject.
pub fn copy_object_result(etag: &str, mtime_ns: u64, checksum: Option<&StoredChecksum>) -> Vec<u8> {
    copy_result("CopyObjectResult", etag, mtime_ns, checksum)
}

/// Answer of UploadPartCopy.
pub fn copy_part_result(etag: &str, mtime_ns: u64, checksum: Option<&StoredChecksum>) -> Vec<u8> {
    copy_result("CopyPartResult", etag, mtime_ns, checksum)
}

fn copy_result(root: &'static str, etag: &str, mtime_ns: u64, checksum: Option<&StoredChecksum>) -> Vec<u8> {
    let mut w = Writer::new(root);
    w.text("LastModified", &iso8601(mtime_ns));
    w.text("ETag", &quoted(etag));
    if let Some(sum) = checksum {
        w.text(sum.kind.element(), &sum.wire());
    }
    w.finish()
}

/// Answer of CreateMultipartUpload. Its checksum settings stand in headers: [`crate::multipart::upload_headers`].
pub fn initiate_multipart(bucket: &str, key: &str, upload_id: &str) -> Vec<u8> {
    let mut w = Writer::new("InitiateMultipartUploadResult");
    w.text("Bucket", bucket);
    w.text("Key", key);
    w.text("UploadId", upload_id);
    w.finish()
}

/// Answer of CompleteMultipartUpload; `location` is the object's URL.
pub fn complete_multipart(
    location: &str,
    bucket: &str,
    key: &str,
    etag: &str,
    checksum: Option<&StoredChecksum>,
) -> Vec<u8> {
    let mut w = Writer::new("CompleteMultipartUploadResult");
    w.text("Location", location);
    w.text("Bucket", bucket);
    w.text("Key", key);
    w.text("ETag", &quoted(etag));
    checksum_into(&mut w, checksum);
    w.finish()
}

/// Answer of DeleteObjects: the outcome of each key in the order asked; `quiet` leaves the successes out.
pub fn delete_result<'a>(
    outcomes: impl Iterator<Item = (&'a str, Result<(), S3Error>)>,
    quiet: bool,
) -> Vec<u8> {
    let mut w = Writer::new("DeleteResult");
    for (key, outcome) in outcomes {
        match outcome {
            Ok(()) if quiet => {}
            Ok(()) => w.element("Deleted", |w| w.text("Key", key)),
            Err(e) => w.element("Error", |w| {
                w.text("Key", key);
                w.text("Code", e.code.as_str());
                w.text("Message", &e.message);
            }),
        }
    }
    w.finish()
}

pub(crate) fn whole_checksum_into(w: &mut Writer, checksum: &StoredChecksum, t: ChecksumType) {
    w.text(checksum.kind.element(), &checksum.wire());
    w.text("ChecksumType", t.as_str());
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
