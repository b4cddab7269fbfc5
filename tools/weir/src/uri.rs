//! `ais://bucket/object`, `s3://bucket/object`, `ais://@uuid#namespace/bucket/object`: what commands name things by.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use weir_types::{Bucket, BucketName, Namespace, ObjectName, Provider};

const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A bucket, and the name or prefix after it, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uri {
    pub(crate) bucket: Bucket,
    pub(crate) name: String,
}

/// A bucket alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketUri(pub(crate) Bucket);

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectUri {
    pub(crate) bucket: Bucket,
    pub(crate) name: ObjectName,
}

impl FromStr for Uri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "expected PROVIDER://BUCKET[/NAME], as in ais://data/x.bin or s3://data";
        let (scheme, rest) = text.split_once("://").ok_or(form)?;
        let provider = Provider::parse(scheme).filter(|_| !scheme.is_empty());
        let provider = provider.ok_or_else(|| format!("no provider is called {scheme:?}; {form}"))?;
        let (namespace, rest) = match rest.chars().next() {
            Some('@' | '#') => {
                let (text, rest) = rest.split_once('/').ok_or(form)?;
                (Namespace::parse(text).ok_or_else(|| format!("{text:?} is no namespace"))?, rest)
            }
            _ => (Namespace::default(), rest),
        };
        let (bucket, name) = rest.split_once('/').unwrap_or((rest, ""));
        let bucket = BucketName::new(bucket).map_err(|e| e.to_string())?;
        Ok(Self { bucket: Bucket { provider, namespace, name: bucket }, name: name.to_owned() })
    }
}

impl FromStr for BucketUri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse()?;
        match uri.name.as_str() {
            "" => Ok(Self(uri.bucket)),
            name => Err(format!("expected a bucket alone, without {name:?} after it")),
        }
    }
}

impl FromStr for ObjectUri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse()?;
        let name =
            ObjectName::new(uri.name).map_err(|e| format!("{e}; expected PROVIDER://BUCKET/OBJECT"))?;
        Ok(Self { bucket: uri.bucket, name })
    }
}

impl ObjectUri {
    pub(crate) fn new(bucket: &Bucket, name: &str) -> Result<Self, String> {
        let name = ObjectName::new(name).map_err(|e| format!("{bucket}/{name}: {e}"))?;
        Ok(Self { bucket: bucket.clone(), name })
    }

    /// Path and query of the AIS API.
    pub(crate) fn target(&self) -> String {
        let name = utf8_percent_encode(self.name.as_str(), PATH);
        format!("/v1/objects/{}/{name}?{}", self.bucket.name, bucket_query(&self.bucket))
    }
}

/// Path and query of a bucket in the AIS API.
pub(crate) fn bucket_target(bucket: &Bucket) -> String {
    format!("/v1/buckets/{}?{}", bucket.name, bucket_query(bucket))
}

fn bucket_query(bucket: &Bucket) -> String {
    let (provider, ns) = (bucket.provider.as_str(), &bucket.namespace);
    if ns.is_global() {
        return format!("provider={provider}");
    }
    let text = format!("@{}#{}", ns.uuid, ns.name);
    format!("provider={provider}&namespace={}", utf8_percent_encode(&text, QUERY))
}

impl fmt::Display for ObjectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_become_targets() {
        let check = |text: &str, target: &str| {
            let uri: ObjectUri = text.parse().unwrap();
            assert_eq!((uri.to_string(), uri.target()), (text.replace("aws://", "s3://"), target.to_owned()));
        };
        check("ais://b/o", "/v1/objects/b/o?provider=ais");
        check("s3://b/dir/o 1+%.bin", "/v1/objects/b/dir/o%201%2B%25.bin?provider=aws");
        check("aws://b/o", "/v1/objects/b/o?provider=aws");
        check("ais://b//../x/", "/v1/objects/b//../x/?provider=ais");
        check("ais://@u1#n/b/o", "/v1/objects/b/o?provider=ais&namespace=%40u1%23n");
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "b",
            "b/o",
            "://b/o",
            "ftp://b/o",
            "ais://",
            "ais:///o",
            "ais://b",
            "ais://b/",
            "ais://a..b/o",
            "ais://@../b/o",
        ] {
            assert!(bad.parse::<ObjectUri>().is_err(), "{bad}");
        }
        assert!("ais://b/o".parse::<BucketUri>().is_err());
        assert!("ais://b/".parse::<BucketUri>().is_ok());
        assert_eq!("s3://b/p".parse::<Uri>().unwrap().name, "p");
    }
}
