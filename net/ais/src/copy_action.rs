//! Copying and renaming of buckets (AIS: `TCBMsg`, `TCOMsg`), as a request's value asks for it.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_cluster::{CopyKind, CopyOrder, Selection};
use weir_types::{Bucket, Provider};

use crate::AisError;
use crate::bucket_action::selection;
use crate::error::Unsupported;
use crate::json_fields::Fields;
use crate::shapes::bucket_json;

/// The order to copy a bucket, or to rename it, which has no value.
pub(crate) fn bucket_copy(
    value: &Value,
    from: &Bucket,
    to: Option<&Bucket>,
    outside: bool,
) -> Result<CopyOrder, AisError> {
    let to = to.ok_or_else(|| AisError::Bad("expected the destination in bck_to".into()))?;
    let fields = Fields::of(value, "message of a copy")?;
    let selection = Selection::Prefix(fields.text("prefix")?.to_owned());
    let outside = outside && from.provider.is_remote();
    let order = CopyOrder { outside, ..order(CopyKind::Bucket, &fields, from, to, selection)? };
    if order.from == order.to && !order.dry_run {
        return Err(AisError::Bad(format!("cannot copy bucket \"{from}\" onto itself")));
    }
    Ok(order)
}

/// The order to copy some objects; the value names the destination.
pub(crate) fn objects_copy(value: &Value, from: &Bucket) -> Result<CopyOrder, AisError> {
    let fields = Fields::of(value, "message of a copy")?;
    let to = destination(fields.get("tobck"))?;
    let order = order(CopyKind::Objects, &fields, from, &to, selection(value)?)?;
    let same_names = order.prepend.is_empty() && order.extensions.is_empty();
    if order.from == order.to && same_names && !order.dry_run {
        return Err(AisError::Bad(format!("cannot copy objects of \"{from}\" onto themselves")));
    }
    Ok(order)
}

/// The order to rename a bucket.
pub(crate) fn rename(from: &Bucket, to: Option<&Bucket>) -> Result<CopyOrder, AisError> {
    let to = to.ok_or_else(|| AisError::Bad("expected the new name in bck_to".into()))?;
    for bucket in [from, to] {
        if bucket.provider != Provider::Ais || !bucket.namespace.uuid.is_empty() {
            return Err(AisError::Bad(format!(
                "can only rename an AIS bucket to another (\"{bucket}\" is none)"
            )));
        }
    }
    if from == to {
        return Err(AisError::Bad(format!("cannot rename bucket \"{from}\" to itself")));
    }
    let all = Selection::Prefix(String::new());
    order(CopyKind::Rename, &Fields::of(&Value::Null, "nothing")?, from, to, all)
}

fn order(
    as_what: CopyKind,
    fields: &Fields<'_>,
    from: &Bucket,
    to: &Bucket,
    selection: Selection,
) -> Result<CopyOrder, AisError> {
    if to.provider.is_remote() || !to.namespace.uuid.is_empty() {
        return Err(Unsupported::new("copy", format!("into {to}: it is not of this cluster")).into());
    }
    let prepend = fields.text("prepend")?.to_owned();
    if fields.flag("synchronize")?.unwrap_or(false) {
        if !prepend.is_empty() {
            let text =
                format!("prepend ({prepend:?}) cannot be combined with the request to synchronize buckets");
            return Err(AisError::Bad(text));
        }
        return Err(Unsupported::new("synchronize", format!("{to} with {from}")).into());
    }
    // Of a bucket whose data of record is here there is no later version elsewhere.
    if fields.flag("latest-ver")?.unwrap_or(false) && from.provider.is_remote() {
        return Err(Unsupported::new("copy", format!("the latest versions of {from}")).into());
    }
    Ok(CopyOrder {
        as_what,
        from: from.clone(),
        from_bid: 0,
        to: to.clone(),
        to_bid: 0,
        selection,
        prepend,
        extensions: extensions(fields.get("ext"))?,
        flat: fields.flag("non-recurs")?.unwrap_or(false),
        dry_run: fields.flag("dry_run")?.unwrap_or(false),
        outside: false,
        workers: workers(fields.get("num-workers"))?,
    })
}

