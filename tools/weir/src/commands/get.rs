use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use clap::Args;
use weir_types::RangeSpec;

use super::{Context, parallel};
use crate::client::ListAsk;
use crate::error::ToolError;
use crate::progress::Progress;
use crate::template;
use crate::uri::{ObjectUri, Uri};

#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// BUCKET/OBJECT; many with a template, as in ais://data/shard-{000..127}.tar, or with -r
    uri: Uri,
    /// A file or a directory, or - for standard output; the working directory when left out
    dest: Option<PathBuf>,
    /// All objects whose names begin so; names are kept below the directory
    #[arg(long, short, conflicts_with = "range")]
    recursive: bool,
    /// Bytes of one object: 0-99, 100-, or -100 for the last ones
    #[arg(long, value_name = "RANGE", value_parser = range, allow_hyphen_values = true)]
    range: Option<String>,
    /// Objects at once
    #[arg(long, short, value_name = "N", default_value_t = 8)]
    jobs: usize,
}

pub(crate) fn run(context: &Context, args: GetArgs) -> Result<(), ToolError> {
    if args.uri.name.is_empty() && !args.recursive {
        return Err(ToolError::Usage(format!(
            "{} is a bucket: name an object, or add -r to read all",
            args.uri.bucket
        )));
    }
    if args.dest.as_deref() == Some(Path::new("-")) {
        return stdout(context, &args);
    }
    let total = if args.recursive {
        prefix(context, &args)
    } else if template::is_template(&args.uri.name) {
        let names = template::expand(&args.uri.name)?;
        many(context, &args, names.into_iter().map(Ok), 0)
    } else {
        one(context, &args)
    }?;
    total.print(context.output, "read")
}

fn stdout(context: &Context, args: &GetArgs) -> Result<(), ToolError> {
    if args.recursive || template::is_template(&args.uri.name) {
        return Err(ToolError::Usage("many objects do not fit one standard output: give a directory".into()));
    }
    let download = context.client.open(&object(args, &args.uri.name)?, args.range.as_deref())?;
    let progress = Progress::start(&args.uri.name, download.facts.size, context.progress);
    let copied = download.copy(io::stdout().lock(), args.range.is_none(), &progress);
    progress.end();
    copied.map(drop)
}

fn one(context: &Context, args: &GetArgs) -> Result<parallel::Total, ToolError> {
    let uri = object(args, &args.uri.name)?;
    let base = args.uri.name.rsplit('/').next().unwrap_or_default();
    let path = match &args.dest {
        Some(dest) if !dest.is_dir() => dest.clone(),
        dest => below(dest.as_deref().unwrap_or(Path::new(".")), base)?,
    };
    parallel::run(1, [Ok(())].into_iter(), |()| {
        let download = context.client.open(&uri, args.range.as_deref())?;
        let progress = Progress::start(base, download.facts.size, context.progress);
        let saved = save(&path, |file| download.copy(file, args.range.is_none(), &progress));
        progress.end();
        saved
    })
}

/// Everything that begins so. The listing runs first, for the sum of bytes.
fn prefix(context: &Context, args: &GetArgs) -> Result<parallel::Total, ToolError> {
    let ask = ListAsk {
        prefix: args.uri.name.clone(),
        props: "name,size".into(),
        flags: ListAsk::NO_DIRS,
        ..ListAsk::default()
    };
    let entries = context.client.objects(&args.uri.bucket, ask).collect::<Result<Vec<_>, _>>()?;
    if entries.is_empty() {
        let place = format!("{}/{}", args.uri.bucket, args.uri.name);
        return Err(ToolError::Usage(format!("no object's name begins with {place}")));
    }
    let bytes = entries.iter().map(|e| e.size).sum();
    many(context, args, entries.into_iter().map(|e| Ok(e.name)), bytes)
}

fn many(
    context: &Context,
    args: &GetArgs,
    names: impl Iterator<Item = Result<String, ToolError>> + Send,
    bytes: u64,
) -> Result<parallel::Total, ToolError> {
    if args.range.is_some() {
        return Err(ToolError::Usage("a range is of one object".into()));
    }
    let dir = args.dest.clone().unwrap_or_else(|| ".".into());
    let progress = Progress::start("get", bytes, context.progress);
    let total = parallel::run(args.jobs, names, |name| {
        let uri = object(args, &name)?;
        let path = below(&dir, &name)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ToolError::file(parent))?;
        }
        let download = context.client.open(&uri, None)?;
        save(&path, |file| download.copy(file, true, &progress))
    });
    progress.end();
    total
}

fn object(args: &GetArgs, name: &str) -> Result<ObjectUri, ToolError> {
    ObjectUri::new(&args.uri.bucket, name).map_err(ToolError::Usage)
}

/// Writes beside `path` and renames, so that `path` holds the whole object or what it held before.
fn save(path: &Path, write: impl FnOnce(&File) -> Result<u64, ToolError>) -> Result<u64, ToolError> {
    let base = path.file_name().unwrap_or_default().to_string_lossy();
    let part = path.with_file_name(format!(".{base}.{}.part", std::process::id()));
    let file = File::create(&part).map_err(ToolError::file(&part))?;
    let saved = write(&file).and_then(|n| fs::rename(&part, path).map(|()| n).map_err(ToolError::file(path)));
    if saved.is_err() {
        // What was half written is nothing to anybody; that it may stay behind does not hide the error.
        drop(fs::remove_file(&part));
    }
    saved
}

/// The path of an object's name below `dir`. Names come from elsewhere: none may lead out of the directory.
fn below(dir: &Path, name: &str) -> Result<PathBuf, ToolError> {
    let path = Path::new(name);
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    let same =
        path.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/") == name;
    if name.is_empty() || !plain || !same {
        let name = crate::output::printable(name);
        return Err(ToolError::Usage(format!(
            "object {name:?} has no place below a directory: read it alone, to a file"
        )));
    }
    Ok(dir.join(path))
}

/// `0-99` to the value of a Range header.
fn range(text: &str) -> Result<String, String> {
    let value = format!("bytes={text}");
    RangeSpec::parse(&value).map(|_| value).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_directory() {
        let check = |name: &str, good: bool| assert_eq!(below(Path::new("/d"), name).is_ok(), good, "{name}");
        for name in ["a", "a/b", "a b/é", "...", "a/..b"] {
            check(name, true);
        }
        for name in ["", "/", "/a", "..", "../a", "a/../../b", ".", "a/./b", "a//b", "a/"] {
            check(name, false);
        }
    }

    #[test]
    fn a_failed_read_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        save(&path, |mut f| io::Write::write(&mut f, b"old").map(|n| n as u64).map_err(ToolError::Output))
            .unwrap();
        assert!(save(&path, |_| Err(ToolError::Usage("no".into()))).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn ranges_are_checked() {
        assert_eq!(range("0-99").as_deref(), Ok("bytes=0-99"));
        assert_eq!(range("-5").as_deref(), Ok("bytes=-5"));
        assert!(range("5-1").is_err() && range("x").is_err() && range("1-2,4-5").is_err());
    }
}
