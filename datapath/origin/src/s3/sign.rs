//! Signature version 4 of a request without a body (S3 API reference, "Authenticating requests: using the
//! Authorization header").

use std::time::SystemTime;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::Credentials;
use crate::endpoint::Target;

/// SHA-256 of nothing, the hash of an empty body.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What a signature covers.
pub(super) struct Signing<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a Target,
    /// Headers besides host and those made here: lower-case names with values, without spaces around.
    pub(super) headers: &'a [(&'static str, String)],
    pub(super) region: &'a str,
    pub(super) now: SystemTime,
}

/// The headers to add; none for an anonymous request.
pub(super) fn sign(request: &Signing<'_>, credentials: &Credentials) -> Vec<(&'static str, String)> {
    let Credentials::Key { id, secret, session } = credentials else { return Vec::new() };
    let at = OffsetDateTime::from(request.now);
    let day = format!("{:04}{:02}{:02}", at.year(), u8::from(at.month()), at.day());
    let stamp = format!("{day}T{:02}{:02}{:02}Z", at.hour(), at.minute(), at.second());
    let mut added = vec![("x-amz-content-sha256", EMPTY_SHA256.to_owned()), ("x-amz-date", stamp.clone())];
    added.extend(session.iter().map(|token| ("x-amz-security-token", token.clone())));

    let mut signed: Vec<(&str, &str)> = vec![("host", &request.target.host)];
    signed.extend(request.headers.iter().chain(&added).map(|(name, value)| (*name, value.as_str())));
    signed.sort_unstable();
    let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let (path, query) = (&request.target.path, &request.target.query);
    let canonical = format!("{}\n{path}\n{query}\n{lines}\n{names}\n{EMPTY_SHA256}", request.method);

    let scope = format!("{day}/{}/s3/aws4_request", request.region);
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let key = [&day, request.region, "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| keyed(&key, part));
    let signature = hex::encode(keyed(&key, &text));
    let value =
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
    added.push(("authorization", value));
    added
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC refused a key"));
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The worked examples of the S3 API reference ("Examples: signature calculations"): GET object with a range,
    /// GET bucket lifecycle, list objects.
    #[test]
    fn published_signatures() {
        let credentials =
            Credentials::key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let check = |path: &str, query: &str, headers: &[(&'static str, String)], signature: &str| {
            let target = Target {
                scheme: "https",
                host: "examplebucket.s3.amazonaws.com".into(),
                path: path.into(),
                query: query.into(),
            };
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
            let signing = Signing { method: "GET", target: &target, headers, region: "us-east-1", now };
            let added = sign(&signing, &credentials);
            let (name, value) = added.last().unwrap();
            assert_eq!(*name, "authorization");
            assert!(value.ends_with(&format!("Signature={signature}")), "{value}");
        };
        let range = [("range", "bytes=0-9".to_owned())];
        check("/test.txt", "", &range, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
        check("/", "lifecycle=", &[], "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
        check(
            "/",
            "max-keys=2&prefix=J",
            &[],
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
    }

    #[test]
    fn anonymous_adds_nothing_and_a_session_is_signed() {
        let target = Target { scheme: "http", host: "h".into(), path: "/".into(), query: String::new() };
        let signing = Signing {
            method: "GET",
            target: &target,
            headers: &[],
            region: "r",
            now: SystemTime::UNIX_EPOCH,
        };
        assert!(sign(&signing, &Credentials::Anonymous).is_empty());
        let session = Some("token".to_owned());
        let key = Credentials::Key { id: "i".into(), secret: "s".into(), session };
        let added = sign(&signing, &key);
        assert!(added.contains(&("x-amz-security-token", "token".into())));
        assert!(added.last().unwrap().1.contains("x-amz-date;x-amz-security-token,"));
    }
}
