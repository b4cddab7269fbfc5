//! Sizes of objects: one for all, or a distribution from which every object draws once, by its number.

use std::fmt;
use std::str::FromStr;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, LogNormal, Uniform};
use weir_types::limits::OBJECT_BYTES_MAX;

/// A number of bytes as people write it: `4096`, `4K`, `64KiB`, `1M`, `16MiB`, `2G`. All of them powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("a size: expected a number with K, M, G or T (4KiB, 1M, 0.5G), got {text:?}");
        let digits = text.trim().find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.trim().len());
        let (number, unit) = text.trim().split_at(digits);
        let shift = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(expected()),
        };
        let bytes = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(1 << shift).ok_or_else(expected)?,
            Err(_) => (number.parse::<f64>().map_err(|_| expected())? * f64::from(shift).exp2()) as u64,
        };
        Ok(Self(bytes))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 > 0 && self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// How long objects are. Text forms: `4KiB`; `4KiB-1MiB`, each length alike; `lognormal:64KiB,1.5`, the median and the
/// deviation of the logarithm, cut at 1000 times the median; `4KiB:3,8KiB:1`, lengths with weights.
#[derive(Debug, Clone, PartialEq)]
pub enum Sizes {
    /// All of one length.
    Fixed(u64),
    /// From the first to the second, both included.
    Uniform(u64, u64),
    /// Median in bytes and standard deviation of the natural logarithm.
    LogNormal(u64, f64),
    /// Lengths with their weights.
    Weighted(Vec<(u64, u32)>),
}

/// Entries of a weighted list.
const WEIGHTS_MAX: usize = 64;
/// A lognormal length is at most this many times the median.
const LOGNORMAL_CUT: u64 = 1000;

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = |t: &str| t.parse::<Bytes>().map(|b| b.0);
        let sizes = if let Some(rest) = text.strip_prefix("lognormal:") {
            let (median, sigma) = rest
                .split_once(',')
                .ok_or_else(|| format!("sizes: expected lognormal:MEDIAN,SIGMA, got {text:?}"))?;
            let sigma = sigma.parse().ok().filter(|s| (0.0..=5.0).contains(s));
            Self::LogNormal(bytes(median)?, sigma.ok_or("sizes: expected a sigma between 0 and 5")?)
        } else if text.contains(':') {
            let entry = |t: &str| {
                let (size, weight) = t.split_once(':').ok_or("sizes: expected SIZE:WEIGHT everywhere")?;
                let weight =
                    weight.parse().ok().filter(|w| *w > 0).ok_or("sizes: expected a weight above 0")?;
                Ok::<_, String>((bytes(size)?, weight))
            };
            Self::Weighted(text.split(',').map(entry).collect::<Result<_, _>>()?)
        } else if let Some((low, high)) = text.split_once('-') {
            Self::Uniform(bytes(low)?, bytes(high)?)
        } else {
            Self::Fixed(bytes(text)?)
        };
        sizes.checked()
    }
}

impl Sizes {
    fn checked(self) -> Result<Self, String> {
        if let Self::Uniform(low, high) = self
            && low > high
        {
            return Err(format!("sizes: {low} is more than {high}"));
        }
        if let Self::Weighted(list) = &self
            && list.len() > WEIGHTS_MAX
        {
            return Err(format!("sizes: expected at most {WEIGHTS_MAX} weights, got {}", list.len()));
        }
        let max = self.max();
        if max > OBJECT_BYTES_MAX {
            return Err(format!("sizes: expected at most {OBJECT_BYTES_MAX} bytes, got {max}"));
        }
        Ok(self)
    }

    /// Length of object `number`: the same for the same `seed`, whoever asks.
    pub fn of(&self, number: u64, seed: u64) -> u64 {
        if let Self::Fixed(size) = self {
            return *size;
        }
        let mut rng = SmallRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        match self {
            Self::Fixed(size) => *size,
            Self::Uniform(low, high) => {
                Uniform::new_inclusive(*low, *high).map_or(*low, |d| d.sample(&mut rng))
            }
            Self::LogNormal(median, sigma) => {
                let drawn = LogNormal::new((*median as f64).ln(), *sigma).map_or(0.0, |d| d.sample(&mut rng));
                (drawn as u64).min(self.max())
            }
            Self::Weighted(list) => {
                let all: u64 = list.iter().map(|(_, weight)| u64::from(*weight)).sum();
                let mut at = Uniform::new(0, all).map_or(0, |d| d.sample(&mut rng));
                for (size, weight) in list {
                    match at.checked_sub(u64::from(*weight)) {
                        Some(rest) => at = rest,
                        None => return *size,
                    }
                }
                0
            }
        }
    }

