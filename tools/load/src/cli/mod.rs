//! Flags of `weir load`.

mod litmus;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::content::COMPRESSIBLE_MAX;
use crate::endpoint::Endpoint;
use crate::error::LoadError;
use crate::names::{Order, read_names};
use crate::plan::{Api, BucketArg, Mode, Plan};
use crate::sign::AccessKey;
use crate::size::{Bytes, Sizes};

pub use litmus::LitmusArgs;

/// Put load on a server and measure what it bears.
#[derive(Parser, Debug)]
#[command(name = "weir load", bin_name = "weir load", max_term_width = 110)]
pub struct LoadCli {
    /// What to do.
    #[command(subcommand)]
    pub command: LoadCommand,
}

/// Kinds of load.
#[derive(Subcommand, Debug)]
pub enum LoadCommand {
    /// Read whole objects
    Get(LoadArgs),
    /// Store objects
    Put(LoadArgs),
    /// Read and store
    Mixed(MixedArgs),
    /// Read parts of objects
    Range(RangeArgs),
    /// List pages of names
    List(LoadArgs),
    /// Small objects, a working set beyond memory, writes and reads mixed, clusters of two sizes
    Litmus(LitmusArgs),
}

/// Flags of `mixed`.
#[derive(Args, Debug)]
pub struct MixedArgs {
    /// Share of requests that store: 0.2 or 20%
    #[arg(long, value_name = "SHARE", default_value = "0.5")]
    pub write_share: Share,
    #[command(flatten)]
    #[allow(missing_docs, reason = "flattened")]
    pub load: LoadArgs,
}

/// Flags of `range`.
#[derive(Args, Debug)]
pub struct RangeArgs {
    /// Bytes of each range
    #[arg(long, value_name = "SIZE", default_value = "64KiB")]
    pub range_size: Bytes,
    #[command(flatten)]
    #[allow(missing_docs, reason = "flattened")]
    pub load: LoadArgs,
}

/// Flags of every kind.
#[derive(Args, Debug, Clone)]
pub struct LoadArgs {
    /// Server; repeated: names are spread over all of them by hash
    #[arg(long, value_name = "URL", required = true, env = "WEIR_ENDPOINT", value_delimiter = ',')]
    pub endpoint: Vec<String>,
    /// How it is spoken to
    #[arg(long, value_enum, default_value = "ais")]
    pub api: Api,
    /// Bucket: NAME, or PROVIDER://NAME for the AIS API
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<BucketArg>,
    /// Length of objects: 4KiB, 4KiB-1MiB, lognormal:64KiB,1.5 or 4KiB:3,8KiB:1
    #[arg(long, value_name = "SIZES")]
    pub size: Option<Sizes>,
    /// Connections, all threads together
    #[arg(long, short, default_value_t = 16)]
    pub connections: usize,
    /// Requests per second, sent whether earlier ones are answered or not; latency counts from when they were due
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// Bytes of content that a connection takes in a second at most: 100MB
    #[arg(long, value_name = "SIZE")]
    pub stream_rate: Option<Bytes>,
    /// Time of the measurement: 5s, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub duration: Time,
    /// Time before it
    #[arg(long, value_name = "TIME", default_value = "0s")]
    pub warmup: Time,
    /// Measure so many requests instead of a time
    #[arg(long, value_name = "N", conflicts_with = "rate")]
    pub operations: Option<u64>,
    /// Objects of the working set
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub names: u64,
    /// What their names begin with; eight digits follow. Default: load-SEED/
    #[arg(long, value_name = "TEXT")]
    pub name_prefix: Option<String>,
    /// The names themselves, one in each line of a file, in place of --names and --name-prefix
    #[arg(long, value_name = "FILE", conflicts_with_all = ["names", "name_prefix"])]
    pub names_from: Option<PathBuf>,
    /// Order in which they are asked for
    #[arg(long, value_enum, default_value = "uniform")]
    pub order: Order,
    /// Write the first N objects before the measurement; without a number all of them
    #[arg(long, value_name = "N", num_args = 0..=1)]
    pub prefill: Option<Option<u64>>,
    /// Names of one page of a listing
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub page: u64,
    #[command(flatten)]
    #[allow(missing_docs, reason = "flattened")]
    pub common: CommonArgs,
}

