//! From a request head to one typed operation. Everything that S3 has and this server has not is answered here.

use crate::address::{Address, S3Config, address};
use crate::attrs::Acl;
use crate::body::BodyPlan;
use crate::error::{Result, S3Code, S3Error};
use crate::listing::{ListObjects, ListVersions};
use crate::names::{bucket_name, check_new_bucket};
use crate::op::{Absent, BucketOp, CreateBucket, S3Op};
use crate::request::{Query, RequestHead};
use crate::uploads::{ListBuckets, ListUploads};

/// Reads a request of the S3 dialect. The order of refusals is: address, method, parameters, headers.
pub fn route<H: RequestHead + ?Sized>(head: &H, config: &S3Config) -> Result<S3Op> {
    let address = address(head, config)?;
    let query = Query::parse(head.query())?;
    if head.method() == "OPTIONS" {
        return Err(preflight(head));
    }
    check_expected_owner(head, config)?;
    match address {
        Address::Service => match head.method() {
            "GET" => Ok(S3Op::ListBuckets(ListBuckets::parse(&query)?)),
            _ => Err(method_not_allowed("GET")),
        },
        Address::Bucket(name) => {
            let creates = head.method() == "PUT" && subresource(&query).is_none();
            if creates {
                check_new_bucket(&name)?;
            }
            Ok(S3Op::Bucket { bucket: bucket_name(&name)?, op: bucket_op(head, &query)? })
        }
        Address::Object(bucket, key) => {
            let op = crate::object_route::object_op(head, &query, &bucket, &key)?;
            Ok(S3Op::Object { bucket, key, op })
        }
    }
}

/// No bucket has CORS rules, so that no preflight is ever allowed.
fn preflight<H: RequestHead + ?Sized>(head: &H) -> S3Error {
    match head.header("origin") {
        None => S3Error::new(S3Code::BadRequest, "a preflight needs the header Origin"),
        Some(_) => S3Error::new(S3Code::AccessForbidden, "CORS is not enabled for this bucket"),
    }
}

fn check_expected_owner<H: RequestHead + ?Sized>(head: &H, config: &S3Config) -> Result<()> {
    let names = ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"];
    match names.iter().any(|name| head.header(name).is_some_and(|id| id != config.owner.id)) {
        true => Err(S3Code::AccessDenied.into()),
        false => Ok(()),
    }
}

pub(crate) fn method_not_allowed(allowed: &'static str) -> S3Error {
    S3Error::from(S3Code::MethodNotAllowed).with_header("allow", allowed)
}

/// A fixed document: its root element and what is inside.
macro_rules! document {
    ($root:literal, $inside:literal) => {
        Absent::Document(concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<",
            $root,
            " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
            $inside,
            "</",
            $root,
            ">"
        ))
    };
}

/// Subresources of buckets that this server does not have: name in the query and answer to GET.
const ABSENT: &[(&str, Absent)] = &[
    ("policy", Absent::Error(S3Code::NoSuchBucketPolicy)),
    ("policyStatus", document!("PolicyStatus", "<IsPublic>false</IsPublic>")),
    ("lifecycle", Absent::Error(S3Code::NoSuchLifecycleConfiguration)),
    ("cors", Absent::Error(S3Code::NoSuchCORSConfiguration)),
    ("website", Absent::Error(S3Code::NoSuchWebsiteConfiguration)),
    ("encryption", Absent::Error(S3Code::ServerSideEncryptionConfigurationNotFoundError)),
    ("replication", Absent::Error(S3Code::ReplicationConfigurationNotFoundError)),
    ("object-lock", Absent::Error(S3Code::ObjectLockConfigurationNotFoundError)),
    ("publicAccessBlock", Absent::Error(S3Code::NoSuchPublicAccessBlockConfiguration)),
    ("ownershipControls", Absent::Error(S3Code::OwnershipControlsNotFoundError)),
    ("logging", document!("BucketLoggingStatus", "")),
    ("notification", document!("NotificationConfiguration", "")),
    ("accelerate", document!("AccelerateConfiguration", "")),
    ("requestPayment", document!("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>")),
    ("analytics", Absent::Error(S3Code::NoSuchConfiguration)),
    ("inventory", Absent::Error(S3Code::NoSuchConfiguration)),
    ("metrics", Absent::Error(S3Code::NoSuchConfiguration)),
    ("intelligent-tiering", Absent::Error(S3Code::NoSuchConfiguration)),
    ("metadataTable", Absent::Error(S3Code::NoSuchConfiguration)),
    ("metadataConfiguration", Absent::Error(S3Code::NoSuchConfiguration)),
    ("abac", Absent::Error(S3Code::NoSuchConfiguration)),
];

