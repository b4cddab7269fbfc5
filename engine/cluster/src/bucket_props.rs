//! A bucket's properties: AIS's sections (`cmn/api.go`, Bprops), and Weir's `durability` and `etag`.

use weir_types::{Access, Bucket, BucketName, ChecksumKind, Namespace, Provider};

use crate::ClusterError;
use crate::config::ClusterConfig;
use crate::sections::{
    BackendNames, Checksums, Chunks, Durability, Erasure, EtagKind, Extra, Features, Lru, Mirror,
    NamespaceNames, RateLimit, Versioning, WriteMode, WritePolicy, expect,
};
use crate::settings::{Patch, Scalar, Settings, assign, section};

/// The bucket behind an `ais://` bucket, if any. Set member by member, or cleared whole with `none`.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct BackendBucket(BackendNames);

impl BackendBucket {
    /// The bucket; `None` when there is none, an error when its names make no remote bucket.
    pub fn bucket(&self) -> Result<Option<Bucket>, ClusterError> {
        let names = &self.0;
        if *names == BackendNames::default() {
            return Ok(None);
        }
        let refused = |why: &str| ClusterError::Conflict { what: format!("backend_bck: {why}") };
        let provider = Provider::parse(&names.provider).filter(|_| !names.provider.is_empty());
        let provider = provider.ok_or_else(|| refused("expected a provider"))?;
        let name = BucketName::new(names.name.clone()).map_err(|e| refused(&e.to_string()))?;
        let namespace = Namespace::parse(&format!("@{}#{}", names.namespace.uuid, names.namespace.name));
        let namespace = namespace.ok_or_else(|| refused("namespace is invalid"))?;
        let bucket = Bucket { provider, namespace, name };
        if !provider.is_remote() && bucket.namespace.uuid.is_empty() {
            return Err(refused(&format!("\"{bucket}\" is not remote")));
        }
        Ok(Some(bucket))
    }
}

impl Settings for BackendBucket {
    fn walk(&self, name: &str, visit: &mut dyn FnMut(&str, Scalar)) {
        self.0.walk(name, visit);
    }
    fn set(&mut self, path: &str, text: &str) -> Result<(), String> {
        match path {
            "" if matches!(text, "" | "none") => *self = Self::default(),
            // A null namespace comes as the empty text.
            "namespace" if text.is_empty() => self.0.namespace = NamespaceNames::default(),
            "" => return Err("members name, provider and namespace, or none".into()),
            _ => return self.0.set(path, text),
        }
        Ok(())
    }
}

section!(
    /// A bucket's properties. `walk` and `set` know them by AIS's names.
    BucketProps {
        /// The remote bucket that this `ais://` bucket stands for.
        backend_bck: BackendBucket = BackendBucket::default();
        /// When metadata and data are written.
        write_policy: WritePolicy = Default::default();
        /// Checksum of objects.
        checksum: Checksums = Default::default();
        /// Particulars of the origin: endpoint, region, page size.
        extra: Extra = Default::default();
        /// Request rates.
        rate_limit: RateLimit = Default::default();
        /// Erasure coding.
        ec: Erasure = Default::default();
        /// Chunked storage.
        chunks: Chunks = Default::default();
        /// Copies.
        mirror: Mirror = Default::default();
        /// Eviction.
        lru: Lru = Default::default();
        /// What may be done to the bucket at all.
        access: Access = Access::ALL;
        /// Feature flags.
        features: Features = Features::default();
        /// Versions.
        versioning: Versioning = Default::default();
        /// Weir's own: what an acknowledged write survives.
        durability: Durability = Durability::Durable;
        /// Weir's own: how S3 ETags are made.
        etag: EtagKind = EtagKind::Md5;
    }
);

/// Where a remote bucket's origin answers; `None` means the node's own settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin<'a> {
    /// URL of an S3-compatible endpoint (property `extra.aws.endpoint`).
    pub endpoint: Option<&'a str>,
    /// Region (property `extra.aws.cloud_region`).
    pub region: Option<&'a str>,
}

/// A partial update of a bucket's properties.
pub type BucketPropsPatch = Patch<BucketProps>;

