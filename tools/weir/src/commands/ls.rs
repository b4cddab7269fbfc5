use clap::Args;
use weir_types::Provider;

use super::Context;
use crate::client::{Entry, ListAsk};
use crate::error::ToolError;
use crate::output::{printable, size};
use crate::uri::Uri;

#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    /// BUCKET[/PREFIX] to list objects; nothing for the buckets
    uri: Option<Uri>,
    /// Buckets of one provider: ais, s3
    #[arg(long, value_name = "PROVIDER", value_parser = provider, conflicts_with = "uri")]
    provider: Option<Provider>,
    /// At most so many objects
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only names after this one
    #[arg(long, value_name = "NAME", default_value = "")]
    start_after: String,
    /// Only what is on the node's disks
    #[arg(long)]
    cached: bool,
    /// Directories instead of what is below them
    #[arg(long)]
    no_recursion: bool,
    /// Properties to ask for, as in name,size,version,checksum,atime,custom
    #[arg(long, value_name = "NAMES", default_value = "")]
    props: String,
}

pub(crate) fn run(context: &Context, args: LsArgs) -> Result<(), ToolError> {
    let Some(uri) = &args.uri else { return buckets(context, args.provider) };
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    let ask = ListAsk {
        prefix: uri.name.clone(),
        start_after: args.start_after,
        props: args.props,
        flags: flag(args.cached, ListAsk::CACHED) | flag(args.no_recursion, ListAsk::NO_RECURSION),
    };
    let mut lines = context.output.list();
    let remote = uri.bucket.provider.is_remote();
    for entry in context.client.objects(&uri.bucket, ask).take(args.limit.unwrap_or(usize::MAX)) {
        let entry = entry.inspect_err(|_| drop(lines.flush()))?;
        lines.entry(&entry, || line(&entry, remote))?;
    }
    lines.end()
}

fn buckets(context: &Context, provider: Option<Provider>) -> Result<(), ToolError> {
    let mut lines = context.output.list();
    for bucket in context.client.buckets(provider)? {
        let name = bucket.to_string();
        lines.entry(&name, || name.clone())?;
    }
    lines.end()
}

/// Size, whether a remote object is here, the properties that were asked, name.
fn line(entry: &Entry, remote: bool) -> String {
    let size = if entry.dir { "dir".into() } else { size(entry.size) };
    let present = match (remote, entry.cached) {
        (true, true) => " here  ",
        (true, false) => " origin",
        (false, _) => "",
    };
    let slash = if entry.dir && !entry.name.ends_with('/') { "/" } else { "" };
    let mut line = format!("{size:>12}{present}  {}{slash}", printable(&entry.name));
    for prop in [&entry.version, &entry.checksum, &entry.atime, &entry.custom] {
        if !prop.is_empty() {
            line.push_str("  ");
            line.push_str(&printable(prop));
        }
    }
    line
}

fn provider(text: &str) -> Result<Provider, String> {
    Provider::parse(text).ok_or_else(|| format!("no provider is called {text:?}"))
}
