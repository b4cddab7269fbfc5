//! Names by number: `shard-{000..127}.tar`, `{1..9..2}`; several braces multiply.

use crate::error::ToolError;

/// Names one template may stand for.
const NAMES_MAX: u64 = 1_000_000;

/// Whether `text` holds a range in braces.
pub(crate) fn is_template(text: &str) -> bool {
    next_range(text).is_some()
}

/// All names that `text` stands for, in order; itself when it holds no range.
pub(crate) fn expand(text: &str) -> Result<Vec<String>, ToolError> {
    let mut names = vec![String::new()];
    let mut rest = text;
    while let Some((before, range, after)) = next_range(rest) {
        let count = range.count();
        if count.saturating_mul(names.len() as u64) > NAMES_MAX {
            return Err(ToolError::Usage(format!(
                "{text:?} stands for more than {NAMES_MAX} names: use fewer"
            )));
        }
        names = names.iter().flat_map(|n| range.values().map(move |v| format!("{n}{before}{v}"))).collect();
        rest = after;
    }
    names.iter_mut().for_each(|n| n.push_str(rest));
    Ok(names)
}

/// `{first..last[..step]}`; numbers keep the width of the first.
#[derive(Clone, Copy)]
struct Range {
    first: u64,
    last: u64,
    step: u64,
    width: usize,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split("..");
        let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse().ok()).flatten();
        let first_text = parts.next()?;
        let (first, last): (u64, u64) = (number(first_text)?, number(parts.next()?)?);
        let step = parts.next().map_or(Some(1), number)?;
        let plain = parts.next().is_none() && step > 0 && first <= last;
        plain.then_some(Self { first, last, step, width: first_text.len() })
    }

    fn count(self) -> u64 {
        (self.last - self.first) / self.step + 1
    }

    fn values(self) -> impl Iterator<Item = String> {
        (0..self.count()).map(move |n| format!("{:0width$}", self.first + n * self.step, width = self.width))
    }
}

/// The first range in braces, with what stands before and after it. Other braces are letters like any.
fn next_range(text: &str) -> Option<(&str, Range, &str)> {
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| from + at) {
        if let Some(close) = text[open..].find('}').map(|at| open + at)
            && let Some(range) = Range::parse(&text[open + 1..close])
        {
            return Some((&text[..open], range, &text[close + 1..]));
        }
        from = open + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_expand() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(expand(text).unwrap(), expected, "{text}");
            assert_eq!(is_template(text), expected != [text], "{text}");
        };
        check("plain", &["plain"]);
        check("s-{08..11}.tar", &["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]);
        check("{0..4..2}/{1..2}", &["0/1", "0/2", "2/1", "2/2", "4/1", "4/2"]);
        check("{9..10}", &["9", "10"]);
        check("{a}{1..1}", &["{a}1"]);
        for letters in ["{", "}", "{}", "{1}", "{a..b}", "{2..1}", "{1..2..0}", "{1..2..3..4}", "é{x..y}"] {
            check(letters, &[letters]);
        }
        assert!(expand("{1..2000000}").is_err());
        assert!(expand("{1..2000}{1..2000}").is_err());
    }
}
