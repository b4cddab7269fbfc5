use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use ureq::http::Method;

use super::Context;
use crate::client::Payload;
use crate::error::ToolError;

#[derive(Subcommand, Debug)]
pub(crate) enum ClusterCommand {
    /// Print the configuration with which a new node joins this cluster
    Add(AddArgs),
    /// Let a gateway lead
    SetPrimary(NodeArgs),
    /// Give a node no names until its maintenance is over
    Maintenance(MaintenanceArgs),
    /// Let a node leave for good. What a target holds moves to the others first
    Remove(RemoveArgs),
    /// Stop a node's process; the node stays on the map
    Stop(NodeArgs),
}

#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// What the node is to be
    #[arg(long, value_enum, default_value_t = NewRole::Target)]
    role: NewRole,
    /// Its address for clients
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Its address for other nodes, about the cluster; without it, the port after that for clients
    #[arg(long, value_name = "IP:PORT")]
    intra_control: Option<SocketAddr>,
    /// Its address for other nodes, for objects; without it, the second port after that for clients
    #[arg(long, value_name = "IP:PORT")]
    intra_data: Option<SocketAddr>,
    /// Directory of its own state
    #[arg(long, default_value = "/var/lib/weir")]
    dir: PathBuf,
    /// A disk of it; repeated
    #[arg(long)]
    mountpath: Vec<PathBuf>,
    /// File with the secret that all nodes of the cluster share
    #[arg(long, default_value = "/etc/weir.secret")]
    join_secret: PathBuf,
}

#[derive(ValueEnum, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
enum NewRole {
    Gateway,
    Target,
    Both,
}

