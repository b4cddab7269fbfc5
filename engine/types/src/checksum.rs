//! Whole-object checksums, computed as bytes pass.

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::md5::Md5;

/// Kinds of whole-object checksum. The first seven are AIS's (`cmn/cos/cksum.go`), the rest S3's flexible ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ChecksumKind {
    /// None is computed.
    None,
    /// XXH64, seed 0 (AIS's older name).
    XxHash,
    /// XXH64, seed 0: the default.
    XxHash2,
    /// MD5.
    Md5,
    /// CRC-32C (Castagnoli), big-endian.
    Crc32c,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// CRC-32 (ISO-HDLC), big-endian; S3 only.
    Crc32,
    /// CRC-64/NVME, big-endian; S3 only.
    Crc64Nvme,
    /// SHA-1; S3 only.
    Sha1,
}

impl ChecksumKind {
    /// The name on the wire and in metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::XxHash => "xxhash",
            Self::XxHash2 => "xxhash2",
            Self::Md5 => "md5",
            Self::Crc32c => "crc32c",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Crc32 => "crc32",
            Self::Crc64Nvme => "crc64nvme",
            Self::Sha1 => "sha1",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "none" => Self::None,
            "xxhash" => Self::XxHash,
            "xxhash2" => Self::XxHash2,
            "md5" => Self::Md5,
            "crc32c" => Self::Crc32c,
            "sha256" => Self::Sha256,
            "sha512" => Self::Sha512,
            "crc32" => Self::Crc32,
            "crc64nvme" => Self::Crc64Nvme,
            "sha1" => Self::Sha1,
            _ => return None,
        })
    }

    /// Whether a bucket may use it as its own checksum (AIS's seven).
    pub fn is_bucket_kind(self) -> bool {
        !matches!(self, Self::Crc32 | Self::Crc64Nvme | Self::Sha1)
    }

    /// Length of the value in bytes.
    pub fn value_bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::Crc32c | Self::Crc32 => 4,
            Self::XxHash | Self::XxHash2 | Self::Crc64Nvme => 8,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// A checksum with its value in raw bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checksum {
    /// What was computed.
    pub kind: ChecksumKind,
    /// `kind.value_bytes()` bytes, most significant first.
    pub value: Vec<u8>,
}

impl Checksum {
    /// No checksum.
    pub const NONE: Self = Self { kind: ChecksumKind::None, value: Vec::new() };

    /// Reads a value in hex of either case; `None` if it does not fit the kind.
    pub fn from_hex(kind: ChecksumKind, text: &str) -> Option<Self> {
        let value = hex::decode(text).ok()?;
        (value.len() == kind.value_bytes()).then_some(Self { kind, value })
    }

    /// The value in lowercase hex.
    pub fn hex(&self) -> String {
        hex::encode(&self.value)
    }
}

/// One running checksum.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    None,
    Xx(ChecksumKind, Box<xxhash_rust::xxh64::Xxh64>),
    Md5(Box<Md5>),
    Crc(ChecksumKind, Box<crc_fast::Digest>),
    Sha1(Box<sha1::Sha1>),
    Sha256(Box<sha2::Sha256>),
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// Starts a checksum of `kind`.
    pub fn new(kind: ChecksumKind) -> Self {
        use crc_fast::CrcAlgorithm as Crc;
        Self(match kind {
            ChecksumKind::None => State::None,
            ChecksumKind::XxHash | ChecksumKind::XxHash2 => State::Xx(kind, Box::default()),
            ChecksumKind::Md5 => State::Md5(Box::default()),
            ChecksumKind::Crc32c => State::Crc(kind, Box::new(crc_fast::Digest::new(Crc::Crc32Iscsi))),
            ChecksumKind::Crc32 => State::Crc(kind, Box::new(crc_fast::Digest::new(Crc::Crc32IsoHdlc))),
            ChecksumKind::Crc64Nvme => State::Crc(kind, Box::new(crc_fast::Digest::new(Crc::Crc64Nvme))),
            ChecksumKind::Sha1 => State::Sha1(Box::default()),
            ChecksumKind::Sha256 => State::Sha256(Box::default()),
            ChecksumKind::Sha512 => State::Sha512(Box::default()),
        })
    }

    /// Takes the next bytes of the object.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::None => {}
            State::Xx(_, h) => h.update(bytes),
            State::Md5(h) => h.update(bytes),
            State::Crc(_, h) => h.update(bytes),
            State::Sha1(h) => h.update(bytes),
            State::Sha256(h) => h.update(bytes),
            State::Sha512(h) => h.update(bytes),
        }
    }

    /// The running MD5, if it is one: several may go on together ([`crate::md5::update_together`]).
    pub fn md5_mut(&mut self) -> Option<&mut Md5> {
        match &mut self.0 {
            State::Md5(md5) => Some(md5),
            _ => None,
        }
    }

    /// The checksum of all bytes taken.
    pub fn finish(self) -> Checksum {
        let of = |kind, value| Checksum { kind, value };
        match self.0 {
            State::None => Checksum::NONE,
            State::Xx(kind, h) => of(kind, h.digest().to_be_bytes().to_vec()),
            State::Md5(h) => of(ChecksumKind::Md5, h.finish().to_vec()),
            State::Crc(kind, h) => {
                let bytes = h.finalize().to_be_bytes();
                of(kind, bytes[8 - kind.value_bytes()..].to_vec())
            }
            State::Sha1(h) => of(ChecksumKind::Sha1, h.finalize().to_vec()),
            State::Sha256(h) => of(ChecksumKind::Sha256, h.finalize().to_vec()),
            State::Sha512(h) => of(ChecksumKind::Sha512, h.finalize().to_vec()),
        }
    }
}

/// The checksum of `bytes` in one call.
pub fn of(kind: ChecksumKind, bytes: &[u8]) -> Checksum {
    let mut h = Hasher::new(kind);
    h.update(bytes);
    h.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        // hello / "123456789" values from the algorithms' own definitions; the first is AIS's example.
        let check =
            |kind, input: &str, hex: &str| assert_eq!(of(kind, input.as_bytes()).hex(), hex, "{kind:?}");
        check(ChecksumKind::XxHash2, "hello", "26c7827d889f6da3");
        check(ChecksumKind::Md5, "hello", "5d41402abc4b2a76b9719d911017c592");
        check(ChecksumKind::Crc32c, "123456789", "e3069283");
        check(ChecksumKind::Crc32, "123456789", "cbf43926");
        check(ChecksumKind::Crc64Nvme, "123456789", "ae8b14860a799888");
        check(ChecksumKind::Sha1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
        check(ChecksumKind::None, "x", "");
    }

    #[test]
    fn pieces_equal_the_whole() {
        let data: Vec<u8> = (0..10_000u32).map(|i| (i * 7) as u8).collect();
        for kind in ["xxhash", "xxhash2", "md5", "crc32c", "sha256", "sha512", "crc32", "crc64nvme", "sha1"] {
            let kind = ChecksumKind::parse(kind).unwrap();
            let mut h = Hasher::new(kind);
            for piece in data.chunks(777) {
                h.update(piece);
            }
            let sum = h.finish();
            assert_eq!(sum, of(kind, &data));
            assert_eq!(Checksum::from_hex(kind, &sum.hex()), Some(sum));
        }
    }
}
