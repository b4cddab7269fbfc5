//! What measurements stand on: disks, memory, processes, and the promise that all of it is gone afterwards.

pub(crate) mod cgroup;
pub(crate) mod command;
pub(crate) mod disk;
pub(crate) mod fio;
pub(crate) mod http;
pub(crate) mod loader;
pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod nginx;
pub(crate) mod node;
pub(crate) mod peer;
pub(crate) mod place;
pub(crate) mod playground;
pub(crate) mod process;
pub(crate) mod slow;
pub(crate) mod stop;
