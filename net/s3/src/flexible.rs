//! Flexible checksums: the five kinds a client may name, how their values look on the wire, and what is stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use weir_types::{Checksum, ChecksumKind};

use crate::error::{Result, S3Code, S3Error};

/// The kinds that S3 accepts as `x-amz-checksum-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is named as on the wire")]
pub enum FlexibleKind {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl FlexibleKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// What has to be computed.
    pub fn kind(self) -> ChecksumKind {
        match self {
            Self::Crc32 => ChecksumKind::Crc32,
            Self::Crc32c => ChecksumKind::Crc32c,
            Self::Crc64Nvme => ChecksumKind::Crc64Nvme,
            Self::Sha1 => ChecksumKind::Sha1,
            Self::Sha256 => ChecksumKind::Sha256,
        }
    }

    /// The flexible kind of a computed checksum.
    pub fn of(kind: ChecksumKind) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.kind() == kind)
    }

    /// The name in `x-amz-checksum-algorithm` and in `ChecksumAlgorithm`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// Reads such a name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// The header or trailer that carries a value.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The XML element that carries a value.
    pub fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    /// Whether checksums of parts combine to that of the whole.
    pub fn combines(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
    }

    /// What a multipart upload has unless it says otherwise.
    pub fn default_type(self) -> ChecksumType {
        if self == Self::Crc64Nvme { ChecksumType::FullObject } else { ChecksumType::Composite }
    }
}

/// How the checksum of a multipart object is formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChecksumType {
    /// Checksum of the parts' checksums.
    Composite,
    /// Checksum of all the bytes.
    FullObject,
}

impl ChecksumType {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Composite => "COMPOSITE",
            Self::FullObject => "FULL_OBJECT",
        }
    }

    /// Reads a name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Composite, Self::FullObject].into_iter().find(|t| t.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// The type that an upload of `kind` gets: what was asked, if the kind allows it.
    pub fn resolve(kind: FlexibleKind, asked: Option<Self>) -> Result<Self> {
        let refused = |t: Self| {
            let text = format!("the {} checksum type cannot be used with {}", t.as_str(), kind.as_str());
            Err(S3Error::new(S3Code::InvalidRequest, text))
        };
        match asked {
            None => Ok(kind.default_type()),
            Some(Self::FullObject) if !kind.combines() => refused(Self::FullObject),
            Some(Self::Composite) if kind == FlexibleKind::Crc64Nvme => refused(Self::Composite),
            Some(asked) => Ok(asked),
        }
    }
}

/// A flexible checksum as kept with an object or a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChecksum {
    /// What was computed.
    pub kind: FlexibleKind,
    /// Raw value, `kind.kind().value_bytes()` bytes.
    pub value: Vec<u8>,
    /// Parts that a composite value covers; 0 says that the value is of all the bytes.
    pub parts: u32,
}

impl StoredChecksum {
    /// A checksum of all the bytes; `None` if S3 has no such kind.
    pub fn full(sum: &Checksum) -> Option<Self> {
        FlexibleKind::of(sum.kind).map(|kind| Self { kind, value: sum.value.clone(), parts: 0 })
    }

    /// How it is formed.
    pub fn checksum_type(&self) -> ChecksumType {
        if self.parts == 0 { ChecksumType::FullObject } else { ChecksumType::Composite }
    }

    /// The value on the wire: base64, and `-N` when composite.
    pub fn wire(&self) -> String {
        match self.parts {
            0 => BASE64.encode(&self.value),
            n => format!("{}-{n}", BASE64.encode(&self.value)),
        }
    }

    /// Text for the object's metadata: `CRC32C:base64`.
    pub fn to_text(&self) -> String {
        format!("{}:{}", self.kind.as_str(), self.wire())
    }

    /// Reads [`StoredChecksum::to_text`]; `None` if the text is not of that form.
    pub fn from_text(text: &str) -> Option<Self> {
        let (kind, wire) = text.split_once(':')?;
        let expected = Expected { kind: FlexibleKind::parse(kind)?, wire: wire.to_owned() };
        expected.decode()
    }
}

/// Text for the metadata of an object uploaded in parts, from their checksums of the kind `kind`; `None` unless each
/// has one.
pub fn parts_to_text<'a>(
    kind: FlexibleKind,
    parts: impl IntoIterator<Item = Option<&'a StoredChecksum>>,
) -> Option<String> {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&part.filter(|sum| sum.kind == kind)?.value);
    }
    Some(BASE64.encode(all))
}

