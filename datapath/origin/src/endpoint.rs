//! One endpoint: how its URL, a bucket and a key become a request target.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use weir_types::{BucketName, Provider};

use crate::{Credentials, OriginConfig, OriginError};

/// What SigV4 calls unreserved stays, all else is `%XX` (S3 API reference, "Signature calculations").
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same with the slash, for keys.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// Longest region name in bytes; it stands in headers.
const REGION_BYTES_MAX: usize = 64;

/// A checked endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) provider: Provider,
    /// `scheme://authority[/base]`, without a slash at the end.
    pub(crate) url: String,
    pub(crate) region: String,
    pub(crate) tls: bool,
    /// What it was made of.
    pub(crate) config: OriginConfig,
    authority: String,
    base: String,
    path_style: bool,
}

/// Where one request goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) scheme: &'static str,
    /// Host header and authority.
    pub(crate) host: String,
    /// Encoded path, as sent and as signed. Dot segments are part of a key and stay.
    pub(crate) path: String,
    /// Encoded query in canonical order, without the question mark.
    pub(crate) query: String,
}

impl Target {
    /// The whole URL.
    pub(crate) fn url(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{}://{}{}{mark}{}", self.scheme, self.host, self.path, self.query)
    }
}

impl Endpoint {
    pub(crate) fn new(config: &OriginConfig) -> Result<Self, OriginError> {
        let region = if config.region.is_empty() { "us-east-1" } else { &config.region }.to_owned();
        let url = match config.endpoint.trim_end_matches('/') {
            "" => format!("https://s3.{region}.amazonaws.com"),
            url => url.to_owned(),
        };
        let bad = |got: String| Err(OriginError::Config { place: format!("endpoint {url}"), got });
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if region.len() > REGION_BYTES_MAX || !region.bytes().all(plain) {
            return bad(format!("region {region:?}; expected letters, digits and hyphens"));
        }
        if config.provider != Provider::Aws {
            return bad(format!(
                "provider {}; expected s3, the one there is today",
                config.provider.as_str()
            ));
        }
        let (tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) if config.http_allowed => (false, rest),
            (None, Some(_)) => return bad("plain http; expected https, or http allowed".into()),
            (None, None) => return bad("no scheme; expected http:// or https://".into()),
        };
        let (authority, base) =
            rest.split_once('/').map_or((rest, String::new()), |(a, b)| (a, format!("/{b}")));
        let host = authority.parse::<http::uri::Authority>();
        let plain = host.as_ref().is_ok_and(|h| !h.host().is_empty()) && !authority.contains('@');
        if !plain
            || base.parse::<http::uri::PathAndQuery>().is_ok_and(|p| p.query().is_some())
            || base.contains('#')
        {
            return bad("no host[:port][/path] after the scheme".into());
        }
        let is_aws = authority.ends_with(".amazonaws.com");
        let path_style = config.path_style.unwrap_or(!is_aws);
        let (authority, config) = (authority.to_owned(), config.clone());
        Ok(Self { provider: config.provider, url, region, tls, config, authority, base, path_style })
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.config.credentials
    }

    /// The target of a request for the service (`None`), a bucket, or a key in it.
    pub(crate) fn target(&self, bucket: Option<&BucketName>, key: &str, query: &[(&str, &str)]) -> Target {
        let encoded = utf8_percent_encode(key, PATH);
        let (host, path) = match bucket {
            None => (self.authority.clone(), format!("{}/", self.base)),
            // A name with dots does not fit the wildcard of a certificate.
            Some(b) if !self.path_style && !b.as_str().contains('.') => {
                (format!("{b}.{}", self.authority), format!("{}/{encoded}", self.base))
            }
            // No slash after the bucket where there is no key: some servers would take it for an empty key.
            Some(b) if key.is_empty() => (self.authority.clone(), format!("{}/{b}", self.base)),
            Some(b) => (self.authority.clone(), format!("{}/{b}/{encoded}", self.base)),
        };
        let encode = |text| utf8_percent_encode(text, QUERY).to_string();
        let mut pairs: Vec<_> = query.iter().map(|(k, v)| (encode(k), encode(v))).collect();
        pairs.sort();
        let query = pairs.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("&");
        Target { scheme: if self.tls { "https" } else { "http" }, host, path, query }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::new(&OriginConfig { credentials: Credentials::Anonymous, ..OriginConfig::s3(url) }).unwrap()
    }

    #[test]
    fn keys_are_sent_exactly() {
        let check = |url: &str, key: &str, expected: &str| {
            let b = BucketName::new("b1").unwrap();
            assert_eq!(endpoint(url).target(Some(&b), key, &[]).url(), expected);
        };
        check("http://h:1", "a/b", "http://h:1/b1/a/b");
        check("http://h:1/", "", "http://h:1/b1");
        check("http://h/base/", "k", "http://h/base/b1/k");
        check("http://h", "/x//y/../z/./", "http://h/b1//x//y/../z/./");
        check("http://h", "a b+c%d?e#f&g=é\u{1}", "http://h/b1/a%20b%2Bc%25d%3Fe%23f%26g%3D%C3%A9%01");
        check("https://s3.eu-west-1.amazonaws.com", "k~_-.", "https://b1.s3.eu-west-1.amazonaws.com/k~_-.");
        check("http://[::1]:9", "k", "http://[::1]:9/b1/k");
    }

    #[test]
    fn queries_are_canonical() {
        let b = BucketName::new("b").unwrap();
        let target =
            endpoint("http://h").target(Some(&b), "", &[("prefix", "a/ b"), ("list-type", "2"), ("x", "")]);
        assert_eq!(target.query, "list-type=2&prefix=a%2F%20b&x=");
        assert_eq!(endpoint("http://h").target(None, "", &[]).url(), "http://h/");
    }

    #[test]
    fn bad_endpoints_are_refused() {
        for bad in
            ["ftp://h", "h:80", "http://", "http://u:p@h", "http://h/?x=1", "https://h#f", "http://h h"]
        {
            assert!(Endpoint::new(&OriginConfig::s3(bad)).is_err(), "{bad}");
        }
        let strict = OriginConfig { http_allowed: false, ..OriginConfig::s3("http://h") };
        assert!(Endpoint::new(&strict).is_err());
        let region = OriginConfig { region: "a\r\nx: y".into(), ..OriginConfig::s3("http://h") };
        assert!(region.check().is_err());
        let gcp = OriginConfig { provider: Provider::Gcp, ..OriginConfig::s3("http://h") };
        assert!(gcp.check().is_err());
        let aws =
            Endpoint::new(&OriginConfig { region: "eu-west-2".into(), ..OriginConfig::s3("") }).unwrap();
        assert_eq!(aws.url, "https://s3.eu-west-2.amazonaws.com");
    }
}