/// Those that are there.
const PRESENT: &[&str] =
    &["location", "versioning", "versions", "uploads", "acl", "tagging", "delete", "session"];

fn absent(query: &Query) -> Option<&'static (&'static str, Absent)> {
    ABSENT.iter().find(|(name, _)| query.has(name))
}

/// The subresource that a query names.
fn subresource(query: &Query) -> Option<&'static str> {
    absent(query).map(|(name, _)| *name).or_else(|| PRESENT.iter().copied().find(|name| query.has(name)))
}

fn bucket_op<H: RequestHead + ?Sized>(head: &H, query: &Query) -> Result<BucketOp> {
    if let Some((name, answer)) = absent(query) {
        return match head.method() {
            "GET" => Ok(BucketOp::Absent(*answer)),
            // S3's answer for a bucket that keeps no versions, as all here.
            "PUT" if *name == "object-lock" => Ok(BucketOp::Absent(Absent::Refused(
                S3Code::InvalidBucketState,
                "object lock needs a bucket that keeps versions",
            ))),
            "DELETE" if matches!(answer, Absent::Error(_)) => Ok(BucketOp::DeleteAbsent(name)),
            "PUT" | "POST" | "DELETE" => Err(S3Error::not_implemented(name)),
            _ => Err(method_not_allowed("GET")),
        };
    }
    match (head.method(), subresource(query)) {
        ("GET", Some("location")) => Ok(BucketOp::GetLocation),
        ("GET", Some("versioning")) => Ok(BucketOp::GetVersioning),
        ("GET", Some("versions")) => Ok(BucketOp::ListVersions(ListVersions::parse(query)?)),
        ("GET", Some("uploads")) => Ok(BucketOp::ListUploads(ListUploads::parse(query)?)),
        ("GET", Some("acl")) => Ok(BucketOp::GetAcl),
        ("GET", Some("tagging")) => Ok(BucketOp::GetTagging),
        ("GET", Some("session")) => Err(S3Error::not_implemented("a session of a directory bucket")),
        ("GET", None) => Ok(BucketOp::ListObjects(ListObjects::parse(query)?)),
        ("HEAD", _) => Ok(BucketOp::Head),
        ("PUT", Some("versioning")) => Ok(BucketOp::PutVersioning(BodyPlan::parse_document(head)?)),
        ("PUT", Some("acl")) => Ok(BucketOp::PutAcl(Acl::parse(head)?, BodyPlan::parse_document(head)?)),
        ("PUT", Some("tagging")) => Ok(BucketOp::PutTagging(BodyPlan::parse_document(head)?)),
        ("PUT", None) => create_bucket(head),
        ("DELETE", Some("tagging")) => Ok(BucketOp::DeleteTagging),
        ("DELETE", None) => Ok(BucketOp::Delete),
        ("POST", Some("delete")) => Ok(BucketOp::DeleteObjects(BodyPlan::parse_document(head)?)),
        ("POST", None) => Err(S3Error::not_implemented("an upload by browser form")),
        _ => Err(method_not_allowed("GET, HEAD, PUT, DELETE, POST")),
    }
}

fn create_bucket<H: RequestHead + ?Sized>(head: &H) -> Result<BucketOp> {
    let on = |name: &str| head.header(name).is_some_and(|v| v.trim().eq_ignore_ascii_case("true"));
    if on("x-amz-bucket-object-lock-enabled") {
        return Err(S3Error::not_implemented("object lock"));
    }
    match head.header("x-amz-object-ownership") {
        // One owner has everything, so that all of these mean the same.
        None | Some("BucketOwnerEnforced" | "BucketOwnerPreferred" | "ObjectWriter") => {}
        Some(other) => {
            return Err(S3Error::argument("x-amz-object-ownership", other, "the value is not known"));
        }
    }
    Ok(BucketOp::Create(CreateBucket { acl: Acl::parse(head)?, body: BodyPlan::parse_document(head)? }))
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
