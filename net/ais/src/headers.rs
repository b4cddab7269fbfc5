//! Headers of object requests and responses. Content-Length is the caller's: its writer frames the body.

use std::fmt;

use weir_types::{Bucket, Checksum, ChecksumKind, CustomMeta};

use crate::times::http_date;
use crate::{AisError, HeadProps};

/// Names of AIS headers.
#[allow(missing_docs, reason = "each is the header of that name")]
pub mod names {
    pub const CHECKSUM_TYPE: &str = "Ais-Checksum-Type";
    pub const CHECKSUM_VALUE: &str = "Ais-Checksum-Value";
    pub const ATIME: &str = "Ais-Atime";
    pub const VERSION: &str = "Ais-Version";
    pub const CUSTOM: &str = "Ais-Custom-Md";
    pub const NAME: &str = "Ais-Name";
    pub const LOCATION: &str = "Ais-Location";
    pub const PRESENT: &str = "Ais-Present";
    pub const BUCKET_NAME: &str = "Ais-Bucket-Name";
    pub const BUCKET_PROVIDER: &str = "Ais-Bucket-Provider";
    pub const BUCKET_NS_UUID: &str = "Ais-Bucket-Namespace-Uuid";
    pub const BUCKET_NS_NAME: &str = "Ais-Bucket-Namespace-Name";
    pub const BUCKET_PROPS: &str = "Ais-Bucket-Props";
    pub const BUCKET_SUMMARY: &str = "Ais-Bucket-Summ";
    pub const MIRROR_COPIES: &str = "Ais-Mirror-Copies";
    pub const MIRROR_PATHS: &str = "Ais-Mirror-Paths";
    pub const EC_GENERATION: &str = "Ais-Ec-Generation";
    pub const EC_DATA: &str = "Ais-Ec-Data";
    pub const EC_PARITY: &str = "Ais-Ec-Parity";
    pub const EC_REPLICATED: &str = "Ais-Ec-Replicated";
    pub const CHUNKS_COUNT: &str = "Ais-Chunks-Count";
    pub const CHUNKS_MAX: &str = "Ais-Chunks-Max-Chunk-Size";
    pub const APPEND_HANDLE: &str = "Ais-Append-Handle";
    pub const JOB_ID: &str = "Ais-Xaction-Id";
    pub const NODE_ID: &str = "Ais-Node-Id";
    pub const NODE_UPTIME: &str = "Ais-Node-Uptime";
    pub const CLUSTER_UPTIME: &str = "Ais-Cluster-Uptime";
    pub const ERROR: &str = "Hdr-Error";
}

/// Takes response headers one by one. A value that cannot stand in a header is the sink's to refuse.
pub trait HeaderSink {
    /// Adds a header; the same name may come several times.
    fn header(&mut self, name: &'static str, value: fmt::Arguments<'_>);
}

/// For tests and for answers whose headers are collected first.
impl HeaderSink for Vec<(&'static str, String)> {
    fn header(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        self.push((name, value.to_string()));
    }
}

/// Where an object is, printed as `t[ID]:mp[/path]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location<'a> {
    /// The target's ID.
    pub node: &'a str,
    /// The mountpath.
    pub mountpath: &'a str,
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t[{}]:mp[{}]", self.node, self.mountpath)
    }
}

/// Parts of an object that was uploaded in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkFacts {
    /// How many.
    pub count: u32,
    /// Bytes of the largest.
    pub max_bytes: u64,
}

/// Slices of an erasure-coded object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EcFacts {
    /// Of this encoding.
    pub generation: i64,
    /// Data slices.
    pub data: u32,
    /// Parity slices.
    pub parity: u32,
    /// Whole copies instead of slices.
    pub replicated: bool,
}

