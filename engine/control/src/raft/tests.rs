//! Storage by openraft's own suite; starts, restarts, crashes and compaction of the whole.

mod life;
mod suite;
