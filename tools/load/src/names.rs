//! The working set: names by number, and in which order they are asked for.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};
use weir_types::ObjectName;

use crate::error::LoadError;

/// Digits of an object's number in its name, at least.
const DIGITS: usize = 8;
/// Digits at most.
const DIGITS_MAX: usize = 12;
/// Names of one working set.
pub const NAMES_MAX: u64 = 10_u64.pow(DIGITS_MAX as u32);
/// Exponent of the zipf order: the popular few, as caches see them.
const ZIPF_EXPONENT: f64 = 0.99;

/// Appends the name of object `number`: the prefix and the number, in eight digits or as many as it has.
pub fn push_name(out: &mut Vec<u8>, prefix: &[u8], number: u64) {
    out.extend_from_slice(prefix);
    push_number(out, number);
}

/// The number in eight digits or as many as it has.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [b'0'; DIGITS_MAX];
    let mut rest = number % NAMES_MAX;
    let mut first = DIGITS_MAX;
    while rest > 0 || first > DIGITS_MAX - DIGITS {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// The names that a file gives, one in each line.
pub(crate) fn read_names(file: &Path) -> Result<Arc<[ObjectName]>, LoadError> {
    let wrong = |what: String| LoadError::Usage(format!("--names-from {}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    let name =
        |(at, line): (usize, &str)| ObjectName::new(line).map_err(|e| wrong(format!("line {}: {e}", at + 1)));
    let names: Arc<[ObjectName]> = text.lines().enumerate().map(name).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(wrong("expected a name in each line, got none".into()));
    }
    Ok(names)
}

/// In which order objects are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// Each alike.
    Uniform,
    /// One after the other, all connections together, and from the first again.
    Sequential,
    /// The first is the most popular (exponent 0.99).
    Zipf,
}

/// Draws object numbers for one connection.
pub(crate) struct Picker {
    names: u64,
    order: Order,
    rng: SmallRng,
    zipf: Option<Zipf<f64>>,
}

impl Picker {
    /// `stream` tells connections apart.
    pub(crate) fn new(names: u64, order: Order, seed: u64, stream: u64) -> Self {
        let names = names.max(1);
        let zipf = (order == Order::Zipf).then(|| Zipf::new(names as f64, ZIPF_EXPONENT).ok()).flatten();
        let rng = SmallRng::seed_from_u64(seed.wrapping_add(stream.wrapping_mul(0xd134_2543_de82_ef95)));
        Self { names, order, rng, zipf }
    }

    /// The next number; `shared` counts for all connections where the order needs it.
    pub(crate) fn next(&mut self, shared: &AtomicU64) -> u64 {
        match (self.order, &self.zipf) {
            (Order::Sequential, _) => shared.fetch_add(1, Ordering::Relaxed) % self.names,
            (Order::Zipf, Some(zipf)) => (zipf.sample(&mut self.rng) as u64).clamp(1, self.names) - 1,
            _ => self.rng.random_range(0..self.names),
        }
    }

    /// A number below `below`.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.rng.random_range(0..below.max(1))
    }

    /// True with that probability.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.rng.random_bool(share.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_prefix_and_digits() {
        let name = |number| {
            let mut out = Vec::new();
            push_name(&mut out, b"load-1/", number);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(name(0), "load-1/00000000");
        assert_eq!(name(99_999_999), "load-1/99999999");
        assert_eq!(name(123_456_789), "load-1/123456789");
        assert_eq!(name(NAMES_MAX - 1), "load-1/999999999999");
    }

    #[test]
    fn a_file_gives_names() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            read_names(file.path()).map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read("a\nd/b c\n\u{436}").unwrap(), ["a", "d/b c", "\u{436}"]);
        for (text, said) in [("", "got none"), ("a\n\nb\n", "line 2: object name is empty")] {
            assert!(read(text).unwrap_err().to_string().contains(said), "{text:?}");
        }
        assert!(read_names(Path::new("/nonexistent/names")).is_err());
    }

    #[test]
    fn orders_draw_as_they_say() {
        let draw = |order, seed, stream| {
            let shared = AtomicU64::new(0);
            let mut picker = Picker::new(100, order, seed, stream);
            (0..10_000).map(|_| picker.next(&shared)).collect::<Vec<_>>()
        };
        assert_eq!(draw(Order::Sequential, 1, 0)[..101], (0..101).map(|n| n % 100).collect::<Vec<_>>());
        for order in [Order::Uniform, Order::Zipf] {
            let drawn = draw(order, 1, 0);
            assert_eq!(drawn, draw(order, 1, 0), "{order:?}");
            assert_ne!(drawn, draw(order, 1, 1), "{order:?}");
            assert_ne!(drawn, draw(order, 2, 0), "{order:?}");
            assert!(drawn.iter().all(|n| *n < 100), "{order:?}");
            let first = drawn.iter().filter(|n| **n == 0).count();
            let expected = if order == Order::Zipf { 1600..2300 } else { 60..140 };
            assert!(expected.contains(&first), "{order:?}: {first}");
        }
    }
}
