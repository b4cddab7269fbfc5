use clap::Args;

use super::Context;
use crate::error::ToolError;
use crate::output::{printable, size};
use crate::uri::ObjectUri;

#[derive(Args, Debug)]
pub(crate) struct HeadArgs {
    /// BUCKET/OBJECT
    uri: ObjectUri,
}

pub(crate) fn run(context: &Context, args: HeadArgs) -> Result<(), ToolError> {
    let facts = context.client.head(&args.uri)?;
    context.output.result(&facts, |out| {
        writeln!(out, "{}", printable(&args.uri.to_string()))?;
        let mut row = |name: &str, value: Option<String>| match value {
            Some(value) => writeln!(out, "  {name:<10} {}", printable(&value)),
            None => Ok(()),
        };
        row("size", Some(format!("{} ({} bytes)", size(facts.size), facts.size)))?;
        row(
            "checksum",
            facts.checksum.as_ref().map(|c| format!("{} {c}", facts.checksum_type.as_deref().unwrap_or("?"))),
        )?;
        row("version", facts.version.clone())?;
        row("etag", facts.etag.clone())?;
        row("present", facts.present.map(|p| if p { "yes" } else { "no, at the origin only" }.to_owned()))?;
        row("location", facts.location.clone())?;
        facts.custom.iter().try_for_each(|(k, v)| row("custom", Some(format!("{k}={v}"))))
    })
}
