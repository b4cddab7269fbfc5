//! Buckets and listings.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::{Value, json};
use ureq::http::Method;
use weir_types::{Bucket, BucketName, Namespace, Provider};

use super::{Client, Payload};
use crate::error::ToolError;
use crate::uri::bucket_target;

/// What to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListAsk {
    pub(crate) prefix: String,
    pub(crate) start_after: String,
    /// Property names, comma separated; empty: the node's usual ones.
    pub(crate) props: String,
    /// AIS's listing flags, one bit each.
    pub(crate) flags: u64,
}

impl ListAsk {
    /// Only objects on the node's disks.
    pub(crate) const CACHED: u64 = 1;
    /// Directories instead of what is below them.
    pub(crate) const NO_RECURSION: u64 = 1 << 11;
    /// No directories.
    pub(crate) const NO_DIRS: u64 = 1 << 13;
}

/// One line of a listing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) size: u64,
    /// On the node's disks.
    pub(crate) cached: bool,
    /// A directory of a listing without recursion.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dir: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) checksum: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) atime: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) custom: String,
}

impl Entry {
    /// Bits of `flags`: in the cluster, and a directory.
    const CACHED: u64 = 1 << 6;
    const DIR: u64 = 1 << 8;

    fn read(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let flags = number(value.get("flags")).unwrap_or(0);
        Some(Self {
            name: value.get("name")?.as_str()?.to_owned(),
            size: number(value.get("size")).unwrap_or(0),
            cached: flags & Self::CACHED != 0,
            dir: flags & Self::DIR != 0,
            version: text("version"),
            checksum: text("checksum"),
            atime: text("atime"),
            custom: text("custom-md"),
        })
    }
}

/// AIS writes 64-bit numbers as text.
fn number(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

impl Client {
    /// Buckets of one provider, or of all.
    pub(crate) fn buckets(&self, provider: Option<Provider>) -> Result<Vec<Bucket>, ToolError> {
        let query = provider.map(|p| format!("?provider={}", p.as_str())).unwrap_or_default();
        let body = json!({ "action": "list", "name": "", "value": null });
        let answer = self.json(Method::GET, &format!("/v1/buckets{query}"), Payload::Json(&body))?;
        let wrong = || ToolError::Protocol {
            what: "list of buckets".into(),
            expected: "an array of buckets",
            got: answer.to_string().chars().take(200).collect(),
        };
        answer.as_array().ok_or_else(wrong)?.iter().map(|b| bucket(b).ok_or_else(wrong)).collect()
    }

    /// Makes a bucket with properties that differ from the node's defaults.
    pub(crate) fn create_bucket(&self, bucket: &Bucket, props: &Value) -> Result<(), ToolError> {
        let body = json!({ "action": "create-bck", "name": "", "value": props });
        self.send(Method::POST, &bucket_target(bucket), &[], Payload::Json(&body)).map(drop)
    }

    /// Deletes a bucket and all it holds; of a remote bucket only what this node knows and keeps of it.
    pub(crate) fn destroy_bucket(&self, bucket: &Bucket) -> Result<(), ToolError> {
        let action = if bucket.provider.is_remote() { "evict-remote-bck" } else { "destroy-bck" };
        let body = json!({ "action": action, "name": "", "value": null });
        self.send(Method::DELETE, &bucket_target(bucket), &[], Payload::Json(&body)).map(drop)
    }

    /// A bucket's properties.
    pub(crate) fn bucket_props(&self, bucket: &Bucket) -> Result<Value, ToolError> {
        let response = self.send(Method::HEAD, &bucket_target(bucket), &[], Payload::None)?;
        let text =
            response.headers().get("ais-bucket-props").and_then(|v| v.to_str().ok()).unwrap_or_default();
        serde_json::from_str(text).map_err(|e| ToolError::Protocol {
            what: format!("properties of {bucket}"),
            expected: "JSON in Ais-Bucket-Props",
            got: e.to_string(),
        })
    }

    /// The objects of a bucket in order, page by page as they are taken.
    pub(crate) fn objects(&self, bucket: &Bucket, ask: ListAsk) -> Objects {
        let first = Cursor { uuid: String::new(), token: String::new() };
        Objects {
            client: self.clone(),
            bucket: bucket.clone(),
            ask,
            next: Some(first),
            page: VecDeque::new(),
        }
    }
}

fn bucket(value: &Value) -> Option<Bucket> {
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let namespace = value.get("namespace").unwrap_or(&Value::Null);
    Some(Bucket {
        provider: Provider::parse(&text(value, "provider"))?,
        namespace: Namespace { uuid: text(namespace, "uuid"), name: text(namespace, "name") },
        name: BucketName::new(text(value, "name")).ok()?,
    })
}

/// A listing on its way.
pub(crate) struct Objects {
    client: Client,
    bucket: Bucket,
    ask: ListAsk,
    /// The page to ask for next; none after the last.
    next: Option<Cursor>,
    page: VecDeque<Entry>,
}

struct Cursor {
    uuid: String,
    token: String,
}

impl Objects {
    fn turn(&mut self, cursor: &Cursor) -> Result<(), ToolError> {
        let message = json!({
            "uuid": cursor.uuid,
            "props": self.ask.props,
            "prefix": self.ask.prefix,
            "start_after": self.ask.start_after,
            "continuation_token": cursor.token,
            "flags": self.ask.flags.to_string(),
            "pagesize": 0,
        });
        let body = json!({ "action": "list", "name": "", "value": message });
        let answer = self.client.json(Method::GET, &bucket_target(&self.bucket), Payload::Json(&body))?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let entries = answer.get("entries").and_then(Value::as_array);
        self.page.extend(entries.into_iter().flatten().filter_map(Entry::read));
        let token = text("continuation_token");
        self.next =
            (!token.is_empty() && token != cursor.token).then(|| Cursor { uuid: text("uuid"), token });
        Ok(())
    }
}

impl Iterator for Objects {
    type Item = Result<Entry, ToolError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.page.is_empty() {
            let cursor = self.next.take()?;
            if let Err(error) = self.turn(&cursor) {
                return Some(Err(error));
            }
        }
        self.page.pop_front().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let entry = Entry::read(&json!({"name": "d/o", "size": "12", "flags": 64, "version": "3"})).unwrap();
        assert_eq!((entry.name.as_str(), entry.size, entry.cached, entry.dir), ("d/o", 12, true, false));
        assert_eq!(entry.version, "3");
        assert!(Entry::read(&json!({"name": "d", "flags": "256"})).unwrap().dir);
        assert!(Entry::read(&json!({"size": 1})).is_none());
    }

    #[test]
    fn buckets_are_read() {
        let read = |value: Value| bucket(&value).map(|b| b.to_string());
        let all = json!({"name": "b", "provider": "aws", "namespace": {"uuid": "", "name": ""}});
        assert_eq!(read(all).as_deref(), Some("s3://b"));
        assert_eq!(read(json!({"name": "b", "provider": "ais"})).as_deref(), Some("ais://b"));
        assert_eq!(read(json!({"name": "..", "provider": "ais"})), None);
    }
}
