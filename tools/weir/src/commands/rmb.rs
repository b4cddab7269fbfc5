use clap::Args;
use serde_json::json;

use super::Context;
use crate::error::ToolError;
use crate::uri::BucketUri;

/// A remote bucket keeps its objects at the origin: the node drops its copies and forgets the bucket.
#[derive(Args, Debug)]
pub(crate) struct RmbArgs {
    /// Buckets, as in ais://data
    #[arg(required = true, value_name = "BUCKET")]
    buckets: Vec<BucketUri>,
    /// A bucket that is not there is no error
    #[arg(long, short)]
    force: bool,
}

pub(crate) fn run(context: &Context, args: RmbArgs) -> Result<(), ToolError> {
    for BucketUri(bucket) in &args.buckets {
        match context.client.destroy_bucket(bucket) {
            Err(error) if args.force && error.is_absence() => {}
            other => other?,
        }
    }
    let names: Vec<_> = args.buckets.iter().map(|b| b.0.to_string()).collect();
    context.output.result(&json!({ "deleted": names }), |out| {
        names.iter().try_for_each(|name| writeln!(out, "deleted {name}"))
    })
}
