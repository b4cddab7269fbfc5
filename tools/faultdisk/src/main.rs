//! The command `faultdisk`: serve a disk with faults, rebuild a past one, and try power loss on a workload.

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use weir_faultdisk::crash::{self, Plan, Point, Programs, Report};
use weir_faultdisk::disk::Recorded;
use weir_faultdisk::fuse::Served;
use weir_faultdisk::history::{History, read_allowed};
use weir_faultdisk::log::Log;
use weir_faultdisk::posix::{self, Plant};
use weir_faultdisk::replay::Tears;
use weir_faultdisk::rig::{self, Fs};
use weir_faultdisk::{RigError, bench, ctl, replay};

#[derive(Parser)]
#[command(about = "A disk that can lose power", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve IMG as MNT/disk, recording every write and flush to LOG, until MNT is unmounted
    Serve {
        mnt: PathBuf,
        img: PathBuf,
        /// Bytes
        size: u64,
        log: PathBuf,
        /// Socket that takes faults
        #[arg(long)]
        ctl: Option<PathBuf>,
    },
    /// Send one line to the socket of a served disk: eio-read LO HI, delay MS, cut, clear, seq, ...
    Ctl { socket: PathBuf, line: Vec<String> },
    /// Rebuild the disk that LOG left when power failed at record N
    Replay {
        log: PathBuf,
        img_out: PathBuf,
        #[arg(long)]
        until: u64,
        #[arg(long)]
        seed: u64,
        /// Bytes that the disk writes whole
        #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..))]
        sector: u64,
        /// Bytes at the disk's beginning within which no write is torn
        #[arg(long, default_value_t = 0)]
        head: u64,
    },
    /// Record a workload, then check the disk of many moments; a second time with the next seed, until there are enough
    Crash {
        #[command(flatten)]
        run: Run,
        /// Crash images
        #[arg(long, default_value_t = 200)]
        images: u64,
        /// Crash images of each recorded run: another run is another history
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
        images_of_a_run: u64,
        /// Keep the logs and histories below here, by the seed of the run
        #[arg(long)]
        keep: Option<PathBuf>,
        /// Checker, a shell command
        #[arg(long)]
        check: OsString,
        /// A mistake is planted: succeed when it is found
        #[arg(long)]
        must_find: bool,
        /// The workload's command line
        #[arg(last = true, required = true)]
        workload: Vec<OsString>,
    },
    /// Check one moment of a kept log again
    Check {
        #[command(flatten)]
        run: Run,
        #[arg(long)]
        keep: PathBuf,
        #[arg(long)]
        until: u64,
        #[arg(long)]
        check: OsString,
    },
    /// Prove the rig: a right workload passes on each file system, and each planted mistake is found
    SelfTest {
        /// Crash images of each case
        #[arg(long, default_value_t = 60)]
        images: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, default_value = "/tmp")]
        scratch: PathBuf,
    },
    /// The rig's own workload
    PosixWorkload {
        #[arg(long, default_value_t = 200)]
        ops: u64,
        #[arg(long, env = "FAULTDISK_SEED", default_value_t = 1)]
        seed: u64,
        #[arg(long, value_enum, default_value = "none")]
        plant: Plant,
    },
    /// The checker of the rig's own workload
    PosixCheck,
}

#[derive(clap::Args)]
struct Run {
    #[arg(long, value_enum, default_value = "xfs")]
    fs: Fs,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Size of the disk in MiB
    #[arg(long, default_value_t = 512)]
    size_mib: u64,
    /// Images that are checked at once; 0: as many as keep this machine busy
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Directory for temporary files
    #[arg(long, default_value = "/tmp")]
    scratch: PathBuf,
}

impl Run {
    fn plan(&self, images: u64) -> Plan {
        let Self { fs, seed, .. } = *self;
        let jobs = if self.jobs == 0 { jobs() } else { self.jobs };
        Plan { fs, disk_bytes: self.size_mib << 20, images, seed, jobs, scratch: self.scratch.clone() }
    }
}

