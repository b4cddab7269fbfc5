//! Bucket and object names of the dialect.

use weir_types::{BucketName, ObjectName, ObjectNameError};

use crate::error::{Result, S3Code, S3Error};

/// First path segments that are routes, so that no bucket may be made with such a name.
pub const RESERVED: [&str; 6] = ["v1", "s3", "gs", "az", "ais", "metrics"];

/// A bucket as addressed. Names that AIS allows and S3 does not are addressable, only not made here.
pub(crate) fn bucket_name(text: &str) -> Result<BucketName> {
    BucketName::new(text).map_err(|_| invalid_bucket(text, "the name cannot be a bucket's"))
}

/// An object's name from decoded bytes.
pub(crate) fn object_name(bytes: &[u8]) -> Result<ObjectName> {
    ObjectName::from_bytes(bytes).map_err(|e| {
        let text = e.to_string();
        match e {
            ObjectNameError::TooLong { .. } => S3Error::new(S3Code::KeyTooLongError, text),
            ObjectNameError::Empty => S3Error::new(S3Code::InvalidArgument, text),
            ObjectNameError::NotUtf8 { .. } | ObjectNameError::Nul { .. } => S3Code::InvalidURI.into(),
        }
    })
}

/// Whether a bucket may be made with this name: S3's rules for general purpose buckets, and none of our routes.
pub fn check_new_bucket(name: &str) -> Result<()> {
    let refuse = |why| Err(invalid_bucket(name, why));
    let bytes = name.as_bytes();
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if RESERVED.contains(&name) {
        return refuse("the name is a route of this server");
    }
    if !(3..=63).contains(&name.len()) {
        return refuse("expected 3 to 63 characters");
    }
    if !bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.')) {
        return refuse("expected lower-case letters, digits, '-' and '.'");
    }
    if !edge(bytes.first()) || !edge(bytes.last()) {
        return refuse("expected a letter or digit at either end");
    }
    if ["..", ".-", "-."].iter().any(|pair| name.contains(pair)) {
        return refuse("'.' stands beside '.' or '-'");
    }
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        return refuse("the name has the form of an IP address");
    }
    if name.starts_with("xn--") || name.ends_with("-s3alias") {
        return refuse("the name has a reserved prefix or suffix");
    }
    Ok(())
}

fn invalid_bucket(name: &str, why: &'static str) -> S3Error {
    let shown: String = name.chars().take(100).collect();
    S3Error::new(S3Code::InvalidBucketName, why).with("BucketName", shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_buckets() {
        for good in ["abc", "aaa.111", "aaa-111", "0ab", &"a".repeat(63), "v1x", "1.2.3", "my-bucket.x-y"] {
            assert!(check_new_bucket(good).is_ok(), "{good}");
        }
        let bad = [
            "",
            "a",
            "aa",
            "_abc",
            "foo_bar",
            "Foo",
            "foo-",
            "-foo",
            ".foo",
            "foo.",
            "foo..bar",
            "foo.-bar",
            "foo-.bar",
            "192.168.5.123",
            "xn--abc",
            "abc-s3alias",
            "metrics",
            "v1",
            "s3",
            "gs",
            "az",
            "ais",
            "f o",
            "fö0",
            "a/b",
            &"a".repeat(64),
        ];
        for name in bad {
            assert_eq!(check_new_bucket(name).unwrap_err().code, S3Code::InvalidBucketName, "{name}");
        }
    }

    #[test]
    fn other_names_are_addressable() {
        for good in ["A_b", "x", "foo_bar", &"a".repeat(64)] {
            assert!(bucket_name(good).is_ok(), "{good}");
        }
        for bad in ["", "..", ".x", "a b", &"a".repeat(65)] {
            assert_eq!(bucket_name(bad).unwrap_err().code, S3Code::InvalidBucketName, "{bad}");
        }
    }

    #[test]
    fn objects() {
        let code = |bytes: &[u8]| object_name(bytes).err().map(|e| e.code);
        assert_eq!(code(b"/../a//"), None);
        assert_eq!(code(&[b'a'; 1024]), None);
        assert_eq!(code(&[b'a'; 1025]), Some(S3Code::KeyTooLongError));
        assert_eq!(code(b"a\0"), Some(S3Code::InvalidURI));
        assert_eq!(code(b"\xc0\xaf"), Some(S3Code::InvalidURI));
    }
}
