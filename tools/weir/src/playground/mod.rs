//! `weir playground`: one node on loopback, or a process for each of several, and without `--origin` an S3 server with a sample dataset behind it.
//!
//! Everything is below `--dir`: `node/` the node's state, `mp1/`, `mp2/`, … its mountpaths, `origin/` the sample bucket.
//! Nothing of it is special: `weir serve` with the same paths goes on where the playground stopped.

mod banner;
mod cluster;
mod sample;
mod server;
mod tour;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use weir_node::{NodeConfig, OriginConfig};

use crate::client::Client;
use crate::error::ToolError;
use crate::{logging, node, output, serve};

/// A node that is not ready after this never will be.
const READY_MAX: Duration = Duration::from_secs(30);
/// Mountpaths that one directory may be divided into.
const MOUNTPATHS_MAX: usize = 64;

#[derive(Args, Debug)]
pub(crate) struct PlaygroundArgs {
    /// Where everything is kept, across restarts
    #[arg(long, value_name = "DIR", default_value = "weir-playground")]
    dir: PathBuf,
    /// Port on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    port: u16,
    /// Gateways, each a process of its own; with --targets. Without both: one node that is both
    #[arg(long, value_name = "N")]
    gateways: Option<usize>,
    /// Targets, each a process of its own
    #[arg(long, value_name = "N")]
    targets: Option<usize>,
    /// Mountpaths of each target: directories that stand for disks
    #[arg(long, value_name = "N", default_value_t = 2)]
    mountpaths: usize,
    /// Shard threads; 0: one per core less one
    #[arg(long, value_name = "N", default_value_t = 0)]
    shards: usize,
    /// An S3-compatible endpoint behind the node instead of the sample; may be repeated. Keys from the AWS_ variables
    #[arg(long = "origin", value_name = "URL")]
    origins: Vec<String>,
    /// Log level: error, warn, info, debug, trace. WEIR_LOG goes over it
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: String,
}

pub(crate) fn run(args: PlaygroundArgs) -> Result<(), ToolError> {
    logging::start(&args.log);
    if !(1..=MOUNTPATHS_MAX).contains(&args.mountpaths) {
        return Err(ToolError::Usage(format!("--mountpaths: expected 1 to {MOUNTPATHS_MAX}")));
    }
    make(&args.dir)?;
    let dir = args.dir.canonicalize().map_err(ToolError::file(&args.dir))?;
    let is_cluster = args.gateways.is_some() || args.targets.is_some();
    let (mine, other) = if is_cluster { ("cluster", "node") } else { ("node", "cluster") };
    if !dir.join(mine).exists() && dir.join(other).exists() {
        let what = if is_cluster { "one node" } else { "a cluster of several nodes" };
        return Err(ToolError::Usage(format!("{} holds {what}: name another --dir", dir.display())));
    }
    if is_cluster {
        return run_cluster(&args, &dir);
    }
    let mut config = config(&args, &dir)?;
    // Lives until the end of this function: the node's cold reads need it.
    let origin = match args.origins.as_slice() {
        [] => Some(sample_origin(&dir, &mut config)?),
        urls => {
            config.origins = urls.iter().map(|url| serve::origin(url)).collect();
            None
        }
    };
    let running = node::Running::start(config)?;
    let client = Client::new(&format!("http://127.0.0.1:{}", args.port), None)?;
    ready(&client)?;
    banner::print(&running.endpoints(), &dir, &args.origins)?;
    if origin.is_some()
        && let Err(error) = tour::run(&client, &dir)
    {
        // The node runs all the same, and what is wrong with the first read may be what one came to find out.
        output::failure(&error, false);
    }
    banner::print_end()?;
    running.wait()
}

/// Several nodes: each its own process, the origin in this one.
fn run_cluster(args: &PlaygroundArgs, dir: &Path) -> Result<(), ToolError> {
    let mut sample = NodeConfig::default();
    // Lives until the end of this function, as above.
    let origin = match args.origins.as_slice() {
        [] => Some(sample_origin(dir, &mut sample)?),
        _ => None,
    };
    let own: Vec<String> = sample.origins.iter().map(|o| o.endpoint.clone()).collect();
    let urls = if args.origins.is_empty() { &own } else { &args.origins };
    let keys = origin.as_ref().map(|o| (o.access_key.as_str(), o.secret_key.as_str()));
    let mut cluster = cluster::Cluster::start(args, dir, urls, keys)?;
    cluster.ready()?;
    banner::print(&cluster.endpoints(), dir, &args.origins)?;
    banner::print_end()?;
    cluster.wait()
}

fn config(args: &PlaygroundArgs, dir: &Path) -> Result<NodeConfig, ToolError> {
    let mountpaths: Vec<_> = (1..=args.mountpaths).map(|n| dir.join(format!("mp{n}"))).collect();
    mountpaths.iter().try_for_each(|path| make(path))?;
    make(&dir.join("node"))?;
    Ok(NodeConfig {
        dir: dir.join("node"),
        listen: ([127, 0, 0, 1], args.port).into(),
        mountpaths,
        shards: args.shards,
        // A laptop's cores are not this process's alone.
        pin: false,
        ..NodeConfig::default()
    })
}

/// Makes the sample dataset if it is not there, serves it, and tells the node.
fn sample_origin(dir: &Path, config: &mut NodeConfig) -> Result<server::Server, ToolError> {
    let root = dir.join("origin");
    make(&root)?;
    sample::make(&root)?;
    let server = server::Server::start(&root)?;
    config.origins = vec![OriginConfig {
        provider: "s3".into(),
        endpoint: server.url(),
        region: "us-east-1".into(),
        access_key: server.access_key.clone(),
        secret_key: server.secret_key.clone(),
    }];
    Ok(server)
}

fn make(dir: &Path) -> Result<(), ToolError> {
    fs::create_dir_all(dir).map_err(ToolError::file(dir))
}

/// Waits until the node says that it is ready.
fn ready(client: &Client) -> Result<(), ToolError> {
    let begin = Instant::now();
    loop {
        match client.ready() {
            Ok(()) => return Ok(()),
            Err(error) if begin.elapsed() > READY_MAX => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
