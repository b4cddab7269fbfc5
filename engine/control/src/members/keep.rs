//! Signs of life to the leader, and the lease that it answers with.

use std::sync::atomic::Ordering;
use std::time::Duration;

use weir_auth::NOT_KNOWN;
use weir_types::limits::KEEPALIVE_MILLIS;

use super::Company;
use super::process::processes;
use crate::ControlError;
use crate::peers::{Hello, HelloAnswer, PeerAnswer, PeerCall, PeerError};
use crate::raft::node::RaftNode;
use crate::runtime::{self, Bug, planted};

/// Between two signs of life.
const KEEPALIVE: Duration = Duration::from_millis(KEEPALIVE_MILLIS);
/// The same while there is no lease.
const EAGER: Duration = Duration::from_millis(20);
/// How long the leader may take to answer one.
const ANSWER_MAX: Duration = Duration::from_millis(1000);
/// How long a start waits for a lease before it goes on without one, if it knows an earlier state.
const START_MAX: Duration = Duration::from_secs(10);
/// How long it waits if it knows none.
const FIRST_START_MAX: Duration = Duration::from_secs(60);

impl RaftNode {
    /// Says that this process lives, for as long as it does.
    pub(crate) async fn keep_forever(self) {
        let Some(company) = self.company().cloned() else { return };
        let mut at = 0;
        loop {
            let has_lease = self.lease().holds(runtime::now());
            runtime::sleep(if has_lease { KEEPALIVE } else { EAGER }).await;
            if let Err(error) = &self.raft().metrics().borrow().running_state {
                tracing::error!("this node takes part in no agreement any more, restart it: {error}");
                return;
            }
            if self.leads() {
                continue;
            }
            self.say_hello(&company, &mut at).await;
        }
    }

    /// Asks the leader, or, while it is not known, one node after the other: `at` counts them.
    async fn say_hello(&self, company: &Company, at: &mut usize) {
        let (endpoint, to) = match self.leader() {
            Some(leader) if at.is_multiple_of(2) => leader,
            _ => {
                let others = self.others(company);
                // Every other turn is the leader's.
                let Some(next) = others.get(*at / 2 % others.len().max(1)) else { return };
                next.clone()
            }
        };
        let hello = Hello {
            nodes: company.nodes.clone(),
            fresh: company.fresh.load(Ordering::Relaxed),
            applied: self.progress().applied,
            life: company.life,
            nonce: *company.nonce.lock(),
        };
        let asked = runtime::now();
        let answer = company.peers.call(&endpoint, &to, &PeerCall::Hello(Box::new(hello)), ANSWER_MAX).await;
        match answer {
            Ok(PeerAnswer::Hello(HelloAnswer::Lease { millis })) => {
                let from = if planted(Bug::LeaseFromAnswer) { runtime::now() } else { asked };
                self.lease().extend(from + Duration::from_millis(millis));
                *company.refused.lock() = None;
                company.lent.notify_waiters();
                self.note_membership(company).await;
            }
            Ok(PeerAnswer::Hello(HelloAnswer::Challenge { nonce })) => *company.nonce.lock() = Some(nonce),
            // The leader, and it knows us: it needs a moment.
            Ok(PeerAnswer::Hello(HelloAnswer::Wait)) => {}
            Ok(PeerAnswer::Hello(HelloAnswer::Removed)) => {
                self.refused(
                    company,
                    "it was taken off the map: give it an empty state directory to join anew",
                );
            }
            // Who is meant by its ID may have left its address to another, which is not the cluster's word.
            Err(PeerError::Refused(why)) if to == NOT_KNOWN => self.refused(company, &why),
            Ok(_) | Err(_) => *at += 1,
        }
    }

    fn refused(&self, company: &Company, why: &str) {
        let mut refused = company.refused.lock();
        if refused.as_deref() != Some(why) {
            tracing::error!("the cluster does not take this node: {why}");
            *refused = Some(why.to_owned());
        }
    }

    /// Notes once that this process has been on the map: from then on it is never taken in as a new one.
    async fn note_membership(&self, company: &Company) {
        if !company.fresh.load(Ordering::Relaxed) {
            return;
        }
        let noted = company.db.note_membership().await;
        match noted {
            Ok(()) => company.fresh.store(false, Ordering::Relaxed),
            Err(e) => tracing::error!("membership is not noted: {e}"),
        }
    }

    /// Endpoints and IDs of everybody that may know the leader.
    fn others(&self, company: &Company) -> Vec<(String, String)> {
        let mapped = self.view().map(|view| processes(&view.smap)).unwrap_or_default();
        let own = |id: &str| company.nodes.iter().any(|n| n.id.as_str() == id);
        let mapped =
            mapped.into_iter().filter(|p| !own(p.id.as_str())).map(|p| (p.endpoint, p.id.to_string()));
        let seeds = company.seeds.iter().map(|seed| (seed.clone(), NOT_KNOWN.to_owned()));
        mapped.chain(seeds).collect()
    }

    /// Waits for the first lease. Without one a process goes on all the same if it knows an earlier state: it serves what it
    /// has, says that it may be stale, and takes no changes.
    pub(crate) async fn meet(&self, company: &Company) -> Result<(), ControlError> {
        let begin = runtime::now();
        loop {
            let lent = company.lent.notified();
            if self.lease().holds(runtime::now()) && self.is_on_map(company) {
                return Ok(());
            }
            if let Some(why) = company.refused.lock().clone() {
                return Err(ControlError::NotTaken(why));
            }
            if runtime::since(begin) > START_MAX && self.is_on_map(company) {
                tracing::warn!(
                    "no majority of gateways answers: this node serves what it has, and takes no changes"
                );
                return Ok(());
            }
            if runtime::since(begin) > FIRST_START_MAX {
                return Err(ControlError::NoAgreement("no gateway that leads was found".into()));
            }
            // It ends early when a lease comes.
            let _ = runtime::timeout(EAGER, lent).await;
        }
    }

    /// Asks the seeds whether they belong to the cluster that this process leads alone, and fails if one says no: two clusters
    /// must not take each other's place. Who does not answer says nothing.
    pub(crate) async fn ask_seeds(&self, company: &Company) -> Result<(), ControlError> {
        let own = company.nodes.iter().map(|n| n.intra_control.authority()).next().unwrap_or_default();
        let asked =
            company.seeds.iter().filter(|seed| **seed != own).map(|seed| async move {
                company.peers.call(seed, NOT_KNOWN, &PeerCall::Who, ANSWER_MAX).await
            });
        for answer in futures_util::future::join_all(asked).await {
            if let Err(PeerError::Refused(why)) = answer {
                return Err(ControlError::NotTaken(why));
            }
        }
        Ok(())
    }

    fn is_on_map(&self, company: &Company) -> bool {
        self.view().is_ok_and(|view| company.nodes.iter().any(|n| view.smap.node(n.id.as_str()).is_some()))
    }
}
