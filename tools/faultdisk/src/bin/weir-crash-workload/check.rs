//! Recovers what a crash left, reads every name and the listing, and writes once more.

use crate::content::{Value, bytes};
use crate::node::{Life, Node, bucket, live};
use crate::run::RELAXED;
use crate::skipping::Skip;
use crate::{Failure, environment, say};
use std::collections::BTreeSet;
use weir_faultdisk::history::{ABSENT, Allowed, read_allowed};
use weir_store::{Change, Disk, Expected, ListQuery, Object, Put, Record, StoreError, Terms, WriteOptions};
use weir_types::ObjectName;

/// Larger than any number of names here.
const LIST_MAX: usize = 100_000;

pub(crate) fn check() -> Result<(), Failure> {
    // Another life of the host than the one that wrote.
    let life = Life { root: environment("FAULTDISK_MNT")?, boot: 2, skip: Skip::Nothing };
    let allowed = read_allowed(&environment("FAULTDISK_ALLOWED")?)?;
    live(&life, |node| look(node, allowed))
}

async fn look(node: Node, allowed: Vec<Allowed>) -> Result<(), Failure> {
    let mut present = BTreeSet::new();
    for a in &allowed {
        match found(&node, &a.name).await? {
            Err(torn) => say(&format!("torn {}: {torn}", a.name)),
            Ok(found) => {
                if found.is_some() {
                    present.insert(a.name.clone());
                }
                let found = found.map_or_else(|| ABSENT.to_owned(), |v| v.to_string());
                if !a.admits(&found) {
                    say(&format!("lost {}: acknowledged {}, found {found}", a.name, a.acked));
                }
            }
        }
    }
    let query = ListQuery { limit: LIST_MAX, ..ListQuery::default() };
    let page = node.volume.list(&bucket()?, &query).await?;
    let listed: BTreeSet<String> = page.rows.iter().map(|row| row.name.to_owned()).collect();
    // A relaxed object of another life of the host is looked at when it is read; until then it is listed.
    for name in listed.difference(&present).filter(|n| !n.contains(RELAXED)) {
        say(&format!("torn {name}: listed, but nobody was promised it or it cannot be read"));
    }
    for name in present.difference(&listed) {
        say(&format!("lost {name}: it can be read, but the listing leaves it out"));
    }
    write_once_more(&node).await
}

/// What a name holds; the inner error says why it is nothing that was ever written.
async fn found(node: &Node, name: &str) -> Result<Result<Option<Value>, String>, Failure> {
    let object = match node.volume.open(&bucket()?, &ObjectName::new(name)?).await {
        Ok(object) => object,
        Err(e) if e.is_not_found() => return Ok(Ok(None)),
        Err(e) => return Ok(Err(e.to_string())),
    };
    let content = match read(&object).await {
        Ok(content) => content,
        Err(e) => return Ok(Err(e.to_string())),
    };
    let Some(value) = value_of(object.record()) else {
        return Ok(Err(format!("metadata that nobody wrote: {:?}", object.record().custom)));
    };
    if content != bytes(name, value.version, value.size) {
        return Ok(Err(format!("bytes that are not those of {value}")));
    }
    Ok(Ok(Some(value)))
}

fn value_of(record: &Record) -> Option<Value> {
    let number = |key| record.custom.get(key).and_then(|v| v.parse().ok());
    Some(Value { version: number("version")?, size: record.size, custom: number("custom")? })
}

async fn read<D: Disk>(object: &Object<D>) -> Result<Vec<u8>, StoreError> {
    let mut content = Vec::with_capacity(object.size() as usize);
    for chunk in object.chunks(object.all()) {
        content.extend_from_slice(object.read(chunk).await?.bytes());
    }
    Ok(content)
}

/// A recovered mountpath takes changes.
async fn write_once_more(node: &Node) -> Result<(), Failure> {
    let options = WriteOptions { size_hint: Some(0), ..WriteOptions::default() };
    let prepared = node.volume.writer(&options).await?.finish(&Expected::default()).await?;
    let (bucket, name) = (bucket()?, ObjectName::new("after/the/crash")?);
    let put = Put {
        bucket,
        name,
        prepared,
        terms: Terms::default(),
        attrs: weir_store::Attrs::default(),
        flight: None,
        upload: None,
    };
    node.change(Change::Put(Box::new(put))).await.map(drop)
}