impl BucketProps {
    /// What a new bucket gets from the cluster's configuration, as AIS inherits it.
    pub fn inherit(config: &ClusterConfig, bucket: &Bucket) -> Self {
        Self {
            write_policy: config.write_policy.clone(),
            checksum: config.checksum.clone(),
            rate_limit: config.rate_limit.clone(),
            ec: config.ec.clone(),
            chunks: config.chunks.clone(),
            mirror: config.mirror.clone(),
            lru: Lru { enabled: config.lru.enabled && bucket.provider.is_remote(), ..config.lru.clone() },
            features: Features(config.features.0 & Features::BUCKET.0),
            versioning: config.versioning.clone(),
            ..Self::default()
        }
    }

    /// These properties with `patch` made, checked as a whole for `bucket` in a cluster of `targets` active targets.
    pub fn patched(
        &self,
        patch: &BucketPropsPatch,
        bucket: &Bucket,
        targets: usize,
    ) -> Result<Self, ClusterError> {
        let mut props = patch.assigned(self)?;
        props.features = Features(props.features.0 & Features::BUCKET.0);
        match props.validate(bucket, targets) {
            Err(ClusterError::NotEnoughTargets { .. }) if patch.force() => {}
            checked => checked?,
        }
        Ok(props)
    }

    /// Sets one property by dotted name; unchecked against the others.
    pub fn set_by_name(&mut self, key: &str, text: &str) -> Result<(), ClusterError> {
        assign(self, key, text)
    }

    /// What must hold between properties, bucket and cluster.
    pub fn validate(&self, bucket: &Bucket, targets: usize) -> Result<(), ClusterError> {
        let backend = self.backend_bck.bucket()?;
        expect(backend.is_none() || bucket.provider == Provider::Ais, || {
            format!("backend_bck: only ais:// buckets can have one, not \"{bucket}\"")
        })?;
        if self.mirror.enabled {
            self.mirror.validate()?;
            expect(self.write_policy.data != WriteMode::Never, || {
                "write_policy.data: expected immediate or delayed where objects have copies, got never".into()
            })?;
        }
        self.chunks.validate()?;
        self.rate_limit.validate()?;
        expect(!(self.mirror.enabled && self.chunks.objsize_limit.0 > 0), || {
            "mirror.enabled and chunks.objsize_limit exclude each other on one bucket".into()
        })?;
        if self.ec.enabled {
            self.ec.validate()?;
            let needed = self.ec.targets_needed();
            if needed > targets {
                return Err(ClusterError::NotEnoughTargets { needed, have: targets });
            }
        }
        Ok(())
    }

    /// On how many mountpaths of its target an object is to be.
    pub fn copies(&self) -> usize {
        match self.mirror.enabled {
            true => usize::try_from(self.mirror.copies).unwrap_or(1).max(1),
            false => 1,
        }
    }

    /// Of how many of its objects on a target copies may be made after the answer, at a time; none: all copies are there before.
    pub fn copies_after(&self) -> Option<usize> {
        let after = self.mirror.enabled && self.write_policy.data == WriteMode::Delayed;
        after.then(|| usize::try_from(self.mirror.burst_buffer).unwrap_or(0))
    }

    /// The kind of whole-object checksum.
    pub fn checksum_kind(&self) -> ChecksumKind {
        self.checksum.kind
    }

