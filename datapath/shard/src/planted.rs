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

/// `change-unasked`: an owner changes a name without a question to those who may hold its object.
pub(crate) fn changes_unasked() -> bool {
    is("change-unasked") || takes_anything()
}

/// `move-anything`: and it takes what is moved to it whatever it has.
pub(crate) fn takes_anything() -> bool {
    is("move-anything")
}

/// `away-is-empty`: a target that is away counts as one that holds nothing.
pub(crate) fn away_is_empty() -> bool {
    is("away-is-empty")
}

/// `miss-not-forwarded`: an owner that does not have an object answers by itself that there is none, while objects move.
pub(crate) fn keeps_misses() -> bool {
    is("miss-not-forwarded")
}

/// `stale-map`: views of the cluster come late (the control core's part of it), and a node goes by what it has, whatever those
/// know who ask.
pub(crate) fn takes_stale_maps() -> bool {
    is("stale-map")
}

/// `moved-is-kept`: what was moved to another disk stays where it was as well.
pub(crate) fn keeps_moved() -> bool {
    is("moved-is-kept")
}

/// `copies-are-kept`: a removed object's copies stay.
pub(crate) fn keeps_copies() -> bool {
    is("copies-are-kept")
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
