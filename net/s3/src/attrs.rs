//! Headers that are kept with an object, and how they come back.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use weir_types::{CustomMeta, CustomMetaError};

use crate::dates::http_date;
use crate::error::{Result, S3Code, S3Error};
use crate::flexible::StoredChecksum;
use crate::op::GetObject;
use crate::render::quoted;
use crate::request::{Query, RequestHead};
use crate::tags::Tags;

/// Prefix of user metadata on the wire. Keys are stored without it, so that both APIs show the same ones; a stored key
/// that has it all the same is shown as it is.
pub const USER_META_PREFIX: &str = "x-amz-meta-";
/// What an object has whose writer named no type.
pub const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";
/// All content headers of one object in bytes.
const CONTENT_BYTES_MAX: usize = 4096;

/// Everything a write wants kept with the object beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectAttrs {
    /// Content headers.
    pub content: ContentHeaders,
    /// User metadata, keys in lower case without [`USER_META_PREFIX`], at most 2 KiB.
    pub user: CustomMeta,
    /// Tags.
    pub tags: Tags,
}

/// The content headers of an object; an absent one is not sent, but for the content type, which then is the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContentHeaders([Option<String>; NAMES.len()]);

const NAMES: [&str; 6] = [
    "content-type",
    "content-encoding",
    "cache-control",
    "content-disposition",
    "content-language",
    "expires",
];

impl ContentHeaders {
    /// The header names that are kept, in lower case.
    pub const NAMES: [&'static str; 6] = NAMES;

    /// The value under a name in lower case.
    pub fn value(&self, name: &str) -> Option<&str> {
        NAMES.iter().zip(&self.0).find(|(n, _)| **n == name).and_then(|(_, v)| v.as_deref())
    }

    /// Sets a value; false if the name is none of [`ContentHeaders::NAMES`].
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> bool {
        match NAMES.iter().zip(&mut self.0).find(|(n, _)| **n == name) {
            Some((_, slot)) => {
                *slot = Some(value.into());
                true
            }
            None => false,
        }
    }

    /// Those that are set, with their names in lower case: what to store.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        NAMES.iter().zip(&self.0).filter_map(|(n, v)| v.as_deref().map(|v| (*n, v)))
    }

    fn parse<H: RequestHead + ?Sized>(head: &H) -> Result<Self> {
        let mut content = Self::default();
        for name in NAMES {
            let Some(value) = head.header(name).map(str::trim).filter(|v| !v.is_empty()) else { continue };
            match name {
                // The framing of the request, which ends here.
                "content-encoding" => without_aws_chunked(value).is_some_and(|v| content.set(name, v)),
                _ => content.set(name, value),
            };
        }
        let bytes: usize = content.iter().map(|(_, v)| v.len()).sum();
        if bytes > CONTENT_BYTES_MAX {
            let text = format!("content headers have {bytes} bytes: expected at most {CONTENT_BYTES_MAX}");
            return Err(S3Error::new(S3Code::InvalidRequest, text));
        }
        Ok(content)
    }
}

