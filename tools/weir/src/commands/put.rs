use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use super::{Context, parallel};
use crate::error::ToolError;
use crate::progress::Progress;
use crate::uri::{ObjectUri, Uri};

#[derive(Args, Debug)]
pub(crate) struct PutArgs {
    /// A file, a directory with -r, or - for standard input
    source: PathBuf,
    /// BUCKET/OBJECT; BUCKET or BUCKET/PREFIX/ keeps the file's name after it
    uri: Uri,
    /// A directory with all below it; names are the prefix and the paths within the directory
    #[arg(long, short)]
    recursive: bool,
    /// Files at once
    #[arg(long, short, value_name = "N", default_value_t = 8)]
    jobs: usize,
}

pub(crate) fn run(context: &Context, args: PutArgs) -> Result<(), ToolError> {
    let total = if args.source == Path::new("-") {
        stdin(context, &args)
    } else if args.recursive {
        directory(context, &args)
    } else {
        one(context, &args)
    }?;
    total.print(context.output, "stored")
}

fn stdin(context: &Context, args: &PutArgs) -> Result<parallel::Total, ToolError> {
    let uri = ObjectUri::new(&args.uri.bucket, &args.uri.name).map_err(ToolError::Usage)?;
    let mut taken = false;
    let mut open = || -> io::Result<Box<dyn Read>> {
        // What was read cannot be read again for another try.
        if std::mem::replace(&mut taken, true) {
            return Err(io::Error::other("standard input can be sent once; store it in a file first"));
        }
        Ok(Box::new(io::stdin()))
    };
    let progress = Progress::start("put", 0, false);
    let begin = Instant::now();
    let bytes = context.client.put(&uri, &mut open, None, &progress)?;
    Ok(parallel::Total { objects: 1, bytes, seconds: begin.elapsed().as_secs_f64() })
}

fn one(context: &Context, args: &PutArgs) -> Result<parallel::Total, ToolError> {
    let path = &args.source;
    let meta = path.metadata().map_err(ToolError::file(path))?;
    if meta.is_dir() {
        return Err(ToolError::Usage(format!(
            "{} is a directory: add -r to store all below it",
            path.display()
        )));
    }
    let prefix = &args.uri.name;
    let name = if prefix.is_empty() || prefix.ends_with('/') {
        let name = path.file_name().and_then(|n| n.to_str());
        format!(
            "{prefix}{}",
            name.ok_or_else(|| ToolError::Usage(format!("{}: no UTF-8 name", path.display())))?
        )
    } else {
        prefix.clone()
    };
    let progress = Progress::start(&name, meta.len(), context.progress);
    let items = [Ok((path.clone(), name))].into_iter();
    let total = parallel::run(1, items, |(path, name)| store(context, args, &path, &name, &progress));
    progress.end();
    total
}

fn directory(context: &Context, args: &PutArgs) -> Result<parallel::Total, ToolError> {
    let mut files = Vec::new();
    walk(&args.source, &args.uri.name, &mut files)?;
    if files.is_empty() {
        return Err(ToolError::Usage(format!("{} holds no files", args.source.display())));
    }
    let bytes = files.iter().map(|f| f.bytes).sum();
    let progress = Progress::start(&format!("{} files", files.len()), bytes, context.progress);
    let items = files.into_iter().map(Ok);
    let total = parallel::run(args.jobs, items, |f| store(context, args, &f.path, &f.name, &progress));
    progress.end();
    total
}

fn store(
    context: &Context,
    args: &PutArgs,
    path: &Path,
    name: &str,
    progress: &Progress,
) -> Result<u64, ToolError> {
    let uri = ObjectUri::new(&args.uri.bucket, name).map_err(ToolError::Usage)?;
    let file = File::open(path).map_err(ToolError::file(path))?;
    let size = file.metadata().map_err(ToolError::file(path))?.len();
    // A file that grows meanwhile is stored as it was when it was opened.
    let mut first = Some(file);
    let mut open = || -> io::Result<Box<dyn Read>> {
        let file = first.take().map_or_else(|| File::open(path), Ok)?;
        Ok(Box::new(file.take(size)))
    };
    context.client.put(&uri, &mut open, Some(size), progress)
}

/// A file to store.
#[derive(Debug)]
struct Local {
    path: PathBuf,
    name: String,
    bytes: u64,
}

/// All files below `dir` in the order of their names. Links to files are followed, links to directories are not: they
/// may form a circle.
fn walk(dir: &Path, prefix: &str, files: &mut Vec<Local>) -> Result<(), ToolError> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(ToolError::file(dir))? {
        entries.push(entry.map_err(ToolError::file(dir))?);
    }
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let meta = path.metadata().map_err(ToolError::file(&path))?;
        let name = entry.file_name();
        let name = name
            .to_str()
            .ok_or_else(|| ToolError::Usage(format!("{}: the name is not UTF-8", path.display())))?;
        let name = format!("{prefix}{name}");
        if meta.is_file() {
            files.push(Local { path, name, bytes: meta.len() });
        } else if meta.is_dir() && !entry.file_type().map_err(ToolError::file(&path))?.is_symlink() {
            walk(&path, &format!("{name}/"), files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_become_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a/2", "a/1", "a/x/y"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/circle")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("b"), dir.path().join("link")).unwrap();
        let mut files = Vec::new();
        walk(dir.path(), "p/", &mut files).unwrap();
        let names: Vec<_> = files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["p/a/1", "p/a/2", "p/a/x/y", "p/b", "p/link"]);
    }
}
