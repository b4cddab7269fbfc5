//! Errors and JSON as bytes.

use serde::Serialize;

use crate::AisError;

/// Content type of JSON answers.
pub const CONTENT_JSON: &str = "application/json; charset=utf-8";
/// Content type of msgpack answers; the Python SDK compares it exactly.
pub const CONTENT_MSGPACK: &str = "application/msgpack";

/// Whether an `Accept` value asks for msgpack.
pub fn accepts_msgpack(accept: &str) -> bool {
    accept.contains(CONTENT_MSGPACK)
}

/// A value as JSON. The shapes of this crate have text keys and finite numbers, so that it cannot fail for them;
/// should it, the answer is `null`.
pub fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec())
}

/// Where an error happened, for its report.
#[derive(Debug, Clone, Copy)]
pub struct Where<'a> {
    /// Request method.
    pub method: &'a str,
    /// Request path, decoded.
    pub path: &'a str,
    /// The client's address and port.
    pub remote: &'a str,
    /// This node, as `t[ID]` or `p[ID]`.
    pub node: &'a str,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    tcode: &'a str,
    message: &'a str,
    method: &'a str,
    url_path: &'a str,
    remote_addr: &'a str,
    caller: &'a str,
    node: &'a str,
    status: u16,
}

impl AisError {
    fn report(&self, at: &Where<'_>) -> String {
        let message = self.to_string();
        let report = Report {
            tcode: self.tcode(),
            message: &message,
            method: at.method,
            url_path: at.path,
            remote_addr: at.remote,
            caller: "",
            node: at.node,
            status: self.status(),
        };
        serde_json::to_string(&report).unwrap_or(message)
    }

    /// The body of the answer to anything but HEAD, and its content type. AIS answers a wrong method in plain text.
    pub fn body(&self, at: &Where<'_>) -> (&'static str, Vec<u8>) {
        match self {
            Self::Method { .. } => ("text/plain; charset=utf-8", format!("{self}\n").into_bytes()),
            _ => ("application/json", self.report(at).into_bytes()),
        }
    }

    /// The value of `Hdr-Error` in the answer to HEAD: the same report in ASCII, since header values hold no other
    /// text for certain.
    pub fn hdr_error(&self, at: &Where<'_>) -> String {
        let mut out = String::new();
        for c in self.report(at).chars() {
            if c.is_ascii() {
                out.push(c);
            } else {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use weir_cluster::ClusterError;
    use weir_types::{Bucket, BucketName, ObjectName, Provider, RangeError};

    use super::*;
    use crate::{Cname, Unsupported};

    fn bucket(provider: Provider) -> Bucket {
        Bucket::global(provider, BucketName::new("abc").unwrap())
    }
    fn object() -> Cname {
        Cname::new(&bucket(Provider::Ais), &ObjectName::new("d/o").unwrap())
    }

    #[test]
    fn texts_types_and_statuses() {
        let ais = || bucket(Provider::Ais);
        let rows: Vec<(AisError, u16, &str, &str)> = vec![
            (
                ClusterError::BucketNotFound(ais()).into(),
                404,
                "ErrBckNotFound",
                "bucket \"ais://abc\" does not exist",
            ),
            (
                ClusterError::BucketNotFound(bucket(Provider::Aws)).into(),
                404,
                "ErrRemoteBckNotFound",
                "remote bucket \"s3://abc\" does not exist",
            ),
            (
                ClusterError::BucketExists(ais()).into(),
                409,
                "ErrBucketAlreadyExists",
                "bucket \"ais://abc\" already exists",
            ),
            (
                AisError::ObjectNotFound { node: "t[t1]".into(), object: object() },
                404,
                "ErrNotFound",
                "t[t1]: ais://abc/d/o does not exist",
            ),
            (AisError::DeleteNotFound { object: object() }, 404, "", "ais://abc/d/o doesn't exist"),
            (
                Unsupported::new("move-bck", "ais://abc").into(),
                501,
                "ErrUnsupp",
                "cannot move-bck ais://abc - operation not supported",
            ),
            (AisError::JobNotFound("[x]".into()), 404, "ErrXactNotFound", "xaction [x] not found"),
            (
                AisError::NotRedirected { node: "t[t1]".into(), method: "PUT" },
                400,
                "",
                "t[t1]: PUT(obj) is expected to be redirected",
            ),
            (
                AisError::NotRemote { action: "evict-remote-bck", bucket: ais() },
                400,
                "",
                "evict-remote-bck: expecting remote bucket (have ais://abc)",
            ),
        ];
        for (error, status, tcode, text) in rows {
            assert_eq!((error.status(), error.tcode(), error.to_string().as_str()), (status, tcode, text));
        }
    }

    #[test]
    fn reports() {
        let at = Where { method: "GET", path: "/v1/buckets/abc", remote: "127.0.0.1:5", node: "p[kWQp8080]" };
        let error = AisError::from(ClusterError::BucketNotFound(bucket(Provider::Ais)));
        let (content, body) = error.body(&at);
        assert_eq!(content, "application/json");
        assert_eq!(
            String::from_utf8(body).unwrap(),
            "{\"tcode\":\"ErrBckNotFound\",\"message\":\"bucket \\\"ais://abc\\\" does not exist\",\"method\":\"GET\",\
             \"url_path\":\"/v1/buckets/abc\",\"remote_addr\":\"127.0.0.1:5\",\"caller\":\"\",\"node\":\"p[kWQp8080]\",\
             \"status\":404}"
        );
        let error = AisError::Bad("ж\n\u{1f600}".into());
        let header = error.hdr_error(&at);
        assert!(header.is_ascii() && !header.contains('\n'), "{header}");
        let back: serde_json::Value = serde_json::from_str(&header).unwrap();
        assert_eq!(back["message"], "ж\n\u{1f600}");
        assert!(back.get("tcode").is_none());
    }

    #[test]
    fn headers_of_errors() {
        let range = AisError::Range { object: object(), error: RangeError::Malformed, size: 5 };
        assert_eq!((range.status(), range.content_range().as_deref()), (416, Some("bytes */5")));
        let busy = AisError::Unavailable { what: "starting up".into(), retry_s: 2 };
        assert_eq!((busy.status(), busy.retry_after_s()), (503, Some(2)));
        let method = AisError::Method { method: "PUT", allow: "GET, HEAD" };
        let at = Where { method: "PUT", path: "/", remote: "", node: "" };
        assert_eq!((method.status(), method.allow()), (405, Some("GET, HEAD")));
        assert_eq!(method.body(&at).0, "text/plain; charset=utf-8");
    }
}
