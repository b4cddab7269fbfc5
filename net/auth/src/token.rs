//! Bearer tokens: JSON Web Tokens signed with HS256, claims as AIS's AuthN makes them (`cmd/authn/tok`).

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use weir_types::limits::{TOKEN_BYTES_MAX, TOKEN_KEY_BYTES_MIN, TOKEN_SECONDS_MAX};
use weir_types::{Access, Bucket, BucketName, Namespace, Provider};

use crate::grant::{Principal, Rights};
use crate::{AuthError, Denied, Secret};

const SUBJECT_BYTES_MAX: usize = 256;

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    admin: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    clusters: Vec<ClusterClaim>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    buckets: Vec<BucketClaim>,
}

/// Rights on a cluster; an empty ID is any cluster.
#[derive(Serialize, Deserialize)]
struct ClusterClaim {
    #[serde(default)]
    id: String,
    perm: String,
}

#[derive(Serialize, Deserialize)]
struct BucketClaim {
    bck: BucketRef,
    perm: String,
}

#[derive(Serialize, Deserialize)]
struct BucketRef {
    name: String,
    #[serde(default)]
    provider: String,
    #[serde(default)]
    namespace: NamespaceRef,
}

#[derive(Serialize, Deserialize, Default)]
struct NamespaceRef {
    #[serde(default)]
    uuid: String,
    #[serde(default)]
    name: String,
}

/// Issues a token for `subject` with the rights `access` on this cluster and its buckets, valid for `seconds` from
/// `now` (seconds since 1970).
pub fn issue_token(
    key: &Secret,
    subject: &str,
    access: Access,
    seconds: u64,
    now: u64,
) -> Result<String, AuthError> {
    if key.len() < TOKEN_KEY_BYTES_MIN {
        return Err(AuthError::ShortTokenKey { got: key.len() });
    }
    if !(1..=TOKEN_SECONDS_MAX).contains(&seconds) {
        return Err(AuthError::Lifetime { got: seconds });
    }
    if !(1..=SUBJECT_BYTES_MAX).contains(&subject.len()) {
        return Err(AuthError::Subject { got: subject.len() });
    }
    let claims = Claims {
        sub: subject.to_owned(),
        exp: now.saturating_add(seconds),
        nbf: None,
        iat: Some(now),
        admin: access == Access::ALL,
        clusters: vec![ClusterClaim { id: String::new(), perm: access.0.to_string() }],
        buckets: Vec::new(),
    };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(key.expose()))
        .map_err(|e| AuthError::Encode(e.to_string()))
}

/// Checks tokens against one key.
#[derive(Clone)]
pub(crate) struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

impl Verifier {
    pub(crate) fn new(key: &Secret) -> Self {
        // The algorithm is fixed, so a token cannot choose a weaker one. Times are compared here, with the caller's
        // clock; an audience is not asked for, as in AIS without `required_claims`.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Self { key: DecodingKey::from_secret(key.expose()), validation }
    }

    /// Who a token speaks for and what it allows in the cluster `cluster_uuid`.
    pub(crate) fn verify(
        &self,
        token: &str,
        cluster_uuid: &str,
        now: u64,
    ) -> Result<(Principal, Rights), Denied> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Denied::Token);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|_| Denied::Token)?
            .claims;
        if claims.sub.is_empty() || claims.nbf.is_some_and(|nbf| now < nbf) {
            return Err(Denied::Token);
        }
        if now >= claims.exp {
            return Err(Denied::TokenExpired);
        }
        let rights = rights(&claims, cluster_uuid)?;
        Ok((Principal::Subject(Arc::from(claims.sub)), rights))
    }
}

/// AIS's order: admin, then the bucket's entry, then this cluster's entry, then that of any cluster, then nothing.
fn rights(claims: &Claims, cluster_uuid: &str) -> Result<Rights, Denied> {
    if claims.admin {
        return Ok(Rights::all());
    }
    let of = |id: &str| claims.clusters.iter().find(|c| c.id == id);
    let own = if cluster_uuid.is_empty() { None } else { of(cluster_uuid) };
    let cluster = own.or_else(|| of("")).map_or(Ok(Access(0)), |c| access(&c.perm))?;
    let mut buckets = Vec::new();
    for claim in &claims.buckets {
        if let Some(bucket) = bucket(&claim.bck, cluster_uuid) {
            buckets.push((bucket, access(&claim.perm)?));
        }
    }
    Ok(Rights { cluster, buckets: buckets.into() })
}

/// The bucket of this cluster that a claim names; `None` for another cluster's.
fn bucket(claim: &BucketRef, cluster_uuid: &str) -> Option<Bucket> {
    if !claim.namespace.uuid.is_empty() && claim.namespace.uuid != cluster_uuid {
        return None;
    }
    Some(Bucket {
        provider: Provider::parse(&claim.provider)?,
        namespace: Namespace { uuid: String::new(), name: claim.namespace.name.clone() },
        name: BucketName::new(claim.name.as_str()).ok()?,
    })
}

/// A decimal mask; one that cannot be read denies the token, rather than some of its rights.
fn access(perm: &str) -> Result<Access, Denied> {
    perm.parse().map(Access).map_err(|_| Denied::Token)
}
