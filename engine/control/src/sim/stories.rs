//! Stories in which the order of what goes wrong is given, as chance does not come to it.

use std::sync::Arc;
use std::time::Duration;

use openraft::ServerState;
use parking_lot::Mutex;
use weir_cluster::NodeId;

use super::checks::Wrong;
use super::cluster::{Cluster, Outcome, story};
use super::world::Place;
use crate::raft::node::RaftNode;

/// A leader that is away as far as the map says.
pub(super) fn run_mute_then_leading(seed: u64) -> Result<Outcome, Wrong> {
    story(seed, |world| Cluster::of(world, 3, 1), Cluster::mute_then_leading)
}

/// Leadership by command.
pub(super) fn run_pass_on(seed: u64) -> Result<Outcome, Wrong> {
    story(seed, |world| Cluster::of(world, 3, 1), Cluster::pass_on)
}

/// A vote whose voter loses power when it has given it, and votes again.
pub(super) fn run_forgotten_vote(seed: u64) -> Result<Outcome, Wrong> {
    story(seed, |world| Cluster::of(world, 3, 1), Cluster::forgotten_vote)
}

/// One that is heard again while the map's word that it is away is being agreed on.
pub(super) fn run_back_while_marked_away(seed: u64) -> Result<Outcome, Wrong> {
    story(seed, |world| Cluster::of(world, 3, 1), Cluster::back_while_marked_away)
}

impl Cluster {
    /// A gateway hears everybody and is not heard, so that it is away; then the leader dies, and it may follow.
    fn mute_then_leading(&mut self) -> Result<(), Wrong> {
        self.start_all();
        self.rest()?;
        let (leader, _) = self.leader()?;
        let mute = (leader + 1) % self.gateways;
        (0..self.len()).for_each(|other| self.world.net.cut(mute, other));
        self.pass(Duration::from_secs(8))?;
        self.world.net.heal();
        self.kill(leader, false);
        self.pass(Duration::from_secs(4))?;
        self.rest()
    }

    /// Leadership goes from one to the next by command, again and again, however long messages take.
    fn pass_on(&mut self) -> Result<(), Wrong> {
        self.start_all();
        self.rest()?;
        self.world.net.slow(Duration::from_millis(120));
        for turn in 0..6 {
            let next = NodeId::new(format!("gateway{}", turn % self.gateways)).unwrap();
            let (place, raft) = self.rafts()[self.any(self.len())].clone();
            let passed: Arc<Mutex<Option<Result<(), String>>>> = Arc::default();
            let told = passed.clone();
            let to = next.clone();
            self.world.spawn_at(place, async move {
                let answer = raft.set_primary(&to).await;
                *told.lock() = Some(answer.map_err(|e| e.to_string()));
            });
            while passed.lock().is_none() {
                self.step()?;
            }
            passed.lock().take().unwrap_or(Ok(())).map_err(|e| format!("turn {turn}: {e}"))?;
            self.rest()?;
            let primary = self.rafts()[0].1.view().map_err(|e| e.to_string())?.smap.primary.clone();
            if primary != next {
                return Err(format!("turn {turn}: {primary} leads, not {next}"));
            }
        }
        Ok(())
    }

    /// One stands for election; another votes for it, and loses power before it hears more. The one that was voted for leads,
    /// and is not heard; the others elect in the same term, if the vote is forgotten, and change something. Then all hear each
    /// other.
    fn forgotten_vote(&mut self) -> Result<(), Wrong> {
        self.start_all();
        self.rest()?;
        // Until all gateways vote.
        self.pass(Duration::from_secs(3))?;
        let (leader, _) = self.leader()?;
        self.kill(leader, false);
        self.world.net.slow(Duration::from_millis(20));
        let (winner, voter) = loop {
            self.step()?;
            if let Some(found) = self.vote_given() {
                break found;
            }
        };
        (0..self.len()).for_each(|other| self.world.net.cut(winner, other));
        self.kill(voter, true);
        (0..self.len()).for_each(|other| self.world.net.cut(other, winner));
        self.bring_back();
        self.pass(Duration::from_secs(6))?;
        for _ in 0..5 {
            self.ask();
            self.pass(Duration::from_secs(1))?;
        }
        self.world.net.heal();
        self.pass(Duration::from_secs(6))?;
        self.rest()
    }

    /// A target is not heard until the leader has the others agree that it is away. At this moment it is heard, may be lent a
    /// lease, and is cut off. Then something changes.
    fn back_while_marked_away(&mut self) -> Result<(), Wrong> {
        self.start_all();
        self.rest()?;
        // Until all gateways vote.
        self.pass(Duration::from_secs(3))?;
        let (target, all) = (self.gateways, self.len());
        let (_, leader) = self.leader()?;
        let own = self.rafts().swap_remove(target).1;
        self.world.net.slow(Duration::from_millis(120));
        let agreed = leader.progress().last_log;
        (0..all).for_each(|other| self.world.net.cut(target, other));
        while leader.progress().last_log == agreed {
            self.step()?;
        }
        self.world.net.heal();
        let (marked, until) = (leader.progress().last_log, self.world.elapsed() + Duration::from_secs(1));
        while !own.lease().holds(self.world.now()) && self.world.elapsed() < until {
            self.step()?;
        }
        (0..all).for_each(|other| self.world.net.cut(target, other));
        (0..all).for_each(|other| self.world.net.cut(other, target));
        while leader.progress().applied < marked {
            self.step()?;
        }
        for _ in 0..5 {
            self.ask();
        }
        self.pass(Duration::from_secs(4))?;
        self.world.net.heal();
        self.world.net.slow(Duration::ZERO);
        self.rest()
    }

    /// Who leads.
    fn leader(&self) -> Result<(Place, RaftNode), Wrong> {
        let now = self.world.now();
        let found = self.rafts().into_iter().find(|(_, raft)| raft.would_lead(now));
        found.ok_or_else(|| "nobody leads".into())
    }

    /// Who stands for election, and another gateway that has just voted for it.
    fn vote_given(&self) -> Option<(Place, Place)> {
        let rafts = self.rafts();
        let gateways = || rafts.iter().filter(|(place, _)| *place < self.gateways);
        let votes = |raft: &RaftNode| raft.raft().metrics().borrow().vote;
        let stands = |raft: &RaftNode| raft.raft().metrics().borrow().state == ServerState::Candidate;
        let (winner, standing) = gateways().find(|(_, raft)| stands(raft))?;
        let voted = |(place, raft): &&(Place, RaftNode)| place != winner && votes(raft) == votes(standing);
        gateways().find(voted).map(|(voter, _)| (*winner, *voter))
    }
}
