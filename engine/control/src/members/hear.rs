//! What the leader answers to a sign of life: a lease to who is on the map and up to date, and a place on it to who is new.

use weir_cluster::{ClusterView, Node};

use super::{Company, Leading};
use crate::ControlError;
use crate::peers::{Hello, HelloAnswer};
use crate::raft::command::Command;
use crate::raft::node::RaftNode;
use crate::raft::types::Peer;
use crate::runtime::{self, Bug, planted};

impl RaftNode {
    /// Answers a process.
    pub(crate) fn hear(&self, hello: Hello) -> HelloAnswer {
        let (Some(company), Ok(view)) = (self.company(), self.view()) else { return HelloAnswer::NotLeader };
        if !self.leads() {
            return HelloAnswer::NotLeader;
        }
        let Some(main) = hello.nodes.first() else { return HelloAnswer::Removed };
        let known = |n: &Node| view.smap.node(n.id.as_str()).is_some();
        let is_new = hello.fresh || planted(Bug::RemovedIsTakenIn);
        if !is_new && !hello.nodes.iter().any(known) {
            return HelloAnswer::Removed;
        }
        let mut leading = company.leading.lock();
        let Some(leading) = leading.as_mut() else { return HelloAnswer::NotLeader };
        let (id, endpoint, now) = (main.id.as_str(), main.intra_control.authority(), runtime::now());
        // Somebody of the same ID lives at another address, or of another ID at the same, or did until a moment ago. The second
        // may be who was taken off the map there: words of it come late, and it must not be taken in again beside the other.
        if leading.is_elsewhere(&view, main, now) || leading.is_taken(id, &endpoint, now) {
            return HelloAnswer::Wait;
        }
        let is_member = self.membership().1.contains_key(&main.id.digest());
        let settled = is_member && hello.nodes.iter().filter(|n| is_new || known(n)).all(|n| is_on(&view, n));
        // A word of who was new once may come after it was taken off the map, and while its lease of then runs.
        if let Some(nonce) = leading.challenge(id, hello.fresh && !settled, hello.nonce, now) {
            return HelloAnswer::Challenge { nonce };
        }
        let said = (hello.applied, hello.life);
        let lease = leading.hear(id, said, self.progress().last_log, settled, now);
        leading.lives_at(id, &endpoint);
        if !settled {
            self.admit(company, hello);
        }
        lease.map_or(HelloAnswer::Wait, |left| HelloAnswer::Lease {
            millis: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Puts a process on the map and among the members of Raft, in the background; once at a time.
    fn admit(&self, company: &Company, hello: Hello) {
        let Some(main) = hello.nodes.first().map(|n| n.id.to_string()) else { return };
        if !company.admitting.lock().insert(main.clone()) {
            return;
        }
        let node = self.clone();
        runtime::spawn(async move {
            if let Err(error) = node.take_in(&hello).await {
                tracing::warn!("{main} is not taken in: {error}");
            }
            if let Some(company) = node.company() {
                company.admitting.lock().remove(&main);
            }
        });
    }

    /// Who is new follows first, and is on the map when it has what was answered: from then on names are its own, and it serves
    /// them at once.
    async fn take_in(&self, hello: &Hello) -> Result<(), ControlError> {
        let Some(main) = hello.nodes.first() else { return Ok(()) };
        let view = self.view()?;
        if hello.nodes.iter().all(|node| view.smap.node(node.id.as_str()).is_none()) {
            self.have_follow(main).await?;
            let has_all = |leading: &Leading| leading.has_all(hello.applied);
            if !self.company().is_some_and(|c| c.leading.lock().as_ref().is_some_and(has_all)) {
                return Ok(());
            }
        }
        for node in &hello.nodes {
            let view = self.view()?;
            let known = view.smap.node(node.id.as_str()).is_some();
            let is_new = hello.fresh || planted(Bug::RemovedIsTakenIn);
            if (is_new || known) && !is_on(&view, node) {
                self.write(Command::Admit(Box::new(node.clone()))).await?;
            }
        }
        self.have_follow(main).await
    }

    /// Makes a process a member of Raft, unless it is one.
    async fn have_follow(&self, main: &Node) -> Result<(), ControlError> {
        let Some(company) = self.company() else { return Ok(()) };
        let _alone = company.adding.lock().await;
        let id = main.id.digest();
        if !self.membership().1.contains_key(&id) {
            let peer = Peer { node: main.id.to_string(), endpoint: main.intra_control.authority() };
            let added = self.raft().add_learner(id, peer, false).await;
            added.map_err(|e| ControlError::NoAgreement(e.to_string()))?;
        }
        Ok(())
    }
}

/// Whether the node is on the map as it says it is, and not away. Its state is the map's to say.
pub(super) fn is_on(view: &ClusterView, node: &Node) -> bool {
    let mapped = view.smap.node(node.id.as_str());
    mapped.is_some_and(|m| m.is_here() && Node { flags: m.flags, ..node.clone() } == *m)
}
