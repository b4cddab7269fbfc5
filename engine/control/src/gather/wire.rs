//! A page of a listing on its way between nodes: what listings tell of an object, and no more of its record.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_store::{Etag, Record, RemoteIdentity};
use weir_types::limits::PEER_PAGE_BYTES_MAX;
use weir_types::{Checksum, CustomMeta, ObjectName, Provider};

use crate::{LocalEntry, LocalPage};

/// What an entry takes beside its name and its custom metadata, in bytes; more than it does.
const ENTRY_BYTES: usize = 256;

#[derive(Default, Serialize, Deserialize)]
struct WirePage {
    mountpaths: Vec<String>,
    entries: Vec<WireEntry>,
    common_prefixes: Vec<String>,
    next: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct WireEntry {
    name: ObjectName,
    size: u64,
    checksum: Option<Checksum>,
    version: u64,
    modified_ns: u64,
    etag: Option<WireEtag>,
    custom: CustomMeta,
    remote: Option<WireRemote>,
    copies: u8,
    in_parts: bool,
    /// Which of the page's mountpaths.
    mountpath: u16,
}

#[derive(Serialize, Deserialize)]
enum WireEtag {
    Md5([u8; 16]),
    Multipart([u8; 16], u32),
    Commit(u64),
    Text(String),
}

#[derive(Serialize, Deserialize)]
struct WireRemote {
    provider: Provider,
    etag: Option<String>,
    version: Option<String>,
    modified_ns: Option<u64>,
}

/// A page as it goes to another node: cut where it would get too long, and then more follows.
pub(crate) fn encode(page: LocalPage) -> Result<Vec<u8>, postcard::Error> {
    let LocalPage { mut entries, mut common_prefixes, mut next } = page;
    let mut bytes = 0;
    let fits = entries.iter().take_while(|entry| {
        bytes += ENTRY_BYTES + entry.name.as_str().len() + entry.record.custom.bytes();
        bytes <= PEER_PAGE_BYTES_MAX
    });
    // One always fits, or a listing would not come on.
    let fits = fits.count().max(1);
    if fits < entries.len() {
        entries.truncate(fits);
        next = entries.last().map(|entry| entry.name.as_str().to_owned());
        common_prefixes.retain(|prefix| next.as_deref().is_some_and(|next| prefix.as_str() < next));
    }
    let mut wire = WirePage { common_prefixes, next, ..WirePage::default() };
    for entry in entries {
        let known = wire.mountpaths.iter().position(|m| *m == *entry.mountpath);
        let mountpath = known.unwrap_or(wire.mountpaths.len());
        if known.is_none() {
            wire.mountpaths.push(entry.mountpath.to_string());
        }
        wire.entries.push(to_wire(entry, u16::try_from(mountpath).unwrap_or(u16::MAX)));
    }
    postcard::to_stdvec(&wire)
}

/// Reads [`encode`]; the entries are `target`'s.
pub(crate) fn decode(bytes: &[u8], target: &Arc<str>) -> Result<LocalPage, postcard::Error> {
    let wire: WirePage = postcard::from_bytes(bytes)?;
    let mountpaths: Vec<Arc<str>> = wire.mountpaths.into_iter().map(Arc::from).collect();
    let entry = |wire: WireEntry| {
        let mountpath = mountpaths.get(usize::from(wire.mountpath)).cloned().unwrap_or_default();
        from_wire(wire, mountpath, target.clone())
    };
    Ok(LocalPage {
        entries: wire.entries.into_iter().map(entry).collect(),
        common_prefixes: wire.common_prefixes,
        next: wire.next,
    })
}

fn to_wire(entry: LocalEntry, mountpath: u16) -> WireEntry {
    let LocalEntry { name, record, .. } = entry;
    let etag = record.etag.map(|etag| match etag {
        Etag::Md5(md5) => WireEtag::Md5(md5),
        Etag::Multipart(md5, parts) => WireEtag::Multipart(md5, parts),
        Etag::Commit(sequence) => WireEtag::Commit(sequence),
        Etag::Text(text) => WireEtag::Text(text),
    });
    let remote = record.remote.map(|remote| {
        let RemoteIdentity { provider, etag, version, modified_ns } = remote;
        WireRemote { provider, etag, version, modified_ns }
    });
    WireEntry {
        name,
        size: record.size,
        checksum: record.checksums.into_iter().next(),
        version: record.version,
        modified_ns: record.modified_ns,
        etag,
        custom: record.custom,
        remote,
        copies: record.copies,
        in_parts: record.parts_beside || !record.part_runs.is_empty(),
        mountpath,
    }
}

fn from_wire(wire: WireEntry, mountpath: Arc<str>, target: Arc<str>) -> LocalEntry {
    let etag = wire.etag.map(|etag| match etag {
        WireEtag::Md5(md5) => Etag::Md5(md5),
        WireEtag::Multipart(md5, parts) => Etag::Multipart(md5, parts),
        WireEtag::Commit(sequence) => Etag::Commit(sequence),
        WireEtag::Text(text) => Etag::Text(text),
    });
    let remote = wire.remote.map(|remote| {
        let WireRemote { provider, etag, version, modified_ns } = remote;
        RemoteIdentity { provider, etag, version, modified_ns }
    });
    let record = Record {
        size: wire.size,
        checksums: wire.checksum.into_iter().collect(),
        version: wire.version,
        modified_ns: wire.modified_ns,
        etag,
        custom: wire.custom,
        remote,
        copies: wire.copies,
        parts_beside: wire.in_parts,
        ..Record::default()
    };
    LocalEntry { name: wire.name, record, mountpath, target }
}

#[cfg(test)]
mod tests {
    use weir_types::ChecksumKind;

