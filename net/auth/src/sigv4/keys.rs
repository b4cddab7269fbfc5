//! The configured access keys and the signing keys derived from them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use hmac::Mac;
use parking_lot::Mutex;
use weir_types::limits::SIGNING_KEYS_MAX;

use crate::sigv4::HmacSha256;
use crate::sigv4::claim::{Claim, Scope};
use crate::{Denied, Secret};

/// Access keys, shared among clones, and a bounded cache of signing keys, one for each clone.
pub(crate) struct AccessKeys {
    keys: Arc<HashMap<Arc<str>, Secret>>,
    region: Option<Arc<str>>,
    cache: Mutex<VecDeque<Arc<SigningKey>>>,
}

/// A key derived for one access key, day, region and service.
pub(crate) struct SigningKey {
    id: Arc<str>,
    date: String,
    region: String,
    /// HMAC keyed and ready for a message.
    pub(crate) mac: HmacSha256,
}

impl Clone for AccessKeys {
    fn clone(&self) -> Self {
        Self { keys: self.keys.clone(), region: self.region.clone(), cache: Mutex::default() }
    }
}

impl AccessKeys {
    pub(crate) fn new(keys: HashMap<Arc<str>, Secret>) -> Self {
        Self { keys: Arc::new(keys), region: None, cache: Mutex::default() }
    }

    pub(crate) fn set_region(&mut self, region: &str) {
        self.region = Some(Arc::from(region));
    }

    /// Refuses a claim for another region, where one is configured.
    pub(crate) fn check_region(&self, claim: &Claim<'_>) -> Result<(), Denied> {
        match &self.region {
            Some(region) if **region != *claim.scope.region => {
                Err(claim.malformed("Credential: the region is not this node's"))
            }
            _ => Ok(()),
        }
    }

    /// The key of this ID.
    pub(crate) fn find(&self, id: &str) -> Option<(&Arc<str>, &Secret)> {
        self.keys.get_key_value(id)
    }

    /// The signing key for a scope, from the cache or derived.
    pub(crate) fn signing_key(&self, id: &Arc<str>, secret: &Secret, scope: &Scope<'_>) -> Arc<SigningKey> {
        let known = |k: &&Arc<SigningKey>| k.date == scope.date && k.region == scope.region && k.id == *id;
        if let Some(found) = self.cache.lock().iter().find(known) {
            return found.clone();
        }
        let mut start = zeroize::Zeroizing::new(b"AWS4".to_vec());
        start.extend_from_slice(secret.expose());
        let mut mac = keyed(&start);
        for step in [&*scope.date, &*scope.region, &*scope.service, "aws4_request"] {
            mac.update(step.as_bytes());
            mac = keyed(&mac.finalize().into_bytes());
        }
        let (date, region) = (scope.date.to_string(), scope.region.to_string());
        Arc::new(SigningKey { id: id.clone(), date, region, mac })
    }

    /// Keeps a key that has just verified a signature, the oldest making room. Keys of claims that fail are not kept,
    /// so that a stranger who knows an ID cannot wash the cache.
    pub(crate) fn remember(&self, key: &Arc<SigningKey>) {
        let mut cache = self.cache.lock();
        if !cache.iter().any(|known| Arc::ptr_eq(known, key)) {
            if cache.len() >= SIGNING_KEYS_MAX {
                cache.pop_front();
            }
            cache.push_back(key.clone());
        }
    }
}

/// HMAC takes keys of any length.
pub(crate) fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(region: &str) -> Scope<'_> {
        Scope { date: "20130524".into(), region: region.into(), service: "s3".into() }
    }

    fn tag(key: &SigningKey) -> String {
        let mut mac = key.mac.clone();
        mac.update(b"text");
        hex::encode(mac.finalize().into_bytes())
    }

    #[test]
    fn the_cache_is_bounded_and_tells_keys_apart() {
        let entries = [("a", "secret a"), ("b", "secret b")];
        let keys = AccessKeys::new(entries.map(|(id, s)| (Arc::from(id), Secret::new(s))).into());
        let derive = |id: &str, region: &str| {
            let (id, secret) = keys.find(id).unwrap();
            keys.signing_key(id, secret, &scope(region))
        };
        assert!(keys.cache.lock().is_empty());
        let fresh = derive("a", "r0");
        // Deriving alone keeps nothing; verifying does, once.
        assert!(keys.cache.lock().is_empty());
        keys.remember(&fresh);
        keys.remember(&derive("a", "r0"));
        assert_eq!(keys.cache.lock().len(), 1);
        let is_cached = |key: &Arc<SigningKey>| keys.cache.lock().iter().any(|known| Arc::ptr_eq(known, key));
        assert!(is_cached(&derive("a", "r0")));
        assert!(!is_cached(&derive("a", "r1")) && !is_cached(&derive("b", "r0")));
        assert_eq!(tag(&derive("a", "r0")), tag(&fresh));
        assert_ne!(tag(&derive("b", "r0")), tag(&fresh));
        for i in 0..3 * SIGNING_KEYS_MAX {
            keys.remember(&derive("b", &format!("r{i}")));
        }
        assert_eq!(keys.cache.lock().len(), SIGNING_KEYS_MAX);
        assert_eq!(tag(&derive("a", "r0")), tag(&fresh), "a key that was driven out is derived again");
        assert!(keys.clone().cache.lock().is_empty());
    }
}
