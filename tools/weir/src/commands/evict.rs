use clap::Args;
use serde_json::json;

use super::{Context, parallel, rm};
use crate::client::ListAsk;
use crate::error::ToolError;
use crate::uri::Uri;

#[derive(Args, Debug)]
pub(crate) struct EvictArgs {
    /// BUCKET/OBJECT of a remote bucket; many with a template. With -r a prefix, or a bucket alone for all of it
    #[arg(required = true, value_name = "URI", value_parser = remote)]
    uris: Vec<Uri>,
    /// All objects that are here and whose names begin so
    #[arg(long, short)]
    recursive: bool,
    /// Objects at once
    #[arg(long, short, value_name = "N", default_value_t = 8)]
    jobs: usize,
}

pub(crate) fn run(context: &Context, args: EvictArgs) -> Result<(), ToolError> {
    let mut objects = Vec::new();
    for uri in &args.uris {
        if uri.name.is_empty() && !args.recursive {
            return Err(ToolError::Usage(format!(
                "{}: expected BUCKET/OBJECT; -r evicts all that is here of a bucket",
                uri.bucket
            )));
        }
        objects.extend(rm::objects(context, uri, args.recursive.then_some(ListAsk::CACHED))?);
    }
    let items = objects.into_iter().map(Ok);
    let total = parallel::run(args.jobs, items, |uri| context.client.evict(&uri).map(|()| 0))?;
    context
        .output
        .result(&json!({ "evicted": total.objects }), |out| writeln!(out, "evicted {}", total.objects))
}

/// What has no origin cannot be fetched again.
fn remote(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse()?;
    if uri.bucket.provider.is_remote() {
        Ok(uri)
    } else {
        Err(format!("{} has no origin to fetch from again; `weir rm` deletes objects", uri.bucket))
    }
}
