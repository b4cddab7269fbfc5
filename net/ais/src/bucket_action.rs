//! What the action message of a bucket request asks for.

use weir_cluster::{BucketProps, BucketPropsPatch};

use crate::error::Unsupported;
use crate::settings_json::assignments;
use crate::{ActionMsg, AisError, LsoMsg, SummaryMsg};

/// GET of buckets.
#[derive(Debug, Clone, PartialEq)]
pub enum BucketGet {
    /// The buckets that exist.
    ListBuckets,
    /// The objects of one bucket.
    ListObjects(LsoMsg),
    /// Counts and sizes.
    Summary(SummaryMsg),
    /// Not built.
    Unsupported(Unsupported),
}

impl BucketGet {
    /// Reads the body. `named` says whether the path names a bucket: without one, and without a value, the buckets
    /// are meant; so they are without any body.
    pub fn read(body: &[u8], named: bool) -> Result<Self, AisError> {
        let msg = ActionMsg::parse(body)?;
        let value = msg.value()?;
        Ok(match msg.action.as_str() {
            "summary-bck" => Self::Summary(SummaryMsg::read(&value)?),
            "summary-shard" | "show-inventory" => Self::Unsupported(Unsupported::new(msg.action, "bucket")),
            "list" if value.is_null() => Self::ListBuckets,
            "list" if named => Self::ListObjects(LsoMsg::read(&value)?),
            "list" => return Err(AisError::Bad("list-objects: expected a bucket name".into())),
            "" if named && !value.is_null() => Self::ListObjects(LsoMsg::read(&value)?),
            "" if body.is_empty() || value.is_null() => Self::ListBuckets,
            _ => return Err(msg.unknown("GET bucket")),
        })
    }
}

/// POST to a bucket.
#[derive(Debug, Clone, PartialEq)]
pub enum BucketPost {
    /// Create it with these properties changed from the defaults.
    Create(BucketPropsPatch),
    /// Not built.
    Unsupported(Unsupported),
}

impl BucketPost {
    /// Reads the body; `bucket` names it in refusals.
    pub fn read(body: &[u8], bucket: &weir_types::Bucket) -> Result<Self, AisError> {
        let msg = ActionMsg::parse(body)?;
        Ok(match msg.action.as_str() {
            "create-bck" => Self::Create(assignments::<BucketProps>(&msg.value()?)?),
            "move-bck" | "copy-bck" | "copy-listrange" | "prefetch-listrange" | "make-n-copies"
            | "ec-encode" | "rechunk" | "index-shard" | "create-inventory" => {
                Self::Unsupported(Unsupported::new(msg.action, bucket.to_string()))
            }
            "etl-bck" | "etl-listrange" => return Err(AisError::KubernetesRequired),
            _ => return Err(msg.unknown("POST bucket")),
        })
    }
}

/// PATCH of a bucket.
#[derive(Debug, Clone, PartialEq)]
pub enum BucketPatch {
    /// Change properties.
    Set(BucketPropsPatch),
    /// Back to the cluster's defaults.
    Reset,
}

impl BucketPatch {
    /// Reads the body.
    pub fn read(body: &[u8]) -> Result<Self, AisError> {
        let msg = ActionMsg::parse(body)?;
        match msg.action.as_str() {
            "set-bprops" => Ok(Self::Set(assignments::<BucketProps>(&msg.value()?)?)),
            "reset-bprops" => Ok(Self::Reset),
            _ => Err(msg.unknown("PATCH bucket")),
        }
    }
}

/// DELETE of a bucket.
#[derive(Debug, Clone, PartialEq)]
pub enum BucketDelete {
    /// The bucket with all its objects.
    Destroy,
    /// What the cluster holds of a remote bucket.
    Evict,
    /// Not built.
    Unsupported(Unsupported),
}

