use std::time::Duration;

use weir_auth::NOT_KNOWN;
use weir_cluster::ClusterUuid;

use crate::peers::{PeerAnswer, PeerCall, PeerError, Peers};
use crate::{ControlConfig, ControlError, PeersConfig, runtime};

/// How long a new process looks for a cluster before it gives up.
const SEARCH_SECONDS_MAX: u64 = 60;
/// How long one seed may take to answer.
const SEED_SECONDS_MAX: u64 = 1;
/// Between two rounds of questions.
const ROUND: Duration = Duration::from_millis(20);

/// The cluster that a process without one belongs to, as its seeds say; `None` if it is to make one: it is the first seed, or
/// there are none, and no other seed knows of a cluster.
pub(crate) async fn meet(
    config: &ControlConfig,
    peers: &PeersConfig,
) -> Result<Option<ClusterUuid>, ControlError> {
    let own = [config.intra_control.authority(), peers.listen.to_string()];
    let is_first = peers.seeds.first().is_none_or(|first| own.contains(first));
    let others: Vec<&String> = peers.seeds.iter().filter(|seed| !own.contains(seed)).collect();
    search(&Peers::joining(peers.key.clone()), &others, is_first).await
}

async fn search(
    peers: &Peers,
    seeds: &[&String],
    is_first: bool,
) -> Result<Option<ClusterUuid>, ControlError> {
    let begin = runtime::now();
    loop {
        let mut last = String::from("there is none");
        for seed in seeds {
            let within = Duration::from_secs(SEED_SECONDS_MAX);
            match peers.call(seed, NOT_KNOWN, &PeerCall::Who, within).await {
                Ok(PeerAnswer::Who(cluster)) => return Ok(Some(cluster)),
                Ok(other) => last = format!("{seed} answered {other:?}"),
                Err(PeerError::Refused(why)) => return Err(ControlError::NotTaken(why)),
                Err(PeerError::Unreachable(why) | PeerError::Failed(why)) => last = why,
            }
        }
        if is_first {
            return Ok(None);
        }
        if runtime::since(begin) > Duration::from_secs(SEARCH_SECONDS_MAX) {
            return Err(ControlError::NotTaken(format!("no seed knows of a cluster; the last: {last}")));
        }
        runtime::sleep(ROUND).await;
    }
}
