//! Processes that die or stand still.

use std::time::Duration;

use weir_faultdisk::rng::Rng;

use super::Event;
use crate::error::ChaosError;

/// How long a process stands still: from less than a lease lasts to longer than it takes to be known as away.
const STILL_MILLIS: std::ops::Range<u64> = 300..8000;

pub(super) fn leader(event: &Event<'_, '_>) -> Result<(), ChaosError> {
    let leader = event.leader()?;
    let since = kill(event, leader);
    event.another_leads(since, Some(leader))?;
    event.scene.more(event.operations)?;
    back(event, leader)
}

pub(super) fn follower(event: &Event<'_, '_>, dice: &mut Rng) -> Result<(), ChaosError> {
    let followers = event.followers(event.leader()?);
    let follower = followers[dice.below(followers.len() as u64) as usize];
    kill(event, follower);
    event.scene.more(event.operations)?;
    back(event, follower)
}

pub(super) fn target(event: &Event<'_, '_>, dice: &mut Rng) -> Result<(), ChaosError> {
    let target = event.take_target(dice)?;
    kill(event, target);
    event.scene.more(event.operations)?;
    back(event, target)
}

pub(super) fn all(event: &Event<'_, '_>) -> Result<(), ChaosError> {
    let members = event.cluster().members();
    members.iter().for_each(|node| event.scene.lose(*node, true));
    // At once as far as one thread can.
    for node in &members {
        kill(event, *node);
    }
    let since = event.scene.now();
    members.iter().try_for_each(|node| event.cluster().start_node(*node))?;
    event.another_leads(since, None)?;
    members.iter().try_for_each(|node| back(event, *node))
}

pub(super) fn stop(event: &Event<'_, '_>, dice: &mut Rng) -> Result<(), ChaosError> {
    let leader = event.leader()?;
    let followers = event.followers(leader);
    // The leader as often as any others: it has the most to be wrong about.
    let node = match dice.below(4) {
        0 | 1 => leader,
        2 => followers[dice.below(followers.len() as u64) as usize],
        _ => event.take_target(dice)?,
    };
    let millis = STILL_MILLIS.start + dice.below(STILL_MILLIS.end - STILL_MILLIS.start);
    event.scene.lose(node, true);
    let since = event.scene.now();
    event.cluster().node(node).stand_still(true);
    std::thread::sleep(Duration::from_millis(millis));
    if node == leader && event.watch.led(since, Some(leader)).is_some() {
        event.another_leads(since, Some(leader))?;
    }
    event.cluster().node(node).stand_still(false);
    back(event, node)
}

/// Kills a node's process; when, in nanoseconds since the round's begin.
fn kill(event: &Event<'_, '_>, node: usize) -> u64 {
    event.scene.lose(node, true);
    let since = event.scene.now();
    event.cluster().node(node).kill();
    since
}

/// Starts a node that was killed, unless it runs, and waits until it serves.
fn back(event: &Event<'_, '_>, node: usize) -> Result<(), ChaosError> {
    if !event.cluster().node(node).runs() {
        event.cluster().start_node(node)?;
    }
    event.cluster().ready(node)?;
    event.scene.lose(node, false);
    Ok(())
}