    /// Where the origin of a remote bucket answers.
    pub fn origin(&self) -> Origin<'_> {
        let aws = &self.extra.aws;
        Origin { endpoint: aws.endpoint.as_deref(), region: aws.cloud_region.as_deref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(provider: Provider) -> Bucket {
        Bucket::global(provider, BucketName::new("b").unwrap())
    }

    fn patch(pairs: &[(&str, &str)], force: bool) -> Result<BucketPropsPatch, ClusterError> {
        Patch::new(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())), force)
    }

    #[test]
    fn inherited() {
        let mut config = ClusterConfig::default();
        config.lru.enabled = true;
        config.features = Features(0b1_0011);
        let ais = BucketProps::inherit(&config, &bucket(Provider::Ais));
        let aws = BucketProps::inherit(&config, &bucket(Provider::Aws));
        assert!(!ais.lru.enabled && aws.lru.enabled);
        assert_eq!(ais.features, Features(0b1_0010));
        assert_eq!(ais.access, Access::ALL);
        assert_eq!(BucketProps { lru: config.lru.clone(), ..ais }, BucketProps { ..aws });
    }

    #[test]
    fn patches() {
        let base = BucketProps::default();
        let check = |pairs: &[(&str, &str)], targets: usize, force: bool| {
            patch(pairs, force).and_then(|p| base.patched(&p, &bucket(Provider::Ais), targets))
        };
        let props = check(&[("checksum.type", "md5"), ("Durability", "relaxed"), ("etag", "fast")], 1, false)
            .unwrap();
        assert_eq!(props.checksum_kind(), ChecksumKind::Md5);
        assert_eq!((props.durability, props.etag), (Durability::Relaxed, EtagKind::Fast));
        let props =
            check(&[("extra.aws.endpoint", "http://h"), ("extra.aws.cloud_region", "r")], 1, false).unwrap();
        assert_eq!(props.origin(), Origin { endpoint: Some("http://h"), region: Some("r") });
        let props = check(&[("backend_bck.name", "x"), ("backend_bck.provider", "aws")], 1, false).unwrap();
        assert_eq!(props.backend_bck.bucket().unwrap().unwrap().to_string(), "s3://x");
        assert_eq!(check(&[("access", "ro")], 1, false).unwrap().access.0, 0b11_0000_0011);
        assert_eq!(check(&[("features", "Fsync-PUT,LZ4-Block-1MB")], 1, false).unwrap().features.0, 1 << 4);

        let mirrored = [("mirror.enabled", "true"), ("mirror.burst_buffer", "7")];
        let delayed = [mirrored[0], mirrored[1], ("write_policy.data", "delayed")];
        assert_eq!(check(&mirrored, 1, false).unwrap().copies_after(), None);
        assert_eq!(check(&delayed, 1, false).unwrap().copies_after(), Some(7));
        assert_eq!(check(&delayed[2..], 1, false).unwrap().copies_after(), None, "no copies at all");

        let refused = [
            (
                vec![("mirror.enabled", "true"), ("write_policy.data", "never")],
                "write_policy.data: expected immediate or delayed",
            ),
            (
                vec![("mirror.copies", "1"), ("mirror.enabled", "true")],
                "mirror.copies: expected 2 to 32, got 1",
            ),
            (vec![("mirror.enabled", "true"), ("chunks.objsize_limit", "1MiB")], "exclude each other"),
            (vec![("checksum.type", "crc64nvme")], "expected one of none xxhash"),
            (vec![("checksum.typ", "md5")], "unknown property \"checksum.typ\""),
            (vec![("checksum", "md5")], "unknown property \"checksum\""),
            (vec![("checksum.type.x", "md5")], "unknown property"),
            (vec![("lru.enabled", "maybe")], "expected true or false"),
            (vec![("ec.enabled", "true"), ("ec.data_slices", "0")], "ec.data_slices"),
            (vec![("ec.enabled", "true")], "not enough targets: expected at least 5, have 1"),
            (vec![("backend_bck.name", "x")], "expected a provider"),
            (vec![("backend_bck.name", "x"), ("backend_bck.provider", "ais")], "is not remote"),
            (vec![("rate_limit.frontend.burst_size", "2000")], "burst_size"),
        ];
        for (pairs, text) in refused {
            let error = check(&pairs, 1, false).unwrap_err().to_string();
            assert!(error.contains(text), "{pairs:?}: {error}");
        }
        assert!(check(&[("ec.enabled", "true")], 1, true).unwrap().ec.enabled);
        assert!(check(&[("ec.enabled", "true")], 5, false).is_ok());
        let p = patch(&[("backend_bck.name", "x"), ("backend_bck.provider", "aws")], false).unwrap();
        assert!(base.patched(&p, &bucket(Provider::Aws), 1).is_err());
    }

    #[test]
    fn every_shown_setting_can_be_set_to_what_is_shown() {
        let mut shown = Vec::new();
        BucketProps::default().walk("", &mut |name, value| shown.push((name.to_owned(), value)));
        assert!(shown.len() > 60, "{}", shown.len());
        let mut props = BucketProps::default();
        for (name, value) in shown {
            let text = match value {
                Scalar::Section => continue,
                Scalar::Bool(b) => b.to_string(),
                Scalar::Int(n) => n.to_string(),
                Scalar::Text(t) => t,
                Scalar::List(l) => l.join(","),
            };
            props.set_by_name(&name, &text).unwrap();
        }
        assert_eq!(props, BucketProps::default());
    }
}