    /// The longest length that can come.
    pub fn max(&self) -> u64 {
        match self {
            Self::Fixed(size) | Self::Uniform(_, size) => *size,
            Self::LogNormal(median, _) => median.saturating_mul(LOGNORMAL_CUT).min(OBJECT_BYTES_MAX),
            Self::Weighted(list) => list.iter().map(|(size, _)| *size).max().unwrap_or(0),
        }
    }

    /// The mean length, as drawn by the first thousand objects where it is not given.
    pub fn mean(&self, seed: u64) -> f64 {
        match self {
            Self::Fixed(size) => *size as f64,
            _ => (0..1000).map(|n| self.of(n, seed) as f64).sum::<f64>() / 1000.0,
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => Bytes(*size).fmt(f),
            Self::Uniform(low, high) => write!(f, "{}-{}", Bytes(*low), Bytes(*high)),
            Self::LogNormal(median, sigma) => write!(f, "lognormal:{},{sigma}", Bytes(*median)),
            Self::Weighted(list) => {
                for (i, (size, weight)) in list.iter().enumerate() {
                    write!(f, "{}{}:{weight}", if i > 0 { "," } else { "" }, Bytes(*size))?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_and_written() {
        let check = |text: &str, expected: Option<u64>, shown: &str| {
            let got = text.parse::<Bytes>();
            assert_eq!(got.as_ref().ok().map(|b| b.0), expected, "{text}");
            assert_eq!(got.map_or(String::new(), |b| b.to_string()), shown, "{text}");
        };
        check("4096", Some(4096), "4KiB");
        check("64KiB", Some(65536), "64KiB");
        check("1M", Some(1 << 20), "1MiB");
        check("0.5G", Some(1 << 29), "512MiB");
        check("1000", Some(1000), "1000");
        check("0", Some(0), "0");
        check("4Q", None, "");
        check("", None, "");
        check("-4K", None, "");
        check("99999999999999999T", None, "");
    }

    #[test]
    fn sizes_are_read_and_written() {
        let check = |text: &str, good: bool| {
            let got = text.parse::<Sizes>();
            assert_eq!(got.is_ok(), good, "{text}: {got:?}");
            assert!(!good || got.as_ref().unwrap().to_string() == text, "{text}: {got:?}");
        };
        check("4KiB", true);
        check("4KiB-1MiB", true);
        check("lognormal:64KiB,1.5", true);
        check("4KiB:3,8KiB:1", true);
        check("1MiB-4KiB", false);
        check("4KiB:0", false);
        check("4KiB:1,8KiB", false);
        check("lognormal:64KiB", false);
        check("6TiB", false);
    }

    #[test]
    fn an_object_keeps_its_length_and_lengths_follow_their_distribution() {
        let draw = |text: &str| -> Vec<u64> {
            let sizes: Sizes = text.parse().unwrap();
            let drawn: Vec<u64> = (0..10_000).map(|n| sizes.of(n, 7)).collect();
            assert_eq!(drawn, (0..10_000).map(|n| sizes.of(n, 7)).collect::<Vec<_>>(), "{text}");
            drawn
        };
        let uniform = draw("1000-2000");
        assert!(uniform.iter().all(|s| (1000..=2000).contains(s)));
        assert!((1490.0..1510.0).contains(&(uniform.iter().sum::<u64>() as f64 / 10_000.0)));
        let weighted = draw("4KiB:3,8KiB:1");
        assert!((7300..7700).contains(&weighted.iter().filter(|s| **s == 4096).count()));
        let lognormal = draw("lognormal:64KiB,1");
        assert!((4800..5200).contains(&lognormal.iter().filter(|s| **s < 65536).count()));
    }
}
