//! Jobs (AIS: xactions) in AIS's JSON shapes: queries, snapshots, status.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_types::Bucket;

use crate::json_fields::Fields;
use crate::list::number_text;
use crate::shapes::bucket_json;
use crate::times::{NEVER, rfc3339};
use crate::{ActionMsg, AisError, BckJson};

/// Which job to start or stop.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobMsg {
    /// ID; empty for all of the kind.
    pub id: String,
    /// Kind or display name; empty for any.
    pub kind: String,
}

impl JobMsg {
    /// Reads the value of `start` and `stop`.
    pub fn read(value: &Value) -> Result<Self, AisError> {
        let fields = Fields::of(value, "job message")?;
        Ok(Self { id: fields.text("id")?.to_owned(), kind: fields.text("kind")?.to_owned() })
    }
}

/// A job that is to begin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StartMsg {
    /// Kind or display name.
    pub kind: String,
    /// What it is about; none: everything.
    pub buckets: Vec<Bucket>,
    /// One node; empty for all.
    pub node: String,
}

impl StartMsg {
    /// Reads the value of `start`.
    pub fn read(value: &Value) -> Result<Self, AisError> {
        let fields = Fields::of(value, "job message")?;
        let several = match fields.get("buckets") {
            None => &[][..],
            Some(Value::Array(buckets)) => buckets,
            Some(_) => return Err(AisError::Bad("invalid \"buckets\": expected an array".into())),
        };
        let one = fields.get("bck").filter(|bucket| bucket.get("name").is_some_and(|name| name != ""));
        let buckets = one.into_iter().chain(several).map(bucket_json).collect::<Result<_, _>>()?;
        let text = |name| fields.text(name).map(str::to_owned);
        Ok(Self { kind: text("kind")?, buckets, node: text("node")? })
    }
}

/// Which jobs are asked about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobQuery {
    /// ID; empty for any.
    pub id: String,
    /// Kind or display name; empty for any.
    pub kind: String,
    /// One node; empty for all.
    pub node: String,
    /// Running ones alone.
    pub active_only: bool,
}

impl JobQuery {
    /// Reads the body of the job queries.
    pub fn read(body: &[u8]) -> Result<Self, AisError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let json: Value = serde_json::from_slice(body)
            .map_err(|e| AisError::Bad(format!("failed to read job query: {e}")))?;
        let fields = Fields::of(&json, "job query")?;
        Ok(Self {
            id: fields.text("id")?.to_owned(),
            kind: fields.text("kind")?.to_owned(),
            node: fields.text("node")?.to_owned(),
            active_only: fields.flag("show_active")?.unwrap_or(false),
        })
    }
}

/// What a job has done; numbers are texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "AIS's fields")]
pub struct SnapStats {
    #[serde(with = "number_text")]
    pub loc_objs: u64,
    #[serde(with = "number_text")]
    pub loc_bytes: u64,
    #[serde(with = "number_text")]
    pub out_objs: u64,
    #[serde(with = "number_text")]
    pub out_bytes: u64,
    #[serde(with = "number_text")]
    pub in_objs: u64,
    #[serde(with = "number_text")]
    pub in_bytes: u64,
}

/// A job on one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "AIS's fields")]
pub struct Snap {
    #[serde(rename = "start-time")]
    pub start_time: String,
    #[serde(rename = "end-time")]
    pub end_time: String,
    pub bck: BckJson,
    #[serde(rename = "src-bck")]
    pub src_bck: BckJson,
    #[serde(rename = "dst-bck")]
    pub dst_bck: BckJson,
    pub id: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ctlmsg: String,
    #[serde(rename = "abort-err")]
    pub abort_err: String,
    pub err: String,
    #[serde(rename = "glob.id", with = "number_text")]
    pub packed: u64,
    pub stats: SnapStats,
    pub aborted: bool,
    pub is_idle: bool,
}

impl Snap {
    /// A job of `kind` that began at `start_ns` since 1970, and ended if there is an end.
    pub fn new(id: &str, kind: &str, start_ns: u64, end_ns: Option<u64>) -> Self {
        Self {
            start_time: rfc3339(start_ns),
            end_time: end_ns.map_or_else(|| NEVER.to_owned(), rfc3339),
            bck: BckJson::default(),
            src_bck: BckJson::default(),
            dst_bck: BckJson::default(),
            id: id.to_owned(),
            kind: kind.to_owned(),
            ctlmsg: String::new(),
            abort_err: String::new(),
            err: String::new(),
            packed: 0,
            stats: SnapStats::default(),
            aborted: false,
            is_idle: end_ns.is_some(),
        }
    }
}

/// A job in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "AIS's fields")]
pub struct JobStatus {
    pub kind: String,
    pub uuid: String,
    pub err: String,
    /// Nanoseconds since 1970; 0 while it runs.
    pub end_time: u64,
    pub aborted: bool,
}

/// How `running_all` names a job: `kind[uuid]`.
pub fn running_name(kind: &str, uuid: &str) -> String {
    format!("{kind}[{uuid}]")
}

impl JobQuery {
    /// The error for a query that no job answers.
    pub fn not_found(&self) -> AisError {
        let name = if self.id.is_empty() { self.kind.clone() } else { format!("{}[{}]", self.kind, self.id) };
        AisError::JobNotFound(format!("{name:?}"))
    }
}

impl TryFrom<&ActionMsg> for JobMsg {
    type Error = AisError;
    fn try_from(msg: &ActionMsg) -> Result<Self, AisError> {
        Self::read(&msg.value()?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn queries() {
        let read = |body: &str| JobQuery::read(body.as_bytes()).unwrap();
        let sdk = read(r#"{"ID":"Vx93lqYo1","Kind":"","DaemonID":"","Bck":null,"Buckets":null}"#);
        assert_eq!(sdk, JobQuery { id: "Vx93lqYo1".into(), ..JobQuery::default() });
        assert_eq!(sdk.not_found().to_string(), "xaction \"[Vx93lqYo1]\" not found");
        assert_eq!(sdk.not_found().status(), 404);
        assert!(read(r#"{"kind":"lru","node":"","show_active":true}"#).active_only);
        assert!(!read(r#"{"show_active":null}"#).active_only);
        assert_eq!(read(""), JobQuery::default());
        assert!(JobQuery::read(b"[").is_err());
    }

    #[test]
    fn snapshots() {
        let snap = Snap::new("kN3lq0Yx9", "list", 1_763_685_131_123_456_789, None);
        let got = serde_json::to_value(&snap).unwrap();
        let none = json!({"name": "", "provider": "", "namespace": {"uuid": "", "name": ""}});
        assert_eq!(
            got,
            json!({"start-time": "2025-11-21T00:32:11.123456789Z", "end-time": "0001-01-01T00:00:00Z",
                   "bck": none, "src-bck": none, "dst-bck": none, "id": "kN3lq0Yx9", "kind": "list", "abort-err": "",
                   "err": "", "glob.id": "0", "aborted": false, "is_idle": false,
                   "stats": {"loc-objs": "0", "loc-bytes": "0", "out-objs": "0", "out-bytes": "0", "in-objs": "0", "in-bytes": "0"}})
        );
        assert!(Snap::new("x", "list", 1, Some(2)).is_idle);
        let status = JobStatus { kind: "lru".into(), uuid: "u".into(), ..JobStatus::default() };
        assert_eq!(
            serde_json::to_value(status).unwrap(),
            json!({"kind": "lru", "uuid": "u", "err": "", "end_time": 0, "aborted": false})
        );
        assert_eq!(running_name("list", "u"), "list[u]");
    }
}
