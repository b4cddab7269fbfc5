//! The leader's turn: that a majority still follows, who leads by the map, who is away, who votes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;
#[cfg(test)]
use std::time::Instant;

use openraft::{ChangeMembers, ServerState};
use weir_cluster::NodeFlags;

use super::hear::is_on;
use super::leading::Leading;
use super::process::{Process, processes, voters};
use super::{Company, leading};
use crate::raft::command::Command;
use crate::raft::node::RaftNode;
use crate::raft::types::{Peer, RaftId};
use crate::runtime::{self, Bug, planted};

/// Between two questions to the majority.
const CONFIRM: Duration = Duration::from_millis(150);
/// Between two looks at the others.
const TEND: Duration = Duration::from_millis(100);
/// How long a majority may take to confirm.
const CONFIRM_MAX: Duration = Duration::from_millis(1000);
/// How long one change of the leader's own may take.
const CHANGE_MAX: Duration = Duration::from_secs(3);

impl RaftNode {
    /// Whether this process leads, as far as it knows. Begins its table of the others when that is new, ends it when it is over.
    pub(crate) fn leads(&self) -> bool {
        let term = self.term_led();
        let Some(company) = self.company() else { return term.is_some() };
        let mut leading = company.leading.lock();
        match term {
            None => *leading = None,
            Some(term) if leading.as_ref().is_none_or(|l| l.term != term) => {
                *leading = Some(Leading::new(term, self.progress().last_log, runtime::now()));
            }
            Some(_) => {}
        }
        leading.is_some()
    }

    /// Whether this process leads and no other can at this moment.
    pub(crate) fn surely_leads(&self) -> bool {
        let Some(company) = self.company() else { return self.term_led().is_some() };
        self.leads() && company.leading.lock().as_ref().is_some_and(|l| l.is_sure(runtime::now()))
    }

    /// What [`Self::surely_leads`] would say at `now`, without its effects.
    #[cfg(test)]
    pub(crate) fn would_lead(&self, now: Instant) -> bool {
        let term = self.term_led();
        let Some(company) = self.company() else { return term.is_some() };
        let leading = company.leading.lock();
        leading.as_ref().is_some_and(|l| Some(l.term) == term && l.is_sure(now))
    }

    /// The term in which this process leads.
    fn term_led(&self) -> Option<u64> {
        let metrics = self.raft().metrics();
        let m = metrics.borrow();
        (m.running_state.is_ok() && m.state == ServerState::Leader && m.current_leader == Some(m.id))
            .then_some(m.current_term)
    }

    /// While this process leads: has a majority confirm it, and lends itself what it lends to others.
    pub(crate) async fn confirm_forever(self) {
        let Some(company) = self.company().cloned() else { return };
        loop {
            runtime::sleep(CONFIRM).await;
            if !self.leads() || company.leading.lock().as_ref().is_some_and(|l| l.handing_over) {
                continue;
            }
            let asked = runtime::now();
            let confirmed = runtime::timeout(CONFIRM_MAX, self.raft().ensure_linearizable()).await;
            if !matches!(confirmed, Ok(Ok(_))) && !planted(Bug::LeaseUnconfirmed) {
                continue;
            }
            let applied = self.progress().applied;
            if let Some(leading) = company.leading.lock().as_mut() {
                leading.confirmed(asked);
                // Who leads on after a restart does not know yet that the end of its log was agreed on, and answered.
                if leading.has_all(applied) {
                    self.lease().extend(asked + leading::LEASE);
                }
            }
            company.lent.notify_waiters();
        }
    }

    /// While this process leads: the map says so, who is silent is away, and the right gateways vote.
    pub(crate) async fn tend_forever(self) {
        let Some(company) = self.company().cloned() else { return };
        loop {
            runtime::sleep(TEND).await;
            if self.surely_leads() {
                self.tend(&company).await;
            }
        }
    }

