//! One process of a Weir cluster: configuration, locks, threads, signals.
//!
//! [`Node::start`] brings the parts up in the order of their needs (identity, disks, origins, control, shards) and
//! [`Node::stop`] takes them down in the opposite one. What each part does is its own crate's business.

mod backend;
mod bounds;
mod config;
mod error;
mod failures;
mod figures;
mod health;
mod keeper;
mod keys;
mod lock;
mod memory;
mod mounts;
mod node;
mod port;
mod registry;
mod signals;
mod tidy;

pub use config::{AccessKey, Advertise, AuthConfig, NodeConfig, OriginConfig};
pub use error::NodeError;
pub use node::Node;
pub use signals::ask_to_stop;
pub use weir_cluster::Roles;
pub use weir_control::LogLine;
