use clap::Args;

use super::{CommonArgs, LoadArgs, Time};
use crate::error::LoadError;
use crate::litmus::Litmus;
use crate::names::Order;
use crate::plan::{Api, BucketArg, Mode};
use crate::size::{Bytes, Sizes};

/// Clusters that one profile compares.
const GROUPS_MAX: usize = 4;

/// Flags of `litmus`.
#[derive(Args, Debug, Clone)]
pub struct LitmusArgs {
    /// Nodes of one cluster: URL,URL; repeated for clusters of other sizes, smallest first
    #[arg(long, value_name = "URL,...")]
    pub group: Vec<String>,
    /// Node of the only cluster; repeated for several
    #[arg(long, value_name = "URL", conflicts_with = "group")]
    pub endpoint: Vec<String>,
    /// How they are spoken to
    #[arg(long, value_enum, default_value = "ais")]
    pub api: Api,
    /// Bucket, there on every node
    #[arg(long, value_name = "BUCKET")]
    pub bucket: BucketArg,
    /// Capacity of one node
    #[arg(long, value_name = "BYTES")]
    pub capacity: Option<Bytes>,
    /// Memory of one node; without it, the limit of the first --server-pid's cgroup
    #[arg(long, value_name = "BYTES")]
    pub ram: Option<Bytes>,
    /// Part of the working set that is used; the report says so
    #[arg(long, value_name = "PART", default_value_t = 1.0)]
    pub scale: f64,
    /// Lengths of objects
    #[arg(long, value_name = "SIZES", default_value = "4KiB:1,8KiB:1")]
    pub size: Sizes,
    /// Connections, all threads together
    #[arg(long, short, default_value_t = 64)]
    pub connections: usize,
    /// Time of each mixed phase; the phase that writes takes what the set takes
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub duration: Time,
    /// Time before each mixed phase
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub warmup: Time,
    #[command(flatten)]
    #[allow(missing_docs, reason = "flattened")]
    pub common: CommonArgs,
}

impl LitmusArgs {
    /// The profile that these flags mean.
    pub fn litmus(&self) -> Result<Litmus, LoadError> {
        if !(self.scale > 0.0 && self.scale <= 1.0) {
            return Err(LoadError::Usage(format!(
                "--scale: expected above 0 and at most 1, got {}",
                self.scale
            )));
        }
        let groups: Vec<Vec<String>> = match self.group.is_empty() {
            true => vec![self.endpoint.clone()],
            false => self.group.iter().map(|g| g.split(',').map(str::to_owned).collect()).collect(),
        };
        if groups.len() > GROUPS_MAX || groups.iter().any(Vec::is_empty) {
            let text = format!("litmus: expected --endpoint, or --group up to {GROUPS_MAX} times");
            return Err(LoadError::Usage(text));
        }
        let clusters = groups.into_iter().map(|group| self.flags(group).plan(Mode::Put));
        Ok(Litmus {
            clusters: clusters.collect::<Result<_, _>>()?,
            capacity: self.capacity.map(|b| b.0),
            memory: self.ram.map(|b| b.0),
            scale: self.scale,
        })
    }

    /// The flags of one cluster's run; the profile sets the others.
    fn flags(&self, endpoint: Vec<String>) -> LoadArgs {
        LoadArgs {
            endpoint,
            api: self.api,
            bucket: Some(self.bucket.clone()),
            size: Some(self.size.clone()),
            connections: self.connections,
            rate: None,
            stream_rate: None,
            duration: self.duration,
            warmup: self.warmup,
            operations: None,
            names: 1,
            name_prefix: Some(format!("litmus-{}/", self.common.seed)),
            names_from: None,
            order: Order::Sequential,
            prefill: None,
            page: 1,
            common: self.common.clone(),
        }
    }
}
