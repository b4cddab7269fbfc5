//! What a request claims: which key signed it, for which day, region and service, which headers, and the signature.

use std::borrow::Cow;

use weir_http::query_pairs;
use weir_types::limits::PRESIGNED_SECONDS_MAX;

use crate::Denied;
use crate::body::digest;

/// Day, region and service that a signing key is for.
#[derive(Clone)]
pub(crate) struct Scope<'h> {
    pub(crate) date: Cow<'h, str>,
    pub(crate) region: Cow<'h, str>,
    pub(crate) service: Cow<'h, str>,
}

impl Scope<'_> {
    /// The same, owning its text.
    pub(crate) fn to_static(&self) -> Scope<'static> {
        let own = |text: &str| Cow::Owned(text.to_owned());
        Scope { date: own(&self.date), region: own(&self.region), service: own(&self.service) }
    }
}

/// A signature and what it says it covers.
pub(crate) struct Claim<'h> {
    pub(crate) key_id: Cow<'h, str>,
    pub(crate) scope: Scope<'h>,
    /// Names of signed headers, as listed: lower case, ascending, joined by `;`.
    pub(crate) signed: Cow<'h, str>,
    pub(crate) signature: [u8; 32],
    pub(crate) presigned: bool,
}

/// A claim in a query, with its time.
pub(crate) struct Presigned<'h> {
    pub(crate) claim: Claim<'h>,
    pub(crate) date: Cow<'h, str>,
    /// Seconds it is valid for.
    pub(crate) expires: u64,
}

impl<'h> Claim<'h> {
    /// Reads `Credential=…, SignedHeaders=…, Signature=…`, each exactly once, in any order.
    pub(crate) fn from_header(value: &'h str) -> Result<Self, Denied> {
        let (mut credential, mut signed, mut signature) = (None, None, None);
        for part in value.split(',') {
            let (name, value) = part
                .trim_matches(' ')
                .split_once('=')
                .ok_or(Denied::Malformed("expected name=value parts"))?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed,
                "Signature" => &mut signature,
                _ => return Err(Denied::Malformed("unknown part")),
            };
            if slot.replace(value).is_some() {
                return Err(Denied::Malformed("a part came twice"));
            }
        }
        let (Some(credential), Some(signed), Some(signature)) = (credential, signed, signature) else {
            return Err(Denied::Malformed("expected Credential, SignedHeaders and Signature"));
        };
        Self::new(credential.into(), signed.into(), signature, false)
    }

    fn new(
        credential: Cow<'h, str>,
        signed: Cow<'h, str>,
        signature: &str,
        presigned: bool,
    ) -> Result<Self, Denied> {
        let malformed = if presigned { Denied::MalformedQuery } else { Denied::Malformed };
        let (key_id, scope) =
            scope(credential).ok_or(malformed("Credential: expected id/date/region/service/aws4_request"))?;
        if scope.service != "s3" {
            return Err(malformed("Credential: expected the service s3"));
        }
        let mut before = "";
        for name in signed.split(';') {
            let plain = name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
            // No name is empty, as none comes before the first.
            if !plain || name <= before {
                return Err(malformed("SignedHeaders: expected lower-case names in ascending order"));
            }
            before = name;
        }
        // One that is no signature at all is one that does not match.
        let signature = digest(signature).ok_or(Denied::Signature)?;
        Ok(Self { key_id, scope, signed, signature, presigned })
    }

    /// The error for a claim that contradicts something else, in the form this claim came.
    pub(crate) fn malformed(&self, why: &'static str) -> Denied {
        if self.presigned { Denied::MalformedQuery(why) } else { Denied::Malformed(why) }
    }
}

impl<'h> Presigned<'h> {
    /// Reads the `X-Amz-` parameters of a presigned URL, each exactly once.
    pub(crate) fn from_query(query: &'h str) -> Result<Self, Denied> {
        const NAMES: [&str; 6] = [
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Date",
            "X-Amz-Expires",
            "X-Amz-SignedHeaders",
            "X-Amz-Signature",
        ];
        let mut slots: [Option<Cow<'h, str>>; 6] = [const { None }; 6];
        for pair in query_pairs(query) {
            let (name, value) = pair.map_err(|_| Denied::BadEscape)?;
            let place = NAMES.iter().position(|n| *n == name);
            if let Some(slot) = place.and_then(|i| slots.get_mut(i))
                && slot.replace(value).is_some()
            {
                return Err(Denied::MalformedQuery("a parameter came twice"));
            }
            if name == "X-Amz-Security-Token" {
                return Err(Denied::MalformedQuery(
                    "X-Amz-Security-Token: session credentials are not known here",
                ));
            }
        }
        let [Some(algorithm), Some(credential), Some(date), Some(expires), Some(signed), Some(signature)] =
            slots
        else {
            return Err(Denied::MalformedQuery(
                "expected X-Amz-Algorithm, -Credential, -Date, -Expires, -SignedHeaders and -Signature",
            ));
        };
        if algorithm != "AWS4-HMAC-SHA256" {
            return Err(Denied::MalformedQuery("X-Amz-Algorithm: expected AWS4-HMAC-SHA256"));
        }
        let digits = !expires.is_empty() && expires.bytes().all(|b| b.is_ascii_digit());
        let expires = expires.parse().ok().filter(|s| digits && (1..=PRESIGNED_SECONDS_MAX).contains(s));
        let expires = expires.ok_or(Denied::MalformedQuery("X-Amz-Expires: expected 1 to 604800 seconds"))?;
        let claim = Claim::new(credential, signed, &signature, true)?;
        Ok(Self { claim, date, expires })
    }
}

/// Splits `id/date/region/service/aws4_request`.
fn scope(credential: Cow<'_, str>) -> Option<(Cow<'_, str>, Scope<'_>)> {
    fn split(text: &str) -> Option<[&str; 4]> {
        let mut parts = text.split('/');
        let four = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let whole = parts.next() == Some("aws4_request") && parts.next().is_none();
        let plain = four.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_graphic()));
        (whole && plain).then_some(four)
    }
    Some(match credential {
        Cow::Borrowed(text) => {
            let [id, date, region, service] = split(text)?;
            (id.into(), Scope { date: date.into(), region: region.into(), service: service.into() })
        }
        Cow::Owned(text) => {
            let [id, date, region, service] = split(&text)?.map(str::to_owned);
            (id.into(), Scope { date: date.into(), region: region.into(), service: service.into() })
        }
    })
}
