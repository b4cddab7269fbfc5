//! The litmus profile: small objects, a working set that no memory holds, writes and reads mixed, on clusters of two sizes.
//!
//! The working set of a node is the greater of 60 % of its capacity and five times its memory. Each group of endpoints is one
//! cluster, or nodes that stand side by side: names are spread over them by hash, and redirects are followed. The first phase
//! writes the set, the others mix writes and reads of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use weir_types::limits::LOAD_SECONDS_MAX;

use crate::cpu::memory_of;
use crate::error::LoadError;
use crate::html;
use crate::names::{NAMES_MAX, Order};
use crate::plan::{Mode, Plan};
use crate::plot::{Axis, Plot};
use crate::report::Report;
use crate::run::{Progress, run};

/// Share of a node's capacity that the working set fills at least.
const CAPACITY_SHARE: f64 = 0.6;
/// Times a node's memory that the working set is at least.
const MEMORY_TIMES: f64 = 5.0;
/// Shares of writes after the first phase, which writes alone.
const WRITE_SHARES: [f64; 2] = [0.8, 0.5];

/// A profile to be run.
#[derive(Debug, Clone)]
pub struct Litmus {
    /// One plan for each cluster: its endpoints, connections, sizes and so on. What belongs to the profile is set by it.
    pub clusters: Vec<Plan>,
    /// Capacity of one node in bytes, where it is known.
    pub capacity: Option<u64>,
    /// Memory of one node in bytes, where it is given; else that of the first server process.
    pub memory: Option<u64>,
    /// The part of the working set that is really used; 1 is the profile.
    pub scale: f64,
}

/// What the profile has measured.
#[derive(Debug, Clone, Serialize)]
pub struct LitmusReport {
    /// `litmus`.
    pub profile: &'static str,
    /// Lengths of objects.
    pub size: String,
    /// Compressibility of their content.
    pub compressible: f64,
    /// Capacity of one node in bytes.
    pub capacity_bytes: Option<u64>,
    /// Memory of one node in bytes.
    pub memory_bytes: u64,
    /// The part of the working set that was used.
    pub scale: f64,
    /// The clusters.
    pub clusters: Vec<Cluster>,
    /// Each phase of the last cluster against that of the first.
    pub scaling: Vec<Scaling>,
    /// What a reader should know of the figures.
    pub notes: Vec<String>,
}

/// A cluster's part.
#[derive(Debug, Clone, Serialize)]
pub struct Cluster {
    /// Its endpoints.
    pub nodes: usize,
    /// Bytes that the profile asks for.
    pub required_bytes: u64,
    /// Bytes of the working set.
    pub working_set_bytes: u64,
    /// Its objects.
    pub names: u64,
    /// Its phases.
    pub phases: Vec<Phase>,
}

/// One mix of writes and reads.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    /// As in `80/20`: percent of writes and of reads.
    pub mix: String,
    /// What was measured.
    pub report: Report,
}

/// How a phase grew with the cluster.
#[derive(Debug, Clone, Serialize)]
pub struct Scaling {
    /// The phase.
    pub mix: String,
    /// Times as many nodes.
    pub nodes_ratio: f64,
    /// Times as many requests per second.
    pub throughput_ratio: f64,
    /// The second by the first: 1 is linear.
    pub efficiency: f64,
}

impl Litmus {
    /// Bytes of the working set that the profile asks of one node.
    pub fn required_bytes(capacity: Option<u64>, memory: u64) -> u64 {
        let by_capacity = capacity.map_or(0.0, |c| c as f64 * CAPACITY_SHARE);
        by_capacity.max(memory as f64 * MEMORY_TIMES) as u64
    }

