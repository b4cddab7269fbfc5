//! One file per command.

pub(crate) mod cluster;
pub(crate) mod completion;
pub(crate) mod create;
pub(crate) mod evict;
pub(crate) mod get;
pub(crate) mod head;
pub(crate) mod job;
pub(crate) mod load;
pub(crate) mod ls;
pub(crate) mod mountpath;
pub(crate) mod parallel;
pub(crate) mod put;
pub(crate) mod rm;
pub(crate) mod rmb;
pub(crate) mod show;
pub(crate) mod token;

use crate::cli::Common;
use crate::client::{Client, ENDPOINT_DEFAULT};
use crate::error::ToolError;
use crate::output::Output;

/// What every client command works with.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) output: Output,
    /// Progress bars are welcome.
    pub(crate) progress: bool,
}

impl Context {
    /// From flags, then the environment, then the defaults.
    pub(crate) fn new(common: &Common) -> Result<Self, ToolError> {
        let endpoint = common.endpoint.clone().or_else(|| env(["WEIR_ENDPOINT", "AIS_ENDPOINT"]));
        let token = common.token.clone().or_else(|| env(["WEIR_TOKEN", "AIS_AUTHN_TOKEN"]));
        Ok(Self {
            client: Client::new(endpoint.as_deref().unwrap_or(ENDPOINT_DEFAULT), token)?,
            output: Output { json: common.json },
            progress: !common.quiet && !common.json,
        })
    }
}

fn env(names: [&str; 2]) -> Option<String> {
    names.into_iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
}
