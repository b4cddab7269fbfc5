//! What is found in a round, by everybody who looks: counts, and the first few in words.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Findings of one kind that are told in words.
const TOLD_MAX: usize = 5;

/// A kind of finding. Each of them makes a round fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// An acknowledged object is not there.
    Lost,
    /// A removed object is there.
    Back,
    /// Bytes that nobody wrote under that name.
    Wrong,
    /// What clients saw of a name happened in no order.
    Violation,
    /// It could not be told whether it did.
    Unknown,
    /// Two gateways led at once.
    Double,
    /// A listing lacks a name, or has one that is not there.
    Listing,
    /// An answer that no request should have had.
    Odd,
}

impl Finding {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Lost,
        Self::Back,
        Self::Wrong,
        Self::Violation,
        Self::Unknown,
        Self::Double,
        Self::Listing,
        Self::Odd,
    ];

    /// What a report calls so many of them.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Back => "back after their removal",
            Self::Wrong => "with wrong bytes",
            Self::Violation => "violations",
            Self::Unknown => "unknown verdicts",
            Self::Double => "double primaries",
            Self::Listing => "errors of listings",
            Self::Odd => "odd answers",
        }
    }
}

/// Findings, noted from any thread.
#[derive(Debug, Default)]
pub struct Findings {
    counts: [AtomicU64; Finding::ALL.len()],
    told: Mutex<Vec<(Finding, String)>>,
}

impl Findings {
    /// Notes one.
    pub fn note(&self, finding: Finding, what: impl FnOnce() -> String) {
        self.counts[finding as usize].fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock();
        if told.iter().filter(|(of, _)| *of == finding).count() < TOLD_MAX {
            told.push((finding, what()));
        }
    }

    /// How many there are of a kind.
    pub fn count(&self, finding: Finding) -> u64 {
        self.counts[finding as usize].load(Ordering::Relaxed)
    }

    /// How many of every kind, in the order of [`Finding::ALL`].
    pub fn counts(&self) -> [u64; Finding::ALL.len()] {
        Finding::ALL.map(|finding| self.count(finding))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.counts().iter().all(|count| *count == 0)
    }

    /// The first of each kind, in words.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().iter().map(|(finding, what)| format!("{}: {what}", finding.name())).collect()
    }
}
