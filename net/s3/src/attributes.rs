//! GetObjectAttributes.

use crate::error::{Result, S3Error};
use crate::flexible::StoredChecksum;
use crate::op::GetAttributes;
use crate::request::RequestHead;
use crate::uploads::{PartView, part_page};
use crate::xml::Writer;

/// Which attributes a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "each is named as on the wire")]
pub struct Wanted {
    pub etag: bool,
    pub checksum: bool,
    pub object_parts: bool,
    pub storage_class: bool,
    pub object_size: bool,
}

impl Wanted {
    /// Reads `x-amz-object-attributes`, which must name one at least.
    pub(crate) fn parse<H: RequestHead + ?Sized>(head: &H) -> Result<Self> {
        const NAME: &str = "x-amz-object-attributes";
        let mut wanted = Self::default();
        let mut names = Vec::new();
        head.each_header(&mut |name, value| {
            if name.eq_ignore_ascii_case(NAME) {
                names.extend(value.split(',').map(|v| v.trim().to_owned()));
            }
        });
        names.retain(|n| !n.is_empty());
        if names.is_empty() {
            return Err(S3Error::argument(NAME, "", "expected the names of attributes"));
        }
        for name in &names {
            match name.as_str() {
                "ETag" => wanted.etag = true,
                "Checksum" => wanted.checksum = true,
                "ObjectParts" => wanted.object_parts = true,
                "StorageClass" => wanted.storage_class = true,
                "ObjectSize" => wanted.object_size = true,
                other => return Err(S3Error::argument(NAME, other, "the attribute is not known")),
            }
        }
        Ok(wanted)
    }
}

/// What is known of the object.
#[derive(Debug, Clone)]
pub struct AttributesView<'a> {
    /// Tag without quotes.
    pub etag: &'a str,
    /// Size in bytes.
    pub size: u64,
    /// Its checksum, if one is kept.
    pub checksum: Option<&'a StoredChecksum>,
    /// Parts in ascending order, if it was uploaded in parts.
    pub parts: &'a [PartView],
}

/// The answer. `Last-Modified` is its one header of note.
pub fn render(op: &GetAttributes, view: &AttributesView<'_>) -> Vec<u8> {
    let mut w = Writer::new("GetObjectAttributesResponse");
    if op.wanted.etag {
        // The one document that has it without quotes.
        w.text("ETag", view.etag);
    }
    if let Some(sum) = view.checksum.filter(|_| op.wanted.checksum) {
        w.element("Checksum", |w| crate::render::whole_checksum_into(w, sum, sum.checksum_type()));
    }
    if op.wanted.object_parts && !view.parts.is_empty() {
        w.element("ObjectParts", |w| parts_into(w, op, view.parts));
    }
    if op.wanted.storage_class {
        w.text("StorageClass", "STANDARD");
    }
    if op.wanted.object_size {
        w.value("ObjectSize", view.size);
    }
    w.finish()
}

fn parts_into(w: &mut Writer, op: &GetAttributes, parts: &[PartView]) {
    let (page, next) = part_page(parts, op.part_marker, op.max_parts);
    w.value("PartsCount", parts.len());
    w.value("PartNumberMarker", op.part_marker);
    w.value("NextPartNumberMarker", page.last().map_or(0, |p| p.number));
    w.value("MaxParts", op.max_parts);
    w.value("IsTruncated", next.is_some());
    for part in page {
        w.element("Part", |w| {
            w.value("PartNumber", part.number);
            w.value("Size", part.size);
            if let Some(sum) = &part.checksum {
                w.text(sum.kind.element(), &sum.wire());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::PlainHead;

    fn wanted(value: &str) -> Result<Wanted> {
        Wanted::parse(&PlainHead::new("GET", "/b/o?attributes").header("X-Amz-Object-Attributes", value))
    }

    #[test]
    fn names() {
        let two = Wanted { etag: true, object_size: true, ..Wanted::default() };
        assert_eq!(wanted("ETag, ObjectSize").unwrap(), two);
        assert!(wanted("").is_err() && wanted("Etag").is_err() && wanted(",").is_err());
    }

    #[test]
    fn answers() {
        let part = |number| PartView { number, size: 5, mtime_ns: 0, etag: String::new(), checksum: None };
        let parts: Vec<_> = (1..=6).map(part).collect();
        let view = AttributesView { etag: "e", size: 30, checksum: None, parts: &parts };
        let check = |names: &str, max_parts, part_marker, expected: &str| {
            let op = GetAttributes {
                wanted: wanted(names).unwrap(),
                max_parts,
                part_marker,
                ..GetAttributes::default()
            };
            let text = String::from_utf8(render(&op, &view)).unwrap();
            assert!(text.ends_with(&format!("{expected}</GetObjectAttributesResponse>")), "{text}");
        };
        check(
            "ETag,StorageClass,ObjectSize,Checksum",
            1000,
            0,
            "\"><ETag>e</ETag><StorageClass>STANDARD</StorageClass><ObjectSize>30</ObjectSize>",
        );
        check(
            "ObjectParts",
            1,
            3,
            "<ObjectParts><PartsCount>6</PartsCount><PartNumberMarker>3</PartNumberMarker><NextPartNumberMarker>4</NextPartNumberMarker>\
             <MaxParts>1</MaxParts><IsTruncated>true</IsTruncated><Part><PartNumber>4</PartNumber><Size>5</Size></Part></ObjectParts>",
        );
        check("ObjectParts", 10, 6, "<MaxParts>10</MaxParts><IsTruncated>false</IsTruncated></ObjectParts>");
    }
}