impl BucketDelete {
    /// Reads the body; `bucket` names it in refusals.
    pub fn read(body: &[u8], bucket: &weir_types::Bucket) -> Result<Self, AisError> {
        let msg = ActionMsg::parse(body)?;
        match msg.action.as_str() {
            "destroy-bck" => Ok(Self::Destroy),
            "evict-remote-bck" if !bucket.provider.is_remote() && bucket.namespace.uuid.is_empty() => {
                Err(AisError::NotRemote { action: "evict-remote-bck", bucket: bucket.clone() })
            }
            "evict-remote-bck" => Ok(Self::Evict),
            "delete-listrange" | "evict-listrange" | "destroy-inventory" => {
                Ok(Self::Unsupported(Unsupported::new(msg.action, bucket.to_string())))
            }
            _ => Err(msg.unknown("DELETE bucket")),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{Bucket, BucketName, Provider};

    use super::*;

    fn bucket(provider: Provider) -> Bucket {
        Bucket::global(provider, BucketName::new("b").unwrap())
    }

    #[test]
    fn gets() {
        let read = |body: &str, named| BucketGet::read(body.as_bytes(), named);
        assert_eq!(read("", false), Ok(BucketGet::ListBuckets));
        assert_eq!(read(r#"{"action":"list","name":"","value":null}"#, false), Ok(BucketGet::ListBuckets));
        assert_eq!(read(r#"{"action":"list","name":"b","value":null}"#, true), Ok(BucketGet::ListBuckets));
        assert!(matches!(read(r#"{"action":"list","value":{}}"#, true), Ok(BucketGet::ListObjects(_))));
        assert!(matches!(
            read(r#"{"action":"summary-bck","value":{"uuid":""}}"#, false),
            Ok(BucketGet::Summary(_))
        ));
        assert!(matches!(read(r#"{"action":"show-inventory"}"#, true), Ok(BucketGet::Unsupported(_))));
        for (body, named) in
            [(r#"{"action":"list","value":{}}"#, false), (r#"{"action":"x"}"#, true), ("{", true)]
        {
            assert_eq!(read(body, named).unwrap_err().status(), 400, "{body}");
        }
    }

    #[test]
    fn changes() {
        let post = |body: &str| BucketPost::read(body.as_bytes(), &bucket(Provider::Ais));
        let Ok(BucketPost::Create(patch)) = post(r#"{"action":"create-bck","name":"","value":null}"#) else {
            panic!()
        };
        assert!(patch.is_empty());
        let Ok(BucketPost::Create(patch)) =
            post(r#"{"action":"create-bck","value":{"checksum":{"type":"md5"}}}"#)
        else {
            panic!()
        };
        assert_eq!(patch.iter().collect::<Vec<_>>(), [("checksum.type", "md5")]);
        assert!(matches!(post(r#"{"action":"move-bck"}"#), Ok(BucketPost::Unsupported(_))));
        assert!(post(r#"{"action":"create-bck","value":{"checksum":{"type":"md6"}}}"#).is_err());
        assert!(post(r#"{"action":"nope"}"#).is_err() && post("").is_err());

        let patch = |body: &str| BucketPatch::read(body.as_bytes());
        assert!(matches!(
            patch(r#"{"action":"set-bprops","value":{"lru":{"enabled":false}}}"#),
            Ok(BucketPatch::Set(_))
        ));
        assert_eq!(patch(r#"{"action":"reset-bprops"}"#), Ok(BucketPatch::Reset));

        let delete = |body: &str, p| BucketDelete::read(body.as_bytes(), &bucket(p)).map_err(|e| e.status());
        assert_eq!(delete(r#"{"action":"destroy-bck"}"#, Provider::Ais), Ok(BucketDelete::Destroy));
        assert_eq!(delete(r#"{"action":"evict-remote-bck"}"#, Provider::Aws), Ok(BucketDelete::Evict));
        assert_eq!(delete(r#"{"action":"evict-remote-bck"}"#, Provider::Ais), Err(400));
    }
}
