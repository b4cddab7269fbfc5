//! A network that falls apart: the leader, and sometimes a target with it, on one side, all others on the other. Clients reach
//! both.

use weir_faultdisk::rng::Rng;

use super::Event;
use crate::error::ChaosError;

pub(super) fn minority(event: &Event<'_, '_>, dice: &mut Rng) -> Result<(), ChaosError> {
    let cluster = event.cluster();
    let network = cluster.network();
    let network =
        network.ok_or_else(|| ChaosError::Usage("a cut needs nodes in networks of their own".into()))?;
    let leader = event.leader()?;
    let mut minority = vec![leader];
    if dice.chance(50) {
        minority.push(event.take_target(dice)?);
    }
    minority.iter().for_each(|node| event.scene.lose(*node, true));
    let since = event.scene.now();
    network.cut(&minority)?;
    let led = event.another_leads(since, Some(leader));
    let more = event.scene.more(event.operations);
    // Whatever came of it, nobody stays cut off.
    network.heal()?;
    led.and(more)?;
    for node in minority {
        cluster.ready(node)?;
        event.scene.lose(node, false);
    }
    Ok(())
}
