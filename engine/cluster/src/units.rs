//! Durations and sizes in AIS's text forms, both ways (AIS `cmn/cos/{duration,size}.go`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bytes, printed as `64MiB`; `0B` for none (AIS `SizeIEC`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Size(pub u64);

const IEC: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Prints the largest unit that holds the value without a fraction, so that reading it back gives the same.
impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match IEC.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((suffix, unit)) => write!(f, "{}{suffix}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Size {
    /// Reads `64MiB`, `64mb`, `1.5g`, `4096`, `4096B`; every suffix counts in powers of 1024, as AIS does
    /// for its sizes. `None` if it is no size or does not fit 64 bits.
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.trim().to_ascii_uppercase();
        let number = upper.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: u64 = match upper.get(number.len()..)? {
            "" | "B" => 1,
            "K" | "KB" | "KIB" => 1 << 10,
            "M" | "MB" | "MIB" => 1 << 20,
            "G" | "GB" | "GIB" => 1 << 30,
            "T" | "TB" | "TIB" => 1 << 40,
            _ => return None,
        };
        let number = number.trim();
        if number.contains('.') {
            let value = number.parse::<f64>().ok()? * unit as f64;
            // 2^53: above it a fraction of a byte count has no meaning.
            return (0.0..9e15).contains(&value).then_some(Self(value as u64));
        }
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        number.parse::<u64>().ok()?.checked_mul(unit).map(Self)
    }
}

/// Go's units with their nanoseconds.
const GO: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Prints a duration as Go does, less the seconds that AIS drops: `10s`, `100ms`, `10m`, `2h0m`, `1h30m`, `1m30s`.
pub fn print_duration(d: Duration) -> String {
    let ns = u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    if ns == 0 {
        return "0s".into();
    }
    let fraction = |unit: u64, suffix: &str| {
        let (whole, rest) = (ns / unit, ns % unit);
        if rest == 0 {
            return format!("{whole}{suffix}");
        }
        let digits = unit.ilog10() as usize;
        let rest = format!("{rest:0digits$}");
        format!("{whole}.{}{suffix}", rest.trim_end_matches('0'))
    };
    match ns {
        0..1_000 => return format!("{ns}ns"),
        1_000..1_000_000 => return fraction(1_000, "\u{b5}s"),
        1_000_000..1_000_000_000 => return fraction(1_000_000, "ms"),
        _ => {}
    }
    let (hours, minutes) = (ns / GO[7].1, ns / GO[6].1 % 60);
    let seconds_ns = ns % GO[6].1;
    let seconds = {
        let (whole, rest) = (seconds_ns / GO[5].1, seconds_ns % GO[5].1);
        let rest = format!(".{rest:09}");
        format!("{whole}{}s", rest.trim_end_matches('0').trim_end_matches('.'))
    };
    match (hours, minutes, seconds_ns) {
        (0, 0, _) => seconds,
        (0, m, 0) => format!("{m}m"),
        (0, m, _) => format!("{m}m{seconds}"),
        (h, m, 0) => format!("{h}h{m}m"),
        (h, m, _) => format!("{h}h{m}m{seconds}"),
    }
}

/// Reads a Go duration (`1h30m`, `1.5s`, `0`); a bare number is nanoseconds, as Go's own JSON of a duration.
/// Negative ones are refused: no setting means anything by them.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Ok(ns) = rest.parse::<u64>() {
        return Some(Duration::from_nanos(ns));
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let suffix = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (suffix, tail) = tail.split_at_checked(suffix)?;
        let (_, unit) = GO.iter().find(|(name, _)| *name == suffix)?;
        let ns = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(*unit)?,
            Err(_) => {
                let ns = number.parse::<f64>().ok()? * *unit as f64;
                (0.0..9e18).contains(&ns).then_some(ns.round() as u64)?
            }
        };
        total = total.checked_add(ns)?;
        rest = tail;
    }
    (!text.trim().is_empty()).then(|| Duration::from_nanos(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let read = |text: &str| Size::parse(text).map(|s| s.0);
        for (text, bytes) in [
            ("0B", 0),
            ("0", 0),
            ("64MiB", 64 << 20),
            ("64mb", 64 << 20),
            ("1GiB", 1 << 30),
            ("1TiB", 1 << 40),
            ("128k", 128 << 10),
            ("1.5 MiB", 3 << 19),
            ("1048576", 1 << 20),
            ("7B", 7),
        ] {
            assert_eq!(read(text), Some(bytes), "{text:?}");
        }
        for bad in
            ["", "MiB", "-1", "1XB", "1e3", "99999999999999999999", "20000000TiB", "1..5K", "NaN", "inf"]
        {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        for (bytes, text) in
            [(0, "0B"), (64 << 20, "64MiB"), (1536 << 10, "1536KiB"), (7, "7B"), (1025, "1025B")]
        {
            assert_eq!(Size(bytes).to_string(), text);
            assert_eq!(read(text), Some(bytes));
        }
    }

    #[test]
    fn durations() {
        for (text, ns) in [
            ("10s", 10_000_000_000),
            ("100ms", 100_000_000),
            ("10m", 600_000_000_000),
            ("1m30s", 90_000_000_000),
            ("2h0m", 7_200_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            ("1.5\u{b5}s", 1_500),
            ("1ns", 1),
            ("0s", 0),
            ("1h0m0.000000001s", 3_600_000_000_001),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_nanos(ns)), "{text}");
            assert_eq!(print_duration(Duration::from_nanos(ns)), text);
        }
        assert_eq!(parse_duration("1h0m0s"), Some(Duration::from_secs(3600)));
        assert_eq!(parse_duration("30000000000"), Some(Duration::from_secs(30)));
        assert_eq!(parse_duration("10"), Some(Duration::from_nanos(10)));
        for bad in ["", "s", "-1s", "5x", "1h-2m", "1.2.3s", "999999999h"] {
            assert_eq!(parse_duration(bad), None, "{bad:?}");
        }
    }
}
