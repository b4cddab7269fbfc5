//! JSON objects as AIS's decoder reads them: field names of any case, null as absent, unknown fields ignored.

use serde_json::{Map, Value};

use crate::AisError;

/// The fields of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'v>(Option<&'v Map<String, Value>>);

impl<'v> Fields<'v> {
    /// The fields of `value`; null has none. `what` names it in the error for anything else.
    pub(crate) fn of(value: &'v Value, what: &str) -> Result<Self, AisError> {
        match value {
            Value::Null => Ok(Self(None)),
            Value::Object(map) => Ok(Self(Some(map))),
            _ => Err(AisError::Bad(format!("invalid {what}: expected a JSON object"))),
        }
    }

    /// The value under `name`, of any case; null is absent.
    pub(crate) fn get(&self, name: &str) -> Option<&'v Value> {
        let map = self.0?;
        let exact = map.get(name);
        exact
            .or_else(|| map.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v))
            .filter(|v| !v.is_null())
    }

    /// A text; empty when absent.
    pub(crate) fn text(&self, name: &str) -> Result<&'v str, AisError> {
        self.get(name).map_or(Ok(""), |v| v.as_str().ok_or_else(|| wrong(name, "a text")))
    }

    /// A boolean; none when absent.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, AisError> {
        self.get(name).map(|v| v.as_bool().ok_or_else(|| wrong(name, "true or false"))).transpose()
    }

    /// A number that is not negative, plain or as text; 0 when absent.
    pub(crate) fn number(&self, name: &str) -> Result<u64, AisError> {
        match self.get(name) {
            None => Ok(0),
            Some(Value::String(s)) if s.is_empty() => Ok(0),
            Some(Value::String(s)) => s.parse().map_err(|_| wrong(name, "a number")),
            Some(v) => v.as_u64().ok_or_else(|| wrong(name, "a number")),
        }
    }
}

fn wrong(name: &str, expected: &str) -> AisError {
    AisError::Bad(format!("invalid {name:?}: expected {expected}"))
}
