//! Object and bucket tags.

use percent_encoding::utf8_percent_encode;

use crate::error::{Result, S3Code, S3Error};
use crate::request::decode_form;
use crate::xml::URL_ENCODED;

/// Tags of an object or a bucket, sorted by key, each key once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(Vec<(String, String)>);

/// Tags of one object.
pub const OBJECT_TAGS_MAX: usize = 10;
/// Tags of one bucket.
pub const BUCKET_TAGS_MAX: usize = 50;
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;

impl Tags {
    /// Checks and takes tags: S3's limits on number and lengths, no key twice.
    pub fn new(pairs: Vec<(String, String)>, count_max: usize) -> Result<Self> {
        let invalid = |text: String| S3Error::new(S3Code::InvalidTag, text);
        if pairs.len() > count_max {
            return Err(invalid(format!("{} tags: expected at most {count_max}", pairs.len())));
        }
        for (key, value) in &pairs {
            if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
                return Err(invalid(format!("a tag's key must have 1 to {KEY_CHARS_MAX} characters"))
                    .with("TagKey", key));
            }
            if value.chars().count() > VALUE_CHARS_MAX {
                return Err(invalid(format!("a tag's value has at most {VALUE_CHARS_MAX} characters"))
                    .with("TagKey", key));
            }
            if key.chars().chain(value.chars()).any(char::is_control) {
                return Err(invalid("a tag holds a control character".into()).with("TagKey", key));
            }
        }
        let mut pairs = pairs;
        pairs.sort();
        let twice = pairs.iter().zip(pairs.iter().skip(1)).find(|(a, b)| a.0 == b.0);
        match twice.map(|(a, _)| a.0.clone()) {
            Some(key) => Err(invalid("a tag's key comes twice".into()).with("TagKey", key)),
            None => Ok(Self(pairs)),
        }
    }

    /// Reads the header `x-amz-tagging`: `a=b&c=d`, URL-encoded.
    pub fn parse_header(value: &str) -> Result<Self> {
        let invalid = |_| S3Error::argument("x-amz-tagging", value, "the header is not well-formed");
        let pair = |part: &str| {
            let (k, v) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode_form(k).map_err(invalid)?, decode_form(v).map_err(invalid)?))
        };
        let pairs = value.split('&').filter(|p| !p.is_empty()).map(pair).collect::<Result<_>>()?;
        Self::new(pairs, OBJECT_TAGS_MAX)
    }

    /// Text for the object's metadata; [`Tags::from_text`] reads it.
    pub fn to_text(&self) -> String {
        let encode = |s: &str| utf8_percent_encode(s, URL_ENCODED).to_string();
        let pairs: Vec<_> = self.0.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
        pairs.join("&")
    }

    /// Reads [`Tags::to_text`]; `None` if the text is not of that form.
    pub fn from_text(text: &str) -> Option<Self> {
        let pair = |part: &str| {
            let (k, v) = part.split_once('=')?;
            Some((decode_form(k).ok()?, decode_form(v).ok()?))
        };
        let pairs = text.split('&').filter(|p| !p.is_empty()).map(pair).collect::<Option<_>>()?;
        Self::new(pairs, BUCKET_TAGS_MAX).ok()
    }

    /// The tags in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Number of tags.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let check = |value: &str, expected: Option<&str>| {
            assert_eq!(Tags::parse_header(value).ok().map(|t| t.to_text()).as_deref(), expected, "{value}");
        };
        check("", Some(""));
        check("foo=bar&bar", Some("bar=&foo=bar"));
        check("a+b=%26%3D", Some("a%20b=%26%3D"));
        check("a=1&a=2", None);
        check("=1", None);
        check("a=%ff", None);
        check(&"k".repeat(129), None);
        check(&format!("k={}", "v".repeat(257)), None);
        let eleven: Vec<_> = (0..11).map(|i| format!("k{i}=v")).collect();
        check(&eleven.join("&"), None);
    }

    #[test]
    fn text_round_trips() {
        let tags = Tags::new(vec![("ж &=".into(), "%+\"".into()), ("b".into(), String::new())], 10).unwrap();
        assert_eq!(Tags::from_text(&tags.to_text()), Some(tags));
        assert_eq!(Tags::from_text("nopair"), None);
    }
}
