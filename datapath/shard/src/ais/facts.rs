//! Between the store's records and the dialect's values.

use std::fmt;

use weir_ais::headers::HeaderSink;
use weir_ais::{ChunkFacts, Location, ObjectFacts};
use weir_http::FieldLines;
use weir_store::Record;
use weir_types::{Checksum, CustomMeta};

use crate::place::Place;
use crate::reserved;
use crate::shard::Shard;

/// A record as the dialect shows it; owns what [`ObjectFacts`] borrows.
pub(crate) struct Facts<'p> {
    place: &'p Place,
    node: String,
    mountpath: String,
    copies: Vec<String>,
    checksum: Checksum,
    atime_ns: u64,
    version: String,
    custom: CustomMeta,
    present: bool,
    chunks: Option<ChunkFacts>,
    modified_ns: u64,
    etag: String,
}

impl<'p> Facts<'p> {
    pub(crate) fn of(shard: &Shard, place: &'p Place, record: &Record, present: bool) -> Self {
        let largest = record.part_runs.iter().map(|(_, bytes)| *bytes).max();
        let mut custom = reserved::visible(&record.custom);
        if let Some(remote) = &record.remote {
            let standard =
                [("source", Some(remote.provider.as_str().to_owned())), ("ETag", remote.etag.clone())];
            for (key, value) in standard {
                // What does not fit beside a full set of the client's own is left out.
                let _ = value.map(|value| custom.set(key, value));
            }
        }
        Self {
            place,
            node: shard.shared.identity.target.to_string(),
            mountpath: place.mountpath().display().to_string(),
            copies: place.mountpaths_of(usize::from(record.copies)),
            checksum: record.checksum(),
            // Times of access are not kept: the last change stands for them.
            atime_ns: if present { record.modified_ns } else { 0 },
            version: record.version_text(),
            custom,
            present,
            chunks: largest.map(|max_bytes| ChunkFacts { count: record.part_count(), max_bytes }),
            modified_ns: record.last_modified_ns(),
            etag: record.etag_text(),
        }
    }

    pub(crate) fn facts(&self) -> ObjectFacts<'_> {
        ObjectFacts {
            bucket: &self.place.bucket,
            name: self.place.name.as_str(),
            checksum: &self.checksum,
            atime_ns: self.atime_ns,
            version: &self.version,
            custom: &self.custom,
            present: self.present,
            location: self.present.then_some(Location { node: &self.node, mountpath: &self.mountpath }),
            copies: &self.copies,
            ec: None,
            chunks: self.chunks,
            modified_ns: self.modified_ns,
            etag: &self.etag,
        }
    }
}

/// Header fields collected for an answer.
#[derive(Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

/// Header fields written as they come.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) FieldLines);

impl HeaderSink for Lines {
    fn header(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        crate::answer::report(name, self.0.header(name, value).map(drop));
    }
}

impl HeaderSink for Fields {
    fn header(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        self.0.push((name.to_owned(), value.to_string()));
    }
}
