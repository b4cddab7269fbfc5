//! Who is in the cluster, who leads it, and on whom it can count.
//!
//! | file | its part |
//! |---|---|
//! | `company` | what a process keeps of the others |
//! | `join` | a new process finds the cluster that it is to belong to |
//! | `keep` | signs of life to the leader, and the lease that it answers with |
//! | `lead` | the leader's turn: its majority, who is away, who votes |
//! | `leading` | what the leader knows of the others, as values |
//! | `hear` | what the leader answers to a sign of life |
//! | `moves` | the leader's turn: objects whose owners changed |
//! | `change` | a command: forwarded to the leader, answered when every live node has applied it |
//! | `primary` | leadership by command |
//! | `process` | which nodes of the map are one process |
//!
//! Times and what follows from them: docs/decisions/0021-leases.md.

mod change;
mod company;
mod hear;
mod join;
mod keep;
mod lead;
mod leading;
mod moves;
mod primary;
mod process;
#[cfg(test)]
mod tests;

pub(crate) use company::Company;
pub(crate) use join::meet;
pub(crate) use leading::Leading;
