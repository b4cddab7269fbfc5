//! A command on its way: to the leader, into the log, and to every live node before it is answered.

use std::time::Duration;

use futures_util::future::join_all;
use weir_types::limits::PEER_CALL_MILLIS_MAX;

use super::Company;
use super::leading::Behind;
use super::process::{Process, processes};
use crate::ControlError;
use crate::peers::{PeerAnswer, PeerCall, PeerError, Proposed};
use crate::raft::command::{Applied, Command};
use crate::raft::node::RaftNode;
use crate::runtime::{self, Bug, planted};

/// How long a command waits for somebody to lead: longer than an election takes.
const LEADER_WAIT_MAX: Duration = Duration::from_secs(5);
/// Between two looks for the leader.
const LEADER_LOOK: Duration = Duration::from_millis(50);
/// How long one question may take whether a node has applied a change; it is asked again.
const ASK_MAX: Duration = Duration::from_secs(1);
/// Before it is asked again after a failure.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long the log may take to agree on a change.
const AGREE_MAX: Duration = Duration::from_secs(4);

impl RaftNode {
    /// Has the command agreed on, wherever the leader is. When this resolves, every live node has applied it, this one too.
    pub(crate) async fn propose(&self, command: Command) -> Result<Applied, ControlError> {
        let Some(company) = self.company() else { return self.write(command).await };
        let begin = runtime::now();
        loop {
            let outcome = if self.leads() {
                self.propose_leading(command.clone()).await
            } else if let Some((endpoint, id)) = self.leader() {
                forward(company, &endpoint, &id, &command).await
            } else {
                Proposed::NotLeader
            };
            match outcome {
                Proposed::Applied(applied) => return self.caught_up(applied).await,
                Proposed::Refused(refused) => return Err(refused.into()),
                Proposed::Unknown(why) => return Err(ControlError::NoAgreement(why)),
                Proposed::NotLeader if runtime::since(begin) < LEADER_WAIT_MAX => {
                    runtime::sleep(LEADER_LOOK).await;
                }
                Proposed::NotLeader => {
                    return Err(ControlError::NoAgreement("no gateway leads a majority".into()));
                }
            }
        }
    }

    async fn caught_up(&self, applied: Applied) -> Result<Applied, ControlError> {
        let within = Some(Duration::from_millis(PEER_CALL_MILLIS_MAX));
        let here = self.raft().wait(within).applied_index_at_least(Some(applied.index), "a change").await;
        here.map(|_| applied)
            .map_err(|e| ControlError::NoAgreement(format!("changed, but not here yet: {e}")))
    }

    /// The leader's part.
    pub(crate) async fn propose_leading(&self, command: Command) -> Proposed {
        let Some(company) = self.company() else { return Proposed::NotLeader };
        let can_begin = self.leads() && company.leading.lock().as_ref().is_some_and(|l| !l.handing_over);
        if !can_begin {
            return Proposed::NotLeader;
        }
        if self.lease().over_for(runtime::now()).is_some_and(|over| !over.is_zero()) {
            return Proposed::Unknown("this gateway led, and has lost its majority".into());
        }
        match runtime::timeout(AGREE_MAX, self.write(command)).await {
            Ok(Ok(applied)) => match self.everywhere(company, applied.index).await {
                true => Proposed::Applied(applied),
                false => {
                    Proposed::Unknown("the leader changed before every node had applied the change".into())
                }
            },
            Ok(Err(ControlError::Refused(refused))) => Proposed::Refused(refused),
            Ok(Err(e)) => Proposed::Unknown(e.to_string()),
            Err(_) => Proposed::Unknown("no majority agreed in time".into()),
        }
    }

    /// Waits until everybody that may hold a lease has applied the log up to `index`; `false` if this process leads no more.
    async fn everywhere(&self, company: &Company, index: u64) -> bool {
        if planted(Bug::AnsweredWhenAgreed) {
            return true;
        }
        loop {
            let Ok(view) = self.view() else { return false };
            let own = |p: &Process| company.nodes.iter().any(|n| n.id == p.id);
            let others: Vec<Process> = processes(&view.smap).into_iter().filter(|p| !own(p)).collect();
            if !self.leads() {
                return false;
            }
            let behind = {
                let mut leading = company.leading.lock();
                let Some(leading) = leading.as_mut() else { return false };
                let behind = leading.behind(&others, index, runtime::now());
                if behind.is_empty() {
                    // In the same breath: from here on nobody gets a lease who has not applied it.
                    leading.answered(index);
                    return true;
                }
                behind
            };
            join_all(behind.iter().map(|behind| self.ask(company, behind, index))).await;
        }
    }

    async fn ask(&self, company: &Company, behind: &Behind, index: u64) {
        let process = &behind.process;
        let call = PeerCall::Applied { index };
        match company.peers.call(&process.endpoint, process.id.as_str(), &call, ASK_MAX).await {
            Ok(PeerAnswer::Done) => {
                if let Some(leading) = company.leading.lock().as_mut() {
                    leading.applied(behind, index, runtime::now());
                }
            }
            Ok(_) | Err(_) => runtime::sleep(ASK_AGAIN).await,
        }
    }
}

async fn forward(company: &Company, endpoint: &str, id: &str, command: &Command) -> Proposed {
    let call = PeerCall::Propose(Box::new(command.clone()));
    let within = Duration::from_millis(2 * PEER_CALL_MILLIS_MAX);
    match company.peers.call(endpoint, id, &call, within).await {
        Ok(PeerAnswer::Proposed(proposed)) => proposed,
        Ok(other) => Proposed::Unknown(format!("unexpected answer {other:?}")),
        Err(PeerError::Unreachable(_)) => Proposed::NotLeader,
        Err(PeerError::Failed(why) | PeerError::Refused(why)) => Proposed::Unknown(why),
    }
}
