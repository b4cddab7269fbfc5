use clap::Args;
use serde_json::{Map, Value, json};

use super::Context;
use crate::error::ToolError;
use crate::uri::BucketUri;

#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// Buckets, as in ais://data
    #[arg(required = true, value_name = "BUCKET")]
    buckets: Vec<BucketUri>,
    /// A property that differs from the node's default, as in checksum.type=md5; may be repeated
    #[arg(long = "prop", short, value_name = "NAME=VALUE", value_parser = property)]
    props: Vec<(String, Value)>,
    /// A bucket that is there already is no error
    #[arg(long)]
    exists_ok: bool,
}

pub(crate) fn run(context: &Context, args: CreateArgs) -> Result<(), ToolError> {
    let props = if args.props.is_empty() { Value::Null } else { nested(args.props)? };
    for BucketUri(bucket) in &args.buckets {
        match context.client.create_bucket(bucket, &props) {
            Err(ToolError::Refused { status: 409, .. }) if args.exists_ok => {}
            other => other?,
        }
    }
    let names: Vec<_> = args.buckets.iter().map(|b| b.0.to_string()).collect();
    context.output.result(&json!({ "created": names }), |out| {
        names.iter().try_for_each(|name| writeln!(out, "created {name}"))
    })
}

/// `a.b=1`: JSON where the value is JSON, text otherwise.
fn property(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.split('.').any(str::is_empty) {
        return Err(format!("{name:?} is no property name"));
    }
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

/// `{"a.b": 1}` to `{"a": {"b": 1}}`.
fn nested(props: Vec<(String, Value)>) -> Result<Value, ToolError> {
    let mut root = Map::new();
    for (name, value) in props {
        let mut parts: Vec<_> = name.split('.').collect();
        let last = parts.pop().unwrap_or_default();
        let mut place = &mut root;
        for part in parts {
            let inner = place.entry(part).or_insert_with(|| Value::Object(Map::new()));
            let wrong = || ToolError::Usage(format!("property {name}: {part} already has a value"));
            place = inner.as_object_mut().ok_or_else(wrong)?;
        }
        place.insert(last.to_owned(), value);
    }
    Ok(Value::Object(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_nest() {
        let check = |texts: &[&str], expected: Option<Value>| {
            let props = texts.iter().map(|t| property(t).unwrap()).collect();
            assert_eq!(nested(props).ok(), expected);
        };
        let both = json!({"mirror": {"enabled": true, "copies": 2}, "etag": "fast"});
        check(&["mirror.enabled=true", "mirror.copies=2", "etag=fast"], Some(both));
        check(&["a=1", "a.b=2"], None);
        assert!(property("a").is_err() && property("a..b=1").is_err() && property("=1").is_err());
    }
}
