use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// The text of `Date`, formatted once a second at most. One per shard; the clock is the caller's.
pub struct DateText {
    second: u64,
    text: String,
}

impl DateText {
    /// A text that is made at first use.
    pub fn new() -> Self {
        Self { second: u64::MAX, text: String::new() }
    }

    /// The text for a time in seconds since 1970, for example `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn at(&mut self, second: u64) -> &str {
        // The format ends with the year 9999.
        let second = second.min(253_402_300_799);
        if self.second != second {
            self.second = second;
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        }
        &self.text
    }
}

impl Default for DateText {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for DateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let mut date = DateText::new();
        for (second, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(date.at(second), text);
        }
    }
}
