//! `weir playground --gateways G --targets T`: a process for each node, on loopback.
//!
//! Node `i`, gateways first, is at `--port` + i for clients. Behind the ports of all nodes come those of their control
//! listeners, then those of their data listeners. Everything is below `--dir`: `cluster/secret`, and for each node
//! `cluster/p1`, `cluster/t1`, … with its mountpaths. The processes end with this one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::distr::Alphanumeric;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use ureq::http::Method;
use weir_types::limits::VOTERS_MAX;

use super::{PlaygroundArgs, READY_MAX, make};
use crate::client::{Client, Payload};
use crate::error::ToolError;

/// Nodes of one playground.
const NODES_MAX: usize = 64;
/// Characters of the secret that its nodes share.
const SECRET_CHARS: usize = 48;
/// I/O buffers of each shard: the nodes share a machine, and memory that is taken is memory to clear at the start.
const BUFFERS: &str = "64";
/// Between two looks whether a node is ready.
const LOOK: Duration = Duration::from_millis(10);

/// One node.
struct Node {
    name: String,
    url: String,
    child: Child,
}

/// The running nodes; told to stop, and waited for, when dropped.
pub(super) struct Cluster {
    nodes: Vec<Node>,
    gateways: usize,
}

impl Cluster {
    /// Starts all nodes at once. `origin` is the arguments and the environment that lead to the origin.
    pub(super) fn start(
        args: &PlaygroundArgs,
        dir: &Path,
        origins: &[String],
        keys: Option<(&str, &str)>,
    ) -> Result<Self, ToolError> {
        let (gateways, targets) = (args.gateways.unwrap_or(1), args.targets.unwrap_or(1));
        let all = gateways + targets;
        if gateways == 0 || targets == 0 || all > NODES_MAX {
            return Err(ToolError::Usage(format!(
                "expected a gateway, a target, and at most {NODES_MAX} nodes"
            )));
        }
        let last = usize::from(args.port) + 3 * all - 1;
        if last > usize::from(u16::MAX) {
            return Err(ToolError::Usage(format!(
                "--port: {all} nodes need {} ports from there on",
                3 * all
            )));
        }
        let root = dir.join("cluster");
        make(&root)?;
        let secret = secret(&root)?;
        let mut cluster = Self { nodes: Vec::new(), gateways };
        for i in 0..all {
            let (role, name) = match i.checked_sub(gateways) {
                None => ("gateway", format!("p{}", i + 1)),
                Some(target) => ("target", format!("t{}", target + 1)),
            };
            let at = |part: usize, i: usize| format!("127.0.0.1:{}", usize::from(args.port) + part * all + i);
            let mut command = Command::new(std::env::current_exe().map_err(ToolError::file("weir"))?);
            command.args(["serve", "--until-stdin-ends", "--no-pin", "--role", role, "--log", &args.log]);
            command.args(["--listen", &at(0, i), "--intra-control", &at(1, i), "--intra-data", &at(2, i)]);
            command.args(["--shards", &args.shards.max(1).to_string(), "--buffers", BUFFERS]);
            command.arg("--join-secret").arg(&secret).arg("--dir").arg(root.join(&name).join("node"));
            command.args((0..gateways).flat_map(|seed| ["--seed".to_owned(), at(1, seed)]));
            if role == "target" {
                for mountpath in (1..=args.mountpaths).map(|n| root.join(&name).join(format!("mp{n}"))) {
                    make(&mountpath)?;
                    command.arg("--mountpath").arg(mountpath);
                }
            }
            command.args(origins.iter().flat_map(|url| ["--origin", url]));
            if let Some((id, secret)) = keys {
                command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
                command.env("AWS_REGION", "us-east-1");
            }
            // A Ctrl-C goes to the whole group of a terminal: to a node it would be the second word, which ends it at once.
            command.process_group(0);
            let child = command.stdin(Stdio::piped()).spawn().map_err(ToolError::file("weir serve"))?;
            cluster.nodes.push(Node { name, url: format!("http://{}", at(0, i)), child });
        }
        Ok(cluster)
    }

    /// Waits until every node is ready and knows all others, and the gateways vote.
    pub(super) fn ready(&mut self) -> Result<(), ToolError> {
        let begin = Instant::now();
        let wanted = (self.gateways, self.nodes.len() - self.gateways);
        for (i, node) in self.nodes.iter_mut().enumerate() {
            let settled = |client: &Client| -> Result<bool, ToolError> {
                client.ready()?;
                Ok(known(client)? == wanted && (i >= self.gateways || vote(client, self.gateways)?))
            };
            let client = Client::new(&node.url, None)?;
            loop {
                if settled(&client).unwrap_or(false) {
                    break;
                }
                if let Ok(Some(status)) = node.child.try_wait() {
                    return Err(ToolError::Node(format!("{} ended: {status}", node.name)));
                }
                if begin.elapsed() > READY_MAX {
                    return Err(ToolError::Node(format!("{} at {} is not ready", node.name, node.url)));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// URLs of the gateways, then of the targets.
    pub(super) fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|n| n.url.clone()).collect()
    }

    /// Waits for SIGINT or SIGTERM, then stops every node.
    pub(super) fn wait(self) -> Result<(), ToolError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let failed = |e: std::io::Error| ToolError::Node(format!("signals: {e}"));
        runtime.map_err(failed)?.block_on(async {
            let mut end = signal(SignalKind::terminate()).map_err(failed)?;
            let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
            tokio::select! { _ = end.recv() => {}, _ = interrupt.recv() => {} }
            Ok(())
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The end of its input tells a node to stop; all at once, then each is waited for.
        self.nodes.iter_mut().for_each(|node| drop(node.child.stdin.take()));
        for node in &mut self.nodes {
            match node.child.wait() {
                Ok(status) if status.success() => {}
                Ok(status) => tracing::warn!("{} ended: {status}", node.name),
                Err(error) => tracing::warn!("{}: {error}", node.name),
            }
        }
    }
}

/// Gateways and targets on a node's map.
fn known(client: &Client) -> Result<(usize, usize), ToolError> {
    let map = client.json(Method::GET, "/v1/daemon?what=smap", Payload::None)?;
    let count = |name: &str| map.get(name).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    Ok((count("pmap"), count("tmap")))
}

/// Whether these gateways vote, of an even number all but one. Who is on the map votes a moment later.
fn vote(client: &Client, gateways: usize) -> Result<bool, ToolError> {
    let figures = client.text("/metrics")?;
    let voters = format!("weir_raft_voters {}", ((gateways - 1) | 1).min(VOTERS_MAX));
    Ok(figures.lines().any(|line| line == voters))
}

/// The file of the nodes' secret, made once.
fn secret(root: &Path) -> Result<PathBuf, ToolError> {
    let path = root.join("secret");
    if !path.exists() {
        let text: String = rand::rng().sample_iter(Alphanumeric).take(SECRET_CHARS).map(char::from).collect();
        let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut f| f.write_all(text.as_bytes())).map_err(ToolError::file(&path))?;
    }
    Ok(path)
}
