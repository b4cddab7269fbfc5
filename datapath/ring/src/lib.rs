//! The shard's reactor: one io_uring for sockets and timers, one per disk, registered buffers, tasks and a cross-core mailbox.
//!
//! Everything here belongs to one thread, except [`Fd`], [`Sender`]/[`Mailbox`] and the wakers, which may cross threads.
//! An operation takes what the kernel will touch (its buffer, its descriptors, its path) and gives it back when the kernel has
//! completed it. Dropping the future of an operation at any point parks it: the slab keeps buffer and descriptors
//! until the completion arrives, so no memory is reused and no descriptor number is reissued under the kernel.
//!
//! This is the one crate of the workspace that may say `unsafe`. It knows no object, no bucket, no request.
//!
//! Commands that check what ordinary tests cannot:
//! * the planted bugs must fail the suite: `tests/planted.sh` (each is `RUSTFLAGS='--cfg planted="buffer_at_drop"'` or
//!   `fd_at_drop` with `cargo test -p weir-ring --test cancel`);
//! * every interleaving of the sleeping flag: `RUSTFLAGS='--cfg loom' cargo test -p weir-ring --release --test loom_mailbox`;
//! * AddressSanitizer: `RUSTFLAGS=-Zsanitizer=address cargo +nightly test -p weir-ring --target x86_64-unknown-linux-gnu`.

mod buf;
mod bulk;
mod config;
mod core;
mod current;
mod disk;
mod doorbell;
mod error;
mod fd;
mod handle;
mod mailbox;
mod memory;
mod op;
mod pool;
mod reactor;
mod ring;
#[doc(hidden)]
pub mod sleeping;
mod socket;
mod stall;
mod stats;
pub mod sys;
mod task;
mod time;
mod timers;
mod transfer;

pub use buf::Buf;
pub use bulk::BulkTurn;
pub use config::ReactorConfig;
pub use disk::{DiskRing, OpenHow};
pub use error::{Elapsed, RingError, SendError, TasksFull};
pub use fd::Fd;
pub use handle::{Handle, Yield};
pub use mailbox::{Mailbox, Sender, mailbox};
pub use op::Operation;
pub use pool::{BufPool, Take};
pub use reactor::Reactor;
pub use ring::RingMode;
pub use socket::ZeroCopy;
pub use stall::{How, Stall};
pub use stats::ReactorStats;
pub use time::{Sleep, Watch};
