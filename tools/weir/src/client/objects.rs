//! Objects: their bytes in and out with the checksum compared at this end, and what is known of them.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde_json::json;
use ureq::Body;
use ureq::http::{HeaderMap, Method, Response};
use weir_types::checksum::Hasher;
use weir_types::{Checksum, ChecksumKind};

use super::{Client, Payload};
use crate::error::ToolError;
use crate::progress::{Counted, Progress};
use crate::uri::ObjectUri;

/// Bytes moved between socket and file at a time.
const COPY_BYTES: usize = 256 << 10;

/// What a node says of an object.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Facts {
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checksum_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) etag: Option<String>,
    /// On the node's disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) present: Option<bool>,
    /// Nanoseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) atime: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub(crate) custom: std::collections::BTreeMap<String, String>,
}

impl Facts {
    fn read(head: &HeaderMap) -> Self {
        let text = |name: &str| head.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let pairs = head.get_all("ais-custom-md").iter().filter_map(|v| v.to_str().ok()?.split_once('='));
        Self {
            size: text("content-length").and_then(|t| t.parse().ok()).unwrap_or(0),
            checksum_type: text("ais-checksum-type"),
            checksum: text("ais-checksum-value"),
            version: text("ais-version"),
            etag: text("etag").map(|e| e.trim_matches('"').to_owned()),
            present: text("ais-present").map(|p| p.eq_ignore_ascii_case("true")),
            atime: text("ais-atime").and_then(|t| t.parse().ok()),
            location: text("ais-location"),
            custom: pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        }
    }

    /// The checksum as a value; none when it is of no kind known here.
    fn checksum(&self) -> Option<Checksum> {
        let kind = ChecksumKind::parse(self.checksum_type.as_deref()?)?;
        Checksum::from_hex(kind, self.checksum.as_deref()?).filter(|c| c.kind != ChecksumKind::None)
    }
}

impl Client {
    /// What is known of an object.
    pub(crate) fn head(&self, uri: &ObjectUri) -> Result<Facts, ToolError> {
        let response = self.send(Method::HEAD, &uri.target(), &[], Payload::None)?;
        Ok(Facts::read(response.headers()))
    }

    /// Reads an object or a range of it (the value of a Range header); the head has come when this returns.
    pub(crate) fn open(&self, uri: &ObjectUri, range: Option<&str>) -> Result<Download, ToolError> {
        let headers: Vec<_> = range.map(|r| ("range", r.to_owned())).into_iter().collect();
        let response = self.send(Method::GET, &uri.target(), &headers, Payload::None)?;
        if range.is_some() && response.status() != 206 {
            let (what, got) = (uri.to_string(), response.status().to_string());
            return Err(ToolError::Protocol { what, expected: "206 to a range", got });
        }
        Ok(Download { what: uri.to_string(), facts: Facts::read(response.headers()), response })
    }

    /// Stores what `open` reads, `size` bytes where that is known, and compares the checksum that the node computed.
    pub(crate) fn put(
        &self,
        uri: &ObjectUri,
        open: &mut dyn FnMut() -> io::Result<Box<dyn Read>>,
        size: Option<u64>,
        progress: &Progress,
    ) -> Result<u64, ToolError> {
        let sums = std::sync::Arc::new(std::sync::Mutex::new(None));
        let mut source = || -> io::Result<Box<dyn Read>> {
            let hasher = Hasher::new(ChecksumKind::XxHash2);
            let counted = Counted { inner: open()?, progress: progress.clone(), hasher, bytes: 0 };
            Ok(Box::new(Source { counted, sums: sums.clone() }))
        };
        let response = self.send(Method::PUT, &uri.target(), &[], Payload::Open(&mut source, size))?;
        let kept = Facts::read(response.headers()).checksum();
        let sent = sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let (bytes, sum) = sent.unwrap_or((0, Hasher::new(ChecksumKind::XxHash2).finish()));
        match kept.filter(|c| matches!(c.kind, ChecksumKind::XxHash | ChecksumKind::XxHash2)) {
            Some(kept) if kept.value != sum.value => Err(mismatch(uri.to_string(), &kept, &sum)),
            _ => Ok(bytes),
        }
    }

    /// Deletes an object, of a remote bucket at the origin too.
    pub(crate) fn delete(&self, uri: &ObjectUri) -> Result<(), ToolError> {
        self.send(Method::DELETE, &uri.target(), &[], Payload::None).map(drop)
    }

    /// Drops the local copy of a remote object.
    pub(crate) fn evict(&self, uri: &ObjectUri) -> Result<(), ToolError> {
        let name = format!("{}/{}", uri.bucket.name, uri.name);
        let body = json!({ "action": "evict-listrange", "name": name, "value": null });
        self.send(Method::DELETE, &uri.target(), &[], Payload::Json(&body)).map(drop)
    }
}

/// An object's bytes on their way here.
pub(crate) struct Download {
    what: String,
    pub(crate) facts: Facts,
    response: Response<Body>,
}

impl Download {
    /// Writes all bytes to `out`; `whole` compares the object's checksum at the end. Bytes written.
    pub(crate) fn copy(self, out: impl Write, whole: bool, progress: &Progress) -> Result<u64, ToolError> {
        let expected = self.facts.checksum().filter(|_| whole);
        let hasher = Hasher::new(expected.as_ref().map_or(ChecksumKind::None, |c| c.kind));
        let mut out = Counted { inner: out, progress: progress.clone(), hasher, bytes: 0 };
        let mut body = self.response.into_body().into_reader();
        let mut buf = vec![0; COPY_BYTES];
        loop {
            let n = body.read(&mut buf).map_err(|e| ToolError::Protocol {
                what: self.what.clone(),
                expected: "all bytes of the object",
                got: format!("{} of {}, then {e}", out.bytes, self.facts.size),
            })?;
            if n == 0 {
                break;
            }
            out.write_all(buf.get(..n).unwrap_or_default()).map_err(ToolError::Output)?;
        }
        out.flush().map_err(ToolError::Output)?;
        let (bytes, sum) = (out.bytes, out.hasher.finish());
        match expected {
            Some(expected) if expected != sum => Err(mismatch(self.what, &expected, &sum)),
            _ => Ok(bytes),
        }
    }
}

fn mismatch(what: String, expected: &Checksum, got: &Checksum) -> ToolError {
    ToolError::Checksum { what, kind: expected.kind.as_str(), got: got.hex(), expected: expected.hex() }
}

/// Leaves count and sum behind when the request has taken its last byte.
struct Source {
    counted: Counted<Box<dyn Read>>,
    sums: std::sync::Arc<std::sync::Mutex<Option<(u64, Checksum)>>>,
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.counted.read(buf)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let sum = self.counted.hasher.clone().finish();
        *self.sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Some((self.counted.bytes, sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_become_facts() {
        let mut head = HeaderMap::new();
        for (name, value) in [
            ("content-length", "9"),
            ("ais-checksum-type", "crc32c"),
            ("ais-checksum-value", "e3069283"),
            ("etag", "\"x\""),
            ("ais-present", "true"),
            ("ais-custom-md", "a=1"),
            ("ais-custom-md", "b=2=3"),
        ] {
            head.append(name, value.parse().unwrap());
        }
        let facts = Facts::read(&head);
        assert_eq!((facts.size, facts.present, facts.etag.as_deref()), (9, Some(true), Some("x")));
        assert_eq!(facts.custom.get("b").map(String::as_str), Some("2=3"));
        assert_eq!(facts.checksum().unwrap().hex(), "e3069283");
    }
}