/// Flags of a run of any kind, one cluster or several.
#[derive(Args, Debug, Clone)]
pub struct CommonArgs {
    /// Threads
    #[arg(long, short, default_value_t = 1)]
    pub threads: usize,
    /// CPUs to pin the threads to, in turn: 1 or 1,2
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub cpu: Vec<usize>,
    /// Of order, sizes and content
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Compare every byte that comes
    #[arg(long)]
    pub verify: bool,
    /// Compressibility of content, 1 to 1.6
    #[arg(long, value_name = "RATIO", default_value_t = 1.0)]
    pub compressible: f64,
    /// Time for one request
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub timeout: Time,
    /// Process of a server on this machine whose CPU time is taken; repeated for several
    #[arg(long, value_name = "PID")]
    pub server_pid: Vec<i32>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "flattened")]
    pub access: AccessArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "flattened")]
    pub output: OutputArgs,
}

/// Credentials.
#[derive(Args, Debug, Clone)]
pub struct AccessArgs {
    /// Bearer token of the AIS API
    #[arg(long, value_name = "TOKEN", env = "WEIR_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Access key of S3; without one requests are not signed
    #[arg(long, value_name = "ID", requires = "secret_key")]
    pub access_key: Option<String>,
    /// Its secret
    #[arg(long, value_name = "SECRET", env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub secret_key: Option<String>,
    /// Region of signatures
    #[arg(long, value_name = "NAME", env = "AWS_REGION", default_value = "us-east-1")]
    pub region: String,
    /// Go to AIS targets directly, with the mark of this gateway's ID
    #[arg(long, value_name = "ID")]
    pub direct: Option<String>,
}

/// Where the report goes.
#[derive(Args, Debug, Clone, Default)]
pub struct OutputArgs {
    /// Report as JSON, to a file or to standard output (-)
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Report as a page with plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// No live view
    #[arg(long, short)]
    pub quiet: bool,
}

impl LoadArgs {
    /// The plan that these flags mean for a mode.
    pub fn plan(&self, mode: Mode) -> Result<Plan, LoadError> {
        let common = &self.common;
        if !(1.0..=COMPRESSIBLE_MAX).contains(&common.compressible) {
            return Err(LoadError::Usage(format!("--compressible: expected 1 to {COMPRESSIBLE_MAX}")));
        }
        let access = &common.access;
        let access_key = match (self.api, &access.access_key, &access.secret_key) {
            (Api::S3, Some(id), Some(secret)) => {
                Some(AccessKey { id: id.clone(), secret: secret.clone(), region: access.region.clone() })
            }
            _ => None,
        };
        let listed = self.names_from.as_deref().map(read_names).transpose()?;
        let names = listed.as_ref().map_or(self.names, |listed| listed.len() as u64);
        let endpoints = self.endpoint.iter().map(|url| Endpoint::resolve(url)).collect::<Result<_, _>>()?;
        Plan {
            mode,
            api: self.api,
            endpoints,
            bucket: self.bucket.clone().unwrap_or_default(),
            sizes: self.size.clone(),
            connections: self.connections,
            threads: common.threads,
            cpus: common.cpu.clone(),
            rate: self.rate,
            stream_rate: self.stream_rate.map(|bytes| bytes.0),
            warmup: self.warmup.0,
            // A number of operations ends the run; the time then only bounds it.
            duration: match self.operations {
                Some(_) => Duration::from_secs(weir_types::limits::LOAD_SECONDS_MAX),
                None => self.duration.0,
            },
            operations: self.operations,
            prefill: self.prefill.map(|n| n.unwrap_or(names).min(names)),
            names,
            prefix: self.name_prefix.clone().unwrap_or_else(|| format!("load-{}/", common.seed)),
            listed,
            order: self.order,
            seed: common.seed,
            verify: common.verify,
            compressible: common.compressible,
            timeout: common.timeout.0,
            page: self.page,
            token: access.token.clone().filter(|_| self.api == Api::Ais),
            access_key,
            gateway: access.direct.clone(),
            server_pids: common.server_pid.clone(),
        }
        .checked()
    }
}

/// A share: `0.2` or `20%`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |n| (n, 100.0));
        let share = number.parse::<f64>().ok().map(|n| n / unit).filter(|s| (0.0..=1.0).contains(s));
        share.map(Self).ok_or_else(|| format!("a share: expected 0 to 1 or 0% to 100%, got {text:?}"))
    }
}

