use serde_json::Value;
use weir_types::limits::PARTS_MAX;

use crate::AisError;
use crate::json_fields::Fields;

/// A part as the request to complete an upload names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRef {
    /// From 1.
    pub number: u32,
    /// Its ETag; may be empty, which matches any.
    pub etag: String,
}

impl PartRef {
    /// Reads `[{"part-number":1,"etag":""}, …]` and puts it in ascending order: clients send parts in the order they
    /// were added. An empty list and a part named twice are refused.
    pub fn read_list(value: &Value) -> Result<Vec<Self>, AisError> {
        let items = match value {
            Value::Array(items) if !items.is_empty() => items,
            Value::Null | Value::Array(_) => {
                return Err(AisError::Bad(
                    "multipart completion names no part: expected at least one".into(),
                ));
            }
            _ => return Err(AisError::Bad("invalid list of parts: expected a JSON array".into())),
        };
        if items.len() > PARTS_MAX as usize {
            return Err(AisError::Bad(format!("{} parts: expected at most {PARTS_MAX}", items.len())));
        }
        let mut parts = items.iter().map(Self::read).collect::<Result<Vec<_>, _>>()?;
        parts.sort_by_key(|p| p.number);
        match parts.windows(2).find(|pair| matches!(pair, [a, b] if a.number == b.number)) {
            Some([twice, ..]) => Err(AisError::Bad(format!("part {} is named twice", twice.number))),
            _ => Ok(parts),
        }
    }

    fn read(value: &Value) -> Result<Self, AisError> {
        let fields = Fields::of(value, "part")?;
        let number = fields.number("part-number")?;
        let number = u32::try_from(number).ok().filter(|n| (1..=PARTS_MAX).contains(n));
        let number =
            number.ok_or_else(|| AisError::Bad(format!("invalid part-number: expected 1 to {PARTS_MAX}")))?;
        Ok(Self { number, etag: fields.text("etag")?.trim_matches('"').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists() {
        let numbers =
            |v: Value| PartRef::read_list(&v).map(|l| l.iter().map(|p| p.number).collect::<Vec<_>>());
        assert_eq!(
            numbers(json!([{"part-number": 2, "etag": ""}, {"part-number": 1, "etag": null}])),
            Ok(vec![1, 2])
        );
        assert_eq!(numbers(json!([{"Part-Number": 10_000}])), Ok(vec![10_000]));
        for bad in [
            json!(null),
            json!([]),
            json!({}),
            json!([{"part-number": 0}]),
            json!([{"part-number": 10_001}]),
            json!([{"part-number": -1}]),
            json!([{"part-number": 1}, {"part-number": 1}]),
            json!([1]),
        ] {
            assert_eq!(numbers(bad.clone()).unwrap_err().status(), 400, "{bad}");
        }
        let quoted = PartRef::read_list(&json!([{"part-number": 1, "etag": "\"abc\""}])).unwrap();
        assert_eq!(quoted[0].etag, "abc");
    }
}
