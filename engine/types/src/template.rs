/// Names by number: `shard-{000..127}.tar`, `{1..9..2}`; several braces multiply. Numbers keep the width of the first. Braces
/// that hold no range are letters like any.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    /// What stands before each range, with the range.
    pieces: Vec<(String, Range)>,
    /// What stands behind the last.
    tail: String,
}

impl Template {
    /// Reads it; `None` if there is no range in it.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, range, after)) = next_range(rest) {
            pieces.push((before.to_owned(), range));
            rest = after;
        }
        (!pieces.is_empty()).then(|| Self { pieces, tail: rest.to_owned() })
    }

    /// How many names it stands for.
    pub fn count(&self) -> u64 {
        self.pieces.iter().fold(1, |count, (_, range)| count.saturating_mul(range.count()))
    }

    /// The names, in order: the last range turns fastest.
    pub fn names(&self) -> impl Iterator<Item = String> + Send + '_ {
        (0..self.count()).map(|number| self.name(number))
    }

    fn name(&self, number: u64) -> String {
        let mut left = number;
        let mut values: Vec<u64> = self
            .pieces
            .iter()
            .rev()
            .map(|(_, range)| {
                let turn = left % range.count();
                left /= range.count();
                range.first + turn * range.step
            })
            .collect();
        values.reverse();
        let mut name = String::new();
        for ((before, range), value) in self.pieces.iter().zip(values) {
            name.push_str(before);
            name.push_str(&format!("{value:0width$}", width = range.width));
        }
        name.push_str(&self.tail);
        name
    }
}

/// `{first..last[..step]}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
        // As wide as the first number says, but no wider than any number is.
        plain.then_some(Self { first, last, step, width: first_text.len().min(20) })
    }

    fn count(self) -> u64 {
        ((self.last - self.first) / self.step).saturating_add(1)
    }
}

/// The first range in braces, with what stands before and after it.
fn next_range(text: &str) -> Option<(&str, Range, &str)> {
    let mut from = 0;
    while let Some(open) = text.get(from..)?.find('{').map(|at| from + at) {
        let close = text.get(open..)?.find('}').map(|at| open + at);
        let range = close.and_then(|close| Range::parse(text.get(open + 1..close)?));
        if let (Some(close), Some(range)) = (close, range) {
            return Some((text.get(..open)?, range, text.get(close + 1..)?));
        }
        from = open + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_name_by_number() {
        let check = |text: &str, expected: &[&str]| {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.names().collect::<Vec<_>>(), expected, "{text}");
            assert_eq!(template.count(), expected.len() as u64, "{text}");
        };
        check("s-{08..11}.tar", &["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]);
        check("{0..4..2}/{1..2}", &["0/1", "0/2", "2/1", "2/2", "4/1", "4/2"]);
        check("{9..10}", &["9", "10"]);
        check("{a}{1..1}", &["{a}1"]);
        for letters in
            ["plain", "", "{", "}", "{}", "{1}", "{a..b}", "{2..1}", "{1..2..0}", "{1..2..3..4}", "é{x..y}"]
        {
            assert_eq!(Template::parse(letters), None, "{letters}");
        }
        let all = Template::parse("{0..18446744073709551615}{0..18446744073709551615}").unwrap();
        assert_eq!((all.count(), all.names().next().as_deref()), (u64::MAX, Some("00")));
    }
}
