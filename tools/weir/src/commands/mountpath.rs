//! Mountpaths of targets: shown, taken in, taken out.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use ureq::http::Method;

use super::Context;
use crate::client::Payload;
use crate::error::ToolError;
use crate::output::printable;

/// Between two looks at a resilver.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Subcommand, Debug)]
pub(crate) enum MountpathCommand {
    /// Show mountpaths with their state and space
    List(ListArgs),
    /// Take a directory in: objects move to it while the node serves
    Attach(AttachArgs),
    /// Move what a mountpath holds to the others, then take it off the node
    Detach(LeaveArgs),
    /// Use a mountpath again that is out of service
    Enable(ChangeArgs),
    /// Move what a mountpath holds to the others, then take it out of service
    Disable(LeaveArgs),
    /// Read and write a little on a mountpath; if that fails it is taken out of service: a moment later the list says so
    Check(CheckArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only those of this target
    #[arg(long, value_name = "ID")]
    node: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ChangeArgs {
    /// Its directory, as the node knows it
    path: String,
    /// The target; not needed where there is one
    #[arg(long, value_name = "ID")]
    node: Option<String>,
    /// Do not wait until everything is where it belongs
    #[arg(long)]
    no_wait: bool,
}

#[derive(Args, Debug)]
pub(crate) struct AttachArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// What to call it in lists
    #[arg(long)]
    label: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Its directory, as the node knows it
    path: String,
    /// The target; not needed where there is one
    #[arg(long, value_name = "ID")]
    node: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct LeaveArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// At once, with all it holds: detached, that is given up; disabled, its names answer 503 until it is enabled
    #[arg(long)]
    no_resilver: bool,
}

pub(crate) fn run(context: &Context, command: MountpathCommand) -> Result<(), ToolError> {
    match command {
        MountpathCommand::List(args) => list(context, args.node.as_deref()),
        MountpathCommand::Attach(args) => {
            let label = args
                .label
                .map(|label| format!("?mountpath_label={}", utf8_percent_encode(&label, NON_ALPHANUMERIC)));
            change(context, Method::PUT, "attach-mp", &args.change, &label.unwrap_or_default())
        }
        MountpathCommand::Enable(args) => change(context, Method::POST, "enable-mp", &args, ""),
        MountpathCommand::Detach(args) => {
            change(context, Method::DELETE, "detach-mp", &args.change, how(args.no_resilver))
        }
        MountpathCommand::Disable(args) => {
            change(context, Method::POST, "disable-mp", &args.change, how(args.no_resilver))
        }
        MountpathCommand::Check(args) => {
            let args = ChangeArgs { path: args.path, node: args.node, no_wait: true };
            change(context, Method::POST, "fshc-mp", &args, "")
        }
    }
}

fn how(no_resilver: bool) -> &'static str {
    if no_resilver { "?dntres=true" } else { "" }
}

/// IDs of the targets on the map.
fn targets(context: &Context) -> Result<Vec<String>, ToolError> {
    let map = context.client.json(Method::GET, "/v1/daemon?what=smap", Payload::None)?;
    let targets = map.pointer("/tmap").and_then(Value::as_object);
    Ok(targets.into_iter().flatten().map(|(id, _)| id.clone()).collect())
}

fn target(context: &Context, node: Option<&str>) -> Result<String, ToolError> {
    if let Some(node) = node {
        return Ok(node.to_owned());
    }
    match targets(context)?.as_slice() {
        [only] => Ok(only.clone()),
        all => Err(ToolError::Usage(format!("which target? --node, one of: {}", all.join(", ")))),
    }
}

/// What a target says of itself.
fn about(context: &Context, target: &str, what: &str, body: Payload<'_>) -> Result<Value, ToolError> {
    let path = format!("/v1/reverse/daemon?what={what}");
    let headers = [("Ais-Node-Id", target.to_owned())];
    let mut response = context.client.send(Method::GET, &path, &headers, body)?;
    response.body_mut().read_json().map_err(|e| ToolError::Protocol {
        what: path,
        expected: "JSON",
        got: e.to_string(),
    })
}

