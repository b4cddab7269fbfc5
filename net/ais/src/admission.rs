use weir_http::Method;

use crate::AisError;

/// The mark that a gateway puts on a request it redirects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The gateway's ID (`pid`).
    pub gateway: String,
    /// When it redirected, in nanoseconds since 1970 (`utm`).
    pub sent_ns: u64,
    /// Log index of the view of the cluster that it redirected by; 0: not told.
    pub index: u64,
}

/// Whether a target serves an object request on its public endpoint: redirected ones always, others only to read and
/// only without authentication. A process that is a gateway as well answers for itself and never asks this.
pub fn admit_direct(method: Method, marker: Option<&Marker>, auth: bool, node: &str) -> Result<(), AisError> {
    let reads = matches!(method, Method::Get | Method::Head);
    match marker {
        Some(_) => Ok(()),
        None if auth => Err(AisError::Forbidden(format!("{node}: direct target access is not allowed"))),
        None if reads => Ok(()),
        None => Err(AisError::NotRedirected { node: node.into(), method: method.as_str() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_served() {
        let marker = Marker { gateway: "p1".into(), sent_ns: 1, index: 0 };
        let check = |method, marked: bool, auth| {
            admit_direct(method, marked.then_some(&marker), auth, "t[x]").map_err(|e| e.status())
        };
        assert_eq!(check(Method::Put, true, true), Ok(()));
        assert_eq!(check(Method::Get, false, false), Ok(()));
        assert_eq!(check(Method::Head, false, false), Ok(()));
        for method in [Method::Put, Method::Delete, Method::Post, Method::Patch] {
            assert_eq!(check(method, false, false), Err(400));
        }
        assert_eq!(check(Method::Get, false, true), Err(403));
    }
}
