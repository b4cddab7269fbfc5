//! The one place where this binary touches the node itself.

use std::time::Duration;

use weir_node::{Node, NodeConfig};

use crate::error::ToolError;

/// A node of this process.
pub(crate) struct Running {
    node: Node,
    drain: Duration,
}

impl Running {
    /// Starts a node; it listens when this returns.
    pub(crate) fn start(config: NodeConfig) -> Result<Self, ToolError> {
        let drain = Duration::from_secs(config.drain_seconds);
        let node = Node::start(config).map_err(|e| ToolError::Node(e.to_string()))?;
        Ok(Self { node, drain })
    }

    /// URLs to reach it by.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.node.endpoints()
    }

    /// Waits for SIGINT or SIGTERM, then drains and stops.
    pub(crate) fn wait(mut self) -> Result<(), ToolError> {
        self.node.wait();
        self.stop();
        Ok(())
    }

    /// Lets requests under way end, for a bounded time, and stops.
    pub(crate) fn stop(self) {
        self.node.stop(self.drain);
    }
}
