//! What the kernel says of this machine: counters of CPUs and disks, parsed; and where loop devices work.

use std::path::{Path, PathBuf};

use crate::error::{PerfError, Result};

/// The kernel's sector in /proc/diskstats, whatever the device's own is.
const SECTOR: u64 = 512;
/// CPUs of kernel workers that are bound to none, the loop devices' among them.
const WORKQUEUES: &str = "/sys/devices/virtual/workqueue/cpumask";
/// Where the mask is kept for as long as it is changed.
const MASK_NOTE: &str = "workqueue-cpumask";

/// Bytes that `device` (`loop0`) has read and written since boot, from the text of /proc/diskstats.
pub(crate) fn disk_bytes(diskstats: &str, device: &str) -> Option<(u64, u64)> {
    diskstats.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(2);
        if fields.next()? != device {
            return None;
        }
        let read = fields.nth(2)?.parse::<u64>().ok()?;
        let written = fields.nth(3)?.parse::<u64>().ok()?;
        Some((read * SECTOR, written * SECTOR))
    })
}

/// Ticks in soft interrupts and ticks not idle of one CPU, from the text of /proc/stat.
pub(crate) fn cpu_ticks(stat: &str, cpu: usize) -> Option<(u64, u64)> {
    let name = format!("cpu{cpu}");
    let line = stat.lines().find(|line| line.split(' ').next() == Some(&name))?;
    let fields: Vec<u64> = line.split_whitespace().skip(1).map_while(|f| f.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = fields[..] else { return None };
    Some((softirq, user + nice + system + irq + softirq))
}

/// CPUs that are there.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// CPU seconds that anybody has used since boot.
pub(crate) fn busy_seconds() -> Result<f64> {
    let stat = read("/proc/stat")?;
    let ticks = (0..).map_while(|cpu| cpu_ticks(&stat, cpu)).map(|(_, busy)| busy).sum::<u64>();
    Ok(ticks as f64 / TICKS)
}

/// A size of /proc/meminfo in bytes.
pub(crate) fn memory_bytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// Ticks of a second in the files above; fixed in the kernel's interface.
pub(crate) const TICKS: f64 = 100.0;

/// A counter file, whole.
pub(crate) fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(PerfError::io(path))
}

/// Which machine a report is of.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
        let family = |name: &str| {
            let line = cpuinfo.lines().find_map(|l| l.strip_prefix(name)?.split_once(": "));
            line.map_or("?", |(_, v)| v).to_owned()
        };
        let memory = memory_bytes(&read("/proc/meminfo").unwrap_or_default(), "MemTotal").unwrap_or(0);
        Self {
            cpu: format!(
                "{} (family {}, model {})",
                model.map_or("unknown", |(_, m)| m),
                family("cpu family"),
                family("model\t")
            ),
            cores: cores(),
            memory_gib: (memory >> 20) as f64 / 1024.0,
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} cores, {:.1} GiB, Linux {}", self.cpu, self.cores, self.memory_gib, self.kernel)
    }
}

/// Unbound kernel workers, the loop devices' among them, kept to one CPU until this is dropped.
#[derive(Debug)]
pub(crate) struct Workers {
    base: PathBuf,
}

impl Workers {
    /// `cpu` is the loader's: the server's core is the server's alone.
    pub(crate) fn keep_to(base: &Path, cpu: usize) -> Result<Self> {
        let before = read(WORKQUEUES)?;
        let note = base.join(MASK_NOTE);
        std::fs::write(&note, &before).map_err(PerfError::io(note.display().to_string()))?;
        let workers = Self { base: base.to_owned() };
        std::fs::write(WORKQUEUES, mask(cpu)).map_err(PerfError::io(WORKQUEUES))?;
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        restore_workqueues(&self.base);
    }
}

/// Puts the mask back that a note in `base` tells of.
pub(crate) fn restore_workqueues(base: &Path) {
    let note = base.join(MASK_NOTE);
    if let Ok(before) = std::fs::read_to_string(&note) {
        if let Err(error) = std::fs::write(WORKQUEUES, before.trim()) {
            eprintln!("{WORKQUEUES} is not as it was ({}): {error}", before.trim());
        }
        let _ = std::fs::remove_file(note);
    }
}

/// A CPU as the kernel's hexadecimal mask, in groups of 32 bits.
fn mask(cpu: usize) -> String {
    let groups = vec!["00000000".to_owned(); cpu / 32];
    let first = format!("{:x}", 1u32 << (cpu % 32));
    std::iter::once(first).chain(groups).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diskstats() {
        let text = "   7       0 loop0 12 0 96 5 7 1 2048 9 0 8 14 0 0 0 0 0 0\n   7      10 loop10 1 2 3 4 5 6 7 8 9\n";
        assert_eq!(disk_bytes(text, "loop0"), Some((96 * 512, 2048 * 512)));
        assert_eq!(disk_bytes(text, "loop10"), Some((3 * 512, 7 * 512)));
        assert_eq!(disk_bytes(text, "loop1"), None);
        assert_eq!(disk_bytes("7 0 loop0 1", "loop0"), None);
    }

    #[test]
    fn stat_of_a_cpu() {
        let text = "cpu  1 2 3 4 5 6 7\ncpu0 10 1 20 1000 50 2 7 0 0 0\ncpu1 1 1 1 1 1 1 1 0\n";
        assert_eq!(cpu_ticks(text, 0), Some((7, 40)));
        assert_eq!(cpu_ticks(text, 1), Some((1, 5)));
        assert_eq!(cpu_ticks(text, 2), None);
    }

    #[test]
    fn meminfo_and_masks() {
        let text = "MemTotal:       24000 kB\nMemAvailable:   1000 kB\n";
        assert_eq!(memory_bytes(text, "MemAvailable"), Some(1000 << 10));
        assert_eq!(memory_bytes(text, "Mem"), None);
        assert_eq!(mask(0), "1");
        assert_eq!(mask(5), "20");
        assert_eq!(mask(33), "2,00000000");
    }
}
