//! Settings as nested JSON, and JSON as assignments by dotted name.

use serde_json::{Map, Value};
use weir_cluster::{ClusterError, Patch, Scalar, Settings};

use crate::AisError;

/// The settings as a JSON object in AIS's shape.
pub fn settings_json(settings: &dyn Settings) -> Map<String, Value> {
    let mut root = Map::new();
    settings.walk("", &mut |name, value| {
        let value = match value {
            Scalar::Section => Value::Object(Map::new()),
            Scalar::Bool(b) => b.into(),
            Scalar::Int(n) => n.into(),
            Scalar::Text(t) => t.into(),
            Scalar::List(l) => l.into(),
        };
        if !name.is_empty() {
            insert(&mut root, name, value);
        }
    });
    root
}

/// Sections are shown before their members, so every parent is there.
fn insert(root: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            root.insert(name.to_owned(), value);
        }
        Some((first, rest)) => {
            if let Some(Value::Object(section)) = root.get_mut(first) {
                insert(section, rest, value);
            }
        }
    }
}

/// A partial JSON object as assignments. Null is absent.
fn flatten(prefix: &str, value: &Value, out: &mut Vec<(String, String)>) -> Result<(), AisError> {
    let text = match value {
        Value::Null => return Ok(()),
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&name, value, out)?;
            }
            return Ok(());
        }
        Value::Object(_) => String::new(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.clone(),
        Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            texts
                .ok_or_else(|| AisError::Bad(format!("invalid {prefix:?}: expected a list of texts")))?
                .join(",")
        }
    };
    out.push((prefix.to_owned(), text));
    Ok(())
}

/// The assignments that a partial JSON object makes to a `T`, as a patch. Names that `T` does not have are
/// ignored, as AIS's decoder ignores unknown fields; values that do not fit are errors. `force` is taken from the
/// member of that name.
pub fn assignments<T: Settings + Default>(value: &Value) -> Result<Patch<T>, AisError> {
    let mut all = Vec::new();
    flatten("", value, &mut all)?;
    let is_force = |name: &str| name.eq_ignore_ascii_case("force");
    let force = all.iter().any(|(name, text)| is_force(name) && text == "true");
    let mut known = Vec::new();
    for (name, text) in all {
        let one = Patch::<T>::new([(name.clone(), text.clone())], false);
        match one {
            Ok(_) => known.push((name, text)),
            Err(ClusterError::UnknownKey { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(Patch::new(known, force)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_cluster::{BucketProps, ClusterConfig};

    use super::*;

    #[test]
    fn assignments_of_json() {
        let check = |value: Value, expected: &[(&str, &str)], force: bool| {
            let patch: Patch<BucketProps> = assignments(&value).unwrap();
            assert_eq!(patch.iter().collect::<Vec<_>>(), expected, "{value}");
            assert_eq!(patch.force(), force);
        };
        check(Value::Null, &[], false);
        check(
            json!({"mirror": {"enabled": true, "copies": 2}, "force": true}),
            &[("mirror.copies", "2"), ("mirror.enabled", "true")],
            true,
        );
        check(
            json!({"Versioning": {"Enabled": false}, "ec": null}),
            &[("Versioning.Enabled", "false")],
            false,
        );
        check(
            json!({"access": "255", "bid": "7", "provider": "ais", "nonsense": {"x": 1}}),
            &[("access", "255")],
            false,
        );
        check(
            json!({"backend_bck": {"name": "x", "provider": "aws", "namespace": null}}),
            &[("backend_bck.name", "x"), ("backend_bck.provider", "aws")],
            false,
        );
        check(json!({"durability": "relaxed"}), &[("durability", "relaxed")], false);
        for bad in [json!({"lru": {"enabled": "maybe"}}), json!({"mirror": {"copies": [1]}})] {
            assert!(assignments::<BucketProps>(&bad).is_err(), "{bad}");
        }
        let patch: Patch<ClusterConfig> =
            assignments(&json!({"backend": {"aws": {}, "ais": {"a": ["u1", "u2"]}}})).unwrap();
        assert_eq!(patch.iter().collect::<Vec<_>>(), [("backend.ais.a", "u1,u2"), ("backend.aws", "")]);
    }

    #[test]
    fn json_gives_the_settings_back() {
        let config = ClusterConfig::default();
        let value = Value::Object(settings_json(&config));
        let patch: Patch<ClusterConfig> = assignments(&value).unwrap();
        assert_eq!(config.patched(&patch).unwrap(), config);
        assert_eq!(value["net"]["http"]["idle_conn_time"], "6s");
        assert_eq!(value["space"]["highwm"], 90);
        assert_eq!(value["backend"], json!({}));
        assert_eq!(value["auth"]["client_auth_required"], false);
        assert_eq!(value["features"], "0");
    }
}