/// A time: `5s`, `500ms`, `2m`, `1h`; a number alone is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(at);
        let unit = match unit {
            "ms" => 1e-3,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => f64::NAN,
        };
        let seconds = number.parse::<f64>().map_or(f64::NAN, |n| n * unit);
        Duration::try_from_secs_f64(seconds)
            .map(Self)
            .map_err(|_| format!("a time: expected a number with ms, s, m or h, got {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definitions_hold_together() {
        LoadCli::command().debug_assert();
    }

    fn plan(line: &str) -> Result<Plan, String> {
        let cli = LoadCli::try_parse_from(line.split(' ')).map_err(|e| e.to_string())?;
        let plan = match cli.command {
            LoadCommand::Get(args) => args.plan(Mode::Get),
            LoadCommand::Put(args) => args.plan(Mode::Put),
            LoadCommand::List(args) => args.plan(Mode::List),
            LoadCommand::Mixed(args) => args.load.plan(Mode::Mixed(args.write_share.0)),
            LoadCommand::Range(args) => args.load.plan(Mode::Range(args.range_size.0)),
            LoadCommand::Litmus(args) => args.litmus().map(|l| l.clusters[0].clone()),
        };
        plan.map_err(|e| e.to_string())
    }

    #[test]
    fn lines_are_understood() {
        let check = |line: &str, good: bool| {
            let got = plan(line);
            assert_eq!(got.is_ok(), good, "{line}: {got:?}");
        };
        let get = "load get --endpoint http://127.0.0.1:1 --bucket b";
        check(get, true);
        check(
            &format!(
                "{get} --api s3 --size 4KiB --connections 64 --threads 2 --duration 5s --warmup 1s --names 10 --order uniform --seed 3 --prefill --rate 1000 --verify --cpu 1 --server-pid 1 --server-pid 2 --json -"
            ),
            true,
        );
        check("load get --endpoint http://127.0.0.1:1", false);
        check("load get --endpoint http://127.0.0.1:1 --api http", true);
        check("load list --endpoint http://127.0.0.1:1 --api http", false);
        check("load put --endpoint http://127.0.0.1:1 --bucket b", false);
        check("load put --endpoint http://127.0.0.1:1 --bucket b --size 1M --operations 10", true);
        check("load mixed --endpoint http://127.0.0.1:1 --bucket b --size 1M --write-share 20%", true);
        check("load range --endpoint http://127.0.0.1:1 --bucket b --size 1M --range-size 4K", true);
        check(&format!("{get} --verify"), false);
        check(&format!("{get} --rate 0"), false);
        check(&format!("{get} --threads 17"), false);
        check(&format!("{get} --names 0"), false);
        check(&format!("{get} --operations 5 --rate 5"), false);
        check(&format!("{get} --compressible 2"), false);
        let litmus = "load litmus --bucket b --ram 1G";
        check(&format!("{litmus} --endpoint http://127.0.0.1:1 --endpoint http://127.0.0.1:2"), true);
        check(
            &format!(
                "{litmus} --group http://127.0.0.1:1,http://127.0.0.1:2 --group http://127.0.0.1:3 --scale 0.1"
            ),
            true,
        );
        check(litmus, false);
        check(&format!("{litmus} --endpoint http://127.0.0.1:1 --scale 0"), false);
        check("load get --endpoint https://127.0.0.1:1 --bucket b", false);
    }

    #[test]
    fn prefill_counts_what_it_is_told() {
        let check = |flag: &str, expected: Option<u64>| {
            let line =
                format!("load get --endpoint http://127.0.0.1:1 --bucket b --size 1K --names 50{flag}");
            assert_eq!(plan(&line).unwrap().prefill, expected, "{flag}");
        };
        check("", None);
        check(" --prefill", Some(50));
        check(" --prefill 20", Some(20));
        check(" --prefill 99", Some(50));
        check(" --prefill --verify", Some(50));
    }

    #[test]
    fn times_and_shares_are_read() {
        let time = |text: &str| text.parse::<Time>().ok().map(|t| t.0.as_millis());
        assert_eq!(
            ["5s", "500ms", "2m", "3", "0.5h", "x", "-1s", "5d"].map(time),
            [Some(5000), Some(500), Some(120_000), Some(3000), Some(1_800_000), None, None, None]
        );
        let share = |text: &str| text.parse::<Share>().ok().map(|s| s.0);
        assert_eq!(["0.2", "20%", "1.1", "x"].map(share), [Some(0.2), Some(0.2), None, None]);
    }
}
