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
