//! The chain of signatures over the chunks of a streamed body, and over its trailers.

use hmac::Mac;
use sha2::{Digest, Sha256};

use crate::Denied;
use crate::body::digest;
use crate::sigv4::claim::Scope;
use crate::sigv4::{HmacSha256, string_to_sign};

/// Checks the signatures of one aws-chunked body. Each signature covers the one before it, so chunks cannot be
/// dropped, repeated or reordered; the first link is the signature of the request itself.
///
/// For each chunk, the last and empty one included: [`update`](Self::update) with its data in any pieces, then
/// [`finish_chunk`](Self::finish_chunk). Where trailers are signed, [`finish_trailer`](Self::finish_trailer) comes last.
#[derive(Clone)]
pub struct ChunkSigner {
    mac: HmacSha256,
    stamp: String,
    scope: Scope<'static>,
    previous: [u8; 32],
    data: Sha256,
    failed: bool,
}

impl ChunkSigner {
    pub(crate) fn new(mac: HmacSha256, stamp: String, scope: &Scope<'_>, seed: [u8; 32]) -> Self {
        let scope = scope.to_static();
        Self { mac, stamp, scope, previous: seed, data: Sha256::new(), failed: false }
    }

    /// Takes data of the current chunk.
    pub fn update(&mut self, data: &[u8]) {
        self.data.update(data);
    }

    /// Ends the current chunk and checks its signature, 64 lower-case hex digits.
    pub fn finish_chunk(&mut self, signature: &str) -> Result<(), Denied> {
        let data = self.data.finalize_reset();
        let mut mac = self.mac.clone();
        string_to_sign(&mut mac, "AWS4-HMAC-SHA256-PAYLOAD", &self.stamp, &self.scope);
        for part in
            [&hex::encode(self.previous), "\n", &hex::encode(Sha256::digest(b"")), "\n", &hex::encode(data)]
        {
            mac.update(part.as_bytes());
        }
        self.link(mac, signature)
    }

    /// Checks the signature over the trailers that came before `x-amz-trailer-signature`, in the order sent.
    /// Names are taken in lower case, values without surrounding white space.
    pub fn finish_trailer<'t>(
        &mut self,
        fields: impl IntoIterator<Item = (&'t str, &'t str)>,
        signature: &str,
    ) -> Result<(), Denied> {
        let mut text = Sha256::new();
        for (name, value) in fields {
            text.update(name.to_ascii_lowercase().as_bytes());
            text.update(b":");
            text.update(value.trim_matches([' ', '\t']).as_bytes());
            text.update(b"\n");
        }
        let mut mac = self.mac.clone();
        string_to_sign(&mut mac, "AWS4-HMAC-SHA256-TRAILER", &self.stamp, &self.scope);
        for part in [&hex::encode(self.previous), "\n", &hex::encode(text.finalize())] {
            mac.update(part.as_bytes());
        }
        self.link(mac, signature)
    }

    /// Compares in constant time and goes on to the next link. Once a link failed, every later one fails.
    fn link(&mut self, mac: HmacSha256, signature: &str) -> Result<(), Denied> {
        let Some(signature) = digest(signature).filter(|_| !self.failed) else {
            self.failed = true;
            return Err(Denied::ChunkSignature);
        };
        if mac.verify_slice(&signature).is_err() {
            self.failed = true;
            return Err(Denied::ChunkSignature);
        }
        self.previous = signature;
        Ok(())
    }
}

impl std::fmt::Debug for ChunkSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkSigner")
    }
}
