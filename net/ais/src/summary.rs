//! Counts and sizes of buckets in AIS's JSON shapes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json_fields::Fields;
use crate::list::number_text;
use crate::{AisError, BckJson};

/// A request for summaries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SummaryMsg {
    /// The job that counts; empty starts one (answered 202 with its ID).
    pub uuid: String,
    /// Names to count begin with this.
    pub prefix: String,
    /// What is in the cluster alone.
    pub cached: bool,
    /// Buckets that the cluster knows alone.
    pub present: bool,
}

impl SummaryMsg {
    /// Reads the value of `summary-bck`.
    pub fn read(value: &Value) -> Result<Self, AisError> {
        let fields = Fields::of(value, "summary message")?;
        Ok(Self {
            uuid: fields.text("uuid")?.to_owned(),
            prefix: fields.text("prefix")?.to_owned(),
            cached: fields.flag("cached")?.unwrap_or(false),
            present: fields.flag("present")?.unwrap_or(false),
        })
    }
}

/// One bucket's summary. Groups keep the names of AIS's embedded structures.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BucketSummary {
    /// The bucket.
    #[serde(flatten)]
    pub bucket: BckJson,
    /// Objects.
    #[serde(rename = "ObjCount")]
    pub objects: ObjectCount,
    /// Their sizes.
    #[serde(rename = "ObjSize")]
    pub sizes: ObjectSize,
    /// Sums.
    #[serde(rename = "TotalSize")]
    pub total: TotalSize,
    /// Percent of the disks' capacity.
    pub used_pct: u64,
    /// Whether the cluster knows the bucket.
    pub is_present: bool,
}

/// Objects; numbers are texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObjectCount {
    /// In the cluster.
    #[serde(rename = "obj_count_present", with = "number_text")]
    pub present: u64,
    /// At the origin alone.
    #[serde(rename = "obj_count_remote", with = "number_text")]
    pub remote: u64,
}

/// Bytes of single objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObjectSize {
    /// Of the smallest.
    #[serde(rename = "obj_min_size")]
    pub min: u64,
    /// On average.
    #[serde(rename = "obj_avg_size")]
    pub avg: u64,
    /// Of the largest.
    #[serde(rename = "obj_max_size")]
    pub max: u64,
}

/// Bytes in all; numbers are texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TotalSize {
    /// On disk, with copies.
    #[serde(rename = "size_on_disk", with = "number_text")]
    pub on_disk: u64,
    /// Of objects in the cluster.
    #[serde(rename = "size_all_present_objs", with = "number_text")]
    pub present: u64,
    /// Of objects at the origin alone.
    #[serde(rename = "size_all_remote_objs", with = "number_text")]
    pub remote: u64,
    /// Of the disks.
    #[serde(rename = "total_disks_size", with = "number_text")]
    pub disks: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shapes() {
        let msg =
            SummaryMsg::read(&json!({"uuid": "", "prefix": "p", "cached": true, "present": null})).unwrap();
        assert_eq!(msg, SummaryMsg { prefix: "p".into(), cached: true, ..SummaryMsg::default() });
        assert_eq!(
            serde_json::to_value(BucketSummary::default()).unwrap(),
            json!({"name": "", "provider": "", "namespace": {"uuid": "", "name": ""},
                   "ObjCount": {"obj_count_present": "0", "obj_count_remote": "0"},
                   "ObjSize": {"obj_min_size": 0, "obj_avg_size": 0, "obj_max_size": 0},
                   "TotalSize": {"size_on_disk": "0", "size_all_present_objs": "0", "size_all_remote_objs": "0", "total_disks_size": "0"},
                   "used_pct": 0, "is_present": false})
        );
    }
}
