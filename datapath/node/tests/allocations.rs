//! Reading whole objects that are at hand allocates nothing, however often.

mod http;

use std::alloc::System;

use http::{bytes, start};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Reads that are counted.
const READS: usize = 2_000;
/// What the node's other threads (agreement, clocks) may allocate meanwhile: far less than one for each read.
const OTHERS_MAX: usize = READS / 10;

#[test]
fn reads_of_what_is_at_hand_allocate_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), 1, 1);
    let mut client = node.client();
    client.make_bucket("b", "relaxed");
    for size in [0usize, 4096, 64 << 10, 200_000, 1 << 20] {
        let content = bytes(size as u64, size);
        assert_eq!(client.ask(&format!("PUT /v1/objects/b/o{size}?provider=ais"), "", &content), 200);
        for line in [format!("GET /v1/objects/b/o{size}?provider=ais"), format!("GET /b/o{size}")] {
            for _ in 0..20 {
                assert_eq!(client.ask(&line, "", b""), 200);
            }
            let counted = Region::new(COUNTED);
            for _ in 0..READS {
                assert_eq!(client.ask(&line, "", b""), 200);
            }
            let made = counted.change();
            assert!(client.body == content);
            let made = made.allocations + made.reallocations;
            assert!(made <= OTHERS_MAX, "{line}: {made} allocations in {READS} reads");
        }
    }
}