/// A `Content-Encoding` without `aws-chunked`; `None` if nothing is left.
fn without_aws_chunked(value: &str) -> Option<String> {
    let kept: Vec<_> = value
        .split(',')
        .map(str::trim)
        .filter(|c| !c.is_empty() && !c.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

impl ObjectAttrs {
    /// Reads the headers of a PUT, a replacing copy or the start of an upload.
    pub fn parse<H: RequestHead + ?Sized>(head: &H) -> Result<Self> {
        check_storage_class(head)?;
        refuse_unsupported(head)?;
        let tags = head.header("x-amz-tagging").map(Tags::parse_header).transpose()?.unwrap_or_default();
        Ok(Self { content: ContentHeaders::parse(head)?, user: user_metadata(head)?, tags })
    }
}

fn user_metadata<H: RequestHead + ?Sized>(head: &H) -> Result<CustomMeta> {
    let mut user = CustomMeta::default();
    let mut refused = None;
    head.each_header(&mut |name, value| {
        let Some(key) = strip_prefix_ignore_case(name, USER_META_PREFIX) else { return };
        let key = key.to_ascii_lowercase();
        // A header sent twice is one header with a list (RFC 9110, 5.2).
        let value = match user.get(&key) {
            Some(old) => format!("{old},{}", value.trim()),
            None => value.trim().to_owned(),
        };
        if let Err(e) = user.set(key, value) {
            refused.get_or_insert(e);
        }
    });
    match refused {
        None => Ok(user),
        Some(e @ CustomMetaError::TooLarge { .. }) => {
            Err(S3Error::new(S3Code::MetadataTooLarge, e.to_string()))
        }
        Some(e) => Err(S3Error::argument("x-amz-meta-", "", e.to_string())),
    }
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    if head.eq_ignore_ascii_case(prefix) { text.get(prefix.len()..) } else { None }
}

/// STANDARD is what there is; the other names of S3 are refused rather than promised.
pub(crate) fn check_storage_class<H: RequestHead + ?Sized>(head: &H) -> Result<()> {
    match head.header("x-amz-storage-class") {
        None | Some("STANDARD" | "") => Ok(()),
        Some(other) => Err(S3Error::new(S3Code::InvalidStorageClass, "expected STANDARD")
            .with("StorageClassRequested", other)),
    }
}

/// Headers of a write that would change what the write means.
pub(crate) fn refuse_unsupported<H: RequestHead + ?Sized>(head: &H) -> Result<()> {
    const LOCKS: [&str; 3] =
        ["x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold"];
    if LOCKS.iter().any(|name| head.header(name).is_some_and(|v| !v.eq_ignore_ascii_case("off"))) {
        return Err(S3Error::new(S3Code::InvalidRequest, "the bucket has no object lock configuration"));
    }
    for name in ["x-amz-website-redirect-location", "x-amz-write-offset-bytes"] {
        if head.header(name).is_some() {
            return Err(S3Error::not_implemented(name));
        }
    }
    Ok(())
}

/// A canned ACL. It is accepted and answered; what holds is that only credentials of this server have access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "each is named as on the wire")]
pub enum Acl {
    #[default]
    Private,
    PublicRead,
    PublicReadWrite,
    AuthenticatedRead,
    AwsExecRead,
    BucketOwnerRead,
    BucketOwnerFullControl,
    LogDeliveryWrite,
}

impl Acl {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Private, "private"),
        (Self::PublicRead, "public-read"),
        (Self::PublicReadWrite, "public-read-write"),
        (Self::AuthenticatedRead, "authenticated-read"),
        (Self::AwsExecRead, "aws-exec-read"),
        (Self::BucketOwnerRead, "bucket-owner-read"),
        (Self::BucketOwnerFullControl, "bucket-owner-full-control"),
        (Self::LogDeliveryWrite, "log-delivery-write"),
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(acl, _)| *acl == self).map_or("private", |(_, name)| name)
    }

    /// Reads a name of the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(acl, _)| *acl)
    }

    /// Reads `x-amz-acl`; grants by header are refused, since they would not hold.
    pub(crate) fn parse<H: RequestHead + ?Sized>(head: &H) -> Result<Self> {
        const GRANTS: [&str; 5] = [
            "x-amz-grant-full-control",
            "x-amz-grant-read",
            "x-amz-grant-read-acp",
            "x-amz-grant-write",
            "x-amz-grant-write-acp",
        ];
        if GRANTS.iter().any(|name| head.header(name).is_some()) {
            return Err(S3Error::not_implemented("a grant by header"));
        }
        match head.header("x-amz-acl") {
            None | Some("") => Ok(Self::Private),
            Some(name) => Self::from_name(name.trim())
                .ok_or_else(|| S3Error::argument("x-amz-acl", name, "expected the name of a canned ACL")),
        }
    }
}

/// `response-*` parameters: headers of the answer to replace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides(ContentHeaders);

impl Overrides {
    pub(crate) fn parse(query: &Query) -> Result<Self> {
        let mut content = ContentHeaders::default();
        for name in NAMES {
            let Some(value) = query.filled(&format!("response-{name}")) else { continue };
            if value.chars().any(|c| c.is_control() && c != '\t') {
                return Err(S3Error::argument("response-*", value, "the value holds a control character"));
            }
            content.set(name, value);
        }
        Ok(Self(content))
    }
}

