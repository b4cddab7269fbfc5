//! Pages of a listing: entries from plain facts, as msgpack and as JSON.

use serde::{Deserialize, Serialize};
use weir_types::{Checksum, CustomMeta};

use crate::times::go_format;
use crate::{Location, Shown};

/// What is known of one listed name.
#[derive(Debug, Clone, Copy, Default)]
pub struct EntryFacts<'a> {
    /// The name; of a virtual directory with its trailing slash.
    pub name: &'a str,
    /// Bytes.
    pub size: u64,
    /// Whole-object checksum.
    pub checksum: Option<&'a Checksum>,
    /// Last access in nanoseconds since 1970; 0 if never.
    pub atime_ns: u64,
    /// Version; empty if none.
    pub version: &'a str,
    /// Custom metadata.
    pub custom: Option<&'a CustomMeta>,
    /// Where it is; none if not in the cluster.
    pub location: Option<Location<'a>>,
    /// Copies; 1 if not mirrored, 0 if not in the cluster.
    pub copies: u16,
    /// Flags.
    pub flags: EntryFlags,
}

/// Flags of a listed name, AIS's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryFlags(pub u16);

impl EntryFlags {
    /// In the cluster.
    pub const CACHED: Self = Self(1 << 6);
    /// A virtual directory.
    pub const DIR: Self = Self(1 << 8);
    /// Stored in chunks.
    pub const CHUNKED: Self = Self(1 << 13);

    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitOr for EntryFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One entry of a page; what is empty or zero is left out on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LsoEntry {
    /// Name.
    pub name: String,
    /// Checksum value in hex.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checksum: String,
    /// Access time by the layout asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub atime: String,
    /// Version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// `t[ID]:mp[/path]`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub location: String,
    /// `[k:v k2:v2]`.
    #[serde(default, rename = "custom-md", skip_serializing_if = "String::is_empty")]
    pub custom: String,
    /// Bytes; a text in JSON.
    #[serde(default, with = "number_text", skip_serializing_if = "is_zero")]
    pub size: u64,
    /// Copies.
    #[serde(default, skip_serializing_if = "is_zero_u16")]
    pub copies: u16,
    /// Flags.
    #[serde(default, skip_serializing_if = "EntryFlags::is_zero")]
    pub flags: EntryFlags,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}
fn is_zero_u16(n: &u16) -> bool {
    *n == 0
}

/// A number as a JSON text.
pub(crate) mod number_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(n: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(n)
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// Keys that AIS shows first, in this order.
const STANDARD_CUSTOM: [&str; 7] =
    ["source", "ETag", "LastModified", "Last-Modified", "crc32c", "md5", "version"];

fn custom_text(custom: &CustomMeta) -> String {
    let standard = STANDARD_CUSTOM.iter().filter_map(|k| custom.get(k).map(|v| (*k, v)));
    let others = custom.iter().filter(|(k, _)| !STANDARD_CUSTOM.contains(k));
    let pairs: Vec<String> = standard.chain(others).map(|(k, v)| format!("{k}:{v}")).collect();
    if pairs.is_empty() { String::new() } else { format!("[{}]", pairs.join(" ")) }
}

impl LsoEntry {
    /// The entry with what is to be shown of it. A directory has a name and flags alone.
    pub fn new(facts: &EntryFacts<'_>, shown: &Shown<'_>) -> Self {
        let mut entry = Self { name: facts.name.to_owned(), flags: facts.flags, ..Self::default() };
        if facts.flags.0 & EntryFlags::DIR.0 != 0 {
            return entry;
        }
        if shown.size {
            entry.size = facts.size;
        }
        if shown.checksum {
            entry.checksum = facts.checksum.map(Checksum::hex).unwrap_or_default();
        }
        if shown.atime && facts.atime_ns != 0 {
            entry.atime = go_format(facts.atime_ns, shown.time_format);
        }
        if shown.version {
            entry.version = facts.version.to_owned();
        }
        if shown.location {
            entry.location = facts.location.map(|l| l.to_string()).unwrap_or_default();
        }
        if shown.custom {
            entry.custom = facts.custom.map(custom_text).unwrap_or_default();
        }
        if shown.copies {
            entry.copies = facts.copies;
        }
        entry
    }

    /// The fields with their msgpack keys that are to be written.
    fn fields(&self) -> impl Iterator<Item = (&'static str, Field<'_>)> {
        fn text<'a>(key: &'static str, value: &'a str) -> Option<(&'static str, Field<'a>)> {
            (!value.is_empty()).then_some((key, Field::Text(value)))
        }
        let number = |key, value: u64| (value != 0).then_some((key, Field::Number(value)));
        [
            Some(("n", Field::Text(self.name.as_str()))),
            text("cs", self.checksum.as_str()),
            text("a", self.atime.as_str()),
            text("v", self.version.as_str()),
            text("t", self.location.as_str()),
            text("m", self.custom.as_str()),
            number("s", self.size),
            number("c", self.copies.into()),
            number("f", self.flags.0.into()),
        ]
        .into_iter()
        .flatten()
    }
}

enum Field<'a> {
    Text(&'a str),
    Number(u64),
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LsoRes {
    /// The listing, the same over all pages; never empty.
    pub uuid: String,
    /// The last name if there may be more, or empty.
    pub continuation_token: String,
    /// The entries.
    pub entries: Vec<LsoEntry>,
    /// Flags of the answer; 0 as a rule.
    pub flags: u32,
}

impl LsoRes {
    /// A page that was asked to have `page_entries`: as AIS, a full page names its last entry as the token even if
    /// nothing follows it.
    pub fn page(uuid: &str, entries: Vec<LsoEntry>, page_entries: usize) -> Self {
        let full = entries.len() >= page_entries;
        let last = entries.last().filter(|_| full);
        let continuation_token = last.map(|e| e.name.clone()).unwrap_or_default();
        Self { uuid: uuid.to_owned(), continuation_token, entries, flags: 0 }
    }

    /// The page as msgpack, in AIS's order of keys; an empty page has nil entries.
    pub fn msgpack(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.entries.len() * 48);
        // Writing to memory cannot fail.
        let _ = self.encode(&mut out);
        out
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), rmp::encode::ValueWriteError> {
        use rmp::encode::{write_array_len, write_map_len, write_nil, write_str, write_uint};
        let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        write_map_len(out, 4)?;
        write_str(out, "UUID")?;
        write_str(out, &self.uuid)?;
        write_str(out, "ContinuationToken")?;
        write_str(out, &self.continuation_token)?;
        write_str(out, "Entries")?;
        if self.entries.is_empty() {
            write_nil(out).map_err(rmp::encode::ValueWriteError::InvalidMarkerWrite)?;
        } else {
            write_array_len(out, length(self.entries.len()))?;
        }
        for entry in &self.entries {
            write_map_len(out, length(entry.fields().count()))?;
            for (key, field) in entry.fields() {
                write_str(out, key)?;
                match field {
                    Field::Text(text) => write_str(out, text)?,
                    Field::Number(n) => write_uint(out, n).map(|_| ())?,
                }
            }
        }
        write_str(out, "Flags")?;
        write_uint(out, self.flags.into()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_types::ChecksumKind;

    use super::*;
    use crate::LsoMsg;

    fn msg(props: &str) -> LsoMsg {
        LsoMsg::read(&json!({ "props": props })).unwrap()
    }

    #[test]
    fn bytes_of_the_wire_specification() {
        let facts = EntryFacts { name: "a", size: 3, flags: EntryFlags::CACHED, ..EntryFacts::default() };
        let page = LsoRes::page("kN3lq0Yx9", vec![LsoEntry::new(&facts, &msg("name,size").shown())], 2);
        let mut expected = vec![0x84, 0xa4];
        expected.extend(b"UUID\xa9kN3lq0Yx9\xb1ContinuationToken\xa0\xa7Entries\x91\x83\xa1n\xa1a\xa1s\x03\xa1f\x40\xa5Flags\x00");
        assert_eq!(page.msgpack(), expected);
        assert_eq!(
            serde_json::to_value(&page).unwrap(),
            json!({"uuid": "kN3lq0Yx9", "continuation_token": "", "entries": [{"name": "a", "size": "3", "flags": 64}], "flags": 0})
        );
        let empty = LsoRes::page("kN3lq0Yx9", vec![], 2).msgpack();
        assert!(empty.windows(9).any(|w| w == b"\xa7Entries\xc0"));
    }

    #[test]
    fn entries_have_what_was_asked_for() {
        let checksum = Checksum::from_hex(ChecksumKind::XxHash2, "26c7827d889f6da3").unwrap();
        let mut custom = CustomMeta::default();
        for (k, v) in [("mine", "1"), ("ETag", "e"), ("source", "s3")] {
            custom.set(k, v).unwrap();
        }
        let facts = EntryFacts {
            name: "o",
            size: 5,
            checksum: Some(&checksum),
            atime_ns: 1_763_685_131_000_123_456,
            version: "3",
            custom: Some(&custom),
            location: Some(Location { node: "t1t1t1t1", mountpath: "/mp1" }),
            copies: 1,
            flags: EntryFlags::CACHED | EntryFlags::CHUNKED,
        };
        let all = LsoEntry::new(
            &facts,
            &msg("name,size,version,checksum,atime,cached,copies,custom,location").shown(),
        );
        let expected = LsoEntry {
            name: "o".into(),
            checksum: "26c7827d889f6da3".into(),
            atime: "21 Nov 25 00:32 UTC".into(),
            version: "3".into(),
            location: "t[t1t1t1t1]:mp[/mp1]".into(),
            custom: "[source:s3 ETag:e mine:1]".into(),
            size: 5,
            copies: 1,
            flags: EntryFlags(64 | 8192),
        };
        assert_eq!(all, expected);
        let name = LsoEntry::new(&facts, &msg("name").shown());
        assert_eq!(name, LsoEntry { name: "o".into(), flags: expected.flags, ..LsoEntry::default() });
        let dir = EntryFacts { flags: EntryFlags::DIR, ..facts };
        assert_eq!(LsoEntry::new(&dir, &msg("").shown()).fields().count(), 2);
        let back: LsoEntry = serde_json::from_value(serde_json::to_value(&all).unwrap()).unwrap();
        assert_eq!(back, all);
    }

    #[test]
    fn tokens() {
        let page = |n: usize, size| {
            let entries = (0..n).map(|i| LsoEntry { name: i.to_string(), ..LsoEntry::default() }).collect();
            LsoRes::page("u", entries, size).continuation_token
        };
        assert_eq!(page(2, 2), "1");
        assert_eq!(page(1, 2), "");
        assert_eq!(page(0, 2), "");
    }
}
