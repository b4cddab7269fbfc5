//! What the action message of a bucket request asks for.

use serde_json::Value;
use weir_cluster::{BucketProps, BucketPropsPatch, CopyOrder, Selection};
use weir_types::{Bucket, Template};

use crate::copy_action::{bucket_copy, objects_copy, rename};
use crate::error::Unsupported;
use crate::json_fields::Fields;
use crate::settings_json::assignments;
use crate::{ActionMsg, AisError, LsoMsg, Presence, SummaryMsg};

/// Most copies of an object.
const COPIES_MAX: u8 = 32;

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
    /// Copy it, or objects of it, or give it another name.
    Copy(Box<CopyOrder>),
    /// Keep so many copies of each of its objects.
    MakeCopies(u8),
    /// Not built.
    Unsupported(Unsupported),
}

impl BucketPost {
    /// Reads the body of a request to `bucket`; `to` is the destination that its query names. A copy is of what the cluster
    /// has unless `presence` says otherwise.
    pub fn read(
        body: &[u8],
        bucket: &Bucket,
        to: Option<&Bucket>,
        presence: Option<Presence>,
    ) -> Result<Self, AisError> {
        let msg = ActionMsg::parse(body)?;
        let outside = presence.is_some_and(|presence| !presence.in_cluster_only());
        Ok(match msg.action.as_str() {
            "create-bck" => Self::Create(assignments::<BucketProps>(&msg.value()?)?),
            "copy-bck" => Self::Copy(Box::new(bucket_copy(&msg.value()?, bucket, to, outside)?)),
            "copy-listrange" => Self::Copy(Box::new(objects_copy(&msg.value()?, bucket)?)),
            "move-bck" => Self::Copy(Box::new(rename(bucket, to)?)),
            "make-n-copies" => Self::MakeCopies(copies(&msg.value()?)?),
            "prefetch-listrange" | "ec-encode" | "rechunk" | "index-shard" | "create-inventory" => {
                Self::Unsupported(Unsupported::new(msg.action, bucket.to_string()))
            }
            "etl-bck" | "etl-listrange" => return Err(AisError::KubernetesRequired),
            _ => return Err(msg.unknown("POST bucket")),
        })
    }
}

/// A number of copies, as a number or as text.
fn copies(value: &Value) -> Result<u8, AisError> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let copies = number.and_then(|n| u8::try_from(n).ok()).filter(|n| (1..=COPIES_MAX).contains(n));
    copies.ok_or_else(|| AisError::Bad(format!("make-n-copies: expected 1 to {COPIES_MAX}, got {value}")))
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
    /// Some of its objects; of a remote bucket the cluster's copies of them.
    Objects(Selection),
    /// Not built.
    Unsupported(Unsupported),
}

impl BucketDelete {
    /// Reads the body; `bucket` names it in refusals.
    pub fn read(body: &[u8], bucket: &Bucket) -> Result<Self, AisError> {
        let msg = ActionMsg::parse(body)?;
        match msg.action.as_str() {
            "destroy-bck" => Ok(Self::Destroy),
            "evict-remote-bck" if !bucket.provider.is_remote() && bucket.namespace.uuid.is_empty() => {
                Err(AisError::NotRemote { action: "evict-remote-bck", bucket: bucket.clone() })
            }
            "evict-remote-bck" => Ok(Self::Evict),
            "evict-listrange" if !bucket.provider.is_remote() => {
                Err(AisError::NotRemote { action: "evict-listrange", bucket: bucket.clone() })
            }
            "delete-listrange" if bucket.provider.is_remote() => {
                Ok(Self::Unsupported(Unsupported::new(msg.action, bucket.to_string())))
            }
            "delete-listrange" | "evict-listrange" => Ok(Self::Objects(selection(&msg.value()?)?)),
            "destroy-inventory" => Ok(Self::Unsupported(Unsupported::new(msg.action, bucket.to_string()))),
            _ => Err(msg.unknown("DELETE bucket")),
        }
    }
}

/// Names, names by number, or a prefix; neither is all of them.
pub(crate) fn selection(value: &Value) -> Result<Selection, AisError> {
    let fields = Fields::of(value, "selection of objects")?;
    let names = match fields.get("objnames") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(names)) => {
            let texts = names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
            texts.ok_or_else(|| AisError::Bad("objnames: expected texts".into()))?
        }
        Some(other) => {
            return Err(AisError::Bad(format!("objnames: expected an array of names, got {other}")));
        }
    };
    if !names.is_empty() {
        return Ok(Selection::Names(names));
    }
    let text = fields.text("template")?.to_owned();
    Ok(if Template::parse(&text).is_some() { Selection::Template(text) } else { Selection::Prefix(text) })
}

#[cfg(test)]
mod tests {
    use weir_types::{BucketName, Provider};

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
        let post = |body: &str| BucketPost::read(body.as_bytes(), &bucket(Provider::Ais), None, None);
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
        let copies = |value: &str| post(&format!(r#"{{"action":"make-n-copies","value":{value}}}"#));
        assert!(matches!(copies("2"), Ok(BucketPost::MakeCopies(2))));
        assert!(matches!(copies("\"3\""), Ok(BucketPost::MakeCopies(3))));
        for bad in ["0", "33", "-1", "null", "\"x\""] {
            assert!(copies(bad).is_err(), "{bad}");
        }
        assert!(post(r#"{"action":"move-bck"}"#).is_err());
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
