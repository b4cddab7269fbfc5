//! Rendezvous placement exactly as AIS computes it (`core/meta/hrw.go`, `fs/hrw.go`): every node with the same
//! map finds the same owner, and so does a client that reads from targets directly.

use weir_types::Bucket;
use xxhash_rust::xxh64::{Xxh64, xxh64};

/// The seed of every placement hash (AIS `MLCG32`).
pub const SEED: u64 = 1_103_515_245;

/// The digest of a node ID, a clean mountpath path, a job UUID or a uname.
pub fn digest(bytes: &[u8]) -> u64 {
    xxh64(bytes, SEED)
}

/// The digest of `bucket`'s object: that of `bucket.uname(object)`, without building the text.
pub fn object_digest(bucket: &Bucket, object: &str) -> u64 {
    let mut h = Xxh64::new(SEED);
    let ns = &bucket.namespace;
    for part in
        [bucket.provider.as_str(), "/@", &ns.uuid, "#", &ns.name, "/", bucket.name.as_str(), "/", object]
    {
        h.update(part.as_bytes());
    }
    h.digest()
}

/// One step of a splitmix64-seeded xoshiro256** generator, as AIS spreads an XOR of two digests.
pub fn mix(x: u64) -> u64 {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    let scramble = |z: u64| {
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let z = scramble(x.wrapping_add(GAMMA)).wrapping_add(GAMMA);
    scramble(z).wrapping_mul(5).rotate_left(7).wrapping_mul(9)
}

/// How strongly the holder of `holder` (a node's or mountpath's digest) claims the name with `object`.
pub fn weight(holder: u64, object: u64) -> u64 {
    mix(holder ^ object)
}

/// The candidate with the greatest weight; equal weights go to the greater digest, whatever the order of
/// candidates. `None` when there are none.
pub fn pick<T>(candidates: impl IntoIterator<Item = (u64, T)>, object: u64) -> Option<T> {
    let claim = |(holder, item)| ((weight(holder, object), holder), item);
    candidates.into_iter().map(claim).max_by_key(|(claim, _)| *claim).map(|(_, item)| item)
}

/// The `count` candidates with the greatest weights, greatest first.
pub fn pick_many<T>(candidates: impl IntoIterator<Item = (u64, T)>, object: u64, count: usize) -> Vec<T> {
    let mut claims: Vec<_> = candidates.into_iter().map(|(h, item)| ((weight(h, object), h), item)).collect();
    claims.sort_by_key(|(claim, _)| std::cmp::Reverse(*claim));
    claims.into_iter().take(count).map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use weir_types::{BucketName, Namespace, Provider};

    use super::*;

    #[test]
    fn vectors_of_the_wire_specification() {
        assert_eq!(xxh64(b"", 0), 0xEF46_DB37_51D8_E999);
        assert_eq!(mix(4_573_842), 5_026_071_747_115_404_967);
        assert_eq!(mix(0), 1_905_207_664_160_064_169);
        let object = digest(b"ais/@#/mybucket/dir/obj1");
        assert_eq!(object, 4_994_205_139_540_366_906);
        let rows = [
            ("t1t1t1t1", 2_988_646_891_023_814_686, 831_144_842_100_785_571),
            ("t2t2t2t2", 4_658_495_253_260_178_676, 7_810_029_999_075_799_227),
            ("t3t3t3t3", 8_347_771_211_618_746_256, 11_808_987_888_135_765_296),
            ("/data/mp1", 17_837_998_392_370_180_005, 17_394_448_669_228_181_702),
        ];
        for (name, expected, claim) in rows {
            assert_eq!(digest(name.as_bytes()), expected, "{name}");
            assert_eq!(weight(expected, object), claim, "{name}");
        }
        let nodes = rows[..3].iter().map(|(name, digest, _)| (*digest, *name));
        assert_eq!(pick(nodes.clone(), object), Some("t3t3t3t3"));
        assert_eq!(pick_many(nodes, object, 2), ["t3t3t3t3", "t2t2t2t2"]);
        assert_eq!(pick(Vec::<(u64, ())>::new(), object), None);
    }

    #[test]
    fn object_digest_is_that_of_the_uname() {
        for (provider, ns, name) in [(Provider::Ais, "", "mybucket"), (Provider::Aws, "@u1#n", "b")] {
            let namespace = Namespace::parse(ns).unwrap();
            let bucket = Bucket { provider, namespace, name: BucketName::new(name).unwrap() };
            for object in ["", "dir/obj1", "ж"] {
                assert_eq!(object_digest(&bucket, object), digest(bucket.uname(object).as_bytes()));
            }
        }
    }
}
