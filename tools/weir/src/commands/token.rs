use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use serde_json::json;
use weir_auth::{Secret, issue_token};
use weir_types::Access;

use crate::commands::Context;
use crate::error::ToolError;

/// The token is made here, with the node's own key: whoever may read that file may do everything anyway.
#[derive(Args, Debug)]
pub(crate) struct TokenArgs {
    /// The node's directory; its key is token.key there
    #[arg(long, value_name = "DIR", required_unless_present = "key_file")]
    dir: Option<PathBuf>,
    /// The key itself
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    key_file: Option<PathBuf>,
    /// Whom the token speaks for
    #[arg(long, value_name = "NAME", default_value = "operator")]
    subject: String,
    /// Days until it ends
    #[arg(long, value_name = "N", default_value_t = 30)]
    days: u32,
    /// Reading only
    #[arg(long)]
    read_only: bool,
}

pub(crate) fn run(context: &Context, args: TokenArgs) -> Result<(), ToolError> {
    let path = match (args.key_file, args.dir) {
        (Some(file), _) => file,
        (None, dir) => dir.unwrap_or_default().join("token.key"),
    };
    let key = fs::read(&path).map_err(ToolError::file(&path))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let seconds = u64::from(args.days) * 24 * 3600;
    let access = if args.read_only { Access::READ_ONLY } else { Access::ALL };
    let key = Secret::new(key.trim_ascii());
    let token = issue_token(&key, &args.subject, access, seconds, now)
        .map_err(|e| ToolError::Usage(e.to_string()))?;
    context
        .output
        .result(&json!({ "token": token, "expires": now + seconds }), |out| writeln!(out, "{token}"))
}
