//! The kinds of request of both APIs, and the credentials tests present with them.
#![allow(dead_code, reason = "each test binary uses its part")]

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::Value;
use weir_types::Access;

use crate::signer::{DAY, Plan, gate};

/// Method, path, query pair, and the access it takes.
pub(crate) type Kind = (&'static str, &'static str, Option<(&'static str, &'static str)>, Access);

/// Each kind of request of both APIs.
pub(crate) const KINDS: &[Kind] = &[
    ("GET", "/", None, Access::LIST_BUCKETS),
    ("PUT", "/bucket", None, Access::CREATE_BUCKET),
    ("DELETE", "/bucket", None, Access::DESTROY_BUCKET),
    ("HEAD", "/bucket", None, Access::HEAD_BUCKET),
    ("GET", "/bucket", Some(("list-type", "2")), Access::LIST_OBJECTS),
    ("GET", "/s3/bucket", Some(("versions", "")), Access::LIST_OBJECTS),
    ("GET", "/bucket/a/object", None, Access::GET),
    ("HEAD", "/s3/bucket/object", None, Access::HEAD_OBJECT),
    ("PUT", "/bucket/object", None, Access::PUT),
    ("PUT", "/bucket/object", Some(("partNumber", "1")), Access::PUT),
    ("POST", "/bucket/object", Some(("uploads", "")), Access::PUT),
    ("DELETE", "/bucket/object", None, Access::DELETE_OBJECT),
    ("POST", "/bucket", Some(("delete", "")), Access::DELETE_OBJECT),
    ("GET", "/v1/health", Some(("prr", "true")), Access::SHOW_CLUSTER),
    ("GET", "/v1/daemon", Some(("what", "smap")), Access::SHOW_CLUSTER),
    ("GET", "/v1/cluster", Some(("what", "status")), Access::SHOW_CLUSTER),
    ("GET", "/v1/buckets", None, Access::LIST_BUCKETS),
    ("POST", "/v1/buckets/bucket", None, Access::CREATE_BUCKET),
    ("PATCH", "/v1/buckets/bucket", None, Access::PATCH),
    ("DELETE", "/v1/buckets/bucket", None, Access::DESTROY_BUCKET),
    ("GET", "/v1/objects/bucket/object", Some(("provider", "ais")), Access::GET),
    ("HEAD", "/v1/objects/bucket/object", None, Access::HEAD_OBJECT),
    ("PUT", "/v1/objects/bucket/object", None, Access::PUT),
    ("PATCH", "/v1/objects/bucket/object", None, Access::UPDATE_OBJECT),
    ("DELETE", "/v1/objects/bucket/object", None, Access::DELETE_OBJECT),
    ("POST", "/v1/objects/bucket/object", None, Access::MOVE_OBJECT),
    ("PUT", "/v1/cluster", None, Access::ADMIN),
    ("GET", "/metrics", None, Access::SHOW_CLUSTER),
];

pub(crate) fn plan(kind: usize) -> Plan {
    let (method, path, query, _) = KINDS[kind];
    let mut plan = Plan::new(method, path);
    plan.query.extend(query.map(|(n, v)| (n.to_owned(), v.to_owned())));
    plan
}

pub(crate) fn plain(kind: usize, lines: &str) -> String {
    let (method, path, query, _) = KINDS[kind];
    let query = query.map_or(String::new(), |(n, v)| format!("?{n}={v}"));
    format!("{method} {path}{query} HTTP/1.1\r\nhost: h:8080\r\n{lines}\r\n")
}

pub(crate) fn token(access: Access) -> String {
    gate().issue("alice", access, 3600, DAY).unwrap()
}

/// Any token, signed as told.
pub(crate) fn forged(algorithm: Algorithm, key: &str, claims: Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
}

pub(crate) fn bearer(kind: usize, token: &str) -> String {
    plain(kind, &format!("Authorization: Bearer {token}\r\n"))
}

pub(crate) fn changed(change: impl Fn(&mut Plan) + 'static) -> impl Fn(usize) -> Plan {
    move |kind| {
        let mut plan = plan(kind);
        change(&mut plan);
        plan
    }
}
