//! A network of its own for each node: namespaces with a cable each to a bridge. A cut moves the cables of some of them to a
//! second bridge: they reach each other, and not the rest. Clients, on the host, reach both sides.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use crate::error::ChaosError;

/// The network: 10.77.77.0/24. The host is its first address, nodes follow from here on.
const NET: [u8; 3] = [10, 77, 77];
const FIRST_NODE: u8 = 10;

/// The namespaces, bridges and cables; gone when dropped.
#[derive(Debug)]
pub struct Network {
    prefix: String,
    nodes: usize,
}

impl Network {
    /// What this machine lacks for it, if anything.
    pub fn missing() -> Option<String> {
        if !nix::unistd::geteuid().is_root() {
            return Some("root".into());
        }
        let probe = format!("wc{}x", std::process::id());
        for kind in ["bridge", "veth"] {
            if let Err(e) = ip(&format!("link add {probe} type {kind}")) {
                return Some(format!("network links of type {kind}: {e}"));
            }
            // What is left over is in nobody's way.
            let _ = ip(&format!("link del {probe}"));
        }
        if let Err(e) = ip(&format!("netns add {probe}")) {
            return Some(format!("network namespaces: {e}"));
        }
        let _ = ip(&format!("netns del {probe}"));
        None
    }

    /// Namespaces for so many nodes, all on one bridge.
    pub fn new(nodes: usize) -> Result<Self, ChaosError> {
        let network = Self { prefix: format!("wc{}", std::process::id()), nodes };
        let Self { prefix, .. } = &network;
        let [a, b, c] = NET;
        // The second one has no network of its own: whoever is moved there is reached by a route to it alone.
        for (bridge, address) in [("a", format!("{a}.{b}.{c}.1/24")), ("b", format!("{a}.{b}.{c}.1/32"))] {
            ip(&format!("link add {prefix}{bridge} type bridge"))?;
            ip(&format!("addr add {address} dev {prefix}{bridge}"))?;
            ip(&format!("link set {prefix}{bridge} up"))?;
        }
        for i in 0..nodes {
            let (namespace, address) = (network.namespace(i), network.address(i));
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("link add {prefix}v{i} type veth peer name eth0 netns {namespace}"))?;
            ip(&format!("link set {prefix}v{i} master {prefix}a up"))?;
            ip(&format!("-n {namespace} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        Ok(network)
    }

    /// A node's address.
    pub fn address(&self, node: usize) -> IpAddr {
        let [a, b, c] = NET;
        IpAddr::V4(Ipv4Addr::new(a, b, c, FIRST_NODE + node as u8))
    }

    /// A node's namespace.
    pub fn namespace(&self, node: usize) -> String {
        format!("{}n{node}", self.prefix)
    }

    /// Cuts these off from the others.
    pub fn cut(&self, minority: &[usize]) -> Result<(), ChaosError> {
        for node in minority {
            let (prefix, address) = (&self.prefix, self.address(*node));
            ip(&format!("link set {prefix}v{node} master {prefix}b"))?;
            ip(&format!("route replace {address}/32 dev {prefix}b"))?;
        }
        self.forget()
    }

    /// All reach all again.
    pub fn heal(&self) -> Result<(), ChaosError> {
        let prefix = &self.prefix;
        for node in 0..self.nodes {
            // Only those that were cut off have a route.
            let _ = ip(&format!("route del {}/32 dev {prefix}b", self.address(node)));
            ip(&format!("link set {prefix}v{node} master {prefix}a"))?;
        }
        self.forget()
    }

    /// Has the host ask anew who is where.
    fn forget(&self) -> Result<(), ChaosError> {
        ["a", "b"].iter().try_for_each(|bridge| ip(&format!("neigh flush dev {}{bridge}", self.prefix)))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A namespace takes its end of the cable along, and that the other. What is not there need not go.
        for node in 0..self.nodes {
            let _ = ip(&format!("netns del {}", self.namespace(node)));
        }
        for bridge in ["a", "b"] {
            let _ = ip(&format!("link del {}{bridge}", self.prefix));
        }
    }
}

/// Runs `ip` with these words.
fn ip(words: &str) -> Result<(), ChaosError> {
    let failed = |got: String| ChaosError::Program { command: format!("ip {words}"), got };
    let output = Command::new("ip").args(words.split(' ')).output().map_err(|e| failed(e.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
