//! `weir serve`: a node from a configuration file, with flags over it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use weir_node::{NodeConfig, OriginConfig};

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
    /// A directory that holds objects, on a disk of its own; may be repeated
    #[arg(long = "mountpath", value_name = "DIR")]
    mountpaths: Vec<PathBuf>,
    /// Shard threads; 0: one per core less one
    #[arg(long, value_name = "N")]
    shards: Option<usize>,
    /// An S3-compatible endpoint behind the node; may be repeated. Keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[arg(long = "origin", value_name = "URL")]
    origins: Vec<String>,
    /// Log level: error, warn, info, debug, trace. WEIR_LOG goes over it
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
}

pub(crate) fn run(args: ServeArgs) -> Result<(), ToolError> {
    logging::start(&args.log);
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
    if let Some(shards) = args.shards {
        config.shards = shards;
    }
    if !args.mountpaths.is_empty() {
        config.mountpaths = args.mountpaths;
    }
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
            mountpaths: vec!["/n".into()],
            shards: None,
            origins: vec!["http://h:1".into()],
            log: String::new(),
        };
        let config = config(args).unwrap();
        assert_eq!((config.dir, config.shards, config.listen.port()), ("/d".into(), 2, 9999));
        assert_eq!(
            (config.mountpaths, config.origins[0].endpoint.as_str()),
            (vec!["/n".into()], "http://h:1")
        );
    }
}
