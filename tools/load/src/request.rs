//! Heads of requests as bytes: what is alike in all of them is written once, at the start.

use std::sync::Arc;
use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::endpoint::Endpoint;
use crate::names::push_number;
use crate::plan::{Api, Plan};
use crate::sign::Signer;

/// What stays as it is in a path: the unreserved characters and the slash, as signatures define it.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// The same in a query, where the slash is encoded too.
const QUERY: &AsciiSet = &PATH.add(b'/');

/// What a request asks for beyond its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The whole object.
    Get,
    /// Its bytes from the first to the second, both included.
    Range(u64, u64),
    /// To store so many bytes; the body follows at once.
    Put(u64),
    /// The same, but the body waits for the server's word.
    PutExpecting(u64),
    /// To be told where to store; no body, and refused by who would store it himself.
    PutNowhere,
}

/// Where one request goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) authority: String,
    pub(crate) path: Vec<u8>,
    /// Without the question mark.
    pub(crate) query: Vec<u8>,
}

/// Writes the heads of one thread's requests.
pub(crate) struct Requests {
    /// Paths of all objects of an endpoint, up to the number.
    before: Vec<Vec<u8>>,
    endpoints: Vec<Endpoint>,
    query: Vec<u8>,
    /// Header lines of every request.
    fixed: Vec<u8>,
    signer: Option<Signer>,
    api: Api,
    bucket: String,
    plan: Arc<Plan>,
}

impl Requests {
    pub(crate) fn new(plan: &Arc<Plan>, now: SystemTime) -> Self {
        let prefix = utf8_percent_encode(plan.name_prefix(), PATH).to_string();
        let before = plan.endpoints.iter().map(|e| match plan.api {
            Api::Ais => format!("{}/v1/objects/{}/{prefix}", e.base, plan.bucket.name),
            Api::S3 => format!("{}/{}/{prefix}", e.base, plan.bucket.name),
            Api::Http => format!("{}/{prefix}", e.base),
        });
        let mut fixed = Vec::new();
        if let Some(token) = &plan.token {
            fixed.extend_from_slice(format!("Authorization: Bearer {token}\r\n").as_bytes());
        }
        Self {
            before: before.map(String::into_bytes).collect(),
            endpoints: plan.endpoints.clone(),
            query: object_query(plan, now).into_bytes(),
            fixed,
            signer: plan.access_key.clone().map(Signer::new),
            api: plan.api,
            bucket: match plan.api {
                Api::Ais => format!("{}?provider={}", plan.bucket.name, plan.bucket.provider),
                _ => plan.bucket.name.clone(),
            },
            plan: plan.clone(),
        }
    }

    /// Where object `number` is asked for at endpoint `at`.
    pub(crate) fn object(&self, target: &mut Target, at: usize, number: u64) {
        let (Some(endpoint), Some(before)) = (self.endpoints.get(at), self.before.get(at)) else { return };
        target.authority.clone_from(&endpoint.authority);
        target.path.clone_from(before);
        match self.plan.listed_name(number) {
            Some(name) => utf8_percent_encode(name, PATH).for_each(|part| push(&mut target.path, part)),
            None => push_number(&mut target.path, number),
        }
        target.query.clone_from(&self.query);
    }

    /// The head of a request for an object.
    pub(crate) fn head(&self, out: &mut Vec<u8>, target: &Target, ask: Ask) {
        let method = match ask {
            Ask::Get | Ask::Range(..) => "GET",
            Ask::Put(_) | Ask::PutExpecting(_) | Ask::PutNowhere => "PUT",
        };
        self.begin(out, method, target);
        match ask {
            Ask::Get => {}
            Ask::Range(first, last) => push(out, &format!("Range: bytes={first}-{last}\r\n")),
            Ask::Put(size) => push(out, &format!("Content-Length: {size}\r\n")),
            Ask::PutExpecting(size) => {
                push(out, &format!("Content-Length: {size}\r\nExpect: 100-continue\r\n"));
            }
            Ask::PutNowhere => {
                push(out, "Content-Length: 0\r\n");
                if self.api == Api::Ais {
                    // That of no body is 00000000.
                    push(out, "ais-checksum-type: crc32c\r\nais-checksum-value: ffffffff\r\n");
                }
            }
        }
        push(out, "\r\n");
    }

    /// A whole request for one page of a listing at endpoint `at`, of the names after that of object `number`.
    pub(crate) fn list(&self, out: &mut Vec<u8>, target: &mut Target, at: usize, number: u64) {
        let Some(endpoint) = self.endpoints.get(at) else { return };
        let mut after = Vec::new();
        self.plan.push_name(&mut after, number);
        let after = String::from_utf8_lossy(&after);
        target.authority.clone_from(&endpoint.authority);
        if self.api == Api::Ais {
            let (name, query) = self.bucket.split_once('?').unwrap_or((&self.bucket, ""));
            target.path = format!("{}/v1/buckets/{name}", endpoint.base).into_bytes();
            target.query = query.as_bytes().to_vec();
            let message = json!({ "uuid": "", "props": "name,size", "prefix": self.plan.name_prefix(), "start_after": after,
                "continuation_token": "", "flags": "0", "pagesize": self.plan.page });
            let body = json!({ "action": "list", "name": "", "value": message }).to_string();
            self.begin(out, "GET", target);
            push(out, "Accept: application/msgpack\r\nContent-Type: application/json\r\n");
            push(out, &format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        } else {
            let encoded = |text: &str| utf8_percent_encode(text, QUERY).to_string();
            target.path = format!("{}/{}", endpoint.base, self.bucket).into_bytes();
            let (page, prefix, after) = (self.plan.page, encoded(self.plan.name_prefix()), encoded(&after));
            target.query =
                format!("list-type=2&max-keys={page}&prefix={prefix}&start-after={after}").into_bytes();
            self.begin(out, "GET", target);
            push(out, "\r\n");
        }
    }

    fn begin(&self, out: &mut Vec<u8>, method: &str, target: &Target) {
        out.clear();
        push(out, method);
        push(out, " ");
        out.extend_from_slice(&target.path);
        if !target.query.is_empty() {
            push(out, "?");
            out.extend_from_slice(&target.query);
        }
        push(out, " HTTP/1.1\r\nHost: ");
        push(out, &target.authority);
        push(out, "\r\n");
        out.extend_from_slice(&self.fixed);
        if let Some(signer) = &self.signer {
            signer.push(out, method, &target.authority, &target.path, &target.query, SystemTime::now());
        }
    }
}

/// The query of every object: the provider, and the mark of a gateway where requests go to targets directly.
fn object_query(plan: &Plan, now: SystemTime) -> String {
    if plan.api != Api::Ais {
        return String::new();
    }
    let mut query = format!("provider={}", plan.bucket.provider);
    if let Some(gateway) = &plan.gateway {
        let ns = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        query.push_str(&format!("&pid={}&utm={ns}", utf8_percent_encode(gateway, QUERY)));
    }
    query
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}
