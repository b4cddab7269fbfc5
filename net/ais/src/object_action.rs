//! What the body of an object request asks for.

use serde_json::Value;
use weir_types::{Bucket, CustomMeta, ObjectName};

use crate::error::Unsupported;
use crate::{ActionMsg, AisError, PartRef};

/// DELETE of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteAction {
    /// Delete it, at the origin too.
    Delete,
    /// Drop what the cluster holds of it.
    Evict,
    /// Abort an upload.
    AbortUpload(String),
}

impl DeleteAction {
    /// Reads the body, which may be empty.
    pub fn read(body: &[u8], upload: Option<String>) -> Result<Self, AisError> {
        let msg = ActionMsg::parse(body)?;
        match (msg.action.as_str(), upload) {
            ("" | "mpt-abort", Some(upload)) => Ok(Self::AbortUpload(upload)),
            ("mpt-abort", None) => Err(no_upload()),
            ("" | "delete-listrange", None) => Ok(Self::Delete),
            ("evict-listrange", None) => Ok(Self::Evict),
            _ => Err(msg.unknown("DELETE object")),
        }
    }
}

/// POST to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostAction {
    /// A new name within the bucket.
    Rename(ObjectName),
    /// Whether someone holds it.
    CheckLock,
    /// Begin a multipart upload.
    CreateUpload,
    /// Make the object of its parts.
    CompleteUpload {
        /// The upload.
        upload: String,
        /// The parts in ascending order, at least one.
        parts: Vec<PartRef>,
    },
    /// Give it up.
    AbortUpload(String),
    /// Not built.
    Unsupported(Unsupported),
}

impl PostAction {
    /// Reads the body.
    pub fn read(body: &[u8], upload: Option<String>, bucket: &Bucket) -> Result<Self, AisError> {
        let msg = ActionMsg::parse(body)?;
        Ok(match msg.action.as_str() {
            "rename-obj" if bucket.provider.is_remote() => {
                Self::Unsupported(Unsupported::new("rename-obj", bucket.to_string()))
            }
            "rename-obj" => Self::Rename(ObjectName::new(msg.name)?),
            "check-lock" => Self::CheckLock,
            "mpt-upload" => Self::CreateUpload,
            "mpt-complete" => {
                let upload = upload.ok_or_else(no_upload)?;
                Self::CompleteUpload { upload, parts: PartRef::read_list(&msg.value()?)? }
            }
            "mpt-abort" => Self::AbortUpload(upload.ok_or_else(no_upload)?),
            "promote" | "blob-download" => {
                Self::Unsupported(Unsupported::new(msg.action, bucket.to_string()))
            }
            _ => return Err(msg.unknown("POST object")),
        })
    }
}

fn no_upload() -> AisError {
    AisError::Bad("expected an uploadId".into())
}

/// The pairs that PATCH of an object sets.
pub fn custom_patch(body: &[u8]) -> Result<CustomMeta, AisError> {
    let mut custom = CustomMeta::default();
    match ActionMsg::parse(body)?.value()? {
        Value::Null => {}
        Value::Object(map) => {
            for (key, value) in map {
                let Value::String(value) = value else {
                    return Err(AisError::Bad(format!("custom metadata {key:?}: expected a text")));
                };
                custom.set(key, value)?;
            }
        }
        _ => return Err(AisError::Bad("custom metadata: expected a JSON object of texts".into())),
    }
    Ok(custom)
}

#[cfg(test)]
mod tests {
    use weir_types::{BucketName, Provider};

    use super::*;

    #[test]
    fn deletes() {
        let read = |body: &str, id: Option<&str>| {
            DeleteAction::read(body.as_bytes(), id.map(Into::into)).map_err(|e| e.status())
        };
        assert_eq!(read("", None), Ok(DeleteAction::Delete));
        assert_eq!(read(r#"{"action":"","name":"","value":null}"#, None), Ok(DeleteAction::Delete));
        assert_eq!(read(r#"{"action":"evict-listrange","name":"b/o"}"#, None), Ok(DeleteAction::Evict));
        assert_eq!(read(r#"{"action":"mpt-abort"}"#, Some("u")), Ok(DeleteAction::AbortUpload("u".into())));
        assert_eq!(read(r#"{"action":"mpt-abort"}"#, None), Err(400));
        assert_eq!(read(r#"{"action":"evict-listrange"}"#, Some("u")), Err(400));
    }

    #[test]
    fn posts() {
        let read = |body: &str, id: Option<&str>, provider| {
            let bucket = Bucket::global(provider, BucketName::new("b").unwrap());
            PostAction::read(body.as_bytes(), id.map(Into::into), &bucket).map_err(|e| e.status())
        };
        let ais = Provider::Ais;
        let rename = Ok(PostAction::Rename(ObjectName::new("n").unwrap()));
        assert_eq!(read(r#"{"action":"rename-obj","name":"n"}"#, None, ais), rename);
        assert!(matches!(
            read(r#"{"action":"rename-obj","name":"n"}"#, None, Provider::Aws),
            Ok(PostAction::Unsupported(_))
        ));
        assert_eq!(read(r#"{"action":"check-lock"}"#, None, ais), Ok(PostAction::CheckLock));
        assert_eq!(
            read(r#"{"action":"mpt-upload","name":"","value":null}"#, None, ais),
            Ok(PostAction::CreateUpload)
        );
        let complete = r#"{"action":"mpt-complete","value":[{"part-number":1,"etag":""}]}"#;
        let parts = vec![PartRef { number: 1, etag: String::new() }];
        assert_eq!(
            read(complete, Some("u"), ais),
            Ok(PostAction::CompleteUpload { upload: "u".into(), parts })
        );
        assert_eq!(read(complete, None, ais), Err(400));
        assert_eq!(read(r#"{"action":"rename-obj","name":""}"#, None, ais), Err(400));
        assert_eq!(read("", None, ais), Err(400));
    }

    #[test]
    fn custom() {
        let read = |body: &str| {
            custom_patch(body.as_bytes())
                .map(|c| c.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>())
        };
        assert_eq!(
            read(r#"{"action":"","name":"","value":{"k1":"v1","k2":"a=b"}}"#),
            Ok(vec!["k1=v1".into(), "k2=a=b".into()])
        );
        assert_eq!(read(r#"{"value":null}"#), Ok(vec![]));
        for bad in [
            r#"{"value":{"k":1}}"#,
            r#"{"value":[]}"#,
            r#"{"value":{"":"x"}}"#,
            r#"{"value":{"k":"\u0001"}}"#,
        ] {
            assert_eq!(read(bad).unwrap_err().status(), 400, "{bad}");
        }
        assert!(read(&format!(r#"{{"value":{{"k":"{}"}}}}"#, "x".repeat(2048))).is_err());
    }
}