fn list(context: &Context, node: Option<&str>) -> Result<(), ToolError> {
    let nodes = match node {
        Some(node) => vec![node.to_owned()],
        None => targets(context)?,
    };
    let mut all = serde_json::Map::new();
    for node in nodes {
        let states = about(context, &node, "mountpaths", Payload::None)?;
        let space = about(context, &node, "disk", Payload::None)?;
        let mut paths = BTreeMap::new();
        for (state, word) in
            [("available", "in service"), ("waiting_dd", "leaving"), ("disabled", "out of service")]
        {
            for path in states.get(state).and_then(Value::as_array).into_iter().flatten() {
                let Some(path) = path.as_str() else { continue };
                let space = space.pointer("/mountpaths").and_then(|all| all.get(path));
                let field = |name: &str| space.and_then(|s| s.get(name)).cloned().unwrap_or(Value::Null);
                let row = json!({
                    "state": word,
                    "label": field("mountpath_label"),
                    "used": field("used"),
                    "avail": field("avail"),
                    "pct_used": field("pct_used"),
                    "disks": field("disks"),
                });
                paths.insert(path.to_owned(), row);
            }
        }
        all.insert(node, json!(paths));
    }
    context.output.result(&Value::Object(all.clone()), |out| {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["target", "mountpath", "label", "state", "used %", "free GiB", "disks"]);
        for (node, paths) in &all {
            for (path, row) in paths.as_object().into_iter().flatten() {
                let text = |name: &str| match row.get(name) {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Array(names)) => {
                        names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
                    }
                    Some(Value::Null) | None => String::new(),
                    Some(other) => other.to_string(),
                };
                let free = text("avail").parse::<u64>().map(|bytes| (bytes >> 30).to_string());
                let row = [
                    node.clone(),
                    path.clone(),
                    printable(&text("label")),
                    text("state"),
                    text("pct_used"),
                    free.unwrap_or_default(),
                    text("disks"),
                ];
                table.add_row(row);
            }
        }
        writeln!(out, "{table}")
    })
}

fn change(
    context: &Context,
    method: Method,
    action: &str,
    args: &ChangeArgs,
    query: &str,
) -> Result<(), ToolError> {
    let target = target(context, args.node.as_deref())?;
    let body = json!({ "action": action, "value": args.path });
    let path = format!("/v1/reverse/daemon/mountpaths{query}");
    let headers = [("Ais-Node-Id", target.clone())];
    context.client.send(method, &path, &headers, Payload::Json(&body))?;
    if args.no_wait || query == how(true) {
        return Ok(());
    }
    let stays = matches!(action, "attach-mp" | "enable-mp");
    wait(context, &target, &args.path, stays)
}

/// Waits until a mountpath is in service, or out of it, and the target's resilver is over; tells how far that is.
fn wait(context: &Context, target: &str, path: &str, stays: bool) -> Result<(), ToolError> {
    let mut told = (String::new(), String::new());
    loop {
        // A resilver begins a moment after the change that needs it.
        sleep(LOOK);
        let states = about(context, target, "mountpaths", Payload::None)?;
        let has = |state: &str| {
            let paths = states.get(state).and_then(Value::as_array);
            paths.is_some_and(|paths| paths.iter().any(|p| p == path))
        };
        let there = has("available") == stays && !has("waiting_dd");
        let snap = resilver(context, target)?;
        let count = |name: &str| {
            let count = snap.pointer("/stats").and_then(|stats| stats.get(name));
            count.and_then(Value::as_str).unwrap_or("0").to_owned()
        };
        let now = (count("loc-objs"), count("loc-bytes"));
        if context.progress && told != now {
            eprintln!("moved {} objects, {} bytes", now.0, now.1);
            told = now;
        }
        let ended = snap.get("end-time").and_then(Value::as_str).is_none_or(|t| !t.starts_with("0001"));
        let failed = snap.get("err").and_then(Value::as_str).filter(|error| !error.is_empty());
        match (ended, failed) {
            (true, Some(error)) => return Err(ToolError::Refused { status: 500, message: error.to_owned() }),
            (true, None) if there => return Ok(()),
            _ => {}
        }
    }
}

/// The target's part of its last resilver; null if there was none.
fn resilver(context: &Context, target: &str) -> Result<Value, ToolError> {
    let query = json!({ "kind": "resilver" });
    let snaps = about(context, target, "qryxstats", Payload::Json(&query))?;
    let snaps = snaps.get(target).and_then(Value::as_array).cloned().unwrap_or_default();
    let begun = |snap: &Value| snap.get("start-time").and_then(Value::as_str).map(str::to_owned);
    Ok(snaps.into_iter().max_by_key(begun).unwrap_or_default())
}
