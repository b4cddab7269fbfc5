//! Leadership by command: the leader falls silent until the voters' leases of its leadership are over, and the one that is to
//! follow stands for election meanwhile. No other has waited long enough by then.

use std::time::Duration;

use weir_cluster::{NodeFlags, NodeId};

use crate::ControlError;
use crate::peers::{PeerAnswer, PeerCall, PeerError};
use crate::raft::node::RaftNode;
use crate::runtime;

/// How long the one that is to lead tries.
const STAND_MAX: Duration = Duration::from_secs(4);
/// How long it may take to get a vote.
const VOTE_MAX: Duration = Duration::from_secs(3);
/// Before the first try: until then the voters keep to the leader that fell silent.
const STAND_AFTER: Duration = Duration::from_millis(1250);
/// How long the first try may take to be answered. A try makes the answers to the one before worthless, so that each that
/// fails gives the next half as long again.
const STAND_FIRST: Duration = Duration::from_millis(200);
/// Between two looks whether it leads.
const STAND_LOOK: Duration = Duration::from_millis(20);

impl RaftNode {
    /// Makes a gateway the leading one, wherever the leader is.
    pub(crate) async fn set_primary(&self, gateway: &NodeId) -> Result<(), ControlError> {
        let Some(company) = self.company() else {
            return self.electable(gateway);
        };
        if self.leads() {
            return self.hand_over(gateway).await;
        }
        let (endpoint, id) = self.leader().ok_or_else(|| no("no gateway leads a majority"))?;
        let call = PeerCall::Lead { gateway: gateway.clone() };
        match company.peers.call(&endpoint, &id, &call, STAND_MAX * 2).await {
            Ok(PeerAnswer::Done) => Ok(()),
            Ok(PeerAnswer::Failed(why))
            | Err(PeerError::Failed(why) | PeerError::Unreachable(why) | PeerError::Refused(why)) => {
                Err(no(why))
            }
            Ok(other) => Err(no(format!("unexpected answer {other:?}"))),
        }
    }

    /// The leader's part.
    pub(crate) async fn hand_over(&self, gateway: &NodeId) -> Result<(), ControlError> {
        self.electable(gateway)?;
        let company =
            self.company().filter(|_| self.leads()).ok_or_else(|| no("this gateway does not lead"))?;
        if company.nodes.iter().any(|n| n.id == *gateway) {
            return Ok(());
        }
        // It may be about to get its vote.
        let id = gateway.digest();
        let votes =
            |m: &openraft::RaftMetrics<_, _>| m.membership_config.membership().voter_ids().any(|v| v == id);
        let voted = self.raft().wait(Some(VOTE_MAX)).metrics(votes, "a vote").await;
        voted.map_err(|_| no(format!("{gateway} does not vote")))?;
        let endpoint = self.view()?.smap.node(gateway.as_str()).map(|n| n.intra_control.authority());
        self.set_handing_over(true);
        let silent = self.raft().runtime_config();
        silent.heartbeat(false);
        silent.elect(false);
        let call = company.peers.call(
            endpoint.as_deref().unwrap_or_default(),
            gateway.as_str(),
            &PeerCall::Elect,
            STAND_MAX + Duration::from_secs(1),
        );
        let answer = call.await;
        silent.heartbeat(true);
        silent.elect(true);
        self.set_handing_over(false);
        match answer {
            Ok(PeerAnswer::Done) => Ok(()),
            Ok(PeerAnswer::Failed(why)) => Err(no(why)),
            Ok(other) => Err(no(format!("unexpected answer {other:?}"))),
            Err(e) => Err(no(e)),
        }
    }

    /// The part of the one that is to lead: stands until it leads.
    pub(crate) async fn stand(&self) -> Result<(), ControlError> {
        let begin = runtime::now();
        let mut patience = STAND_FIRST;
        runtime::sleep(STAND_AFTER).await;
        while !self.leads() {
            if runtime::since(begin) > STAND_MAX {
                return Err(no("the others did not vote for it"));
            }
            self.raft().trigger().elect().await.map_err(no)?;
            let asked = runtime::now();
            while !self.leads() && runtime::since(asked) < patience {
                runtime::sleep(STAND_LOOK).await;
            }
            patience += patience / 2;
        }
        Ok(())
    }

    fn set_handing_over(&self, handing_over: bool) {
        if let Some(company) = self.company()
            && let Some(leading) = company.leading.lock().as_mut()
        {
            leading.handing_over = handing_over;
        }
    }

    fn electable(&self, gateway: &NodeId) -> Result<(), ControlError> {
        let view = self.view()?;
        let node = view.smap.gateways.get(gateway);
        let node = node.ok_or_else(|| crate::Refused::NodeNotFound(gateway.clone()))?;
        match node.is_active() && node.is_here() && !node.flags.any(NodeFlags::NON_ELECTABLE) {
            true => Ok(()),
            false => Err(crate::Refused::Invalid(format!(
                "{node} cannot lead: it is away, leaving, or set never to"
            ))
            .into()),
        }
    }
}

fn no(why: impl std::fmt::Display) -> ControlError {
    ControlError::NoAgreement(why.to_string())
}
