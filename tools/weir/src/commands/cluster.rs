use clap::{Args, Subcommand};
use serde_json::{Value, json};
use ureq::http::Method;

use super::Context;
use crate::client::Payload;
use crate::error::ToolError;

#[derive(Subcommand, Debug)]
pub(crate) enum ClusterCommand {
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

fn act(context: &Context, action: &str, value: Value) -> Result<(), ToolError> {
    let body = json!({ "action": action, "value": value });
    context.client.send(Method::PUT, "/v1/cluster", &[], Payload::Json(&body)).map(drop)
}
