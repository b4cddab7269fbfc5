//! AWS Signature Version 4 as S3 uses it: in `Authorization`, in a presigned query, and on the chunks of a body.

mod canonical;
mod chunk;
mod claim;
mod keys;

use std::borrow::Cow;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use weir_http::{Head, QueryPairs};
use weir_types::limits::SIGNATURE_SKEW_SECONDS_MAX;

use crate::body::PayloadMode;
use crate::grant::{Principal, Rights};
use crate::{BodyRule, Denied, Grant, date};

use canonical::PayloadLine;
use claim::{Claim, Scope};

pub use chunk::ChunkSigner;
pub(crate) use keys::AccessKeys;

type HmacSha256 = Hmac<Sha256>;

/// The one value of a header; an error if there are several, since only one of them could be meant.
pub(crate) fn only<'h>(head: &Head<'h>, name: &str) -> Result<Option<&'h str>, Denied> {
    let mut values = head.headers(name);
    let first = values.next();
    match values.next() {
        Some(_) => Err(Denied::Ambiguous),
        None => Ok(first),
    }
}

/// Whether a query carries any part of a presigned credential.
pub(crate) fn in_query(query: &str) -> bool {
    let mut pairs = QueryPairs::with_plus(query, weir_http::Plus::Space);
    std::iter::from_fn(|| pairs.next_raw()).any(|(name, _)| {
        matches!(name, "X-Amz-Algorithm" | "X-Amz-Credential" | "X-Amz-Signature")
            // An encoded spelling of the same names is read like them, not past them.
            || (name.contains('%')
                && weir_http::percent_decode(name).is_ok_and(|n| n.starts_with("X-Amz-")))
    })
}

/// Judges a request signed in `Authorization`; `value` is what follows the algorithm.
pub(crate) fn admit_header(
    keys: &AccessKeys,
    head: &Head<'_>,
    value: &str,
    now: u64,
) -> Result<Grant, Denied> {
    let claim = Claim::from_header(value)?;
    let stamp = stamp(head)?;
    let payload = only(head, "x-amz-content-sha256").map_err(|_| Denied::PayloadHash)?;
    let payload = payload.ok_or(Denied::NoPayloadHash)?;
    let mode = PayloadMode::parse(payload)?;
    admit(keys, head, &claim, &stamp, payload, mode, |seconds| {
        if now.abs_diff(seconds) > SIGNATURE_SKEW_SECONDS_MAX { Err(Denied::Skewed) } else { Ok(()) }
    })
}

/// Judges a request signed in its query.
pub(crate) fn admit_query(keys: &AccessKeys, head: &Head<'_>, now: u64) -> Result<Grant, Denied> {
    let presigned = claim::Presigned::from_query(head.query)?;
    let seconds = date::parse_basic(&presigned.date)
        .ok_or(Denied::MalformedQuery("X-Amz-Date: expected a time as 20130524T000000Z"))?;
    let stamp = Stamp { text: presigned.date, seconds };
    // Most presigned requests do not sign their payload; one that names a digest or mode has signed that.
    let payload = only(head, "x-amz-content-sha256").map_err(|_| Denied::PayloadHash)?;
    let payload = payload.unwrap_or("UNSIGNED-PAYLOAD");
    let mode = PayloadMode::parse(payload)?;
    let expires = presigned.expires;
    admit(keys, head, &presigned.claim, &stamp, payload, mode, |seconds| {
        if seconds > now.saturating_add(SIGNATURE_SKEW_SECONDS_MAX) {
            Err(Denied::Skewed)
        } else if now > seconds.saturating_add(expires) {
            Err(Denied::Expired)
        } else {
            Ok(())
        }
    })
}

/// When a request was signed: as it was written, which is what was signed, and in seconds since 1970.
struct Stamp<'h> {
    text: Cow<'h, str>,
    seconds: u64,
}

/// The time of a request signed in its header. `Date` counts only where `x-amz-date` is absent.
fn stamp<'h>(head: &Head<'h>) -> Result<Stamp<'h>, Denied> {
    const MALFORMED: Denied = Denied::Malformed("x-amz-date or Date is no time, or came twice");
    if let Some(text) = only(head, "x-amz-date").map_err(|_| MALFORMED)? {
        let seconds = date::parse_basic(text).ok_or(MALFORMED)?;
        return Ok(Stamp { text: text.into(), seconds });
    }
    let text = only(head, "date").map_err(|_| MALFORMED)?.ok_or(Denied::NoDate)?;
    let seconds = date::parse_http(text).or_else(|| date::parse_basic(text)).ok_or(MALFORMED)?;
    Ok(Stamp { text: date::write_basic(seconds).into(), seconds })
}

/// The steps common to both forms. The time is judged only for a request whose key is known, and before its signature,
/// as S3 does.
fn admit(
    keys: &AccessKeys,
    head: &Head<'_>,
    claim: &Claim<'_>,
    stamp: &Stamp<'_>,
    payload: PayloadLine<'_>,
    mode: PayloadMode,
    timely: impl FnOnce(u64) -> Result<(), Denied>,
) -> Result<Grant, Denied> {
    if stamp.text.get(..8) != Some(claim.scope.date.as_ref()) {
        return Err(claim.malformed("the credential's date is not that of the request"));
    }
    keys.check_region(claim)?;
    let (id, secret) = keys.find(&claim.key_id).ok_or(Denied::UnknownKey)?;
    timely(stamp.seconds)?;
    canonical::check_signed(head, &claim.signed)?;
    let hash = canonical::request_hash(head, claim, payload)?;

    let signing = keys.signing_key(id, secret, &claim.scope);
    let mut mac = signing.mac.clone();
    string_to_sign(&mut mac, "AWS4-HMAC-SHA256", &stamp.text, &claim.scope);
    mac.update(hex::Buffer::<32>::new().format(&hash).as_bytes());
    // Compared in constant time.
    mac.verify_slice(&claim.signature).map_err(|_| Denied::Signature)?;
    keys.remember(&signing);

    let body = match mode {
        PayloadMode::SignedChunks { trailer } => {
            let (mac, stamp) = (signing.mac.clone(), stamp.text.to_string());
            let signer = ChunkSigner::new(mac, stamp, &claim.scope, claim.signature);
            BodyRule::SignedChunks { signer: Box::new(signer), trailer }
        }
        other => other.unchained(),
    };
    Ok(Grant::new(Principal::AccessKey(id.clone()), Rights::all(), body))
}

/// The three lines that every string to sign starts with.
fn string_to_sign(mac: &mut HmacSha256, algorithm: &str, stamp: &str, scope: &Scope<'_>) {
    let parts = [
        algorithm,
        "\n",
        stamp,
        "\n",
        &scope.date,
        "/",
        &scope.region,
        "/",
        &scope.service,
        "/aws4_request\n",
    ];
    for part in parts {
        mac.update(part.as_bytes());
    }
}
