//! The processes of one cluster together: what they are told, what they say of themselves, and waiting for it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::error::ChaosError;
use crate::http::{Answer, Client, Request};
use crate::network::Network;
use crate::node::{Common, Node, Ports, Role};

/// Gateways of a cluster.
pub const GATEWAYS: usize = 3;
/// Targets of a cluster, with the spare one that joins.
pub const TARGETS: usize = 4;
/// Buckets of a cluster: objects of the second have copies on two mountpaths.
pub const BUCKETS: [&str; 2] = ["plain", "mirrored"];
/// What is not there after this never will be.
pub const WAIT: Duration = Duration::from_secs(180);
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// How long a command may take to be answered.
const COMMAND: Duration = Duration::from_secs(15);
/// Ports of loopback that are tried, below those that the kernel gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 11_000..15_000;
/// The key of tokens of a cluster that does not listen on loopback.
const TOKEN_KEY: &str = "the key of tokens of a cluster under chaos";
/// Flags of a target that rests and has given its objects away: in maintenance, rebalanced.
const RESTED: u64 = 4 + 16;

/// Looks until there is something to see.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, ChaosError> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if begun.elapsed() > WAIT {
            return Err(ChaosError::InVain { what: what.to_owned(), seconds: WAIT.as_secs() });
        }
        std::thread::sleep(LOOK);
    }
}

/// A cluster of gateways, then targets, the last of which is a spare one that does not run in the beginning.
pub struct Cluster {
    common: Common,
    nodes: Vec<Mutex<Node>>,
    ports: Vec<Ports>,
    /// Which nodes are to be on the map.
    members: Mutex<Vec<bool>>,
    /// How often each process was started.
    starts: Vec<AtomicU64>,
    bearer: Option<String>,
    network: Option<Network>,
}

/// How a cluster is made.
pub struct Plan<'a> {
    /// The binary.
    pub weir: &'a Path,
    /// A directory for all that is the cluster's.
    pub dir: &'a Path,
    /// A bug that is planted in every node.
    pub planted: Option<&'a str>,
    /// Whether each node has a network namespace of its own.
    pub namespaces: bool,
}

impl Cluster {
    /// Starts one, waits until all know each other, and makes the buckets.
    pub fn start(plan: &Plan<'_>) -> Result<Self, ChaosError> {
        let network = if plan.namespaces { Some(Network::new(GATEWAYS + TARGETS)?) } else { None };
        let ports: Vec<Ports> = match &network {
            Some(network) => {
                (0..GATEWAYS + TARGETS).map(|i| Ports::at(network.address(i), PORTS.start)).collect()
            }
            None => {
                let first = free_ports(3 * (GATEWAYS + TARGETS) as u16);
                let at = |i: usize| Ports::at(IpAddr::V4(Ipv4Addr::LOCALHOST), first + 3 * i as u16);
                (0..GATEWAYS + TARGETS).map(at).collect()
            }
        };
        fs::create_dir_all(plan.dir).map_err(ChaosError::io("create", plan.dir))?;
        let secret = plan.dir.join("secret");
        fs::write(&secret, "the secret of a cluster under chaos\n")
            .map_err(ChaosError::io("write", &secret))?;
        let common = Common {
            weir: plan.weir.to_owned(),
            dir: plan.dir.to_owned(),
            seeds: ports.iter().take(GATEWAYS).map(|ports| ports.control).collect(),
            planted: plan.planted.map(str::to_owned),
            token_key: network.as_ref().map(|_| TOKEN_KEY.to_owned()),
        };
        let role = |i: usize| if i < GATEWAYS { Role::Gateway } else { Role::Target };
        let namespace = |i: usize| network.as_ref().map(|network| network.namespace(i));
        let nodes: Result<Vec<_>, ChaosError> = ports
            .iter()
            .enumerate()
            .map(|(i, ports)| Node::new(&common, i, role(i), *ports, namespace(i)).map(Mutex::new))
            .collect();
        let nodes = nodes?;
        let bearer = match network {
            Some(_) => Some(token(&common, &nodes[0].lock())?),
            None => None,
        };
        let mut members = vec![true; nodes.len()];
        members[GATEWAYS + TARGETS - 1] = false;
        let starts = nodes.iter().map(|_| AtomicU64::new(0)).collect();
        let members = Mutex::new(members);
        let cluster = Self { common, nodes, ports, members, starts, bearer, network };
        for i in cluster.members() {
            cluster.start_node(i)?;
        }
        cluster.whole()?;
        for bucket in BUCKETS {
            cluster.create(bucket)?;
        }
        let mirror = json!({"action": "set-bprops", "value": {"mirror": {"enabled": true, "copies": 2}}});
        cluster.command("PATCH", &format!("/v1/buckets/{}?provider=ais", BUCKETS[1]), &mirror, |_| false)?;
        Ok(cluster)
    }

