//! A panic on demand, for the test that one request's panic costs no other. Only builds with debug assertions have it,
//! and only where the environment asks for it.

use std::sync::OnceLock;

use weir_http::Head;

/// Panics if the node was started with `WEIR_PLANTED=panic` and the request has `x-weir-planted: panic`.
pub(crate) fn panic(head: &Head<'_>) {
    static ON: OnceLock<bool> = OnceLock::new();
    let on = *ON.get_or_init(|| std::env::var_os("WEIR_PLANTED").is_some_and(|v| v == "panic"));
    assert!(!on || head.header("x-weir-planted") != Some("panic"), "a panic that was asked for");
}