/// What is known of an object.
#[derive(Debug, Clone, Copy)]
pub struct ObjectFacts<'a> {
    /// Its bucket.
    pub bucket: &'a Bucket,
    /// Its name.
    pub name: &'a str,
    /// Whole-object checksum.
    pub checksum: &'a Checksum,
    /// Last access in nanoseconds since 1970; 0 if not in the cluster.
    pub atime_ns: u64,
    /// Version; empty if none.
    pub version: &'a str,
    /// Custom metadata.
    pub custom: &'a CustomMeta,
    /// Whether it is in the cluster.
    pub present: bool,
    /// Where it is.
    pub location: Option<Location<'a>>,
    /// Mountpaths of its copies, the first included; empty if not mirrored.
    pub copies: &'a [String],
    /// Slices.
    pub ec: Option<EcFacts>,
    /// Parts.
    pub chunks: Option<ChunkFacts>,
    /// Last change in nanoseconds since 1970; 0 if unknown.
    pub modified_ns: u64,
    /// ETag without quotes; empty if none.
    pub etag: &'a str,
}

impl ObjectFacts<'_> {
    /// Headers of GET, whole or ranged: the checksum is that of the whole object.
    pub fn get(&self, sink: &mut impl HeaderSink) {
        self.written(sink);
        self.custom(sink);
        // The ETag of a remote object is its origin's, kept among the custom pairs.
        if let Some(etag) = self.custom.get("ETag") {
            sink.header("ETag", format_args!("\"{etag}\""));
        }
    }

    /// Headers of the answer to PUT: what was computed.
    pub fn written(&self, sink: &mut impl HeaderSink) {
        self.checksum(sink);
        self.atime(sink);
        self.version(sink);
    }

    /// Headers of HEAD of the first kind: everything.
    pub fn head(&self, sink: &mut impl HeaderSink) {
        self.get(sink);
        sink.header(names::PRESENT, format_args!("{}", self.present));
        // A name with control characters cannot stand in a header; none is better than a wrong one.
        if !self.name.chars().any(char::is_control) {
            sink.header(names::NAME, format_args!("{}", self.name));
        }
        sink.header(names::BUCKET_NAME, format_args!("{}", self.bucket.name));
        sink.header(names::BUCKET_PROVIDER, format_args!("{}", self.bucket.provider.as_str()));
        let ns = &self.bucket.namespace;
        for (name, value) in [(names::BUCKET_NS_UUID, &ns.uuid), (names::BUCKET_NS_NAME, &ns.name)] {
            if !value.is_empty() {
                sink.header(name, format_args!("{value}"));
            }
        }
        self.location(sink);
        sink.header(names::MIRROR_COPIES, format_args!("{}", self.copy_count()));
        // Always there, or SDK 1.26 fails; separated by commas, which every SDK reads.
        sink.header(names::MIRROR_PATHS, format_args!("[{}]", self.copies.join(",")));
        self.ec(sink);
    }

    /// Headers of HEAD of the second kind: presence, and what was asked for.
    pub fn head_props(&self, props: &HeadProps, sink: &mut impl HeaderSink) {
        sink.header(names::PRESENT, format_args!("{}", self.present));
        if props.checksum {
            self.checksum(sink);
        }
        if props.atime {
            self.atime(sink);
        }
        if props.version {
            self.version(sink);
        }
        if props.custom {
            self.custom(sink);
        }
        if props.location {
            self.location(sink);
        }
        if props.copies && self.present {
            sink.header(names::MIRROR_COPIES, format_args!("{}", self.copy_count()));
            if !self.copies.is_empty() {
                sink.header(names::MIRROR_PATHS, format_args!("{}", self.copies.join(",")));
            }
        }
        if props.ec {
            self.ec(sink);
        }
        if let Some(chunks) = self.chunks.filter(|_| props.chunked) {
            sink.header(names::CHUNKS_COUNT, format_args!("{}", chunks.count));
            sink.header(names::CHUNKS_MAX, format_args!("{}", chunks.max_bytes));
        }
        if props.last_modified && self.modified_ns != 0 {
            sink.header("Last-Modified", format_args!("{}", http_date(self.modified_ns)));
        }
        if props.etag && !self.etag.is_empty() {
            sink.header("ETag", format_args!("\"{}\"", self.etag));
        }
    }

    fn copy_count(&self) -> usize {
        self.copies.len().max(usize::from(self.present))
    }

    fn checksum(&self, sink: &mut impl HeaderSink) {
        if self.checksum.kind != ChecksumKind::None {
            sink.header(names::CHECKSUM_TYPE, format_args!("{}", self.checksum.kind.as_str()));
            sink.header(names::CHECKSUM_VALUE, format_args!("{}", self.checksum.hex()));
        }
    }

    fn atime(&self, sink: &mut impl HeaderSink) {
        if self.atime_ns != 0 {
            sink.header(names::ATIME, format_args!("{}", self.atime_ns));
        }
    }

    fn version(&self, sink: &mut impl HeaderSink) {
        if !self.version.is_empty() {
            sink.header(names::VERSION, format_args!("{}", self.version));
        }
    }

    fn custom(&self, sink: &mut impl HeaderSink) {
        for (key, value) in self.custom.iter() {
            sink.header(names::CUSTOM, format_args!("{key}={value}"));
        }
    }

    fn location(&self, sink: &mut impl HeaderSink) {
        if let Some(location) = self.location {
            sink.header(names::LOCATION, format_args!("{location}"));
        }
    }

    /// All four or none: clients take any as proof of slices.
    fn ec(&self, sink: &mut impl HeaderSink) {
        if let Some(ec) = self.ec {
            sink.header(names::EC_GENERATION, format_args!("{}", ec.generation));
            sink.header(names::EC_DATA, format_args!("{}", ec.data));
            sink.header(names::EC_PARITY, format_args!("{}", ec.parity));
            sink.header(names::EC_REPLICATED, format_args!("{}", ec.replicated));
        }
    }
}

