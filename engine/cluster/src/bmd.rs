//! The buckets of the cluster (AIS: BMD, `core/meta/bmd.go`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_types::limits::BUCKETS_MAX;
use weir_types::{Bucket, BucketName, Provider};

use crate::{BucketProps, ClusterError, ClusterUuid};

/// Names that a bucket cannot have because the server's own paths begin with them.
pub const RESERVED_BUCKET_NAMES: [&str; 6] = ["v1", "s3", "gs", "az", "ais", "metrics"];

/// The top bit marks the IDs of buckets whose data of record is here.
const LOCAL_BID: u64 = 1 << 63;

/// A bucket as the cluster knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BucketInfo {
    /// Tells this bucket from earlier ones of its name.
    pub bid: u64,
    /// When it was made or first seen, in nanoseconds since 1970.
    pub created_ns: u64,
    /// Properties.
    pub props: BucketProps,
}

/// All buckets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bmd {
    /// Counts changes.
    pub version: u64,
    /// The cluster's identity.
    pub uuid: ClusterUuid,
    buckets: BTreeMap<Bucket, BucketInfo>,
    /// Kept beside the rest by who stores it: a state of before it was there is still read.
    #[serde(skip)]
    removing: BTreeSet<Bucket>,
}

impl Bmd {
    /// No bucket, version 0.
    pub fn new(uuid: ClusterUuid) -> Self {
        Self { version: 0, uuid, buckets: BTreeMap::new(), removing: BTreeSet::new() }
    }

    /// The bucket's entry.
    pub fn get(&self, bucket: &Bucket) -> Option<&BucketInfo> {
        self.buckets.get(bucket)
    }

    /// The bucket's entry, or the error that says it is missing.
    pub fn expect(&self, bucket: &Bucket) -> Result<&BucketInfo, ClusterError> {
        self.get(bucket).ok_or_else(|| ClusterError::BucketNotFound(bucket.clone()))
    }

