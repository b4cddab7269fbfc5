use clap::Args;

use super::{Context, parallel};
use crate::client::ListAsk;
use crate::error::ToolError;
use crate::template;
use crate::uri::{ObjectUri, Uri};

#[derive(Args, Debug)]
pub(crate) struct RmArgs {
    /// BUCKET/OBJECT; many with a template, as in ais://data/shard-{000..127}.tar
    #[arg(required = true, value_name = "URI", value_parser = named)]
    uris: Vec<Uri>,
    /// All objects whose names begin so
    #[arg(long, short)]
    recursive: bool,
    /// An object that is not there is no error
    #[arg(long, short)]
    force: bool,
    /// Objects at once
    #[arg(long, short, value_name = "N", default_value_t = 8)]
    jobs: usize,
}

pub(crate) fn run(context: &Context, args: RmArgs) -> Result<(), ToolError> {
    let mut objects = Vec::new();
    for uri in &args.uris {
        objects.extend(self::objects(context, uri, args.recursive.then_some(0))?);
    }
    let total =
        parallel::run(args.jobs, objects.into_iter().map(Ok), |uri| match context.client.delete(&uri) {
            Err(error) if args.force && error.is_absence() => Ok(0),
            other => other.map(|()| 0),
        })?;
    let value = serde_json::json!({ "deleted": total.objects });
    context.output.result(&value, |out| writeln!(out, "deleted {}", total.objects))
}

/// What one argument stands for: a prefix, if flags to list it with are given; a template or a name otherwise.
pub(super) fn objects(
    context: &Context,
    uri: &Uri,
    recursive: Option<u64>,
) -> Result<Vec<ObjectUri>, ToolError> {
    let names = if let Some(flags) = recursive {
        let ask = ListAsk {
            prefix: uri.name.clone(),
            props: "name".into(),
            flags: ListAsk::NO_DIRS | flags,
            ..ListAsk::default()
        };
        let entries = context.client.objects(&uri.bucket, ask);
        entries.map(|e| e.map(|e| e.name)).collect::<Result<Vec<_>, _>>()?
    } else {
        template::expand(&uri.name)?
    };
    names.iter().map(|name| ObjectUri::new(&uri.bucket, name).map_err(ToolError::Usage)).collect()
}

/// A whole bucket is emptied by `weir rmb`, never by a name left out.
fn named(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse()?;
    match uri.name.as_str() {
        "" => Err("expected BUCKET/OBJECT; `weir rmb` deletes a bucket with all it holds".into()),
        _ => Ok(uri),
    }
}