    fn create(&self, bucket: &str) -> Result<(), ChaosError> {
        let target = format!("/v1/buckets/{bucket}?provider=ais");
        self.command("POST", &target, &json!({"action": "create-bck"}), |answer| answer.status == 409)
            .map(drop)
    }

    /// What every node is started with.
    pub fn common(&self) -> &Common {
        &self.common
    }

    /// A node, for as long as nobody else needs it.
    pub fn node(&self, i: usize) -> MutexGuard<'_, Node> {
        self.nodes[i].lock()
    }

    /// Where clients ask a node.
    pub fn public(&self, i: usize) -> SocketAddr {
        self.ports[i].public
    }

    /// How many nodes there are, the spare one included.
    pub fn count(&self) -> usize {
        self.ports.len()
    }

    /// The node at a public address.
    pub fn at(&self, public: SocketAddr) -> Option<usize> {
        self.ports.iter().position(|ports| ports.public == public)
    }

    /// The nodes that are to be on the map.
    pub fn members(&self) -> Vec<usize> {
        let members = self.members.lock();
        (0..members.len()).filter(|i| members[*i]).collect()
    }

    /// The targets among them.
    pub fn targets(&self) -> Vec<usize> {
        self.members().into_iter().filter(|i| *i >= GATEWAYS).collect()
    }

    /// The target that is not on the map, if there is one.
    pub fn spare(&self) -> Option<usize> {
        let members = self.members.lock();
        members.iter().position(|is| !is)
    }

    /// Notes whether a node is to be on the map.
    pub fn set_member(&self, i: usize, is: bool) {
        self.members.lock()[i] = is;
    }

    /// The network between the nodes, where they do not share this host's.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// The value of `Authorization` for the operator, where clients need one.
    pub fn bearer(&self) -> Option<String> {
        self.bearer.clone()
    }

    /// Starts a node's process.
    pub fn start_node(&self, i: usize) -> Result<(), ChaosError> {
        self.starts[i].fetch_add(1, Ordering::Relaxed);
        self.node(i).start(&self.common)
    }

    /// How often a node's process was started.
    pub fn starts(&self, i: usize) -> u64 {
        self.starts[i].load(Ordering::Relaxed)
    }

    /// Asks a node on a connection of its own; `None` if no whole answer came.
    pub fn ask(&self, i: usize, method: &str, target: &str, body: &[u8]) -> Option<Answer> {
        let mut client = Client::new(COMMAND, self.bearer());
        let request = Request { method, target, body };
        client.ask(self.public(i), &request).ok().filter(|answer| answer.whole)
    }

    /// Asks the gateways in turn.
    pub fn ask_any(&self, method: &str, target: &str, body: &[u8]) -> Option<Answer> {
        let answers = (0..GATEWAYS).filter(|i| self.node(*i).runs());
        answers.filter_map(|i| self.ask(i, method, target, body)).find(|answer| answer.status < 500)
    }

    /// What a gateway answers with 200, as JSON.
    pub fn json(&self, target: &str, body: &Value) -> Option<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.ask_any("GET", target, body.as_bytes()).filter(|answer| answer.status == 200)?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// Has a command carried out by whichever gateway answers, again until one does. `done` says of a refusal that it is one
    /// because the command was carried out before.
    pub fn command(
        &self,
        method: &str,
        target: &str,
        body: &Value,
        done: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, ChaosError> {
        let text = body.to_string();
        let mut last = String::new();
        let found = until(&format!("{method} {target} {text}"), || {
            let answer = self.ask_any(method, target, text.as_bytes())?;
            last = format!("{} {}", answer.status, answer.text());
            (answer.status == 200 || done(&answer)).then_some(answer)
        });
        found.map_err(|e| ChaosError::Program { command: e.to_string(), got: last })
    }

    /// Whether a node says that it is ready.
    pub fn is_ready(&self, i: usize) -> bool {
        self.ask(i, "GET", "/v1/health?prr=true", b"").is_some_and(|answer| answer.status == 200)
    }

    /// Waits until a node is ready.
    pub fn ready(&self, i: usize) -> Result<(), ChaosError> {
        until(&format!("n{i} is ready"), || self.is_ready(i).then_some(()))
    }

    /// The cluster map, by whichever gateway answers.
    pub fn map(&self) -> Option<Value> {
        self.json("/v1/cluster?what=smap", &Value::Null)
    }

    /// The gateway that leads by the map, if its node runs.
    pub fn leader(&self) -> Option<usize> {
        let map = self.map()?;
        let id = map["proxy_si"]["daemon_id"].as_str()?;
        (0..GATEWAYS).find(|i| self.node(*i).id() == id)
    }

    /// A target's flags on the map; `None`: it is not there, or nobody answers.
    pub fn flags(&self, id: &str) -> Option<u64> {
        let map = self.map()?;
        map["tmap"][id].as_object().map(|node| node.get("flags").and_then(Value::as_u64).unwrap_or(0))
    }

    /// Waits until a target is on the map with these flags.
    pub fn flagged(&self, id: &str, flags: u64) -> Result<(), ChaosError> {
        until(&format!("{id} has flags {flags}"), || (self.flags(id) == Some(flags)).then_some(()))
    }

    /// Waits until a target rests and holds nothing any more.
    pub fn rested(&self, id: &str) -> Result<(), ChaosError> {
        self.flagged(id, RESTED)
    }

    /// Waits until a node is off the map.
    pub fn off_the_map(&self, id: &str) -> Result<(), ChaosError> {
        until(&format!("{id} is off the map"), || {
            let map = self.map()?;
            map["tmap"].as_object().filter(|all| !all.is_empty() && !all.contains_key(id)).map(drop)
        })
    }

    /// Whether all gateways vote, as a gateway knows it: who is new on the map votes a moment later.
    fn all_vote(&self, gateway: usize) -> bool {
        let voters = format!("weir_raft_voters {GATEWAYS}");
        let figures = self.ask(gateway, "GET", "/metrics", b"");
        figures.is_some_and(|figures| figures.text().lines().any(|line| line == voters))
    }

    /// Waits until all members run, are ready, and have one map with exactly them on it, all active, all gateways voting.
    pub fn whole(&self) -> Result<Value, ChaosError> {
        until("one map everywhere, with everybody on it", || {
            let members = self.members();
            let mut maps = Vec::new();
            for i in &members {
                if !self.is_ready(*i) || (*i < GATEWAYS && !self.all_vote(*i)) {
                    return None;
                }
                let map = self.ask(*i, "GET", "/v1/daemon?what=smap", b"").filter(|map| map.status == 200)?;
                maps.push(serde_json::from_slice::<Value>(&map.body).ok()?);
            }
            let first = maps.first()?.clone();
            let named = |name: &str| first[name].as_object().cloned().unwrap_or_default();
            let mut on_map: Vec<String> =
                [named("pmap"), named("tmap")].iter().flat_map(|m| m.keys().cloned()).collect();
            let mut wanted: Vec<String> = members.iter().map(|i| self.node(*i).id()).collect();
            on_map.sort();
            wanted.sort();
            let active = named("tmap").values().all(|node| node["flags"].as_u64().unwrap_or(0) == 0);
            (on_map == wanted && active && maps.iter().all(|map| *map == first)).then_some(first)
        })
    }

    /// All rebalances that are known: whether each has ended, by ID.
    pub fn rebalances(&self) -> Option<BTreeMap<String, bool>> {
        let all = self.json("/v1/cluster?what=status_all", &json!({"kind": "rebalance"}))?;
        let job = |job: &Value| Some((job["uuid"].as_str()?.to_owned(), job["end_time"] != 0));
        Some(all.as_array().into_iter().flatten().filter_map(job).collect())
    }

    /// Waits until no rebalance runs, and one that is not among `before` has ended.
    pub fn rebalanced(&self, before: &BTreeMap<String, bool>) -> Result<(), ChaosError> {
        until("every object is at its owner", || {
            let all = self.rebalances()?;
            let new = all.keys().any(|id| !before.contains_key(id));
            (new && all.values().all(|ended| *ended)).then_some(())
        })
    }

    /// Waits until no object is on its way: between targets, and between the mountpaths of each.
    pub fn at_rest(&self) -> Result<(), ChaosError> {
        until("nothing moves", || self.rebalances()?.values().all(|ended| *ended).then_some(()))?;
        self.targets().into_iter().try_for_each(|i| self.settled(i))
    }

    /// Waits until every name of a target is on the mountpath that it belongs to.
    pub fn settled(&self, i: usize) -> Result<(), ChaosError> {
        until(&format!("the disks of n{i} are settled"), || {
            let metrics = self.ask(i, "GET", "/metrics", b"")?;
            metrics.text().lines().any(|line| line == "weir_disks_settled 1").then_some(())
        })
    }

    /// Nodes whose processes ended without being told to.
    pub fn died(&self) -> Vec<String> {
        (0..self.count()).filter_map(|i| self.node(i).died()).collect()
    }
}

/// The operator's credential.
fn token(common: &Common, node: &Node) -> Result<String, ChaosError> {
    let key = node.dir().join("node/token.key");
    let mut command = Command::new(&common.weir);
    command.args(["token", "--days", "7", "--key-file"]).arg(&key);
    let line = format!("{command:?}");
    let failed = |got: String| ChaosError::Program { command: line.clone(), got };
    let output = command.output().map_err(|e| failed(e.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || text.is_empty() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(format!("Bearer {text}"))
}

/// So many ports of loopback that nobody has at the moment, one after the other.
fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = PORTS.end - PORTS.start - count;
    loop {
        let step = NEXT.fetch_add(count, Ordering::Relaxed);
        let first = PORTS.start + (std::process::id() as u16).wrapping_mul(97).wrapping_add(step) % span;
        if (first..first + count).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
            return first;
        }
    }
}
