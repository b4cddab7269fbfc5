use serde_json::Value;

use crate::AisError;
use crate::json_fields::Fields;

/// The body of most AIS requests: `{"action":..,"name":..,"value":..}`, all optional.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ActionMsg {
    /// What to do; empty where the method says it.
    pub action: String,
    /// To what.
    pub name: String,
    /// How: any JSON, or JSON once more as a text.
    pub value: Value,
}

impl ActionMsg {
    /// Reads a body. An empty one is an empty message.
    pub fn parse(body: &[u8]) -> Result<Self, AisError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let json: Value = serde_json::from_slice(body)
            .map_err(|e| AisError::Bad(format!("failed to read action message: {e}")))?;
        let fields = Fields::of(&json, "action message")?;
        Ok(Self {
            action: fields.text("action")?.to_owned(),
            name: fields.text("name")?.to_owned(),
            value: fields.get("value").cloned().unwrap_or_default(),
        })
    }

    /// The value, unwrapped if it is JSON inside a text.
    pub fn value(&self) -> Result<Value, AisError> {
        match &self.value {
            Value::String(text) if text.trim().is_empty() => Ok(Value::Null),
            Value::String(text) => serde_json::from_str(text)
                .map_err(|e| AisError::Bad(format!("failed to read value of {:?}: {e}", self.action))),
            other => Ok(other.clone()),
        }
    }

    /// The error for an action that does not exist `what`-wise.
    pub(crate) fn unknown(&self, what: &'static str) -> AisError {
        AisError::Action { action: self.action.clone(), what }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages() {
        let check = |body: &str, action: &str, name: &str, value: Value| {
            let msg = ActionMsg::parse(body.as_bytes()).unwrap();
            assert_eq!(
                (msg.action.as_str(), msg.name.as_str(), msg.value().unwrap()),
                (action, name, value),
                "{body}"
            );
        };
        check("", "", "", Value::Null);
        check(" \n", "", "", Value::Null);
        check("null", "", "", Value::Null);
        check(r#"{"action":"list","name":"","value":null}"#, "list", "", Value::Null);
        check(
            r#"{"Action":"start","NAME":null,"Value":{"Kind":"lru"},"x":1}"#,
            "start",
            "",
            json!({"Kind": "lru"}),
        );
        check(
            r#"{"action":"ec-encode","value":"{\"data_slices\":1}"}"#,
            "ec-encode",
            "",
            json!({"data_slices": 1}),
        );
        for bad in ["[1]", "{", "\"x\"", r#"{"action":1}"#, "\u{1}"] {
            assert_eq!(ActionMsg::parse(bad.as_bytes()).unwrap_err().status(), 400, "{bad}");
        }
        let deep = "[".repeat(100_000);
        assert!(ActionMsg::parse(deep.as_bytes()).is_err());
    }
}
