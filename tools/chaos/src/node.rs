//! One node: a process of `weir serve` with directories of its own, on loopback or in a network namespace.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::ChaosError;

/// Mountpaths of a new target.
const MOUNTPATHS: usize = 2;
/// What the nodes log.
const LOG_LEVEL: &str = "info";

/// What a node does in the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Takes requests and agrees on the cluster.
    Gateway,
    /// Keeps objects.
    Target,
}

/// What every node of a cluster is started with.
#[derive(Clone, Debug)]
pub struct Common {
    /// The binary.
    pub weir: PathBuf,
    /// Where all nodes have their directories.
    pub dir: PathBuf,
    /// Control addresses of the gateways.
    pub seeds: Vec<SocketAddr>,
    /// A bug that is planted in every node.
    pub planted: Option<String>,
    /// The key of tokens, where clients need one.
    pub token_key: Option<String>,
}

/// A node's addresses.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// For clients.
    pub public: SocketAddr,
    /// For other nodes, about the cluster.
    pub control: SocketAddr,
    /// For other nodes, objects.
    pub data: SocketAddr,
}

impl Ports {
    /// Three ports from `first` on at an address.
    pub fn at(ip: IpAddr, first: u16) -> Self {
        let [public, control, data] = [0, 1, 2].map(|more| SocketAddr::new(ip, first + more));
        Self { public, control, data }
    }
}

/// A node, whether its process runs or not.
#[derive(Debug)]
pub struct Node {
    role: Role,
    number: usize,
    ports: Ports,
    dir: PathBuf,
    /// The network namespace that it lives in.
    namespace: Option<String>,
    /// How often it became another node of the cluster than before.
    life: u32,
    mountpaths: Vec<PathBuf>,
    next_mountpath: usize,
    child: Option<Child>,
}

impl Node {
    /// A node that was never started.
    pub fn new(
        common: &Common,
        number: usize,
        role: Role,
        ports: Ports,
        namespace: Option<String>,
    ) -> Result<Self, ChaosError> {
        let dir = common.dir.join(format!("n{number}"));
        let mut node = Self {
            role,
            number,
            ports,
            dir,
            namespace,
            life: 0,
            mountpaths: Vec::new(),
            next_mountpath: 0,
            child: None,
        };
        node.renew(common)?;
        Ok(node)
    }

    /// Makes another node of it, with nothing of what the one before had. Its process does not run.
    pub fn renew(&mut self, common: &Common) -> Result<(), ChaosError> {
        self.life += 1;
        let state = self.dir.join("node");
        for dir in self.mountpaths.drain(..).chain([state.clone()]) {
            remove(&dir)?;
        }
        fs::create_dir_all(&state).map_err(ChaosError::io("create", &state))?;
        if let Some(key) = &common.token_key {
            let path = state.join("token.key");
            fs::write(&path, key).map_err(ChaosError::io("write", &path))?;
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(&path, private).map_err(ChaosError::io("protect", &path))?;
            let config = self.dir.join("weir.toml");
            fs::write(&config, "[auth]\ntokens = true\n").map_err(ChaosError::io("write", &config))?;
        }
        if self.role == Role::Target {
            for _ in 0..MOUNTPATHS {
                let fresh = self.fresh_mountpath()?;
                self.mountpaths.push(fresh);
            }
        }
        Ok(())
    }

    /// A directory for another mountpath, with a path that no mountpath of it had.
    pub fn fresh_mountpath(&mut self) -> Result<PathBuf, ChaosError> {
        self.next_mountpath += 1;
        let path = self.dir.join(format!("mp{}", self.next_mountpath));
        fs::create_dir_all(&path).map_err(ChaosError::io("create", &path))?;
        Ok(path)
    }

    /// Its ID in the cluster.
    pub fn id(&self) -> String {
        match self.role {
            Role::Gateway => format!("gateway{}", self.number),
            Role::Target => format!("target{}x{}", self.number, self.life),
        }
    }

    /// What it does.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Where it is asked.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Where all that is its own lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its mountpaths, the one that it has had for longest first.
    pub fn mountpaths(&self) -> &[PathBuf] {
        &self.mountpaths
    }

    /// Notes that a mountpath was attached.
    pub fn attached(&mut self, path: PathBuf) {
        self.mountpaths.push(path);
    }

    /// Notes that a mountpath was detached; its directory is as it is.
    pub fn detached(&mut self, path: &Path) {
        self.mountpaths.retain(|mountpath| mountpath != path);
    }

    /// Whether its process was started and not killed since.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Starts its process, without waiting until it is ready.
    pub fn start(&mut self, common: &Common) -> Result<(), ChaosError> {
        if self.child.is_some() {
            return Ok(());
        }
        let path = self.dir.join("log");
        let log =
            File::options().create(true).append(true).open(&path).map_err(ChaosError::io("open", &path))?;
        let mut command = self.command(common);
        // The other end of its input goes with this process: it never outlives it.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let failed = |e: std::io::Error| ChaosError::Program {
            command: common.weir.display().to_string(),
            got: e.to_string(),
        };
        self.child = Some(command.spawn().map_err(failed)?);
        Ok(())
    }

    fn command(&self, common: &Common) -> Command {
        let mut command = match &self.namespace {
            Some(namespace) => {
                // `ip netns exec` would give it mounts of its own: a disk that is mounted later would not be there.
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{namespace}")).arg(&common.weir);
                command
            }
            None => Command::new(&common.weir),
        };
        command.args(["serve", "--no-pin", "--shards", "1", "--until-stdin-ends", "--log", LOG_LEVEL]);
        command.arg("--dir").arg(self.dir.join("node"));
        let role = if self.role == Role::Gateway { "gateway" } else { "target" };
        command.args(["--role", role, &format!("--{role}-id"), &self.id()]);
        let Ports { public, control, data } = self.ports;
        for (flag, at) in [("--listen", public), ("--intra-control", control), ("--intra-data", data)] {
            command.args([flag, &at.to_string()]);
        }
        for seed in &common.seeds {
            command.args(["--seed", &seed.to_string()]);
        }
        command.arg("--join-secret").arg(common.dir.join("secret"));
        for path in &self.mountpaths {
            command.arg("--mountpath").arg(path);
        }
        if common.token_key.is_some() {
            command.arg("--config").arg(self.dir.join("weir.toml"));
        }
        if let Some(bug) = &common.planted {
            command.env("WEIR_PLANTED", bug);
        }
        command
    }

    /// Ends its process at once: it learns nothing of it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Has it stand still, or go on: for itself no time passes meanwhile.
    pub fn stand_still(&mut self, still: bool) {
        if let Some(child) = &self.child
            && let Ok(id) = i32::try_from(child.id())
        {
            let signal = if still { Signal::SIGSTOP } else { Signal::SIGCONT };
            // Where it has ended there is nobody to stand still.
            let _ = kill(Pid::from_raw(id), signal);
        }
    }

    /// Waits for the process to end by itself, for so long; whether it has.
    pub fn ends(&mut self, within: Duration) -> bool {
        let begun = Instant::now();
        while let Some(child) = &mut self.child {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                self.child = None;
            } else if begun.elapsed() > within {
                return false;
            } else {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        true
    }

    /// How its process ended, if it did without being told to.
    pub fn died(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        Some(format!(
            "n{} ended by itself: {status}; its log is {}",
            self.number,
            self.dir.join("log").display()
        ))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Removes a directory with all that is in it, if it is there.
pub fn remove(dir: &Path) -> Result<(), ChaosError> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(ChaosError::io("remove", dir)(e)),
        _ => Ok(()),
    }
}