    /// Runs all phases on all clusters. `progress` gets the phase's name too.
    pub fn run(
        &self,
        stop: &Arc<AtomicBool>,
        progress: &mut dyn FnMut(&str, Progress<'_>),
    ) -> Result<LitmusReport, LoadError> {
        let memory = match (self.memory, self.clusters.iter().flat_map(|c| &c.server_pids).next()) {
            (Some(memory), _) => memory,
            (None, Some(pid)) => memory_of(*pid)?,
            (None, None) => {
                let text =
                    "the memory of a node: expected --ram BYTES, or --server-pid of a node on this machine";
                return Err(LoadError::Usage(text.into()));
            }
        };
        let first =
            self.clusters.first().ok_or_else(|| LoadError::Usage("litmus: expected endpoints".into()))?;
        let mut report = LitmusReport {
            profile: "litmus",
            size: first.sizes.as_ref().map_or_else(String::new, ToString::to_string),
            compressible: first.compressible,
            capacity_bytes: self.capacity,
            memory_bytes: memory,
            scale: self.scale,
            clusters: Vec::new(),
            scaling: Vec::new(),
            notes: self.notes(),
        };
        for (number, plan) in self.clusters.iter().enumerate() {
            let cluster = self.cluster(number, plan, memory, stop, progress)?;
            report.clusters.push(cluster);
            if stop.load(Ordering::Relaxed) {
                report.notes.push("stopped early: what comes later in the profile did not run".into());
                break;
            }
        }
        report.scaling = scaling(&report.clusters);
        Ok(report)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.scale < 1.0 {
            let percent = self.scale * 100.0;
            notes.push(format!(
                "the working set is {percent} % of what the profile asks for: memory holds more of it"
            ));
        }
        if self.capacity.is_none() {
            notes.push(
                "the nodes' capacity is not given: the working set follows from their memory alone".into(),
            );
        }
        notes.push(
            "names are spread over a group's nodes by hash; where those are one cluster, most are redirected"
                .into(),
        );
        notes
    }

    fn cluster(
        &self,
        number: usize,
        plan: &Plan,
        memory: u64,
        stop: &Arc<AtomicBool>,
        progress: &mut dyn FnMut(&str, Progress<'_>),
    ) -> Result<Cluster, LoadError> {
        let nodes = plan.endpoints.len();
        let required = Self::required_bytes(self.capacity, memory).saturating_mul(nodes as u64);
        let working_set = required as f64 * self.scale;
        let mean = plan.sizes.as_ref().map_or(1.0, |sizes| sizes.mean(plan.seed)).max(1.0);
        let names = ((working_set / mean) as u64).max(1);
        if names > NAMES_MAX {
            return Err(LoadError::Usage(format!(
                "litmus: expected at most {NAMES_MAX} objects, the set has {names}"
            )));
        }
        let base = Plan {
            names,
            prefix: format!("{}{number}/", plan.prefix),
            prefill: None,
            rate: None,
            stream_rate: None,
            ..plan.clone()
        };
        let writing = Plan {
            mode: Mode::Put,
            order: Order::Sequential,
            operations: Some(names),
            duration: Duration::from_secs(LOAD_SECONDS_MAX),
            warmup: Duration::ZERO,
            ..base.clone()
        };
        let mixing = WRITE_SHARES.map(|share| Plan {
            mode: Mode::Mixed(share),
            order: Order::Uniform,
            ..base.clone()
        });
        let mut phases = Vec::new();
        for (share, plan) in
            std::iter::once(1.0).chain(WRITE_SHARES).zip(std::iter::once(writing).chain(mixing))
        {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let mix = format!("{:.0}/{:.0}", share * 100.0, (1.0 - share) * 100.0);
            let label = format!("{nodes} nodes, {mix}");
            let report = run(&plan, stop, &mut |p| progress(&label, p))?;
            phases.push(Phase { mix, report });
        }
        Ok(Cluster { nodes, required_bytes: required, working_set_bytes: working_set as u64, names, phases })
    }
}

fn scaling(clusters: &[Cluster]) -> Vec<Scaling> {
    let [first, .., last] = clusters else { return Vec::new() };
    let pairs = first.phases.iter().zip(&last.phases);
    let one = |(small, large): (&Phase, &Phase)| {
        let nodes_ratio = last.nodes as f64 / first.nodes as f64;
        let (before, now) = (small.report.requests_per_second, large.report.requests_per_second);
        let throughput_ratio = if before > 0.0 { now / before } else { 0.0 };
        Scaling {
            mix: small.mix.clone(),
            nodes_ratio,
            throughput_ratio,
            efficiency: throughput_ratio / nodes_ratio,
        }
    };
    pairs.map(one).collect()
}

impl LitmusReport {
    /// As a page: the table and the plot that compare, then every phase.
    pub(crate) fn page(&self) -> Result<String, LoadError> {
        let mut body = String::from("<h1>Litmus profile</h1>\n");
        for note in &self.notes {
            body.push_str(&format!("<p class=\"note\">{}</p>\n", html::escaped(note)));
        }
        body.push_str(&html::table(&self.rows()));
        let line = |cluster: &Cluster| -> Vec<(f64, f64)> {
            let points = cluster.phases.iter().enumerate();
            points.map(|(i, phase)| ((i + 1) as f64, phase.report.requests_per_second)).collect()
        };
        let names: Vec<String> = self.clusters.iter().map(|c| format!("{} nodes", c.nodes)).collect();
        let lines = names.iter().map(String::as_str).zip(self.clusters.iter().map(line)).collect();
        let x = ("phase: 100/0, 80/20, 50/50 write/read", Axis::Even);
        body.push_str(&Plot { title: "Throughput by phase", x, y: ("requests/s", Axis::Even), lines }.svg()?);
        for cluster in &self.clusters {
            for phase in &cluster.phases {
                let heading = format!("{} nodes, {} write/read", cluster.nodes, phase.mix);
                body.push_str(&html::section(&heading, &phase.report)?);
            }
        }
        Ok(html::frame("Litmus profile", &body))
    }

    /// All phases as rows of a table, heads first.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let heads = [
            "nodes",
            "write/read",
            "set GiB",
            "requests/s",
            "GiB/s",
            "p50 us",
            "p99 us",
            "errors",
            "per node",
        ];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        for cluster in &self.clusters {
            for Phase { mix, report: r } in &cluster.phases {
                let set = cluster.working_set_bytes as f64 / f64::from(1 << 30);
                rows.push(vec![
                    cluster.nodes.to_string(),
                    mix.clone(),
                    format!("{set:.2}"),
                    format!("{:.0}", r.requests_per_second),
                    format!("{:.3}", r.gib_per_second),
                    format!("{:.0}", r.latency_us.p50),
                    format!("{:.0}", r.latency_us.p99),
                    r.errors.to_string(),
                    format!("{:.0}", r.requests_per_second / cluster.nodes as f64),
                ]);
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_working_set_is_the_greater_of_the_two() {
        let gib = 1_u64 << 30;
        assert_eq!(Litmus::required_bytes(Some(100 * gib), 10 * gib), 60 * gib);
        assert_eq!(Litmus::required_bytes(Some(100 * gib), 20 * gib), 100 * gib);
        assert_eq!(Litmus::required_bytes(None, 3 * gib), 15 * gib);
    }
}
