/// A byte range of an object: `start..start + len`, already clamped to its size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// Bytes; never 0 unless the object is empty and no range was asked.
    pub len: u64,
}

/// The value of a `Range` header: a single byte range (RFC 9110, 14.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeSpec {
    /// `bytes=a-b`, both ends included; `b` absent means to the end.
    From(u64, Option<u64>),
    /// `bytes=-n`: the last `n` bytes.
    Last(u64),
}

/// Why a range cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Not one well-formed byte range.
    #[error("expected one range of the form bytes=a-b, bytes=a- or bytes=-n")]
    Malformed,
    /// Begins at or past the end.
    #[error("range begins outside the object's {size} bytes")]
    Unsatisfiable {
        /// Size of the object in bytes.
        size: u64,
    },
}

impl RangeSpec {
    /// Reads a header value; units other than bytes and lists of ranges are refused.
    pub fn parse(value: &str) -> Result<Self, RangeError> {
        let set = value.trim().strip_prefix("bytes=").ok_or(RangeError::Malformed)?;
        let (first, last) = set.trim().split_once('-').ok_or(RangeError::Malformed)?;
        let number = |s: &str| {
            if s.is_empty() || !s.bytes().all(|b| b.is_ascii_digit()) {
                return Err(RangeError::Malformed);
            }
            // More digits than u64 holds means "past any end".
            Ok(s.parse::<u64>().unwrap_or(u64::MAX))
        };
        match (first.trim(), last.trim()) {
            ("", n) => Ok(Self::Last(number(n)?)),
            (a, "") => Ok(Self::From(number(a)?, None)),
            (a, b) => {
                let (a, b) = (number(a)?, number(b)?);
                if a <= b { Ok(Self::From(a, Some(b))) } else { Err(RangeError::Malformed) }
            }
        }
    }

    /// The bytes it means in an object of `size` bytes; ends past the object are clamped.
    pub fn resolve(self, size: u64) -> Result<ByteRange, RangeError> {
        let unsatisfiable = Err(RangeError::Unsatisfiable { size });
        match self {
            Self::From(a, _) if a >= size => unsatisfiable,
            Self::From(a, b) => {
                let end = b.map_or(size, |b| b.saturating_add(1).min(size));
                Ok(ByteRange { start: a, len: end - a })
            }
            Self::Last(0) => unsatisfiable,
            Self::Last(_) if size == 0 => unsatisfiable,
            Self::Last(n) => {
                let len = n.min(size);
                Ok(ByteRange { start: size - len, len })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let r = |v: &str, size| RangeSpec::parse(v).and_then(|s| s.resolve(size)).map(|r| (r.start, r.len));
        assert_eq!(r("bytes=0-0", 5), Ok((0, 1)));
        assert_eq!(r("bytes=1-3", 5), Ok((1, 3)));
        assert_eq!(r("bytes=1-", 5), Ok((1, 4)));
        assert_eq!(r("bytes=-2", 5), Ok((3, 2)));
        assert_eq!(r("bytes=-9", 5), Ok((0, 5)));
        assert_eq!(r("bytes=3-99999999999999999999999", 5), Ok((3, 2)));
        assert_eq!(r("bytes=5-", 5), Err(RangeError::Unsatisfiable { size: 5 }));
        assert_eq!(r("bytes=-0", 5), Err(RangeError::Unsatisfiable { size: 5 }));
        assert_eq!(r("bytes=0-", 0), Err(RangeError::Unsatisfiable { size: 0 }));
        for bad in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=3-1",
            "bytes=1-2,4-5",
            "items=0-1",
            "bytes=+1-2",
            "bytes=a-",
        ] {
            assert_eq!(r(bad, 5), Err(RangeError::Malformed), "{bad:?}");
        }
    }
}
