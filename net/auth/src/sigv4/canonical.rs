//! The canonical request: the bytes both sides hash. In the manner of S3: the path is encoded once and never normalised.

use sha2::{Digest, Sha256};
use weir_http::{Escapes, Head, Plus, QueryPairs};

use crate::Denied;
use crate::sigv4::claim::Claim;

/// The last line of a canonical request: the value of `x-amz-content-sha256` as sent.
pub(crate) type PayloadLine<'h> = &'h str;

/// Checks that everything that must be signed is: the host, and every `x-amz-` header that came. The date and the
/// payload's digest are bound by the signature in other ways.
pub(crate) fn check_signed(head: &Head<'_>, signed: &str) -> Result<(), Denied> {
    let is_signed = |name: &str| signed.split(';').any(|s| s.eq_ignore_ascii_case(name));
    let must = |name: &str| {
        let amz = name.get(..6).is_some_and(|p| p.eq_ignore_ascii_case("x-amz-"));
        let bound = ["x-amz-date", "x-amz-content-sha256"].iter().any(|b| b.eq_ignore_ascii_case(name));
        amz && !bound
    };
    if !is_signed("host") || head.iter().any(|(name, _)| must(name) && !is_signed(name)) {
        return Err(Denied::Unsigned);
    }
    Ok(())
}

/// SHA-256 of the canonical request.
pub(crate) fn request_hash(
    head: &Head<'_>,
    claim: &Claim<'_>,
    payload: PayloadLine<'_>,
) -> Result<[u8; 32], Denied> {
    Ok(Sha256::digest(request(head, claim, payload)?.as_bytes()).into())
}

fn request(head: &Head<'_>, claim: &Claim<'_>, payload: PayloadLine<'_>) -> Result<String, Denied> {
    let mut text = String::with_capacity(512);
    text.push_str(head.method.as_str());
    text.push('\n');
    encode_into(&mut text, head.path, Plus::Literal, true)?;
    text.push('\n');
    query_into(&mut text, head.query)?;
    text.push('\n');
    for name in claim.signed.split(';') {
        text.push_str(name);
        let mut separator = ':';
        for value in head.headers(name) {
            text.push(separator);
            separator = ',';
            words_into(&mut text, value);
        }
        if separator == ':' {
            // A header that was signed is gone, so what was signed is not what came.
            return Err(Denied::Signature);
        }
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&claim.signed);
    text.push('\n');
    text.push_str(payload);
    Ok(text)
}

/// Parameters encoded, then sorted by name and value; the signature itself is left out.
fn query_into(out: &mut String, query: &str) -> Result<(), Denied> {
    let mut pairs = Vec::new();
    let mut raw = QueryPairs::with_plus(query, Plus::Space);
    while let Some((name, value)) = raw.next_raw() {
        let mut encoded = (String::with_capacity(name.len()), String::with_capacity(value.len()));
        encode_into(&mut encoded.0, name, Plus::Space, false)?;
        encode_into(&mut encoded.1, value, Plus::Space, false)?;
        if encoded.0 != "X-Amz-Signature" {
            pairs.push(encoded);
        }
    }
    pairs.sort_unstable();
    for (i, (name, value)) in pairs.iter().enumerate() {
        if i > 0 {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
    Ok(())
}

/// Decodes `text` and encodes it anew, so that clients which escape more or less than AWS says agree with us.
fn encode_into(out: &mut String, text: &str, plus: Plus, is_path: bool) -> Result<(), Denied> {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in Escapes::new(text, plus) {
        let byte = byte.map_err(|_| Denied::BadEscape)?;
        if byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~')
            || (is_path && byte == b'/')
        {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 15)]);
        }
    }
    Ok(())
}

/// A header value with runs of white space as one space.
fn words_into(out: &mut String, value: &str) {
    if !value.bytes().any(|b| matches!(b, b' ' | b'\t')) {
        return out.push_str(value);
    }
    let mut words = value.split([' ', '\t']).filter(|w| !w.is_empty());
    if let Some(first) = words.next() {
        out.push_str(first);
    }
    for word in words {
        out.push(' ');
        out.push_str(word);
    }
}