/// What a node must be told to join; the rest has defaults.
#[derive(Serialize, Debug)]
struct NewNode {
    role: NewRole,
    dir: PathBuf,
    listen: SocketAddr,
    intra_control: SocketAddr,
    intra_data: SocketAddr,
    seeds: Vec<String>,
    join_secret: PathBuf,
    mountpaths: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct NodeArgs {
    /// Its ID, as `weir show cluster` has it
    node: String,
}

#[derive(Args, Debug)]
pub(crate) struct MaintenanceArgs {
    /// Its ID, as `weir show cluster` has it
    node: String,
    /// It is over
    #[arg(long)]
    stop: bool,
    /// Move nothing: the objects of a target are out of reach until it is over
    #[arg(long, conflicts_with = "stop")]
    no_rebalance: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RemoveArgs {
    /// Its ID, as `weir show cluster` has it
    node: String,
    /// Take it off the map though it cannot be asked: what only it holds is lost to the cluster
    #[arg(long)]
    lost: bool,
}

pub(crate) fn run(context: &Context, command: ClusterCommand) -> Result<(), ToolError> {
    match command {
        ClusterCommand::Add(args) => add(context, args),
        ClusterCommand::SetPrimary(args) => {
            let path = format!("/v1/cluster/proxy/{}", args.node);
            context.client.send(Method::PUT, &path, &[], Payload::None).map(drop)
        }
        ClusterCommand::Maintenance(args) => {
            let action = if args.stop { "stop-maintenance" } else { "start-maintenance" };
            act(context, action, json!({ "sid": args.node, "skip_rebalance": args.no_rebalance }))
        }
        ClusterCommand::Remove(args) => {
            let action = if args.lost { "rm-unsafe" } else { "decommission-node" };
            act(context, action, json!({ "sid": args.node }))
        }
        ClusterCommand::Stop(args) => act(context, "shutdown-node", json!({ "sid": args.node })),
    }
}

fn add(context: &Context, args: AddArgs) -> Result<(), ToolError> {
    if (args.role == NewRole::Gateway) != args.mountpath.is_empty() {
        let text = "expected --mountpath for a target or both, and none for a gateway";
        return Err(ToolError::Usage(text.into()));
    }
    let after = |ports: u16| {
        let port = args.listen.port().checked_add(ports);
        port.map(|port| SocketAddr::new(args.listen.ip(), port)).ok_or_else(|| {
            ToolError::Usage(format!("expected a port with {ports} more after it: {}", args.listen))
        })
    };
    let map = context.client.json(Method::GET, "/v1/daemon?what=smap", Payload::None)?;
    let node = NewNode {
        role: args.role,
        intra_control: args.intra_control.map_or_else(|| after(1), Ok)?,
        intra_data: args.intra_data.map_or_else(|| after(2), Ok)?,
        dir: args.dir,
        listen: args.listen,
        seeds: seeds(&map)?,
        join_secret: args.join_secret,
        mountpaths: args.mountpath,
    };
    let text = toml::to_string(&node).map_err(|error| ToolError::Usage(error.to_string()))?;
    context.output.result(&json!(node), |out| {
        writeln!(out, "# For `weir serve --config` on the new node, with the cluster's secret in join_secret. Off loopback")?;
        writeln!(out, "# it needs [auth] as the other nodes have it. It joins by itself when it starts.")?;
        write!(out, "{text}")
    })
}

/// Where the gateways of a map are reached by other nodes.
fn seeds(map: &Value) -> Result<Vec<String>, ToolError> {
    let of = |node: &Value, net: &str| {
        let url = node.pointer(&format!("/{net}/direct_url")).and_then(Value::as_str)?;
        Some(url.split_once("://").map_or(url, |(_, authority)| authority).to_owned())
    };
    let gateways = map.pointer("/pmap").and_then(Value::as_object).into_iter().flatten();
    let seeds = gateways.filter_map(|(_, node)| {
        let control = of(node, "intra_control_net")?;
        (Some(&control) != of(node, "public_net").as_ref()).then_some(control)
    });
    let seeds: Vec<String> = seeds.collect();
    match seeds.is_empty() {
        true => Err(ToolError::Usage(
            "this cluster is one process by itself: give it intra_control, intra_data and join_secret first"
                .into(),
        )),
        false => Ok(seeds),
    }
}

fn act(context: &Context, action: &str, value: Value) -> Result<(), ToolError> {
    let body = json!({ "action": action, "value": value });
    context.client.send(Method::PUT, "/v1/cluster", &[], Payload::Json(&body)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(public: &str, control: &str) -> Value {
        json!({"public_net": {"direct_url": public}, "intra_control_net": {"direct_url": control}})
    }

    #[test]
    fn a_node_reads_what_it_is_to_be_told() {
        let address = |port| SocketAddr::from(([192, 0, 2, 7], port));
        let node = NewNode {
            role: NewRole::Target,
            dir: "/var/lib/weir".into(),
            listen: address(8080),
            intra_control: address(8081),
            intra_data: address(8082),
            seeds: vec!["h1:8081".into()],
            join_secret: "/etc/weir.secret".into(),
            mountpaths: vec!["/disks/0".into(), "/disks/a \"b\"".into()],
        };
        let read: weir_node::NodeConfig = toml::from_str(&toml::to_string(&node).unwrap()).unwrap();
        assert_eq!(
            (read.listen, read.intra_control, read.intra_data),
            (node.listen, Some(node.intra_control), Some(node.intra_data))
        );
        assert_eq!(
            (read.seeds, read.mountpaths, read.join_secret),
            (node.seeds, node.mountpaths, node.join_secret)
        );
        assert_eq!(serde_json::to_value(read.role).unwrap(), "target");
    }

    #[test]
    fn a_new_node_asks_all_gateways() {
        let map = json!({"pmap": {
            "p1": gateway("http://h1:8080", "http://h1:8081"),
            "p2": gateway("https://h2:8080", "https://h2:8081"),
        }});
        assert_eq!(seeds(&map).unwrap(), ["h1:8081", "h2:8081"]);
        let alone = json!({"pmap": {"p1": gateway("http://h1:8080", "http://h1:8080")}});
        assert!(matches!(seeds(&alone), Err(ToolError::Usage(_))));
    }
}
