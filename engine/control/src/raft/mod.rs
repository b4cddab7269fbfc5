//! Agreement: openraft with its log, vote and snapshots in one redb file, and the replicated state.
//!
//! One voter today. What more voters need and one does not (truncation, snapshot transfer, a network) is here in
//! type and tested through openraft's own suite; only the transport refuses.

pub(crate) mod command;
mod copies;
pub(crate) mod db;
pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod node;
mod owners;
pub(crate) mod state;
#[cfg(test)]
mod tests;
pub(crate) mod types;
