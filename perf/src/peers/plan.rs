//! What is measured: cases, who takes part in each, and how large the sets are.

use clap::ValueEnum;
use serde::Serialize;

/// Names of a hot set, where they fit into [`HOT_BYTES`].
const HOT_NAMES: u64 = 10_000;
/// Bytes of a hot set at most: page cache for all of it is there.
const HOT_BYTES: u64 = 256 << 20;
/// Names of the 4K cold set: ten times the usual limit of open files.
pub(crate) const COLD_NAMES: u64 = 200_000;
/// Bytes of a cold set at most.
const COLD_BYTES: u64 = 1 << 30;
/// Names that PUTs overwrite, so that pages and extents recycle.
const PUT_NAMES: u64 = 2_000;
const PUT_BYTES: u64 = 256 << 20;
/// At least as many as there are connections: few PUTs of one name at a time.
const PUT_NAMES_MIN: u64 = 64;

/// What clients do, and what the server's caches hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// GET of a set that fits into memory
    GetHot,
    /// GET of a set larger than the server's memory cgroup
    GetCold,
    /// The same after inodes and dentries were dropped
    GetColdInodes,
    /// PUT that survives power loss
    PutDurable,
    /// PUT that survives the process
    PutRelaxed,
}

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    Weir,
    NginxSendfile,
    NginxDirectio,
    Fio,
    /// By its place on the command line.
    Peer(usize),
}

impl Case {
    pub(crate) const ALL: [Self; 5] =
        [Self::GetHot, Self::GetCold, Self::GetColdInodes, Self::PutDurable, Self::PutRelaxed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GetHot => "get-hot",
            Self::GetCold => "get-cold",
            Self::GetColdInodes => "get-cold-inodes",
            Self::PutDurable => "put-durable",
            Self::PutRelaxed => "put-relaxed",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::GetHot => "GET, hot",
            Self::GetCold => "GET, cold",
            Self::GetColdInodes => "GET, cold, inodes and dentries dropped before each run",
            Self::PutDurable => "PUT, durable",
            Self::PutRelaxed => "PUT, relaxed",
        }
    }

    /// Whether the server's memory is limited for it.
    pub(crate) fn is_cold(self) -> bool {
        matches!(self, Self::GetCold | Self::GetColdInodes)
    }

    pub(crate) fn is_put(self) -> bool {
        matches!(self, Self::PutDurable | Self::PutRelaxed)
    }

    /// The bucket it works on.
    pub(crate) fn bucket(self) -> &'static str {
        match self {
            Self::GetHot => HOT,
            Self::GetCold | Self::GetColdInodes => COLD,
            Self::PutDurable => DURABLE,
            Self::PutRelaxed => RELAXED,
        }
    }

    /// In the order of each round: ours first, the others beside it.
    pub(crate) fn contenders(self, peers: usize) -> Vec<Contender> {
        let mut all = vec![Contender::Weir];
        match self {
            Self::GetHot => all.push(Contender::NginxSendfile),
            Self::GetCold => all.extend([Contender::NginxDirectio, Contender::NginxSendfile, Contender::Fio]),
            Self::GetColdInodes => all.push(Contender::NginxDirectio),
            Self::PutDurable => all.push(Contender::Fio),
            Self::PutRelaxed => {}
        }
        all.extend((0..peers).map(Contender::Peer));
        all
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

pub(crate) const HOT: &str = "perf-hot";
pub(crate) const COLD: &str = "perf-cold";
pub(crate) const DURABLE: &str = "perf-durable";
pub(crate) const RELAXED: &str = "perf-relaxed";

/// The sets of one object size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sets {
    pub(crate) size: u64,
    pub(crate) hot: u64,
    pub(crate) cold: u64,
    pub(crate) put: u64,
}

impl Sets {
    pub(crate) fn of(size: u64, cold_names: u64) -> Self {
        Self {
            size,
            hot: (HOT_BYTES / size).clamp(1, HOT_NAMES),
            cold: (COLD_BYTES / size).clamp(1, cold_names),
            put: (PUT_BYTES / size).clamp(PUT_NAMES_MIN, PUT_NAMES),
        }
    }

    /// How many names the bucket of `case` has.
    pub(crate) fn names(&self, case: Case) -> u64 {
        match case {
            Case::GetHot => self.hot,
            Case::GetCold | Case::GetColdInodes => self.cold,
            Case::PutDurable | Case::PutRelaxed => self.put,
        }
    }

    /// Memory that a server may use in cold cases beyond what it needs when it is ready: page cache for a twentieth of the set,
    /// and buffers for `connections`.
    pub(crate) fn cold_slack(&self, connections: usize) -> u64 {
        self.cold * self.size / 20 + connections as u64 * (2 * self.size).min(1 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_as_large_as_their_case_needs() {
        let check = |size: u64, hot: u64, cold: u64, put: u64| {
            assert_eq!(Sets::of(size, COLD_NAMES), Sets { size, hot, cold, put });
        };
        check(4 << 10, 10_000, 200_000, 2_000);
        check(64 << 10, 4096, 16_384, 2_000);
        check(1 << 20, 256, 1024, 256);
        check(16 << 20, 16, 64, 64);
    }

    #[test]
    fn a_limit_leaves_most_of_a_cold_set_outside() {
        for size in [4 << 10, 64 << 10, 1 << 20, 16 << 20] {
            let sets = Sets::of(size, COLD_NAMES);
            assert!(sets.cold_slack(64) * 8 < sets.cold * size, "{size}");
        }
    }

    #[test]
    fn everybody_is_compared_with_us() {
        for case in Case::ALL {
            let all = case.contenders(2);
            assert_eq!(all[0], Contender::Weir);
            assert_eq!(all[all.len() - 2..], [Contender::Peer(0), Contender::Peer(1)]);
        }
    }
}
