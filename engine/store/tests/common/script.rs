//! The script of the crash and fault tests.

use weir_store::Durability::{Durable, Relaxed};

use super::oracle::Op::{self, *};

/// Batches of operations.
pub fn script() -> Vec<Vec<Op>> {
    vec![
        vec![Put("b", "a", 100, Durable)],
        vec![
            Put("b", "d/e/f", 5000, Durable),
            Put("b", "d/e/g", 700, Durable),
            Put("c", "x/y", 9000, Relaxed),
        ],
        vec![Put("b", "a", 20_000, Durable)],
        vec![Custom("b", "a", "1", Durable), Put("b", "d/h", 10, Durable)],
        // Names that need the escape.
        vec![Put("b", "a/b", 300, Durable), Put("b", "//", 1, Durable), Put("b", "d", 40, Durable)],
        vec![Put("b", "a/b", 301, Durable), Delete("b", "d/e/f", Durable)],
        // One name, several changes of one batch, in order.
        vec![
            Put("b", "s", 10, Durable),
            Put("b", "s", 20, Durable),
            Custom("b", "s", "2", Durable),
            Delete("b", "s", Durable),
            Put("b", "s", 30, Durable),
        ],
        vec![GiveUp, Delete("b", "d/e/g", Durable), Delete("b", "d/h", Durable)],
        vec![Put("b", "d", 41, Durable)],
        // The escaped name goes, and comes back where its directory was.
        vec![Delete("b", "d", Durable)],
        vec![Put("b", "d", 42, Durable)],
        // Relaxed and durable changes of one name and one directory.
        vec![Put("c", "r/o", 6000, Relaxed), Put("c", "r/p", 100, Relaxed)],
        vec![Put("c", "r/q", 200, Durable)],
        vec![Put("c", "r/o", 8000, Durable)],
        vec![Put("c", "r/o", 9000, Relaxed), Custom("c", "r/q", "3", Relaxed)],
        vec![Delete("c", "r/p", Relaxed)],
        vec![Delete("c", "r/o", Durable), Delete("c", "r/q", Durable)],
        vec![Put("c", "r/o", 77, Durable)],
        // A directory that a relaxed delete removed and a relaxed write made again.
        vec![Put("c", "z/o", 50, Durable)],
        vec![Delete("c", "z/o", Relaxed)],
        vec![Put("c", "z/o", 51, Relaxed)],
        vec![Delete("c", "z/o", Durable)],
        // A plain name whose removal is not durable, then the same name escaped.
        vec![Put("c", "w", 60, Durable)],
        vec![Delete("c", "w", Relaxed)],
        vec![Put("c", "w/v", 61, Relaxed)],
        vec![Put("c", "w", 62, Durable)],
        // And the other way round.
        vec![Delete("c", "w/v", Relaxed)],
        vec![Delete("c", "w", Relaxed)],
        vec![Put("c", "w", 63, Durable)],
        // A multipart object with more part sizes than its record holds: it has a file beside it.
        vec![Create(0, "b", "m/large")],
        (1..=18).map(|n| Part(0, n, 100 + 10 * n as usize)).collect(),
        vec![Part(0, 3, 999)],
        vec![Complete(0, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18])],
        vec![Custom("b", "m/large", "4", Durable)],
        // A multipart object that shares its parts' extents.
        vec![Create(1, "b", "m/shared"), Create(2, "b", "m/aborted")],
        vec![Part(1, 1, 8192), Part(1, 2, 4096), Part(1, 5, 100), Part(2, 1, 10)],
        vec![Complete(1, &[1, 2, 5]), Abort(2)],
        vec![Put("b", "m/large", 500, Durable), Put("b", "m/shared", 10, Relaxed)],
        vec![Create(3, "b", "m/large")],
        (1..=17).map(|n| Part(3, n, 10 * n as usize)).collect(),
        vec![Complete(3, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17])],
        vec![Tend],
        vec![Delete("b", "m/large", Durable)],
        // A cold object arrives, is used, and is evicted.
        vec![Cold("remote", "cold/o", 10_000)],
        vec![Custom("remote", "cold/o", "5", Relaxed)],
        vec![Evict("remote", "cold/o")],
        vec![Cold("remote", "cold/o", 12_000)],
        // One name by all ways in turn: small and large contents, metadata, removals.
        vec![Put("j", "x", 100, Durable)],
        vec![Custom("j", "x", "6", Durable), Put("j", "y", 200, Relaxed)],
        vec![Put("j", "x", 30_000, Durable), Put("j", "y", 201, Durable)],
        vec![Put("j", "x", 101, Durable), Custom("j", "y", "7", Relaxed)],
        vec![Delete("j", "x", Durable), Put("j", "y", 20_001, Relaxed)],
        vec![Put("j", "x", 5001, Relaxed)],
        vec![Delete("j", "x", Durable), Put("j", "x/z", 10, Durable)],
        vec![Put("j", "x", 102, Durable), Delete("j", "x/z", Durable)],
        vec![Custom("j", "x", "8", Durable)],
        vec![Put("j", "x", 30_001, Relaxed), Delete("j", "y", Relaxed)],
        vec![Put("j", "y", 103, Durable), Put("j", "y", 104, Durable), Delete("j", "x", Durable)],
        // An upload that stays open, a bucket that goes.
        vec![Create(4, "c", "open/upload"), Put("gone", "only", 10, Durable)],
        vec![Part(4, 1, 100), Part(4, 2, 200)],
        vec![Destroy("gone")],
        vec![Tend, Put("b", "last", 1, Durable)],
    ]
}
