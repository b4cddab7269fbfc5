//! Several processes' control cores in one process, over loopback: they come, agree, go and come again.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use weir_auth::{Gate, PeerKey, Secret};
use weir_cluster::{BucketPropsPatch, ClusterView, NetInfo, Roles};
use weir_types::{Bucket, BucketName, Provider};

use crate::api::tests::{Memory, block_on, submit};
use crate::{Command, Control, ControlConfig, ControlError, ControlHandle, PeersConfig};

/// How long anything here may take.
const WAIT_MAX: Duration = Duration::from_secs(30);

struct Member {
    config: ControlConfig,
    handle: Option<ControlHandle>,
}

impl Member {
    fn handle(&self) -> &ControlHandle {
        self.handle.as_ref().unwrap()
    }

    fn view(&self) -> Arc<ClusterView> {
        self.handle().view()
    }

    fn start(&mut self) -> Result<(), ControlError> {
        Control::identity(&self.config)?;
        self.handle = Some(Control::start(self.config.clone(), Arc::new(Memory::default()))?);
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.join();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Cluster {
    members: Vec<Member>,
    dir: TempDir,
}

/// Addresses that nobody has at the moment.
fn free(count: usize) -> Vec<NetInfo> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|l| NetInfo::new("127.0.0.1", l.local_addr().unwrap().port())).collect()
}

fn config(dir: &Path, roles: Roles, at: &NetInfo, seeds: &[String], secret: &str) -> ControlConfig {
    let peers = PeersConfig {
        listen: at.authority().parse().unwrap(),
        seeds: seeds.to_vec(),
        key: PeerKey::new(&Secret::new(secret)).unwrap(),
    };
    ControlConfig { roles, peers: Some(peers), ..ControlConfig::new(dir, at.clone()) }
}

const SECRET: &str = "a secret of the cluster";

impl Cluster {
    fn new(gateways: usize, targets: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = free(gateways + targets);
        let seeds: Vec<String> = at.iter().take(gateways).map(NetInfo::authority).collect();
        let members = at.iter().enumerate().map(|(i, at)| {
            let roles = if i < gateways { Roles::Gateway } else { Roles::Target };
            let config = config(&dir.path().join(i.to_string()), roles, at, &seeds, SECRET);
            Member { config, handle: None }
        });
        let mut cluster = Self { members: members.collect(), dir };
        cluster.start_all();
        cluster
    }

    /// Starts all that do not run, at once.
    fn start_all(&mut self) {
        let resting = self.members.iter_mut().filter(|m| m.handle.is_none());
        std::thread::scope(|scope| {
            resting.for_each(|member| drop(scope.spawn(|| member.start().unwrap())));
        });
    }