/// What is known of an object when its head is rendered. All text borrowed from its record.
#[derive(Debug, Clone)]
pub struct ObjectView<'a> {
    /// Tag without quotes.
    pub etag: &'a str,
    /// Last modification in nanoseconds since 1970.
    pub mtime_ns: u64,
    /// Content headers kept with it.
    pub content: &'a ContentHeaders,
    /// User metadata kept with it (custom properties of the AIS API among them).
    pub user: &'a CustomMeta,
    /// Number of its tags.
    pub tags: usize,
    /// Checksums for the answer: of the whole object, or of the part asked for.
    pub checksums: &'a [StoredChecksum],
    /// How the whole object's checksum is formed, when a part's is given in `checksums`.
    pub checksum_type: Option<crate::flexible::ChecksumType>,
    /// Parts it was uploaded in; 0 if in one piece.
    pub parts: u32,
    /// Version to show as `x-amz-version-id`, such as that of the origin.
    pub version: Option<&'a str>,
}

/// A header of an answer.
pub type Header = (Cow<'static, str>, String);

/// Headers of an answer to GET or HEAD, but for the framing (`content-length`, `content-range`), which the sender of
/// the body knows. `whole` says that the answer is of the whole object or of one part, so that checksums apply.
pub fn object_headers(view: &ObjectView<'_>, get: &GetObject, whole: bool) -> Vec<Header> {
    let mut out: Vec<Header> = Vec::with_capacity(12);
    let mut add = |name: &'static str, value: String| out.push((Cow::Borrowed(name), value));
    add("etag", quoted(view.etag));
    add("last-modified", http_date(view.mtime_ns));
    add("accept-ranges", "bytes".into());
    for name in NAMES {
        let value = get.overrides.0.value(name).or(view.content.value(name));
        let fallback = (name == "content-type").then_some(DEFAULT_CONTENT_TYPE);
        if let Some(value) = value.or(fallback) {
            add(name, header_safe(value).into_owned());
        }
    }
    if view.tags > 0 {
        add("x-amz-tagging-count", view.tags.to_string());
    }
    if get.part.is_some() && view.parts > 0 {
        add("x-amz-mp-parts-count", view.parts.to_string());
    }
    if let Some(version) = view.version {
        add("x-amz-version-id", header_safe(version).into_owned());
    }
    if get.checksum_mode && whole {
        out.extend(checksum_headers(view.checksums, view.checksum_type));
    }
    let is_token =
        |key: &str| key.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    for (key, value) in view.user.iter().filter(|(key, _)| is_token(key)) {
        let prefix = if key.starts_with(USER_META_PREFIX) { "" } else { USER_META_PREFIX };
        out.push((Cow::Owned(format!("{prefix}{key}")), header_safe(value).into_owned()));
    }
    out
}

/// `x-amz-checksum-*` and `x-amz-checksum-type` of an answer; `of_whole` overrides the type told by the values.
pub fn checksum_headers(
    sums: &[StoredChecksum],
    of_whole: Option<crate::flexible::ChecksumType>,
) -> Vec<Header> {
    let mut out: Vec<Header> = sums.iter().map(|s| (Cow::Borrowed(s.kind.header()), s.wire())).collect();
    if let Some(t) = of_whole.or(sums.first().map(StoredChecksum::checksum_type)).filter(|_| !sums.is_empty())
    {
        out.push((Cow::Borrowed("x-amz-checksum-type"), t.as_str().into()));
    }
    out
}

/// Headers of the answer to PutObject and UploadPart.
pub fn put_headers(etag: &str, checksum: Option<&StoredChecksum>) -> Vec<Header> {
    let mut out = vec![(Cow::Borrowed("etag"), quoted(etag))];
    out.extend(checksum_headers(checksum.map(std::slice::from_ref).unwrap_or_default(), None));
    out
}

/// A value that may stand in a header: control characters make it an encoded word (RFC 2047).
pub(crate) fn header_safe(value: &str) -> Cow<'_, str> {
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Cow::Owned(format!("=?UTF-8?B?{}?=", BASE64.encode(value)));
    }
    Cow::Borrowed(value)
}

#[cfg(test)]
#[path = "attrs_tests.rs"]
mod tests;
