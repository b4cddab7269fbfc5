//! Chaos on a cluster of real processes, and what its clients make of it.
//!
//! Three gateways and three or four targets of two mountpaths each serve clients that read, write and remove through all of
//! them, while nodes die, stand still, come and go, disks fail and the network falls apart ([`events`]). What clients were
//! told of contended names must have happened in some order ([`register`]); every acknowledged object must be there with
//! its own bytes ([`unique`], [`checks`]); no two gateways may ever say that they lead ([`watch`]). How long reads fail that
//! need not, and how long it takes until another gateway leads, is told, not judged ([`probe`]).
//!
//! One seed decides what happens, to whom, and what clients ask for; when it happens it does not.

pub mod asking;
pub mod checks;
pub mod cluster;
pub mod content;
pub mod error;
pub mod events;
pub mod findings;
pub mod http;
pub mod load;
pub mod network;
pub mod node;
pub mod probe;
pub mod register;
pub mod report;
pub mod round;
pub mod scene;
pub mod unique;
pub mod watch;
