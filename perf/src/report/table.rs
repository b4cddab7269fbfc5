//! Tables in Markdown, and figures as people read them.

use crate::stats::Spread;

/// Rows under a head; the columns from `left` on stand right.
pub(crate) fn table(head: &[&str], left: usize, rows: &[Vec<String>]) -> String {
    let rule: Vec<&str> = (0..head.len()).map(|i| if i < left { "---" } else { "---:" }).collect();
    let line = |cells: &[&str]| format!("| {} |", cells.join(" | "));
    let mut lines = vec![line(head), line(&rule)];
    for row in rows {
        let cells: Vec<&str> = row.iter().map(String::as_str).collect();
        lines.push(line(&cells));
    }
    lines.join("\n")
}

/// Three figures that count.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !value.is_finite() => "-".into(),
        _ if size >= 10_000.0 => format!("{:.1}k", value / 1000.0),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The median alone.
pub(crate) fn median(spread: Option<Spread>) -> String {
    spread.map_or("-".into(), |s| figure(s.median))
}

/// A ratio with the range of its rounds.
pub(crate) fn ratio(spread: Option<Spread>) -> String {
    spread.map_or("-".into(), |s| format!("{:.2} ({:.2}-{:.2})", s.median, s.min, s.max))
}

/// A size in bytes as 4K, 1M.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 && b.is_multiple_of(1 << 30) => format!("{}G", b >> 30),
        b if b >= 1 << 20 && b.is_multiple_of(1 << 20) => format!("{}M", b >> 20),
        b if b >= 1 << 10 && b.is_multiple_of(1 << 10) => format!("{}K", b >> 10),
        b => b.to_string(),
    }
}

/// A size as people type it: 4K, 4KiB, 16M, 1048576.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_end_matches("iB") {
        "" | "B" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err(format!("{text:?}; expected a size as 4K, 1M, 16MiB")),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text:?}; expected a size as 4K, 1M, 16MiB"))?;
    number.checked_mul(1 << shift).filter(|b| *b > 0).ok_or_else(|| format!("{text:?} is no size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        let rows = [vec!["a".to_owned(), "1".to_owned()]];
        assert_eq!(table(&["x", "y"], 1, &rows), "| x | y |\n| --- | ---: |\n| a | 1 |");
    }

    #[test]
    fn figures() {
        for (value, expected) in [
            (123_456.0, "123.5k"),
            (4321.0, "4321"),
            (12.34, "12.3"),
            (1.234, "1.23"),
            (0.1234, "0.123"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(figure(value), expected);
        }
        assert_eq!(ratio(Spread::of([1.0, 2.0, 4.0])), "2.00 (1.00-4.00)");
        assert_eq!(median(None), "-");
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("4K", 4096), ("4KiB", 4096), ("1M", 1 << 20), ("16MiB", 16 << 20), ("77", 77), ("5B", 5)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "K", "4X", "-1", "0", "99999999999999999G"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        for (bytes, text) in [(4096, "4K"), (1 << 20, "1M"), (1 << 30, "1G"), (4097, "4097")] {
            assert_eq!(size(bytes), text);
        }
    }
}
