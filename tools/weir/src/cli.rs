//! Flags and commands.

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    self, cluster, completion, create, evict, get, head, job, load, ls, mountpath, put, rm, rmb, show, token,
};
use crate::error::ToolError;
use crate::{playground, serve};

/// Weir: an object store for AI datasets.
#[derive(Parser, Debug)]
#[command(name = "weir", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// URL of a node. Also WEIR_ENDPOINT or AIS_ENDPOINT
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Bearer token, as `weir token` prints it. Also WEIR_TOKEN or AIS_AUTHN_TOKEN
    #[arg(long, global = true, value_name = "TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Print JSON, errors too
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress bars
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a node on this machine to try things out, with a sample dataset in an S3 bucket behind it
    Playground(playground::PlaygroundArgs),
    /// Run a node from a configuration file
    Serve(Box<serve::ServeArgs>),
    /// Create buckets
    Create(create::CreateArgs),
    /// List buckets, or the objects of one
    Ls(ls::LsArgs),
    /// Store a file, a directory or standard input
    Put(put::PutArgs),
    /// Read an object, a range of it, or many
    Get(get::GetArgs),
    /// Show what is known of an object
    Head(head::HeadArgs),
    /// Delete objects
    Rm(rm::RmArgs),
    /// Delete buckets with all their objects
    Rmb(rmb::RmbArgs),
    /// Drop the local copies of remote objects
    Evict(evict::EvictArgs),
    /// Show the cluster, a bucket's properties, or jobs
    #[command(subcommand)]
    Show(show::ShowCommand),
    /// Wait until jobs have ended; fails if one of them did
    Wait(job::WaitArgs),
    /// Let another gateway lead; take nodes out and in
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Take disks of targets in and out while they serve
    #[command(subcommand)]
    Mountpath(mountpath::MountpathCommand),
    /// Put load on a server and measure what it bears
    Load(load::LoadArgs),
    /// Issue a bearer token with the key of a node on this machine
    Token(token::TokenArgs),
    /// Print the completion script of a shell
    Completion(completion::CompletionArgs),
}

/// Runs one command.
pub(crate) fn run(cli: Cli) -> Result<(), ToolError> {
    let context = || commands::Context::new(&cli.common);
    match cli.command {
        Command::Playground(args) => playground::run(args),
        Command::Serve(args) => serve::run(*args),
        Command::Create(args) => create::run(&context()?, args),
        Command::Ls(args) => ls::run(&context()?, args),
        Command::Put(args) => put::run(&context()?, args),
        Command::Get(args) => get::run(&context()?, args),
        Command::Head(args) => head::run(&context()?, args),
        Command::Rm(args) => rm::run(&context()?, args),
        Command::Rmb(args) => rmb::run(&context()?, args),
        Command::Evict(args) => evict::run(&context()?, args),
        Command::Show(command) => show::run(&context()?, command),
        Command::Wait(args) => job::wait(&context()?, &args),
        Command::Cluster(command) => cluster::run(&context()?, command),
        Command::Mountpath(command) => mountpath::run(&context()?, command),
        Command::Load(args) => load::run(&cli.common, args),
        Command::Token(args) => token::run(&context()?, args),
        Command::Completion(args) => completion::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lines_are_understood() {
        let check = |line: &str, good: bool| {
            let got = Cli::try_parse_from(line.split(' '));
            assert_eq!(got.is_ok(), good, "{line}: {got:?}");
        };
        check("weir ls", true);
        check("weir ls ais://b --json", true);
        check("weir --endpoint http://h:1 ls s3://b/p", true);
        check("weir ls bucket", false);
        check("weir put f ais://b/o", true);
        check("weir put f", false);
        check("weir get ais://b/o", true);
        check("weir get ais://b/o - --range 0-9", true);
        check("weir get ais://b -r d", true);
        check("weir rm ais://b", false);
        check("weir create ais://b ais://c", true);
        check("weir create ais://b/o", false);
        check("weir show cluster", true);
        check("weir show bucket s3://b", true);
        check("weir show job", true);
        check("weir show job copy-bck --all", true);
        check("weir wait KQ6h9CHEObA CFWWdJfVhF4 --timeout 60", true);
        check("weir wait", false);
        check("weir completion bash", true);
        check("weir playground --dir /tmp/x --port 8080 --mountpaths 2 --origin http://h", true);
        check("weir playground --gateways 3 --targets 3 --mountpaths 2", true);
        check("weir serve --config f.toml --shards 4", true);
        check("weir serve --role target --seed h:1 --intra-control 127.0.0.1:1 --join-secret f", true);
        check("weir cluster set-primary p1p1p1p1", true);
        check("weir cluster maintenance t1t1t1t1 --stop", true);
        check("weir cluster remove", false);
        check("weir mountpath list", true);
        check("weir mountpath attach /disks/3 --node t1t1t1t1", true);
        check("weir mountpath attach /disks/3 --label shelf", true);
        check("weir mountpath check /disks/3", true);
        check("weir mountpath detach /disks/3 --no-resilver", true);
        check("weir mountpath attach", false);
        check("weir load get --endpoint http://h:1 --json - --server-pid 1", true);
        check("weir load --help", true);
        check("weir nothing", false);
    }
}