    use super::*;

    fn entry(name: &str, mountpath: &str, record: Record) -> LocalEntry {
        LocalEntry {
            name: ObjectName::new(name).unwrap(),
            record,
            mountpath: mountpath.into(),
            target: "".into(),
        }
    }

    #[test]
    fn a_page_arrives_as_it_was() {
        let mut custom = CustomMeta::default();
        custom.set("k", "v").unwrap();
        let remote =
            RemoteIdentity { etag: Some("e".into()), modified_ns: Some(5), ..RemoteIdentity::default() };
        let full = Record {
            size: 7,
            checksums: vec![Checksum::from_hex(ChecksumKind::XxHash2, "26c7827d889f6da3").unwrap()],
            version: 3,
            modified_ns: 9,
            etag: Some(Etag::Multipart([1; 16], 4)),
            custom,
            remote: Some(remote),
            copies: 2,
            parts_beside: true,
            ..Record::default()
        };
        let etags = [Etag::Md5([2; 16]), Etag::Commit(6), Etag::Text("t".into())];
        let others = etags.map(|etag| Record { etag: Some(etag), ..Record::default() });
        let mut entries = vec![entry("a", "/mp2", full)];
        entries.extend(
            others.into_iter().zip(["b", "c", "d"]).map(|(record, name)| entry(name, "/mp1", record)),
        );
        let sent = LocalPage { entries, common_prefixes: vec!["p/".into()], next: Some("p/".into()) };
        let got = decode(&encode(sent.clone()).unwrap(), &"t1".into()).unwrap();
        assert_eq!((got.common_prefixes, got.next), (sent.common_prefixes, sent.next));
        assert_eq!(got.entries.len(), sent.entries.len());
        for (got, sent) in got.entries.iter().zip(&sent.entries) {
            assert_eq!((&got.name, &got.record, &got.mountpath), (&sent.name, &sent.record, &sent.mountpath));
            assert_eq!(&*got.target, "t1");
        }
    }

    #[test]
    fn a_page_too_long_is_cut_and_goes_on_where_it_was() {
        let mut custom = CustomMeta::default();
        custom.set("k", "v".repeat(2000)).unwrap();
        let name = |i: usize| format!("{i:06}");
        let record = Record { custom, ..Record::default() };
        let count = 2 * PEER_PAGE_BYTES_MAX / 2000;
        let entries: Vec<_> = (0..count).map(|i| entry(&name(i), "/m", record.clone())).collect();
        let common_prefixes = vec!["0/".into(), format!("{}/", name(count))];
        let bytes = encode(LocalPage { entries, common_prefixes, next: None }).unwrap();
        assert!(bytes.len() <= PEER_PAGE_BYTES_MAX);
        let got = decode(&bytes, &"t".into()).unwrap();
        assert!(got.entries.len() > count / 3 && got.entries.len() < count);
        assert_eq!(got.next.as_deref(), got.entries.last().map(|e| e.name.as_str()));
        assert_eq!(got.common_prefixes, ["0/"]);
    }
}
