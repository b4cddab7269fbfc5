use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use ureq::http::Method;

use super::Context;
use crate::client::Payload;
use crate::error::ToolError;
use crate::uri::BucketUri;

#[derive(Subcommand, Debug)]
pub(crate) enum ShowCommand {
    /// Nodes, roles, addresses and map versions
    Cluster,
    /// A bucket's properties
    Bucket(ShowBucketArgs),
    /// The jobs that run, those of a kind, or what each target does of one
    Job(super::job::ShowJobArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ShowBucketArgs {
    /// The bucket, as in ais://data
    bucket: BucketUri,
    /// Only properties whose names begin so
    #[arg(default_value = "")]
    section: String,
}

pub(crate) fn run(context: &Context, command: ShowCommand) -> Result<(), ToolError> {
    match command {
        ShowCommand::Cluster => cluster(context),
        ShowCommand::Bucket(args) => bucket(context, &args),
        ShowCommand::Job(args) => super::job::show(context, &args),
    }
}

fn cluster(context: &Context) -> Result<(), ToolError> {
    let map = context.client.json(Method::GET, "/v1/daemon?what=smap", Payload::None)?;
    context.output.result(&map, |out| {
        let text = |v: &Value, path: &str| v.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
        writeln!(out, "cluster {}, map version {}", text(&map, "/uuid"), text(&map, "/version"))?;
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(["role", "node", "address", ""]);
        let primary = text(&map, "/proxy_si/daemon_id");
        for (key, role) in [("/pmap", "gateway"), ("/tmap", "target")] {
            for (id, node) in map.pointer(key).and_then(Value::as_object).into_iter().flatten() {
                let note = if *id == primary { "primary" } else { state(node) };
                table.add_row([role, id, &text(node, "/public_net/direct_url"), note]);
            }
        }
        writeln!(out, "{table}")
    })
}

/// What the map says of a node's state; nothing of one that does its work.
fn state(node: &Value) -> &'static str {
    const MAINTENANCE: u64 = 4;
    const DECOMMISSION: u64 = 8;
    match node.get("flags").and_then(Value::as_u64).unwrap_or_default() {
        flags if flags & DECOMMISSION != 0 => "leaving",
        flags if flags & MAINTENANCE != 0 => "in maintenance",
        _ => "",
    }
}

fn bucket(context: &Context, args: &ShowBucketArgs) -> Result<(), ToolError> {
    let props = context.client.bucket_props(&args.bucket.0)?;
    let mut rows = Vec::new();
    flatten("", &props, &mut rows);
    rows.retain(|(name, value)| name.starts_with(&args.section) && !is_left_over(name, value));
    if rows.is_empty() {
        return Err(ToolError::Usage(format!("no property's name begins with {:?}", args.section)));
    }
    let value = if args.section.is_empty() {
        props
    } else {
        json!(rows.iter().cloned().collect::<serde_json::Map<_, _>>())
    };
    context.output.result(&value, |out| {
        writeln!(out, "{}", args.bucket.0)?;
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(["property", "value"]);
        for (name, value) in &rows {
            table.add_row([name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
        }
        writeln!(out, "{table}")
    })
}

/// A field that AIS's clients expect and that says nothing here: no bucket is renamed.
fn is_left_over(name: &str, value: &Value) -> bool {
    name == "Renamed" && value == ""
}

/// `{"a": {"b": 1}}` to `a.b = 1`.
fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, Value)>) {
    match value.as_object() {
        Some(fields) if !fields.is_empty() => {
            let dot = if name.is_empty() { "" } else { "." };
            fields.iter().for_each(|(key, value)| flatten(&format!("{name}{dot}{key}"), value, rows));
        }
        _ => rows.push((name.to_owned(), value.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_name_of_a_renamed_bucket_is_left_out() {
        assert!(is_left_over("Renamed", &json!("")));
        assert!(!is_left_over("Renamed", &json!("b")) && !is_left_over("extra", &json!("")));
    }

    #[test]
    fn properties_flatten() {
        let mut rows = Vec::new();
        flatten("", &json!({"a": {"b": 1, "c": {}}, "d": "x"}), &mut rows);
        assert_eq!(rows, [("a.b".into(), json!(1)), ("a.c".into(), json!({})), ("d".into(), json!("x"))]);
    }
}
