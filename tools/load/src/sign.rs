//! Signature version 4 of requests whose payload is not signed (S3 API reference, "Authenticating requests: using the
//! Authorization header"). The signing key is derived once a day, not once a request.

use std::cell::RefCell;
use std::time::SystemTime;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

const PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// An access key with the secret that goes with it.
#[derive(Clone)]
pub struct AccessKey {
    /// Its public part.
    pub id: String,
    /// Its secret part.
    pub secret: String,
    /// The region of signatures.
    pub region: String,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccessKey({}, {})", self.id, self.region)
    }
}

/// Signs for one thread.
pub(crate) struct Signer {
    key: AccessKey,
    /// The day as `YYYYMMDD` and the key derived for it.
    derived: RefCell<(String, Vec<u8>)>,
}

impl Signer {
    pub(crate) fn new(key: AccessKey) -> Self {
        Self { key, derived: RefCell::default() }
    }

    /// Appends the header lines that sign a request; `path` and `query` as they are sent, in canonical form.
    pub(crate) fn push(
        &self,
        out: &mut Vec<u8>,
        method: &str,
        host: &str,
        path: &[u8],
        query: &[u8],
        now: SystemTime,
    ) {
        let at = OffsetDateTime::from(now);
        let day = format!("{:04}{:02}{:02}", at.year(), u8::from(at.month()), at.day());
        let stamp = format!("{day}T{:02}{:02}{:02}Z", at.hour(), at.minute(), at.second());
        let mut canonical = Sha256::new();
        for part in [method.as_bytes(), b"\n", path, b"\n", query, b"\nhost:", host.as_bytes()] {
            canonical.update(part);
        }
        canonical
            .update(format!("\nx-amz-content-sha256:{PAYLOAD}\nx-amz-date:{stamp}\n\n{NAMES}\n{PAYLOAD}"));
        let scope = format!("{day}/{}/s3/aws4_request", self.key.region);
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex::encode(canonical.finalize()));
        let signature = hex::encode(self.keyed_of_day(&day, &text));
        let id = &self.key.id;
        out.extend_from_slice(
            format!(
                "x-amz-content-sha256: {PAYLOAD}\r\nx-amz-date: {stamp}\r\nAuthorization: AWS4-HMAC-SHA256 \
                 Credential={id}/{scope}, SignedHeaders={NAMES}, Signature={signature}\r\n"
            )
            .as_bytes(),
        );
    }

    fn keyed_of_day(&self, day: &str, text: &str) -> Vec<u8> {
        let mut derived = self.derived.borrow_mut();
        if derived.0 != day {
            let first = format!("AWS4{}", self.key.secret).into_bytes();
            let steps = [day, &self.key.region, "s3", "aws4_request"];
            *derived = (day.to_owned(), steps.iter().fold(first, |key, part| keyed(&key, part)));
        }
        keyed(&derived.1, text)
    }
}

/// Names of the signed headers.
const NAMES: &str = "host;x-amz-content-sha256;x-amz-date";

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC refused a key"));
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use weir_auth::{Arrival, Credentials, Gate, Secret};
    use weir_http::{HeaderSlots, parse_head};

    use super::*;

    const DAY: u64 = 86_400;

    fn signer(secret: &str) -> Signer {
        Signer::new(AccessKey { id: "id".into(), secret: secret.into(), region: "eu-central-1".into() })
    }

    /// Whether a node takes `PUT /b/a%20b?x=1` with these signature lines at `now`.
    fn admitted(lines: &[u8], now: u64) -> bool {
        let access_keys = vec![("id".to_owned(), Secret::new("a secret of enough bytes"))];
        let gate = Gate::new(Credentials { access_keys, token_key: None }).unwrap();
        let mut request = b"PUT /b/a%20b?x=1 HTTP/1.1\r\nHost: h:1\r\n".to_vec();
        request.extend_from_slice(lines);
        request.extend_from_slice(b"Content-Length: 5\r\n\r\n");
        let mut slots = HeaderSlots::default();
        let (head, _) = parse_head(&request, &mut slots).unwrap().unwrap();
        gate.admit(&head, &Arrival { peer: IpAddr::V4(Ipv4Addr::LOCALHOST), now }).is_ok()
    }

    #[test]
    fn a_node_takes_what_is_signed_and_nothing_else() {
        let good = signer("a secret of enough bytes");
        let check = |signer: &Signer, method: &str, path: &str, now: u64, expected: bool| {
            let mut lines = Vec::new();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
            signer.push(&mut lines, method, "h:1", path.as_bytes(), b"x=1", at);
            assert_eq!(admitted(&lines, now), expected, "{method} {path} {now}");
        };
        let now = 20_000 * DAY + 5;
        check(&good, "PUT", "/b/a%20b", now, true);
        check(&good, "GET", "/b/a%20b", now, false);
        check(&good, "PUT", "/b/other", now, false);
        check(&signer("another secret"), "PUT", "/b/a%20b", now, false);
        // A key is of one day: the next day has its own.
        check(&good, "PUT", "/b/a%20b", now + DAY, true);
    }
}
