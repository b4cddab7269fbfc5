//! A page of a listing on its way between nodes: what is not rows, and then the rows as they are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_store::Rows;
use weir_types::limits::PEER_PAGE_BYTES_MAX;

use crate::{LocalPage, Place};

/// What stands before the rows.
#[derive(Serialize, Deserialize)]
struct Head {
    /// Roots of the mountpaths, in the order of their numbers.
    mountpaths: Vec<String>,
    common_prefixes: Vec<String>,
    next: Option<String>,
}

/// A page as it goes to another node: cut where it would get too long, and then more follows.
pub(crate) fn encode(page: LocalPage) -> Result<Vec<u8>, postcard::Error> {
    let LocalPage { mut rows, places, mut common_prefixes, mut next } = page;
    let count = rows.len();
    // One always fits, or a listing would not come on.
    rows.truncate_to_bytes(PEER_PAGE_BYTES_MAX);
    if rows.len() < count {
        next = rows.last().map(|row| row.name.to_owned());
        common_prefixes.retain(|prefix| next.as_deref().is_some_and(|next| prefix.as_str() < next));
    }
    let mountpaths = places.iter().map(|place| place.mountpath.to_string()).collect();
    let mut bytes = postcard::to_stdvec(&Head { mountpaths, common_prefixes, next })?;
    bytes.extend(rows.into_bytes());
    Ok(bytes)
}

/// Reads [`encode`]; the entries are `target`'s.
pub(crate) fn decode(bytes: &[u8], target: &Arc<str>) -> Result<LocalPage, postcard::Error> {
    let (head, rows): (Head, _) = postcard::take_from_bytes(bytes)?;
    let rows = Rows::from_bytes(rows.to_vec()).ok_or(postcard::Error::DeserializeBadEncoding)?;
    let place = |mountpath: String| Place { mountpath: mountpath.into(), target: target.clone() };
    let places = head.mountpaths.into_iter().map(place).collect();
    Ok(LocalPage { rows, places, common_prefixes: head.common_prefixes, next: head.next })
}

#[cfg(test)]
mod tests {
    use weir_store::Record;
    use weir_types::CustomMeta;

    use super::*;

    fn at(mountpath: &str, target: &str) -> Place {
        Place { mountpath: mountpath.into(), target: target.into() }
    }

    #[test]
    fn a_page_arrives_as_it_was() {
        let mut rows = Rows::default();
        [("a", 1), ("b", 0)]
            .iter()
            .for_each(|(name, place)| rows.push_record(name, *place, &Record::default()));
        let sent = LocalPage {
            rows,
            places: vec![at("/mp1", ""), at("/mp2", "")],
            common_prefixes: vec!["p/".into()],
            next: Some("p/".into()),
        };
        let bytes = encode(sent.clone()).unwrap();
        let got = decode(&bytes, &"t1".into()).unwrap();
        assert_eq!(got, LocalPage { places: vec![at("/mp1", "t1"), at("/mp2", "t1")], ..sent });
        assert_eq!(got.place(&got.rows.get(0).unwrap()), at("/mp2", "t1"));
        assert!(decode(&bytes[..bytes.len() - 1], &"t1".into()).is_err());
    }

    #[test]
    fn a_page_too_long_is_cut_and_goes_on_where_it_was() {
        let mut custom = CustomMeta::default();
        custom.set("k", "v".repeat(2000)).unwrap();
        let name = |i: usize| format!("{i:06}");
        let record = Record { custom, ..Record::default() };
        let count = 2 * PEER_PAGE_BYTES_MAX / 2000;
        let mut rows = Rows::default();
        (0..count).for_each(|i| rows.push_record(&name(i), 0, &record));
        let common_prefixes = vec!["0/".into(), format!("{}/", name(count))];
        let page = LocalPage { rows, places: vec![at("/m", "")], common_prefixes, next: None };
        let got = decode(&encode(page).unwrap(), &"t".into()).unwrap();
        assert!(got.rows.len() > count / 3 && got.rows.len() < count);
        assert_eq!(got.next.as_deref(), got.rows.last().map(|row| row.name));
        assert_eq!(got.common_prefixes, ["0/"]);
    }
}
