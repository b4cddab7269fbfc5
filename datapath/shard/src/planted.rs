//! Bugs on demand, for the tests that show they would be found. Only builds with debug assertions have them, and only
//! where the environment asks for them: `WEIR_PLANTED=NAME`.

use std::sync::OnceLock;

use weir_http::Head;

fn is(bug: &str) -> bool {
    static NAME: OnceLock<Option<String>> = OnceLock::new();
    NAME.get_or_init(|| std::env::var("WEIR_PLANTED").ok()).as_deref() == Some(bug)
}

/// `panic`: one that a request with `x-weir-planted: panic` asks for; it must cost no other request anything.
pub(crate) fn panic(head: &Head<'_>) {
    assert!(!is("panic") || head.header("x-weir-planted") != Some("panic"), "a panic that was asked for");
}

/// `slot-read-after-open`: the generation of a name is read when the object is open already, and a little later at that.
pub(crate) fn late_generation(early: Option<u64>, late: impl FnOnce() -> Option<u64>) -> Option<u64> {
    if !is("slot-read-after-open") {
        return early;
    }
    std::thread::sleep(std::time::Duration::from_micros(100));
    late()
}

/// The bugs of the committer.
#[cfg(feature = "sim")]
pub(crate) fn of_committer() -> Option<weir_store::Planted> {
    let bugs = [
        ("bump-after-rename", weir_store::Planted::BumpAfterRename),
        ("same-version-twice", weir_store::Planted::SameVersionTwice),
    ];
    bugs.into_iter().find(|(name, _)| is(name)).map(|(_, bug)| bug)
}

/// Whether a DELETE with `x-weir-planted: evict` evicts: no bug, but a change of names that only buckets with an origin
/// know otherwise, for the check that all changes are seen in one order.
pub(crate) fn evicts(head: &Head<'_>) -> bool {
    head.header("x-weir-planted") == Some("evict")
}
