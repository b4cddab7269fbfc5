use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::BUCKET_NAME_BYTES_MAX;

/// Who holds the bucket's data of record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Provider {
    /// This cluster, or another one when the namespace names it.
    #[default]
    Ais,
    /// Amazon S3 and every S3-compatible endpoint.
    Aws,
    /// Google Cloud Storage.
    Gcp,
    /// Azure Blob Storage.
    Azure,
    /// Oracle Cloud.
    Oci,
}

impl Provider {
    /// The normalized name, as in query strings, unames and on disk.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ais => "ais",
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
            Self::Oci => "oci",
        }
    }

    /// The URL scheme, as AIS prints it in messages.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Ais => "ais",
            Self::Aws => "s3",
            Self::Gcp => "gs",
            Self::Azure => "az",
            Self::Oci => "oc",
        }
    }

    /// Reads a normalized name or a scheme; empty is `ais`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | "ais" => Self::Ais,
            "aws" | "s3" => Self::Aws,
            "gcp" | "gs" => Self::Gcp,
            "azure" | "az" => Self::Azure,
            "oci" | "oc" => Self::Oci,
            _ => return None,
        })
    }

    /// Whether the data of record is outside this cluster.
    pub fn is_remote(self) -> bool {
        self != Self::Ais
    }
}

/// A namespace: another cluster's UUID (or alias), a tenant's name, or both; empty is the global one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Namespace {
    /// UUID or alias of another cluster; empty means this one.
    pub uuid: String,
    /// Name within that cluster; empty means global.
    pub name: String,
}

impl Namespace {
    /// Whether this is the global namespace of this cluster.
    pub fn is_global(&self) -> bool {
        self.uuid.is_empty() && self.name.is_empty()
    }

    /// Reads `@uuid#name`, `#name`, `@uuid`, `@#` or the empty text.
    /// Parts are bound to `[A-Za-z0-9_-]`, so that they can stand in a path.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('@').unwrap_or(text);
        let (uuid, name) = text.split_once('#').unwrap_or((text, ""));
        let plain = |s: &str| {
            s.len() <= BUCKET_NAME_BYTES_MAX
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        (plain(uuid) && plain(name)).then(|| Self { uuid: uuid.into(), name: name.into() })
    }
}

/// Bucket identity: provider, namespace and name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Bucket {
    /// Who holds the data of record.
    pub provider: Provider,
    /// The namespace; global as a rule.
    pub namespace: Namespace,
    /// The name within provider and namespace.
    pub name: BucketName,
}

impl Bucket {
    /// A bucket of the global namespace.
    pub fn global(provider: Provider, name: BucketName) -> Self {
        Self { provider, namespace: Namespace::default(), name }
    }

    /// The name that placement hashes: `ais/@#/bucket/object` (AIS `cmn.Bck.MakeUname`).
    /// An empty object name gives the bucket's own uname, slash kept.
    pub fn uname(&self, object: &str) -> String {
        let ns = &self.namespace;
        format!("{}/@{}#{}/{}/{object}", self.provider.as_str(), ns.uuid, ns.name, self.name)
    }
}

/// The canonical form in messages: `ais://bucket`, `s3://bucket`, `ais://@uuid#ns/bucket`.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.provider.scheme())?;
        if !self.namespace.uuid.is_empty() {
            write!(f, "@{}", self.namespace.uuid)?;
        }
        if !self.namespace.name.is_empty() {
            write!(f, "#{}", self.namespace.name)?;
        }
        if !self.namespace.is_global() {
            f.write_str("/")?;
        }
        f.write_str(self.name.as_str())
    }
}

/// A valid bucket name: 1 to 64 of `[A-Za-z0-9_.-]`, without `..`, not starting with a dot (AIS `cmn.Bck.Validate`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketName(String);

/// Why a text is no bucket name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "bucket name {got:?} is invalid: expected 1 to {BUCKET_NAME_BYTES_MAX} letters, digits, '-', '_' or '.', \
     without \"..\" and not starting with '.'"
)]
pub struct BucketNameError {
    /// What came.
    pub got: String,
}

impl BucketName {
    /// Checks and takes a name.
    pub fn new(text: impl Into<String>) -> Result<Self, BucketNameError> {
        let text = text.into();
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        let sized = (1..=BUCKET_NAME_BYTES_MAX).contains(&text.len());
        if plain && sized && !text.contains("..") && !text.starts_with('.') {
            Ok(Self(text))
        } else {
            Err(BucketNameError { got: text })
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for BucketName {
    type Error = BucketNameError;
    fn try_from(text: String) -> Result<Self, BucketNameError> {
        Self::new(text)
    }
}
impl From<BucketName> for String {
    fn from(name: BucketName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "my-bucket", "A_b.c", &"x".repeat(64)] {
            assert_eq!(BucketName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", ".sys", "a..b", "a/b", "*", " ", "$x", "~x", "é", "a\0b", &"x".repeat(65)]
        {
            assert!(BucketName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn uname_and_display() {
        let b = Bucket::global(Provider::Aws, BucketName::new("b1").unwrap());
        assert_eq!(b.uname("dir/o"), "aws/@#/b1/dir/o");
        assert_eq!(b.uname(""), "aws/@#/b1/");
        assert_eq!(b.to_string(), "s3://b1");
        let ns = Namespace::parse("@u1#n").unwrap();
        let b = Bucket { provider: Provider::Ais, namespace: ns, name: BucketName::new("b").unwrap() };
        assert_eq!(b.uname("o"), "ais/@u1#n/b/o");
        assert_eq!(b.to_string(), "ais://@u1#n/b");
    }

    #[test]
    fn namespaces_cannot_leave_their_directory() {
        for bad in ["@../x", "#a/b", "@.", "#\0"] {
            assert_eq!(Namespace::parse(bad), None, "{bad:?}");
        }
        assert!(Namespace::parse("@#").unwrap().is_global());
    }
}