    async fn tend(&self, company: &Company) {
        let (Ok(view), Some(me)) = (self.view(), company.nodes.first()) else { return };
        let all: Vec<Process> = processes(&view.smap);
        if view.smap.primary != me.id && view.smap.gateways.contains_key(&me.id) {
            self.change(Command::SetPrimary { gateway: me.id.clone() }).await;
        }
        // Nobody hears the leader: it may have been away when it was voted for, or live elsewhere since.
        let known = company.nodes.iter().filter(|n| view.smap.node(n.id.as_str()).is_some());
        for node in known.filter(|n| !is_on(&view, n)) {
            self.change(Command::Admit(Box::new(node.clone()))).await;
        }
        let others: Vec<Process> = all.iter().filter(|p| p.id != me.id).cloned().collect();
        let silent: Vec<Process> = {
            let mut leading = company.leading.lock();
            let Some(leading) = leading.as_mut() else { return };
            let now = runtime::now();
            leading.keep_only(&others, now);
            leading.silent(&others, now).into_iter().cloned().collect()
        };
        for process in silent {
            tracing::warn!("{} at {} is not heard of: it is away", process.id, process.endpoint);
            for node in process.nodes {
                let (set, clear) = (NodeFlags::AWAY, NodeFlags::default());
                self.change(Command::SetFlags { node, set, clear }).await;
            }
        }
        self.arrange_votes(company, &all);
        self.tend_moves(&view).await;
    }

    /// A change that the leader makes by itself; if it fails, the next turn tries again.
    pub(super) async fn change(&self, command: Command) {
        match runtime::timeout(CHANGE_MAX, self.write(command)).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => tracing::warn!("the map is not changed: {e}"),
            Err(_) => tracing::warn!("the map is not changed: no majority"),
        }
    }

    /// Sets the voters right, and drops members that are off the map, in the background: joint consensus waits for others.
    fn arrange_votes(&self, company: &Company, all: &[Process]) {
        let (now, members) = self.membership();
        let Ok(view) = self.view() else { return };
        let wanted = voters(&view.smap, &now, self.raft_id());
        let stays = |id: RaftId, peer: &Peer| {
            all.iter().any(|p| p.raft_id() == id)
                || company.leading.lock().as_ref().is_none_or(|leading| leading.is_joining(&peer.node))
        };
        let gone: BTreeSet<RaftId> =
            members.iter().filter(|(id, peer)| !stays(**id, peer)).map(|(id, _)| *id).collect();
        // Who is to vote must follow already.
        let ready = wanted.iter().all(|id| members.contains_key(id));
        let change: ChangeMembers<RaftId, _> = if wanted != now && ready {
            ChangeMembers::ReplaceAllVoters(wanted)
        } else if let Some(gone) = Some(gone).filter(|g| !g.is_empty() && g.is_disjoint(&now)) {
            ChangeMembers::RemoveNodes(gone)
        } else {
            return;
        };
        if company.voting.swap(true, Ordering::Relaxed) {
            return;
        }
        let node = self.clone();
        runtime::spawn(async move {
            let changed = runtime::timeout(CHANGE_MAX, node.raft().change_membership(change, true)).await;
            if let Ok(Err(e)) = changed {
                tracing::warn!("voters are not changed: {e}");
            }
            if let Some(company) = node.company() {
                company.voting.store(false, Ordering::Relaxed);
            }
        });
    }

    /// Who votes, and all members.
    pub(super) fn membership(&self) -> (BTreeSet<RaftId>, BTreeMap<RaftId, crate::raft::types::Peer>) {
        let metrics = self.raft().metrics();
        let m = metrics.borrow();
        let membership = m.membership_config.membership();
        (membership.voter_ids().collect(), membership.nodes().map(|(id, n)| (*id, n.clone())).collect())
    }

    /// Endpoint and ID of the process that leads, as far as this one knows.
    pub(crate) fn leader(&self) -> Option<(String, String)> {
        let leader = self.raft().metrics().borrow().current_leader?;
        if leader == self.raft_id() {
            return None;
        }
        let mapped = self.view().ok().and_then(|view| {
            let found = processes(&view.smap).into_iter().find(|p| p.raft_id() == leader);
            found.map(|p| (p.endpoint, p.id.to_string()))
        });
        mapped.or_else(|| {
            let (_, members) = self.membership();
            members.get(&leader).map(|peer| (peer.endpoint.clone(), peer.node.clone()))
        })
    }
}