/// Reads [`parts_to_text`]; `None` if the text is not of that form.
pub fn parts_from_text(kind: FlexibleKind, text: &str) -> Option<Vec<StoredChecksum>> {
    let all = BASE64.decode(text).ok()?;
    let values = all.chunks_exact(kind.kind().value_bytes());
    let whole = values.remainder().is_empty();
    let sum = |value: &[u8]| StoredChecksum { kind, value: value.to_vec(), parts: 0 };
    whole.then(|| values.map(sum).collect())
}

/// A value that a client expects, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// What must be computed.
    pub kind: FlexibleKind,
    /// What it must be: base64, and `-N` when composite.
    pub wire: String,
}

impl Expected {
    /// The value in raw bytes; `None` if it is no value of its kind.
    pub fn decode(&self) -> Option<StoredChecksum> {
        let (text, parts) = match self.wire.split_once('-') {
            Some((text, n)) => (text, n.parse().ok().filter(|n| *n > 0)?),
            None => (self.wire.as_str(), 0),
        };
        let value = BASE64.decode(text).ok()?;
        (value.len() == self.kind.kind().value_bytes()).then_some(StoredChecksum {
            kind: self.kind,
            value,
            parts,
        })
    }

    /// Compares with what was computed. A malformed value is a mismatch too: nothing could equal it.
    pub fn check(&self, got: &StoredChecksum) -> Result<()> {
        if self.decode().as_ref() == Some(got) {
            return Ok(());
        }
        let text = format!("the {} given does not match: computed {}", self.kind.as_str(), got.wire());
        Err(S3Error::new(S3Code::BadDigest, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in FlexibleKind::ALL {
            assert_eq!(FlexibleKind::parse(&kind.as_str().to_lowercase()), Some(kind));
            assert_eq!(FlexibleKind::of(kind.kind()), Some(kind));
            assert!(kind.header().ends_with(&kind.as_str().to_lowercase()));
            assert!(kind.element().ends_with(kind.as_str()));
        }
        assert_eq!(FlexibleKind::parse("MD5"), None);
        assert_eq!(FlexibleKind::of(ChecksumKind::Md5), None);
    }

    #[test]
    fn stored_text_round_trips() {
        for text in ["CRC32:AAECAw==", "CRC32C:AAECAw==-3", "CRC64NVME:AAECAwQFBgc="] {
            assert_eq!(StoredChecksum::from_text(text).unwrap().to_text(), text);
        }
        for bad in
            ["", "CRC32", "CRC32:", "CRC32:bad", "CRC32:AAECAw==-0", "CRC32:AAECAwQFBgc=", "MD5:AAECAw=="]
        {
            assert_eq!(StoredChecksum::from_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn checksums_of_parts_round_trip() {
        let kind = FlexibleKind::Crc32;
        let sums: Vec<_> = [[1u8; 4], [2; 4], [3; 4]]
            .map(|value| StoredChecksum { kind, value: value.to_vec(), parts: 0 })
            .into();
        let text = parts_to_text(kind, sums.iter().map(Some)).unwrap();
        assert_eq!(parts_from_text(kind, &text), Some(sums.clone()));
        assert_eq!(parts_from_text(FlexibleKind::Sha256, &text), None);
        assert_eq!(parts_from_text(kind, "AAE"), None);
        assert_eq!(parts_to_text(kind, [sums.first(), None]), None);
        assert_eq!(parts_to_text(FlexibleKind::Crc32c, sums.iter().map(Some)), None);
    }

    #[test]
    fn types_fit_kinds() {
        use ChecksumType::{Composite, FullObject};
        let check = |kind, asked, expected: Option<ChecksumType>| {
            assert_eq!(ChecksumType::resolve(kind, asked).ok(), expected, "{kind:?} {asked:?}");
        };
        check(FlexibleKind::Crc32, None, Some(Composite));
        check(FlexibleKind::Crc32, Some(FullObject), Some(FullObject));
        check(FlexibleKind::Crc64Nvme, None, Some(FullObject));
        check(FlexibleKind::Crc64Nvme, Some(Composite), None);
        check(FlexibleKind::Sha256, Some(FullObject), None);
        check(FlexibleKind::Sha1, Some(Composite), Some(Composite));
    }

    #[test]
    fn a_wrong_or_malformed_value_is_a_bad_digest() {
        let got = StoredChecksum::full(&weir_types::checksum::of(ChecksumKind::Crc32, b"123456789")).unwrap();
        let check = |wire: &str| {
            Expected { kind: FlexibleKind::Crc32, wire: wire.into() }.check(&got).map_err(|e| e.code)
        };
        assert_eq!(check("y/Q5Jg=="), Ok(()));
        for bad in ["", "bad", "AAAAAA==", "y/Q5Jg==-1"] {
            assert_eq!(check(bad), Err(S3Code::BadDigest), "{bad}");
        }
    }
}
