//! The node's figures: those of its shards as AIS counts them, and with those of its disks as `/metrics` shows them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_shard::{Disk, DiskSet, Op, ShardMetrics, render_metrics};

/// Requests, errors and bytes of all shards, by AIS's names.
pub(crate) fn counters(shards: &[Arc<ShardMetrics>]) -> BTreeMap<String, i64> {
    let sum = |of: &dyn Fn(&ShardMetrics) -> u64| shards.iter().map(|m| of(m)).sum::<u64>() as i64;
    let op = |op: Op| sum(&|m| m.requests(op));
    let failed = |op: Op| sum(&|m| m.errors(op));
    BTreeMap::from([
        ("get.n".into(), op(Op::Get) + op(Op::ColdGet)),
        ("put.n".into(), op(Op::Put)),
        ("head.n".into(), op(Op::Head)),
        ("del.n".into(), op(Op::Delete)),
        ("err.get.n".into(), failed(Op::Get) + failed(Op::ColdGet)),
        ("err.put.n".into(), failed(Op::Put)),
        ("err.head.n".into(), failed(Op::Head)),
        ("err.del.n".into(), failed(Op::Delete)),
        ("get.size".into(), sum(&|m| m.bytes_out.load(Ordering::Relaxed))),
        ("put.size".into(), sum(&|m| m.bytes_in.load(Ordering::Relaxed))),
    ])
}

/// The shards' figures and those of a set of disks, in the Prometheus text format.
pub(crate) fn text(shards: &[Arc<ShardMetrics>], set: &DiskSet) -> String {
    let mut out = render_metrics(shards);
    type Figure = (&'static str, &'static str, &'static str, fn(&Disk) -> u64);
    let figures: [Figure; 9] = [
        ("weir_disk_bytes_total", "gauge", "Bytes of the disk in use and free.", |d| {
            d.mountpath.space().total()
        }),
        ("weir_disk_bytes_free", "gauge", "Free bytes of the disk.", |d| d.mountpath.space().free),
        ("weir_disk_commits_total", "counter", "Changes committed.", |d| d.mountpath.stats().commits),
        ("weir_disk_batches_total", "counter", "Batches they came in.", |d| d.mountpath.stats().batches),
        ("weir_disk_unfiled", "gauge", "Names whose last change is in the journal alone.", |d| {
            d.mountpath.stats().unfiled as u64
        }),
        ("weir_disk_unfiled_bytes", "gauge", "Bytes of objects that are in the journal alone.", |d| {
            d.mountpath.stats().unfiled_bytes as u64
        }),
        ("weir_disk_corrupt_blocks_total", "counter", "Blocks that did not fit their checksum.", |d| {
            d.mountpath.stats().corrupt_blocks
        }),
        ("weir_disk_read_errors_total", "counter", "Reads that the disk failed.", |d| {
            d.mountpath.stats().read_errors
        }),
        ("weir_disk_poisoned", "gauge", "1: the disk takes no more changes.", |d| {
            u64::from(d.mountpath.poisoned().is_some())
        }),
    ];
    for (name, kind, help, value) in figures {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for disk in &set.disks {
            let _ =
                writeln!(out, "{name}{{mountpath={:?}}} {}", disk.path.display().to_string(), value(disk));
        }
    }
    let _ = writeln!(
        out,
        "# HELP weir_disk_in_service 0: the disk is out of service.\n# TYPE weir_disk_in_service gauge"
    );
    let disks = set.disks.iter().map(|disk| (&disk.path, 1));
    for (path, value) in disks.chain(set.away.iter().map(|away| (&away.path, 0))) {
        let _ = writeln!(out, "weir_disk_in_service{{mountpath={:?}}} {value}", path.display().to_string());
    }
    let _ = writeln!(
        out,
        "# HELP weir_disks_settled 1: every name is on the disk that it belongs to.\n\
         # TYPE weir_disks_settled gauge\nweir_disks_settled {}",
        u8::from(set.settled)
    );
    out
}
