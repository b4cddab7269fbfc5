//! `weir serve`: a node from a configuration file, with flags over it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use weir_node::{NodeConfig, OriginConfig, Roles};

use crate::error::ToolError;
use crate::{logging, node};

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Configuration in TOML; flags go over it
    #[arg(long, short, value_name = "FILE", env = "WEIR_CONFIG")]
    config: Option<PathBuf>,
    /// Directory of the node's own state
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Public address
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// What this process is: gateway, target or both
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Address for requests of other nodes about the cluster
    #[arg(long, value_name = "ADDRESS:PORT")]
    intra_control: Option<SocketAddr>,
    /// Address for objects on their way between nodes
    #[arg(long, value_name = "ADDRESS:PORT")]
    intra_data: Option<SocketAddr>,
    /// Intra-control address of a node to ask for the cluster; may be repeated, the same list on every node. The first one
    /// makes the cluster
    #[arg(long = "seed", value_name = "HOST:PORT")]
    seeds: Vec<String>,
    /// File with the secret that all nodes of the cluster share
    #[arg(long, value_name = "FILE")]
    join_secret: Option<PathBuf>,
    /// ID as a gateway; made at the first start if not given
    #[arg(long, value_name = "ID")]
    gateway_id: Option<String>,
    /// ID as a target; made at the first start if not given
    #[arg(long, value_name = "ID")]
    target_id: Option<String>,
    /// A directory that holds objects, on a disk of its own; may be repeated
    #[arg(long = "mountpath", value_name = "DIR")]
    mountpaths: Vec<PathBuf>,
    /// A directory of this host whose files may become objects (`promote`); may be repeated
    #[arg(long = "promote-dir", value_name = "DIR")]
    promote_dirs: Vec<PathBuf>,
    /// Pin no thread to a core: the cores are not this process's alone
    #[arg(long)]
    no_pin: bool,
    /// Shard threads; 0: one per core less one
    #[arg(long, value_name = "N")]
    shards: Option<usize>,
    /// I/O buffers of each shard, 256 KiB each
    #[arg(long, value_name = "N")]
    buffers: Option<usize>,
    /// An S3-compatible endpoint behind the node; may be repeated. Keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[arg(long = "origin", value_name = "URL")]
    origins: Vec<String>,
    /// Stop in order when standard input ends: whoever holds its other end is gone
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
    /// Log level: error, warn, info, debug, trace. WEIR_LOG goes over it
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
}

pub(crate) fn run(args: ServeArgs) -> Result<(), ToolError> {
    logging::start(&args.log);
    if args.until_stdin_ends {
        std::thread::spawn(|| {
            // Whatever ends the reading: nobody is there any more.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            weir_node::ask_to_stop();
        });
    }
    let config = config(args)?;
    node::Running::start(config)?.wait()
}

/// The file, then the flags.
fn config(args: ServeArgs) -> Result<NodeConfig, ToolError> {
    let mut config = match &args.config {
        Some(path) => NodeConfig::read(path).map_err(|e| ToolError::Node(e.to_string()))?,
        None => NodeConfig::default(),
    };
    if let Some(dir) = args.dir {
        config.dir = dir;
    }
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if let Some(role) = &args.role {
        config.role = Roles::parse(role)
            .ok_or_else(|| ToolError::Usage(format!("--role {role:?}: expected gateway, target or both")))?;
    }
    config.intra_control = args.intra_control.or(config.intra_control);
    config.intra_data = args.intra_data.or(config.intra_data);
    if !args.seeds.is_empty() {
        config.seeds = args.seeds;
    }
    if let Some(file) = args.join_secret {
        config.join_secret = file;
    }
    config.gateway_id = args.gateway_id.unwrap_or(config.gateway_id);
    config.target_id = args.target_id.unwrap_or(config.target_id);
    config.pin &= !args.no_pin;
    config.shards = args.shards.unwrap_or(config.shards);
    config.buffers = args.buffers.unwrap_or(config.buffers);
    if !args.mountpaths.is_empty() {
        config.mountpaths = args.mountpaths;
    }
    config.promote_dirs.extend(args.promote_dirs);
    config.origins.extend(args.origins.iter().map(|url| origin(url)));
    Ok(config)
}

/// An S3 endpoint with the keys of the environment.
pub(crate) fn origin(url: &str) -> OriginConfig {
    let region = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok());
    OriginConfig {
        provider: "s3".into(),
        endpoint: url.to_owned(),
        region: region.unwrap_or_default(),
        ..OriginConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weir.toml");
        std::fs::write(&path, "dir = '/d'\nmountpaths = ['/m']\nshards = 2\n").unwrap();
        let args = ServeArgs {
            config: Some(path),
            dir: None,
            listen: Some(([127, 0, 0, 1], 9999).into()),
            role: Some("target".into()),
            intra_control: Some(([127, 0, 0, 1], 1).into()),
            intra_data: None,
            seeds: vec!["h:1".into()],
            join_secret: Some("/s".into()),
            gateway_id: None,
            target_id: Some("t1t1t1t1".into()),
            mountpaths: vec!["/n".into()],
            promote_dirs: vec!["/in".into()],
            no_pin: true,
            shards: None,
            buffers: Some(64),
            origins: vec!["http://h:1".into()],
            until_stdin_ends: false,
            log: String::new(),
        };
        let config = config(args).unwrap();
        assert!(!config.pin);
        assert_eq!(config.buffers, 64);
        assert_eq!(config.promote_dirs, [PathBuf::from("/in")]);
        assert_eq!((config.role, config.intra_control.map(|a| a.port())), (Roles::Target, Some(1)));
        assert_eq!((config.seeds, config.target_id.as_str()), (vec!["h:1".to_owned()], "t1t1t1t1"));
        assert_eq!((config.dir, config.shards, config.listen.port()), ("/d".into(), 2, 9999));
        assert_eq!(
            (config.mountpaths, config.origins[0].endpoint.as_str()),
            (vec!["/n".into()], "http://h:1")
        );
    }
}
