//! Medians, ratios of interleaved runs, and the marks that say how a row may be read.

use serde::Serialize;

/// A median with the least and the greatest value it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of some values; `None` when there are none that are numbers.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }

    /// Of the quotients of what ran in the same round; a round that one of the two lacks does not count.
    pub(crate) fn ratio(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Option<Self> {
        let rounds = ours.iter().zip(theirs);
        Self::of(rounds.filter_map(|(a, b)| Some((*a)? / (*b)?)))
    }
}

/// Why a row must be read with care.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) enum Mark {
    /// The loader's core was the limit: requests/s say nothing, CPU per request does.
    LoaderBound,
    /// Less than [`COLD_SHARE_MIN`] of the served bytes came from the device (the share).
    NotCold(f64),
    /// Requests that failed.
    Errors(u64),
    /// Fewer rounds than a median needs.
    FewRuns(usize),
}

/// A cold row reads at least this share of what it serves from the device.
pub(crate) const COLD_SHARE_MIN: f64 = 0.9;
/// A loader's thread that is busier than this bounds the row.
pub(crate) const LOADER_BUSY_MAX: f64 = 0.9;
/// Rounds below which a median is called quick.
pub(crate) const RUNS_MIN: usize = 5;

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LoaderBound => f.write_str("loader-bound: judge by CPU"),
            Self::NotCold(share) => write!(f, "NOT COLD: device gave {:.0} %", share * 100.0),
            Self::Errors(count) => write!(f, "{count} ERRORS"),
            Self::FewRuns(count) => write!(f, "{count} runs"),
        }
    }
}

/// What marks are made of, over all runs of a row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Evidence {
    pub(crate) runs: usize,
    pub(crate) errors: u64,
    /// Runs whose loader said that it was the limit.
    pub(crate) loader_bound: usize,
    /// For a cold row, the median share of served bytes that the device read.
    pub(crate) device_share: Option<f64>,
}

/// The marks of a row.
pub(crate) fn marks(evidence: Evidence) -> Vec<Mark> {
    let mut marks = Vec::new();
    if evidence.errors > 0 {
        marks.push(Mark::Errors(evidence.errors));
    }
    if evidence.loader_bound * 2 > evidence.runs {
        marks.push(Mark::LoaderBound);
    }
    if let Some(share) = evidence.device_share.filter(|s| *s < COLD_SHARE_MIN) {
        marks.push(Mark::NotCold(share));
    }
    if evidence.runs < RUNS_MIN {
        marks.push(Mark::FewRuns(evidence.runs));
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let check = |values: &[f64], expected: Option<(f64, f64, f64)>| {
            let got = Spread::of(values.iter().copied()).map(|s| (s.median, s.min, s.max));
            assert_eq!(got, expected, "{values:?}");
        };
        check(&[], None);
        check(&[f64::NAN], None);
        check(&[3.0], Some((3.0, 3.0, 3.0)));
        check(&[4.0, 1.0], Some((2.5, 1.0, 4.0)));
        check(&[9.0, 1.0, 2.0], Some((2.0, 1.0, 9.0)));
        check(&[f64::INFINITY, 5.0, f64::NAN], Some((5.0, 5.0, 5.0)));
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let ratio = Spread::ratio(
            &[Some(10.0), Some(20.0), None, Some(9.0)],
            &[Some(5.0), Some(5.0), Some(1.0), Some(3.0)],
        );
        assert_eq!(ratio, Some(Spread { median: 3.0, min: 2.0, max: 4.0 }));
        assert_eq!(Spread::ratio(&[Some(1.0)], &[Some(0.0)]), None);
        assert_eq!(Spread::ratio(&[], &[]), None);
    }

    #[test]
    fn marks_say_how_to_read_a_row() {
        let full = Evidence { runs: 5, ..Evidence::default() };
        let check = |evidence: Evidence, expected: &[Mark]| assert_eq!(marks(evidence), expected);
        check(full, &[]);
        check(Evidence { loader_bound: 3, ..full }, &[Mark::LoaderBound]);
        check(Evidence { loader_bound: 2, ..full }, &[]);
        check(Evidence { device_share: Some(0.9), ..full }, &[]);
        check(Evidence { device_share: Some(0.89), ..full }, &[Mark::NotCold(0.89)]);
        check(
            Evidence { errors: 2, runs: 1, loader_bound: 1, ..full },
            &[Mark::Errors(2), Mark::LoaderBound, Mark::FewRuns(1)],
        );
    }
}
