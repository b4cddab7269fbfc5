//! Jobs (AIS: xactions): what targets say of their parts, and how a job stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ureq::http::Method;

use super::{Client, Payload};
use crate::error::ToolError;

/// A target's part of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) id: String,
    pub(crate) kind: String,
    #[serde(rename(deserialize = "start-time"))]
    pub(crate) started: String,
    #[serde(rename(deserialize = "end-time"))]
    ended: String,
    #[serde(rename(deserialize = "src-bck"))]
    from: PartBucket,
    #[serde(rename(deserialize = "dst-bck"))]
    to: PartBucket,
    bck: PartBucket,
    pub(crate) err: String,
    /// What it has not been able to do yet.
    #[serde(default, rename(deserialize = "ctlmsg"))]
    pub(crate) left: String,
    pub(crate) aborted: bool,
    stats: Stats,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct PartBucket {
    name: String,
    provider: String,
}

/// Objects and bytes, as texts.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stats {
    #[serde(rename(deserialize = "loc-objs"))]
    objects: String,
    #[serde(rename(deserialize = "loc-bytes"))]
    bytes: String,
    #[serde(default, rename(deserialize = "out-objs"))]
    sent_objects: String,
    #[serde(default, rename(deserialize = "out-bytes"))]
    sent_bytes: String,
    #[serde(default, rename(deserialize = "in-objs"))]
    received_objects: String,
    #[serde(default, rename(deserialize = "in-bytes"))]
    received_bytes: String,
}

/// A number of objects, and of their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

impl Tally {
    fn read(objects: &str, bytes: &str) -> Self {
        Self { objects: objects.parse().unwrap_or(0), bytes: bytes.parse().unwrap_or(0) }
    }
}

impl std::ops::Add for Tally {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { objects: self.objects + other.objects, bytes: self.bytes + other.bytes }
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |all, one| all + one)
    }
}

impl Part {
    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        !self.ended.starts_with("0001-")
    }

    /// When it ended, if it has.
    pub(crate) fn ended(&self) -> Option<&str> {
        self.is_over().then_some(&self.ended)
    }

    /// What it has worked on: where the objects stayed, and those that it sent to another target. What it received another
    /// part has sent.
    pub(crate) fn done(&self) -> Tally {
        Tally::read(&self.stats.objects, &self.stats.bytes) + self.sent()
    }

    /// What it sent to other targets.
    pub(crate) fn sent(&self) -> Tally {
        Tally::read(&self.stats.sent_objects, &self.stats.sent_bytes)
    }

    /// What other targets sent it.
    pub(crate) fn received(&self) -> Tally {
        Tally::read(&self.stats.received_objects, &self.stats.received_bytes)
    }

    /// The buckets that it is about; empty if it is about none.
    pub(crate) fn buckets(&self) -> String {
        let text = |bucket: &PartBucket| {
            let scheme = if bucket.provider == "aws" { "s3" } else { &bucket.provider };
            format!("{scheme}://{}", bucket.name)
        };
        match (self.from.name.is_empty(), self.bck.name.is_empty()) {
            (false, _) => format!("{} -> {}", text(&self.from), text(&self.to)),
            (true, false) => text(&self.bck),
            (true, true) => String::new(),
        }
    }
}

/// How a job stands in the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) kind: String,
    #[serde(rename(deserialize = "uuid"))]
    pub(crate) id: String,
    pub(crate) err: String,
    #[serde(rename(deserialize = "end_time"))]
    pub(crate) ended_ns: u64,
    pub(crate) aborted: bool,
}

/// Which jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'w> {
    /// The one of this ID.
    Id(&'w str),
    /// Those of a kind, by either of its names.
    Kind(&'w str),
    /// All.
    All,
}

impl Which<'_> {
    fn body(self) -> Value {
        match self {
            Self::Id(id) => json!({ "ID": id }),
            Self::Kind(kind) => json!({ "Kind": kind }),
            Self::All => json!({}),
        }
    }
}

impl Client {
    /// The parts of jobs, by target.
    pub(crate) fn job_parts(&self, which: Which<'_>) -> Result<BTreeMap<String, Vec<Part>>, ToolError> {
        self.about_jobs("qryxstats", which)
    }

    /// How one job stands.
    pub(crate) fn job_status(&self, id: &str) -> Result<Status, ToolError> {
        self.about_jobs("status", Which::Id(id))
    }

    fn about_jobs<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        which: Which<'_>,
    ) -> Result<T, ToolError> {
        let target = format!("/v1/cluster?what={what}");
        let answer = self.json(Method::GET, &target, Payload::Json(&which.body()))?;
        serde_json::from_value(answer).map_err(|e| ToolError::Protocol {
            what: target,
            expected: "jobs",
            got: e.to_string(),
        })
    }
}
