//! Where things are beneath a mountpath. Pure: a bucket and a name in, paths out.

use sha2::{Digest as _, Sha256};
use weir_types::{Bucket, ObjectName, Provider};

use crate::path::is_component;
use crate::{DiskPath, PathError};

/// Work files and directories on their way out, of all buckets: one tree with the objects, so that a rename suffices.
pub(crate) const WORK_DIR: &str = "%wk";
/// The mountpath's identity.
pub(crate) const IDENTITY_DIR: &str = ".weir";
/// Objects under their own names.
pub(crate) const OBJECT_DIR: &str = "%ob";
/// Objects whose names a file system cannot hold, or not beside what is there.
pub(crate) const NAMED_DIR: &str = "%nm";
/// Files beside objects: block checksums and part sizes.
pub(crate) const BESIDE_DIR: &str = "%ck";
/// Multipart uploads in progress.
pub(crate) const UPLOAD_DIR: &str = "%mu";
/// In an upload's directory: the file whose record says what is uploaded.
pub(crate) const UPLOAD_FILE: &str = "upload";

/// The directories of one bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BucketDirs {
    pub(crate) bucket: DiskPath,
    pub(crate) objects: DiskPath,
    pub(crate) named: DiskPath,
    pub(crate) beside: DiskPath,
    pub(crate) uploads: DiskPath,
}

impl BucketDirs {
    pub(crate) fn of(bucket: &Bucket) -> Result<Self, PathError> {
        let mut dir = DiskPath::root().join(format!("@{}", bucket.provider.as_str()))?;
        if !bucket.namespace.uuid.is_empty() {
            dir = dir.join(format!("@{}", bucket.namespace.uuid))?;
        }
        if !bucket.namespace.name.is_empty() {
            dir = dir.join(format!("#{}", bucket.namespace.name))?;
        }
        let bucket = dir.join(bucket.name.as_str())?;
        Ok(Self {
            objects: bucket.join(OBJECT_DIR)?,
            named: bucket.join(NAMED_DIR)?,
            beside: bucket.join(BESIDE_DIR)?,
            uploads: bucket.join(UPLOAD_DIR)?,
            bucket,
        })
    }

    /// The object under its own name; `None` if no file system can hold that name.
    pub(crate) fn plain(&self, name: &ObjectName) -> Option<DiskPath> {
        let holds = name.as_str().split('/').all(|c| is_component(c.as_bytes()));
        if holds { self.objects.join_all(name.as_str()).ok() } else { None }
    }

    /// The object under the hash of its name.
    pub(crate) fn escaped(&self, name: &ObjectName) -> Result<DiskPath, PathError> {
        let hash = hex::encode(Sha256::digest(name.as_str().as_bytes()));
        self.named.join(hash.split_at(2).0)?.join(hash)
    }
}

/// The work directory.
pub(crate) fn work_dir() -> DiskPath {
    DiskPath::root().join(WORK_DIR).unwrap_or_default()
}

/// The providers' directory names, for walks over all buckets.
pub(crate) fn provider_of_dir(name: &[u8]) -> Option<Provider> {
    let text = std::str::from_utf8(name.strip_prefix(b"@")?).ok()?;
    Provider::parse(text).filter(|p| p.as_str() == text)
}

#[cfg(test)]
mod tests {
    use weir_types::{BucketName, Namespace};

    use super::*;

    const HASH: &str = "5ec1f7e700f37c3d0b2981d04855fc34b94aaa15457b05ca571817442d228f81";

    fn dirs(ns: &str) -> BucketDirs {
        let namespace = Namespace::parse(ns).unwrap();
        BucketDirs::of(&Bucket { provider: Provider::Aws, namespace, name: BucketName::new("b").unwrap() })
            .unwrap()
    }

    #[test]
    fn names_stand_as_sent_or_hashed() {
        let d = dirs("");
        let check = |name: &str, want: Option<&str>| {
            let plain = d.plain(&ObjectName::new(name).unwrap());
            assert_eq!(plain.map(|p| p.to_string()), want.map(str::to_owned), "{name:?}");
        };
        check("a", Some("@aws/b/%ob/a"));
        check("a b/ж/%2f\\..", Some("@aws/b/%ob/a b/ж/%2f\\.."));
        check("...", Some("@aws/b/%ob/..."));
        for bad in ["/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", &"x".repeat(256)] {
            check(bad, None);
        }
        let escaped = d.escaped(&ObjectName::new("..").unwrap()).unwrap().to_string();
        // sha256 of "..", as sha256sum gives it.
        assert_eq!(escaped, format!("@aws/b/%nm/{}/{HASH}", HASH.split_at(2).0));
    }

    #[test]
    fn namespaces_are_directories() {
        assert_eq!(dirs("@u#n").bucket.to_string(), "@aws/@u/#n/b");
        assert_eq!(dirs("#n").bucket.to_string(), "@aws/#n/b");
        assert_eq!(provider_of_dir(b"@aws"), Some(Provider::Aws));
        assert_eq!(provider_of_dir(b"@s3"), None);
        assert_eq!(provider_of_dir(b"lost+found"), None);
    }
}
