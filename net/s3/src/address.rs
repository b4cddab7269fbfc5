//! Which dialect a request speaks, and which bucket and object its path and host address.

use crate::error::{Result, S3Code, S3Error};
use crate::names::{RESERVED, bucket_name, object_name};
use crate::render::Owner;
use crate::request::{RequestHead, decode};
use weir_types::{BucketName, ObjectName};

/// What the dialect knows of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Config {
    /// Domain under which `bucket.domain` addresses a bucket, without port; `None` for path style alone.
    pub base_domain: Option<String>,
    /// Region that is answered.
    pub region: String,
    /// Who owns everything.
    pub owner: Owner,
}

impl Default for S3Config {
    fn default() -> Self {
        Self { base_domain: None, region: crate::render::DEFAULT_REGION.into(), owner: Owner::default() }
    }
}

/// Who answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The AIS API: `/v1`, `/gs`, `/az`, `/ais`, `/metrics` and what is below them.
    Ais,
    /// The S3 API.
    S3,
}

/// Tells the dialect of a request by its host and path alone.
pub fn classify<H: RequestHead + ?Sized>(head: &H, config: &S3Config) -> Dialect {
    if virtual_bucket(head, config).is_some() {
        return Dialect::S3;
    }
    let first = head.path().trim_start_matches('/').split('/').next().unwrap_or_default();
    if first != "s3" && RESERVED.contains(&first) { Dialect::Ais } else { Dialect::S3 }
}

/// What a request addresses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Service,
    Bucket(String),
    Object(BucketName, ObjectName),
}

/// The bucket that the host names in virtual-hosted style, not yet checked.
fn virtual_bucket<'h, H: RequestHead + ?Sized>(head: &'h H, config: &S3Config) -> Option<&'h str> {
    let domain = config.base_domain.as_deref()?;
    let host = head.header("host")?;
    let host = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(h, _)| h);
    let at = host.len().checked_sub(domain.len())?;
    let (bucket, tail) = (host.get(..at)?, host.get(at..)?);
    let bucket = bucket.strip_suffix('.')?;
    (tail.eq_ignore_ascii_case(domain) && !bucket.is_empty()).then_some(bucket)
}

pub(crate) fn address<H: RequestHead + ?Sized>(head: &H, config: &S3Config) -> Result<Address> {
    let path = head.path().strip_prefix('/').ok_or_else(|| S3Error::from(S3Code::InvalidURI))?;
    let (bucket, key) = match virtual_bucket(head, config) {
        Some(bucket) => (bucket.to_ascii_lowercase(), path),
        None => {
            let path = match path.strip_prefix("s3") {
                Some("") => "",
                Some(rest) if rest.starts_with('/') => rest.get(1..).unwrap_or_default(),
                _ => path,
            };
            if path.is_empty() {
                return Ok(Address::Service);
            }
            let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
            (decode(bucket)?, key)
        }
    };
    if key.is_empty() {
        return Ok(Address::Bucket(bucket));
    }
    let key: Vec<u8> = percent_encoding::percent_decode_str(key).collect();
    Ok(Address::Object(bucket_name(&bucket)?, object_name(&key)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::PlainHead;

    fn config() -> S3Config {
        S3Config { base_domain: Some("s3.example.org".into()), ..S3Config::default() }
    }

    #[test]
    fn dialects() {
        let check = |path: &str, host: &str, expected| {
            let head = PlainHead::new("GET", path).header("Host", host);
            assert_eq!(classify(&head, &config()), expected, "{host}{path}");
        };
        for path in ["/v1", "/v1/buckets", "//v1/x", "/gs/b/o", "/az/b", "/ais/b", "/metrics"] {
            check(path, "localhost:8080", Dialect::Ais);
            check(path, "s3.example.org", Dialect::Ais);
            check(path, "b.s3.example.org", Dialect::S3);
        }
        for path in ["/", "/s3", "/s3/v1", "/v1x", "/bucket/v1", "/metricsx"] {
            check(path, "localhost", Dialect::S3);
        }
    }

    #[test]
    fn addresses() {
        let check = |path: &str, host: &str, expected: std::result::Result<&str, S3Code>| {
            let head = PlainHead::new("GET", path).header("Host", host);
            let got = address(&head, &config()).map_err(|e| e.code).map(|a| match a {
                Address::Service => "service".to_owned(),
                Address::Bucket(b) => b,
                Address::Object(b, o) => format!("{b}|{o}"),
            });
            assert_eq!(got, expected.map(str::to_owned), "{host}{path}");
        };
        let host = "localhost:8080";
        check("/", host, Ok("service"));
        check("/s3", host, Ok("service"));
        check("/s3/", host, Ok("service"));
        check("/b", host, Ok("b"));
        check("/b/", host, Ok("b"));
        check("/s3/b", host, Ok("b"));
        check("/s3b", host, Ok("s3b"));
        check("/s3/s3/o", host, Ok("s3|o"));
        check("/b/o", host, Ok("b|o"));
        check("/s3/b/dir/o%20+%25", host, Ok("b|dir/o +%"));
        check("/b//o", host, Ok("b|/o"));
        check("/b/..%2f../", host, Ok("b|../../"));
        check("/b/%ff", host, Err(S3Code::InvalidURI));
        check("/b/a%00", host, Err(S3Code::InvalidURI));
        check("//o", host, Err(S3Code::InvalidBucketName));
        check("/a%2Fb/o", host, Err(S3Code::InvalidBucketName));
        check("*", host, Err(S3Code::InvalidURI));
        check("/o", "b.s3.example.org:80", Ok("b|o"));
        check("/s3/o", "B.S3.Example.Org", Ok("b|s3/o"));
        check("/", "b.c.s3.example.org", Ok("b.c"));
        check("/o", "s3.example.org", Ok("o"));
        check("/o", "xs3.example.org", Ok("o"));
        check("/o", ".s3.example.org", Ok("o"));
    }
}