/// An image waits for locks and grace periods of the kernel as long as it computes.
fn jobs() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("faultdisk: {e}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<ExitCode, RigError> {
    match command {
        Command::Serve { mnt, img, size, log, ctl } => {
            let disk = Arc::new(Mutex::new(Recorded::open(&img, size, &log)?));
            if let Some(socket) = ctl {
                ctl::listen(&socket, disk.clone())?;
            }
            Served::start(&mnt, disk)?.wait();
            Ok(ExitCode::SUCCESS)
        }
        Command::Ctl { socket, line } => {
            let reply = ctl::send(&socket, &line.join(" "))?;
            say(&reply);
            Ok(ExitCode::from(u8::from(!reply.starts_with("ok"))))
        }
        Command::Replay { log, img_out, until, seed, sector, head } => {
            rebuild(&log, &img_out, until, seed, Tears { sector, head })
        }
        Command::Crash { run, images, images_of_a_run, keep, check, must_find, workload } => {
            let programs = Programs { workload, check: shell(check) };
            crash_runs(&run.plan(images), &programs, images_of_a_run, keep, must_find)
        }
        Command::Check { run, keep, until, check } => {
            let history = History::read(&keep.join("history"))?;
            let point = Point { until, seed: run.seed };
            let report = bench::check(&run.plan(1), &shell(check), &keep, &history, &[point])?;
            print_report(run.fs.name(), &report, usize::MAX);
            Ok(ExitCode::from(u8::from(!report.clean())))
        }
        Command::SelfTest { images, seed, scratch } => self_test(images, seed, &scratch),
        Command::PosixWorkload { ops, seed, plant } => {
            let out = &mut std::io::stdout();
            posix::run(
                &environment("FAULTDISK_MNT")?,
                &environment("FAULTDISK_SEQ")?,
                ops,
                seed,
                plant,
                out,
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Command::PosixCheck => {
            let allowed = read_allowed(&environment("FAULTDISK_ALLOWED")?)?;
            for finding in posix::check(&environment("FAULTDISK_MNT")?, &allowed)? {
                say(&finding);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[expect(clippy::print_stdout, reason = "a command's results go to standard output")]
fn say(line: &str) {
    println!("{line}");
}

fn environment(name: &str) -> Result<PathBuf, RigError> {
    std::env::var_os(name).map(PathBuf::from).ok_or_else(|| RigError::Void(format!("{name} is not set")))
}

fn shell(line: OsString) -> Vec<OsString> {
    vec!["sh".into(), "-c".into(), line]
}

fn rebuild(log: &Path, out: &Path, until: u64, seed: u64, tears: Tears) -> Result<ExitCode, RigError> {
    use std::os::unix::fs::FileExt;
    let log = Log::open(log)?;
    let image = std::fs::File::create(out).map_err(RigError::io("create", out))?;
    let put = |at, data: &[u8]| image.write_all_at(data, at).map_err(RigError::io("write", out));
    replay::apply_durable(&log, 0, until, put)?;
    replay::apply_survivors(&log, until, seed, tears, put)?;
    // A sparse end is part of the disk.
    let end = log.records().iter().map(|r| r.offset + u64::from(r.len)).max().unwrap_or(0);
    let size = image.metadata().map_err(RigError::io("stat", out))?.len().max(end).next_multiple_of(1 << 20);
    image.set_len(size).map_err(RigError::io("resize", out))?;
    Ok(ExitCode::SUCCESS)
}

/// All images, of as many recorded runs as they take, and what they come to.
fn crash_runs(
    plan: &Plan,
    programs: &Programs,
    images_of_a_run: u64,
    keep: Option<PathBuf>,
    must_find: bool,
) -> Result<ExitCode, RigError> {
    // What a planted mistake leaves is not worth keeping.
    let scratch = rig::Scratch::new(&plan.scratch)?;
    let keep = keep.or_else(|| must_find.then(|| scratch.path().to_owned()));
    let mut sum = Report::default();
    let mut seed = plan.seed;
    while sum.images < plan.images {
        let images = images_of_a_run.min(plan.images - sum.images);
        let keep = keep.as_ref().map(|dir| dir.join(seed.to_string()));
        let Some(report) = crash_run(&Plan { images, seed, ..plan.clone() }, programs, keep.as_deref())?
        else {
            say("0 passed, 0 failed, 1 skipped");
            return Ok(ExitCode::SUCCESS);
        };
        print_report(
            &format!("{}, seed {seed}", plan.fs.name()),
            &report,
            if must_find { 1 } else { usize::MAX },
        );
        sum.add(&report);
        seed += 1;
    }
    print_report(plan.fs.name(), &sum, 0);
    let good = sum.clean() != must_find;
    say(&match (must_find, good) {
        (false, _) => format!("{} passed, {} failed", sum.images - sum.bad_images, sum.bad_images),
        (true, true) => "1 passed, 0 failed".into(),
        (true, false) => "the planted mistake was not found\n0 passed, 1 failed".into(),
    });
    Ok(ExitCode::from(u8::from(!good)))
}

/// One recorded run and its images; nothing where the machine cannot.
fn crash_run(plan: &Plan, programs: &Programs, keep: Option<&Path>) -> Result<Option<Report>, RigError> {
    if let Some(missing) = rig::missing(plan.fs) {
        say(&format!("skipped: power loss on {} needs {missing}, which is not here", plan.fs.name()));
        return Ok(None);
    }
    let begin = Instant::now();
    let scratch = rig::Scratch::new(&plan.scratch)?;
    let dir = keep.unwrap_or(scratch.path());
    std::fs::create_dir_all(dir).map_err(RigError::io("create", dir))?;
    let history = crash::record(plan, &programs.workload, dir)?;
    let records = Log::open(&dir.join("log"))?.records().len() as u64;
    let points = crash::points(&history, records, plan.images, plan.seed);
    let mut report = bench::check(plan, &programs.check, dir, &history, &points)?;
    report.took = begin.elapsed();
    if !report.clean() && keep.is_none() {
        keep_for_reproduction(plan, programs, dir)?;
    }
    Ok(Some(report))
}

/// A workload is not the same twice: what reproduces a finding is its log, kept, with the point and seed printed.
fn keep_for_reproduction(plan: &Plan, programs: &Programs, dir: &Path) -> Result<(), RigError> {
    let kept =
        plan.scratch.join(format!("faultdisk-found-{}-{}-{}", plan.fs.name(), std::process::id(), plan.seed));
    std::fs::create_dir_all(&kept).map_err(RigError::io("create", &kept))?;
    for name in ["log", "history"] {
        std::fs::copy(dir.join(name), kept.join(name)).map_err(RigError::io("copy", dir.join(name)))?;
    }
    let check = programs.check.last().map(|c| c.to_string_lossy().into_owned()).unwrap_or_default();
    say(&format!(
        "reproduce: faultdisk check --fs {} --size-mib {} --keep {} --check '{check}' --until U --seed S, with U and S \
         of a finding",
        plan.fs.name(),
        plan.disk_bytes >> 20,
        kept.display(),
    ));
    Ok(())
}

/// The first `findings` of a report and its totals.
fn print_report(what: &str, r: &Report, findings: usize) {
    for finding in r.findings.iter().take(findings) {
        say(finding);
    }
    let took = r.took.as_secs_f64();
    let rate = if took > 0.0 { format!(", {:.1} a second", r.images as f64 / took) } else { String::new() };
    say(&format!(
        "{what}: {} crash images of {} acknowledged operations in {} records{rate}: {} lost, {} torn, {} not \
         recovered",
        r.images, r.acked, r.records, r.lost, r.torn, r.broken
    ));
}

fn self_test(images: u64, seed: u64, scratch: &Path) -> Result<ExitCode, RigError> {
    let own: OsString = std::env::current_exe().map_err(RigError::io("find", "this program"))?.into();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for fs in [Fs::Xfs, Fs::Ext4] {
        for (plant, name) in [
            (Plant::None, "none"),
            (Plant::NoFsync, "no-fsync"),
            (Plant::NoDirFsync, "no-dir-fsync"),
            (Plant::AckFirst, "ack-first"),
        ] {
            let workload = vec![own.clone(), "posix-workload".into(), "--plant".into(), name.into()];
            let programs = Programs { workload, check: vec![own.clone(), "posix-check".into()] };
            let plan =
                Plan { fs, disk_bytes: 512 << 20, images, seed, jobs: jobs(), scratch: scratch.to_owned() };
            let dir = rig::Scratch::new(scratch)?;
            let Some(report) = crash_run(&plan, &programs, Some(dir.path()))? else {
                skipped += 1;
                continue;
            };
            let right = report.clean() == (plant == Plant::None);
            let verdict = if right { "as it must" } else { "WRONG" };
            say(&format!("{} planted, {verdict}:", if plant == Plant::None { "nothing" } else { name }));
            print_report(fs.name(), &report, if right { 1 } else { usize::MAX });
            if right { passed += 1 } else { failed += 1 }
        }
    }
    say(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
    Ok(ExitCode::from(u8::from(failed > 0)))
}
