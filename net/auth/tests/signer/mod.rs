//! A signer of the other side: written from the signature's definition, sharing nothing with the crate under test.
#![allow(dead_code, reason = "each test binary uses its part")]

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr};
use weir_auth::{Arrival, Credentials, Denied, Gate, Grant, Secret};
use weir_http::{HeaderSlots, parse_head};

pub(crate) const ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub(crate) const TOKEN_KEY: &str = "a token key of enough bytes";
/// 2013-05-24T00:00:00Z, the day of the published examples.
pub(crate) const DAY: u64 = 1_369_353_600;
pub(crate) const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) fn gate() -> Gate {
    let access_keys =
        vec![(ID.to_owned(), Secret::new(SECRET)), ("other".to_owned(), Secret::new("other secret"))];
    Gate::new(Credentials { access_keys, token_key: Some(Secret::new(TOKEN_KEY)) }).unwrap()
}

pub(crate) fn at(now: u64) -> Arrival {
    Arrival { peer: IpAddr::V4(Ipv4Addr::LOCALHOST), now }
}

/// Why a request as bytes does not come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    Http(u16),
    Denied(Denied),
}

pub(crate) fn admit(gate: &Gate, request: &str, now: u64) -> Result<Grant, Refusal> {
    let mut slots = HeaderSlots::default();
    match parse_head(request.as_bytes(), &mut slots) {
        Err(error) => Err(Refusal::Http(error.status())),
        Ok(None) => Err(Refusal::Http(0)),
        Ok(Some((head, _))) => gate.admit(&head, &at(now)).map_err(Refusal::Denied),
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn sha(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What is signed, part by part, all in canonical form.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) payload: String,
    pub(crate) stamp: String,
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) id: String,
    pub(crate) secret: String,
    with_stamp: bool,
}

impl Plan {
    pub(crate) fn new(method: &'static str, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            query: vec![],
            headers: vec![("host".into(), "h:8080".into())],
            payload: EMPTY.to_owned(),
            stamp: "20130524T000000Z".into(),
            region: "us-east-1".into(),
            service: "s3".into(),
            id: ID.into(),
            secret: SECRET.into(),
            with_stamp: true,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same without `x-amz-date`.
    pub(crate) fn dated(mut self) -> Self {
        self.with_stamp = false;
        self
    }

    /// With the headers that carry time and payload.
    fn complete(mut self) -> Self {
        let (stamp, payload) = (self.stamp.clone(), self.payload.clone());
        if self.with_stamp {
            self = self.header("x-amz-date", &stamp);
        }
        self.header("x-amz-content-sha256", &payload)
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", &self.stamp[..8], self.region, self.service)
    }

    pub(crate) fn key(&self) -> Vec<u8> {
        let mut key = hmac(format!("AWS4{}", self.secret).as_bytes(), &self.stamp[..8]);
        for step in [&self.region, &self.service, "aws4_request"] {
            key = hmac(&key, step);
        }
        key
    }

    pub(crate) fn string_signature(&self, kind: &str, rest: &str) -> String {
        hex::encode(hmac(&self.key(), &format!("{kind}\n{}\n{}\n{rest}", self.stamp, self.scope())))
    }

    fn query_text(&self) -> String {
        let mut pairs: Vec<_> =
            self.query.iter().map(|(n, v)| (encode(n, false), encode(v, false))).collect();
        pairs.sort();
        pairs.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("&")
    }

    fn sorted(&self) -> Vec<(String, String)> {
        let mut headers = self.headers.clone();
        headers.sort();
        headers
    }

    fn signed(&self) -> String {
        self.sorted().iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(";")
    }

    fn signature(&self) -> String {
        let headers: String = self.sorted().iter().map(|(n, v)| format!("{n}:{v}\n")).collect();
        let (path, query, signed) = (encode(&self.path, true), self.query_text(), self.signed());
        let text = format!("{}\n{path}\n{query}\n{headers}\n{signed}\n{}", self.method, self.payload);
        self.string_signature("AWS4-HMAC-SHA256", &sha(text.as_bytes()))
    }

    fn lines(&self, more: &str) -> String {
        let query = self.query_text();
        let mark = if query.is_empty() { "" } else { "?" };
        let headers: String = self.headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        format!("{} {}{mark}{query} HTTP/1.1\r\n{headers}{more}\r\n", self.method, encode(&self.path, true))
    }

    /// The request signed in its header.
    pub(crate) fn in_header(mut self) -> String {
        self = self.complete();
        self.lines(&format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}\r\n",
            self.id,
            self.scope(),
            self.signed(),
            self.signature()
        ))
    }

    /// The request signed in its query.
    pub(crate) fn in_query(mut self, expires: &str) -> String {
        self.payload = "UNSIGNED-PAYLOAD".into();
        for (name, value) in [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
            ("X-Amz-Credential", format!("{}/{}", self.id, self.scope())),
            ("X-Amz-Date", self.stamp.clone()),
            ("X-Amz-Expires", expires.to_owned()),
            ("X-Amz-SignedHeaders", self.signed()),
        ] {
            self.query.push((name.to_owned(), value));
        }
        let signature = self.signature();
        self.query.push(("X-Amz-Signature".to_owned(), signature));
        self.lines("")
    }
}

/// Percent-encoding as the signature defines it.
pub(crate) fn encode(text: &str, path: bool) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b) || (path && b == b'/');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