/// What the headers of an upload say about the object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutHeaders {
    /// The content must have this checksum.
    pub checksum: Option<Checksum>,
    /// Custom metadata.
    pub custom: CustomMeta,
}

impl PutHeaders {
    /// Reads `Ais-Checksum-Type`, `Ais-Checksum-Value` and each `Ais-Custom-Md: key=value`.
    pub fn read<'h>(
        checksum_type: Option<&str>,
        checksum_value: Option<&str>,
        custom: impl Iterator<Item = &'h str>,
    ) -> Result<Self, AisError> {
        let mut out = Self::default();
        let value = checksum_value.unwrap_or_default().trim();
        match checksum_type.unwrap_or_default().trim() {
            "" | "none" if value.is_empty() => {}
            kind => {
                let checksum =
                    ChecksumKind::parse(kind).filter(|k| k.is_bucket_kind() && *k != ChecksumKind::None);
                let checksum = checksum.and_then(|kind| Checksum::from_hex(kind, value));
                let bad = || AisError::Bad(format!("invalid checksum: type {kind:?}, value {value:?}"));
                out.checksum = Some(checksum.ok_or_else(bad)?);
            }
        }
        for pair in custom {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                AisError::Bad(format!("invalid {} {pair:?}: expected key=value", names::CUSTOM))
            })?;
            out.custom.set(key.trim(), value.trim())?;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{BucketName, Provider};

    use super::*;

    fn custom(pairs: &[(&str, &str)]) -> CustomMeta {
        let mut c = CustomMeta::default();
        pairs.iter().for_each(|(k, v)| c.set(*k, *v).unwrap());
        c
    }

    fn text(headers: Vec<(&'static str, String)>) -> String {
        headers.iter().map(|(n, v)| format!("{n}: {v}\n")).collect()
    }

    #[test]
    fn responses() {
        let bucket = Bucket::global(Provider::Ais, BucketName::new("b1").unwrap());
        let checksum = Checksum::from_hex(ChecksumKind::XxHash2, "26c7827d889f6da3").unwrap();
        let pairs = custom(&[("k1", "v1"), ("ETag", "e")]);
        let facts = ObjectFacts {
            bucket: &bucket,
            name: "dir/o 1",
            checksum: &checksum,
            atime_ns: 1_763_685_131_000_123_456,
            version: "1",
            custom: &pairs,
            present: true,
            location: Some(Location { node: "t1t1t1t1", mountpath: "/mp1" }),
            copies: &[],
            ec: None,
            chunks: Some(ChunkFacts { count: 2, max_bytes: 8 }),
            modified_ns: 1_763_685_131_000_123_456,
            etag: "abc",
        };
        let get = "Ais-Checksum-Type: xxhash2\nAis-Checksum-Value: 26c7827d889f6da3\nAis-Atime: 1763685131000123456\n\
                   Ais-Version: 1\nAis-Custom-Md: k1=v1\nAis-Custom-Md: ETag=e\nETag: \"e\"\n";
        let mut out = Vec::new();
        facts.get(&mut out);
        assert_eq!(text(out), get);
        let mut out = Vec::new();
        facts.head(&mut out);
        let rest = "Ais-Present: true\nAis-Name: dir/o 1\nAis-Bucket-Name: b1\nAis-Bucket-Provider: ais\n\
                    Ais-Location: t[t1t1t1t1]:mp[/mp1]\nAis-Mirror-Copies: 1\nAis-Mirror-Paths: []\n";
        assert_eq!(text(out), format!("{get}{rest}"));

        let check = |facts: &ObjectFacts<'_>, props: &str, expected: &str| {
            let mut out = Vec::new();
            facts.head_props(&HeadProps::parse(props).unwrap(), &mut out);
            assert_eq!(text(out), expected, "{props}");
        };
        check(&facts, "name,size", "Ais-Present: true\n");
        check(&facts, "chunked", "Ais-Present: true\nAis-Chunks-Count: 2\nAis-Chunks-Max-Chunk-Size: 8\n");
        check(
            &facts,
            "last-modified,etag,copies",
            "Ais-Present: true\nAis-Mirror-Copies: 1\nLast-Modified: Fri, 21 Nov 2025 00:32:11 GMT\nETag: \"abc\"\n",
        );
        let copies = ["/mp1".to_owned(), "/mp2".to_owned()];
        let ec = EcFacts { generation: 7, data: 2, parity: 1, replicated: false };
        let spread = ObjectFacts { copies: &copies, ec: Some(ec), ..facts };
        check(
            &spread,
            "copies,ec",
            "Ais-Present: true\nAis-Mirror-Copies: 2\nAis-Mirror-Paths: /mp1,/mp2\nAis-Ec-Generation: 7\nAis-Ec-Data: 2\n\
             Ais-Ec-Parity: 1\nAis-Ec-Replicated: false\n",
        );
        let cold = ObjectFacts {
            present: false,
            atime_ns: 0,
            version: "",
            checksum: &Checksum::NONE,
            location: None,
            chunks: None,
            ..facts
        };
        check(&cold, "checksum,atime,version,copies,location,chunked,ec", "Ais-Present: false\n");
        let mut out = Vec::new();
        ObjectFacts { name: "a\nb", ..cold }.head(&mut out);
        assert!(!text(out).contains("Ais-Name"));
    }

    #[test]
    fn requests() {
        let read = |kind, value, pairs: &[&'static str]| PutHeaders::read(kind, value, pairs.iter().copied());
        assert_eq!(read(None, None, &[]), Ok(PutHeaders::default()));
        assert_eq!(read(Some("none"), Some(""), &[]), Ok(PutHeaders::default()));
        let got = read(Some("md5"), Some("5D41402ABC4B2A76B9719D911017C592"), &["a=1", "b=x=y"]).unwrap();
        assert_eq!(got.checksum.unwrap().hex(), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(got.custom, custom(&[("a", "1"), ("b", "x=y")]));
        for (kind, value) in
            [("md5", "12"), ("md6", "00"), ("", "00"), ("crc32", "00000000"), ("none", "00"), ("md5", "")]
        {
            assert_eq!(read(Some(kind), Some(value), &[]).unwrap_err().status(), 400, "{kind} {value}");
        }
        assert!(read(None, None, &["novalue"]).is_err() && read(None, None, &["=x"]).is_err());
    }
}