    /// All buckets in the order of provider, namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = (&Bucket, &BucketInfo)> {
        self.buckets.iter()
    }

    /// The one bucket of the global namespace with this name, of whatever provider, as the S3 API names buckets.
    pub fn by_name(&self, name: &BucketName) -> Result<Option<(&Bucket, &BucketInfo)>, ClusterError> {
        use Provider::{Ais, Aws, Azure, Gcp, Oci};
        let of = |provider| self.buckets.get_key_value(&Bucket::global(provider, name.clone()));
        let mut found = [Ais, Aws, Gcp, Azure, Oci].into_iter().filter_map(of);
        match (found.next(), found.next()) {
            (Some((first, _)), Some((second, _))) => Err(ClusterError::AmbiguousBucket {
                first: Box::new(first.clone()),
                second: Box::new(second.clone()),
            }),
            (only, _) => Ok(only),
        }
    }

    /// Adds a bucket.
    pub fn create(&mut self, bucket: Bucket, props: BucketProps, now_ns: u64) -> Result<(), ClusterError> {
        if RESERVED_BUCKET_NAMES.contains(&bucket.name.as_str()) {
            return Err(ClusterError::ReservedName { name: bucket.name.to_string() });
        }
        if self.buckets.contains_key(&bucket) {
            return Err(ClusterError::BucketExists(bucket));
        }
        if self.removing.contains(&bucket) {
            return Err(ClusterError::BucketBeingRemoved(bucket));
        }
        if self.buckets.len() >= BUCKETS_MAX {
            return Err(ClusterError::TooManyBuckets { max: BUCKETS_MAX });
        }
        // Every creation raises the version, so the version serves as the ID.
        self.version += 1;
        let local = if bucket.provider == Provider::Ais { LOCAL_BID } else { 0 };
        self.buckets.insert(bucket, BucketInfo { bid: self.version | local, created_ns: now_ns, props });
        Ok(())
    }

    /// Removes a bucket and gives what it was.
    pub fn destroy(&mut self, bucket: &Bucket) -> Result<BucketInfo, ClusterError> {
        let info = self.buckets.remove(bucket).ok_or_else(|| ClusterError::BucketNotFound(bucket.clone()))?;
        self.version += 1;
        Ok(info)
    }

    /// Marks a bucket as on its way out: it takes no new objects, and while the mark stays its name is not free even
    /// when the bucket is gone.
    pub fn begin_removal(&mut self, bucket: &Bucket) -> Result<(), ClusterError> {
        self.expect(bucket)?;
        if self.removing.len() >= BUCKETS_MAX {
            return Err(ClusterError::TooManyBuckets { max: BUCKETS_MAX });
        }
        if !self.removing.insert(bucket.clone()) {
            return Err(ClusterError::BucketBeingRemoved(bucket.clone()));
        }
        self.version += 1;
        Ok(())
    }

    /// Takes the mark away: the bucket stays, or what was kept of it is gone.
    pub fn end_removal(&mut self, bucket: &Bucket) {
        self.version += u64::from(self.removing.remove(bucket));
    }

    /// The marked buckets.
    pub fn removing(&self) -> &BTreeSet<Bucket> {
        &self.removing
    }

    /// The same with these marked, when it is read back.
    #[must_use]
    pub fn with_removing(self, removing: BTreeSet<Bucket>) -> Self {
        Self { removing, ..self }
    }

    /// Whether new objects of the bucket are taken; the error says why not.
    pub fn takes_objects(&self, bucket: &Bucket) -> Result<(), ClusterError> {
        match self.removing.contains(bucket) {
            true => Err(ClusterError::BucketBeingRemoved(bucket.clone())),
            false => self.expect(bucket).map(drop),
        }
    }

    /// Replaces a bucket's properties; the version goes up if they differ.
    pub fn set_props(&mut self, bucket: &Bucket, props: BucketProps) -> Result<(), ClusterError> {
        let info =
            self.buckets.get_mut(bucket).ok_or_else(|| ClusterError::BucketNotFound(bucket.clone()))?;
        if info.props != props {
            info.props = props;
            self.version += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(provider: Provider, name: &str) -> Bucket {
        Bucket::global(provider, BucketName::new(name).unwrap())
    }

    #[test]
    fn a_bucket_on_its_way_out_keeps_its_name_and_takes_nothing() {
        let mut bmd = Bmd::new(ClusterUuid::new("Yx3l2Jk9p").unwrap());
        let b = bucket(Provider::Ais, "b");
        assert!(bmd.begin_removal(&b).is_err() && bmd.takes_objects(&b).is_err());
        bmd.create(b.clone(), BucketProps::default(), 7).unwrap();
        assert_eq!(bmd.takes_objects(&b), Ok(()));
        bmd.begin_removal(&b).unwrap();
        let twice = bmd.begin_removal(&b).unwrap_err();
        assert_eq!(twice.to_string(), "bucket \"ais://b\" is being removed: try again shortly");
        assert_eq!(bmd.takes_objects(&b), Err(twice.clone()));
        bmd.end_removal(&b);
        assert_eq!(bmd.takes_objects(&b), Ok(()));
        bmd.begin_removal(&b).unwrap();
        bmd.destroy(&b).unwrap();
        assert_eq!(bmd.create(b.clone(), BucketProps::default(), 8), Err(twice));
        bmd.end_removal(&b);
        bmd.create(b, BucketProps::default(), 9).unwrap();
    }

    #[test]
    fn life_of_buckets() {
        let mut bmd = Bmd::new(ClusterUuid::new("Yx3l2Jk9p").unwrap());
        let (a, s) = (bucket(Provider::Ais, "b"), bucket(Provider::Aws, "b"));
        bmd.create(a.clone(), BucketProps::default(), 7).unwrap();
        assert_eq!(bmd.get(&a).unwrap().bid, 9_223_372_036_854_775_809);
        let again = bmd.create(a.clone(), BucketProps::default(), 8);
        assert_eq!(again.unwrap_err().to_string(), "bucket \"ais://b\" already exists");
        assert_eq!(bmd.by_name(&a.name).unwrap().unwrap().0, &a);
        bmd.create(s.clone(), BucketProps::default(), 9).unwrap();
        assert_eq!(bmd.get(&s).unwrap().bid, 2);
        assert!(bmd.by_name(&a.name).is_err());
        bmd.destroy(&a).unwrap();
        assert_eq!(bmd.destroy(&a).unwrap_err().to_string(), "bucket \"ais://b\" does not exist");
        bmd.set_props(&s, BucketProps::default()).unwrap();
        assert_eq!(bmd.version, 3);
        let props = BucketProps { durability: crate::Durability::Relaxed, ..BucketProps::default() };
        bmd.set_props(&s, props).unwrap();
        assert_eq!(bmd.version, 4);
        bmd.create(a.clone(), BucketProps::default(), 10).unwrap();
        assert_eq!(bmd.get(&a).unwrap().bid, LOCAL_BID | 5);
        for name in RESERVED_BUCKET_NAMES {
            assert!(bmd.create(bucket(Provider::Ais, name), BucketProps::default(), 0).is_err(), "{name}");
        }
        let bytes = postcard::to_stdvec(&bmd).unwrap();
        assert_eq!(postcard::from_bytes::<Bmd>(&bytes).unwrap(), bmd);
    }
}