fn extensions(value: Option<&Value>) -> Result<BTreeMap<String, String>, AisError> {
    let wrong =
        || AisError::Bad("invalid \"ext\": expected extensions and what stands in their place".into());
    let map = match value {
        None => return Ok(BTreeMap::new()),
        Some(Value::Object(map)) => map,
        Some(_) => return Err(wrong()),
    };
    let pair = |(from, to): (&String, &Value)| Some((from.clone(), to.as_str()?.to_owned()));
    map.iter().map(|entry| pair(entry).ok_or_else(wrong)).collect()
}

/// 0: as many as the target finds right; AIS's -1 is one.
fn workers(value: Option<&Value>) -> Result<u16, AisError> {
    let number = value.map_or(Some(0), Value::as_i64);
    let number = number.filter(|n| *n >= -1).and_then(|n| u16::try_from(n.unsigned_abs()).ok());
    number.ok_or_else(|| AisError::Bad("invalid \"num-workers\": expected -1 to 65535".into()))
}

fn destination(value: Option<&Value>) -> Result<Bucket, AisError> {
    bucket_json(value.ok_or_else(|| AisError::Bad("expected the destination in tobck".into()))?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_types::BucketName;

    use super::*;

    fn bucket(provider: Provider, name: &str) -> Bucket {
        Bucket::global(provider, BucketName::new(name).unwrap())
    }

    #[test]
    fn buckets() {
        let (a, b) = (bucket(Provider::Ais, "a"), bucket(Provider::Ais, "b"));
        let value = json!({"prefix": "p/", "prepend": "new-", "ext": {"old": "new"}, "dry_run": false, "force": true,
            "latest-ver": true, "synchronize": false, "num-workers": 10, "non-recurs": true});
        let order = bucket_copy(&value, &a, Some(&b), true).unwrap();
        assert_eq!(order.selection, Selection::Prefix("p/".into()));
        assert_eq!((order.kind(), order.workers, order.flat, order.outside), ("copy-bck", 10, true, false));
        assert_eq!(order.name_of("p/x.old"), "new-p/x.new");
        let s3 = bucket(Provider::Aws, "s");
        assert!(bucket_copy(&Value::Null, &s3, Some(&b), true).unwrap().outside);
        let refused = |value: Value, from: &Bucket, to: Option<&Bucket>, status: u16| {
            assert_eq!(bucket_copy(&value, from, to, false).unwrap_err().status(), status, "{value}");
        };
        refused(Value::Null, &a, None, 400);
        refused(Value::Null, &a, Some(&a), 400);
        refused(Value::Null, &a, Some(&s3), 501);
        refused(json!({"latest-ver": true}), &s3, Some(&b), 501);
        refused(json!({"synchronize": true}), &a, Some(&b), 501);
        refused(json!({"synchronize": true, "prepend": "x"}), &a, Some(&b), 400);
        for bad in [
            json!({"ext": ["x"]}),
            json!({"ext": {"a": 1}}),
            json!({"num-workers": -2}),
            json!({"num-workers": "x"}),
            json!(7),
        ] {
            refused(bad, &a, Some(&b), 400);
        }
        assert!(bucket_copy(&json!({"dry_run": true}), &a, Some(&a), false).is_ok());
    }

    #[test]
    fn objects_and_renames() {
        let (a, b) = (bucket(Provider::Ais, "a"), bucket(Provider::Ais, "b"));
        let tobck = json!({"name": "b", "provider": "ais", "namespace": null});
        let value =
            json!({"tobck": tobck, "objnames": ["x", "y"], "prepend": "", "coer": false, "num-workers": -1});
        let order = objects_copy(&value, &a).unwrap();
        assert_eq!((&order.to, order.kind(), order.workers), (&b, "copy-listrange", 1));
        assert_eq!(order.selection, Selection::Names(vec!["x".into(), "y".into()]));
        assert!(objects_copy(&value, &b).is_err(), "onto themselves");
        for bad in [json!({}), json!({"tobck": "b"}), json!({"tobck": {"name": "a b"}})] {
            assert_eq!(objects_copy(&bad, &a).unwrap_err().status(), 400, "{bad}");
        }
        assert_eq!(rename(&a, Some(&b)).unwrap().kind(), "move-bck");
        let s3 = bucket(Provider::Aws, "s");
        for (from, to) in [(&a, None), (&a, Some(&a)), (&a, Some(&s3)), (&s3, Some(&b))] {
            assert_eq!(rename(from, to).unwrap_err().status(), 400);
        }
    }
}
