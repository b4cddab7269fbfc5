//! Names that place the same number of objects on every disk, nearly. Placement is a hash: of a few hundred objects a disk some disk has
//! a tenth more than the mean, is asked a tenth more often and bounds the sum. Of the millions of a real node it has not.
//! So the prefix of the names is searched for; what imbalance is left is reported.

use weir_cluster::hrw;
use weir_types::{Bucket, BucketName, Provider};

use crate::error::{PerfError, Result};

/// Prefixes tried.
const TRIES: u32 = 3000;

/// A prefix of object names and how uneven its objects lie: the fullest disk's share of the mean, 1 at best.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Even {
    pub(crate) prefix: String,
    pub(crate) imbalance: f64,
}

/// The best prefix for `names` objects of an AIS bucket over these mountpaths.
pub(crate) fn search(bucket: &str, mountpaths: &[&[u8]], names: u64) -> Result<Even> {
    let bucket = BucketName::new(bucket).map_err(|e| PerfError::Refused(e.to_string()))?;
    let bucket = Bucket::global(Provider::Ais, bucket);
    let disks: Vec<u64> = mountpaths.iter().map(|path| hrw::digest(path)).collect();
    let mut best = Even { prefix: String::new(), imbalance: f64::INFINITY };
    let mean = names as f64 / disks.len().max(1) as f64;
    for attempt in 0..TRIES {
        let prefix = format!("even{attempt}-");
        let most = counts(&bucket, &disks, &prefix, names).into_iter().max().unwrap_or(0);
        let imbalance = most as f64 / mean;
        if imbalance < best.imbalance {
            best = Even { prefix, imbalance };
        }
        if disks.len() < 2 {
            break;
        }
    }
    Ok(best)
}

/// How many objects each disk gets.
fn counts(bucket: &Bucket, disks: &[u64], prefix: &str, names: u64) -> Vec<u64> {
    let mut counts = vec![0; disks.len()];
    for number in 0..names {
        let digest = hrw::object_digest(bucket, &format!("{prefix}{number:08}"));
        let holders = disks.iter().copied().enumerate().map(|(disk, holder)| (holder, disk));
        if let Some(count) = hrw::pick(holders, digest).and_then(|disk| counts.get_mut(disk)) {
            *count += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_prefix_is_nearly_even() {
        let paths: Vec<String> = (0..4).map(|i| format!("/d{i}")).collect();
        let paths: Vec<&[u8]> = paths.iter().map(|p| p.as_bytes()).collect();
        let even = search("b", &paths, 400).unwrap();
        assert!((1.0..1.05).contains(&even.imbalance), "{even:?}");
        let one = search("b", &paths[..1], 10).unwrap();
        assert!((one.imbalance - 1.0).abs() < f64::EPSILON, "{one:?}");
        assert!(search("NOT/A BUCKET", &paths, 10).is_err());
    }
}
