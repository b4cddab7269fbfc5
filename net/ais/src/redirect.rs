//! How a gateway sends an object request on to the target that owns the name (AIS `ais/prxred.go`): the client repeats
//! it there, with a mark that says who redirected it, when, and what the gateway knew of the cluster.

use std::fmt;

use weir_http::Method;

/// Where a redirected request goes: the value of `Location`.
#[derive(Debug, Clone, Copy)]
pub struct Redirect<'r> {
    /// URL of the target's public endpoint, without a slash at its end.
    pub target: &'r dyn RedirectBase,
    /// Path of the request as it came.
    pub path: &'r str,
    /// Query of the request as it came.
    pub query: &'r str,
    /// ID of the gateway.
    pub gateway: &'r str,
    /// Nanoseconds since 1970.
    pub now_ns: u64,
    /// Log index of the gateway's view of the cluster: the target catches up with it before it answers.
    pub index: u64,
}

/// A URL that can be printed; a cluster map's endpoint as a rule.
pub trait RedirectBase: fmt::Display + fmt::Debug {}
impl<T: fmt::Display + fmt::Debug> RedirectBase for T {}

impl Redirect<'_> {
    /// The status of the answer: a GET may be repeated as one, anything else keeps its method and its body.
    pub fn status(method: Method) -> u16 {
        if method == Method::Get { 301 } else { 307 }
    }

    /// The target of the request that follows.
    pub fn target_at_owner(&self) -> String {
        let Self { path, query, gateway, now_ns, index, .. } = self;
        let and = if query.is_empty() { "" } else { "&" };
        format!("{path}?{query}{and}pid={gateway}&utm={now_ns}&vpams={index}")
    }
}

impl fmt::Display for Redirect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, path, query, gateway, now_ns, index } = self;
        let and = if query.is_empty() { "" } else { "&" };
        write!(f, "{target}{path}?{query}{and}pid={gateway}&utm={now_ns}&vpams={index}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AisOp, Marker, route};

    fn location(path: &str, query: &str) -> String {
        let redirect =
            Redirect { target: &"http://h:8081", path, query, gateway: "p1p1p1p1", now_ns: 5, index: 9 };
        redirect.to_string()
    }

    #[test]
    fn locations() {
        assert_eq!(
            location("/v1/objects/b/o%201", ""),
            "http://h:8081/v1/objects/b/o%201?pid=p1p1p1p1&utm=5&vpams=9"
        );
        assert_eq!(
            location("/v1/objects/b/o", "provider=ais"),
            "http://h:8081/v1/objects/b/o?provider=ais&pid=p1p1p1p1&utm=5&vpams=9"
        );
    }

    #[test]
    fn what_is_redirected_is_recognised() {
        let location = location("/v1/objects/b/o", "provider=ais");
        let (path, query) = location.strip_prefix("http://h:8081").unwrap().split_once('?').unwrap();
        let AisOp::Object { marker, .. } = route(Method::Put, path, query).unwrap() else { panic!() };
        assert_eq!(marker, Some(Marker { gateway: "p1p1p1p1".into(), sent_ns: 5, index: 9 }));
    }

    #[test]
    fn only_reads_may_change_their_method() {
        for (method, status) in [
            (Method::Get, 301),
            (Method::Head, 307),
            (Method::Put, 307),
            (Method::Delete, 307),
            (Method::Post, 307),
        ] {
            assert_eq!(Redirect::status(method), status, "{method}");
        }
    }
}