    fn running(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|m| m.handle.is_some())
    }

    /// Waits until `holds` of every running member's view.
    fn until(&self, what: &str, holds: impl Fn(&ClusterView) -> bool) {
        let begin = Instant::now();
        while !self.running().all(|m| holds(&m.view())) {
            let views: Vec<_> = self.running().map(|m| m.view().smap.clone()).collect();
            assert!(begin.elapsed() < WAIT_MAX, "{what}: {views:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until all gateways vote; there are three.
    fn until_all_vote(&self) {
        let gate = Gate::anonymous_loopback_only();
        let begin = Instant::now();
        for member in self.members.iter().filter(|m| m.config.roles == Roles::Gateway) {
            loop {
                let figures = block_on(submit(member.handle(), &gate, "GET /metrics", "")).unwrap();
                let text = String::from_utf8_lossy(&figures.body);
                if text.lines().any(|line| line == "weir_raft_voters 3") {
                    break;
                }
                assert!(begin.elapsed() < WAIT_MAX, "{text}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn primary(&self) -> usize {
        let primary = self.running().next().unwrap().view().smap.primary.clone();
        let is = |m: &Member| m.handle.as_ref().is_some_and(|h| h.identity().gateway == primary);
        self.members.iter().position(is).expect("the leader runs")
    }
}

fn bucket(name: &str) -> Bucket {
    Bucket::global(Provider::Ais, BucketName::new(name).unwrap())
}

fn create(at: &Member, name: &str) -> Result<(), ControlError> {
    let none = BucketPropsPatch::new([], false).unwrap();
    block_on(at.handle().create_bucket(bucket(name), none)).map(|_| ())
}

#[test]
fn three_and_three_agree_and_survive_their_leader() {
    let mut cluster = Cluster::new(3, 3);
    cluster.until("everybody is on the map", |v| v.smap.gateways.len() == 3 && v.smap.targets.len() == 3);
    let uuids: std::collections::BTreeSet<_> =
        cluster.running().map(|m| m.view().smap.uuid.clone()).collect();
    assert_eq!(uuids.len(), 1);
    // Through a gateway that does not lead, and everybody has it when it is answered.
    for (i, member) in cluster.members.iter().enumerate() {
        let name = format!("b{i}");
        create(member, &name).unwrap();
        assert!(cluster.running().all(|m| m.view().bmd.get(&bucket(&name)).is_some()), "{name}");
        assert!(matches!(create(member, &name), Err(ControlError::Refused(_))));
    }
    // Who is on the map votes a moment later.
    cluster.until_all_vote();
    let leader = cluster.primary();
    let old = cluster.members[leader].handle().identity().gateway.clone();
    cluster.members[leader].stop();
    let survivor = (leader + 1) % 3;
    let begin = Instant::now();
    loop {
        match create(&cluster.members[survivor], "after") {
            Ok(()) => break,
            Err(error) => assert!(begin.elapsed() < WAIT_MAX, "{error}"),
        }
    }
    cluster.until("another leads", |v| v.smap.primary != old);
    cluster.until("the old leader is away", |v| !v.smap.gateways[&old].is_here());
    let cut = cluster.members[survivor].handle().lease();
    assert!(cut.holds(Instant::now()));
    cluster.start_all();
    cluster.until("it is back", |v| v.smap.gateways[&old].is_here());
    assert!(cluster.members[leader].view().bmd.get(&bucket("after")).is_some());
    // All at once, and the same cluster again.
    let before = cluster.members[0].view();
    let ids: Vec<_> = cluster.running().map(|m| m.handle().identity().clone()).collect();
    cluster.members.iter_mut().for_each(Member::stop);
    cluster.start_all();
    assert_eq!(cluster.running().map(|m| m.handle().identity().clone()).collect::<Vec<_>>(), ids);
    create(&cluster.members[5], "again").unwrap();
    assert!(cluster.running().all(|m| m.view().bmd.get(&bucket("again")).is_some()));
    assert_eq!(cluster.members[0].view().smap.uuid, before.smap.uuid);
    assert_eq!(cluster.members[0].view().smap.len(), 6);
}

#[test]
fn strangers_are_refused_with_the_reason() {
    let cluster = Cluster::new(1, 1);
    let seeds = cluster.members[0].config.peers.as_ref().unwrap().seeds.clone();
    let start = |dir: &str, secret: &str, first_alone: bool| {
        let at = &free(1)[0];
        let path = cluster.dir.path().join(dir);
        if first_alone {
            let mut alone = Member { config: config(&path, Roles::Gateway, at, &[], secret), handle: None };
            alone.start().unwrap();
        }
        let mut member = Member { config: config(&path, Roles::Gateway, at, &seeds, secret), handle: None };
        member.start().unwrap_err().to_string()
    };
    let error = start("wrong", "not the cluster's secret", false);
    assert!(error.contains("join secret"), "{error}");
    let error = start("foreign", SECRET, true);
    assert!(error.contains("belongs to cluster"), "{error}");
    cluster.until("nobody came", |v| v.smap.len() == 2);
}

#[test]
fn who_was_taken_off_the_map_stays_off() {
    let mut cluster = Cluster::new(1, 2);
    let node = cluster.members[2].handle().identity().target.clone();
    cluster.members[2].stop();
    let remove = Command::RemoveNode { node: node.clone() };
    block_on(cluster.members[1].handle().propose(remove)).unwrap();
    cluster.until("it is off", |v| v.smap.targets.len() == 1);
    let error = cluster.members[2].start().unwrap_err().to_string();
    assert!(error.contains("empty state directory"), "{error}");
    // With one it comes as a new node.
    std::fs::remove_dir_all(&cluster.members[2].config.state_dir).unwrap();
    cluster.start_all();
    cluster.until("another came", |v| v.smap.targets.len() == 2 && !v.smap.targets.contains_key(&node));
}

#[test]
fn without_a_majority_nothing_changes() {
    let mut cluster = Cluster::new(3, 1);
    create(&cluster.members[3], "before").unwrap();
    cluster.members[1].stop();
    cluster.members[2].stop();
    let begin = Instant::now();
    while cluster.members[3].handle().lease().holds(Instant::now()) {
        assert!(begin.elapsed() < WAIT_MAX);
        std::thread::sleep(Duration::from_millis(5));
    }
    for member in [&cluster.members[0], &cluster.members[3]] {
        let error = create(member, "never").unwrap_err();
        assert!(matches!(error, ControlError::NoAgreement(_)), "{error}");
        assert!(member.view().bmd.get(&bucket("before")).is_some());
    }
    cluster.start_all();
    cluster.until("leases are back", |_| true);
    create(&cluster.members[3], "later").unwrap();
}

#[test]
fn leadership_moves_by_command() {
    let cluster = Cluster::new(3, 1);
    let leader = cluster.primary();
    let next = (leader + 1) % 3;
    let to = cluster.members[next].handle().identity().gateway.clone();
    // Asked of one that neither leads nor is to lead.
    block_on(cluster.members[(leader + 2) % 3].handle().set_primary(to.clone())).unwrap();
    cluster.until("it leads", |v| v.smap.primary == to);
    create(&cluster.members[3], "then").unwrap();
    let nobody = weir_cluster::NodeId::new("nobody99").unwrap();
    assert!(block_on(cluster.members[next].handle().set_primary(nobody)).is_err());
}
