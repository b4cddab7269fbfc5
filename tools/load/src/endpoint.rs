//! Where requests go: a URL's parts, resolved once.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::error::LoadError;

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `host:port`, as the Host header has it.
    pub authority: String,
    /// What it resolves to.
    pub address: SocketAddr,
    /// The path before all paths: empty, or with a slash in front and none at the end.
    pub base: String,
}

impl Endpoint {
    /// Reads `http://HOST[:PORT][/BASE]` and resolves the host.
    pub fn resolve(url: &str) -> Result<Self, LoadError> {
        let (authority, path) = split(url).map_err(LoadError::Usage)?;
        let address =
            lookup(authority).map_err(|error| LoadError::Unreachable { endpoint: url.to_owned(), error })?;
        Ok(Self { authority: authority.to_owned(), address, base: path.trim_end_matches('/').to_owned() })
    }
}

/// Authority and path, with the query where there is one.
pub(crate) fn split(url: &str) -> Result<(&str, &str), String> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| format!("an endpoint: expected http://HOST:PORT, got {url:?}"))?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let plain = |c: char| c.is_ascii_graphic() && c != '@' && c != '?' && c != '#';
    if authority.is_empty() || !authority.chars().all(plain) || !path.chars().all(|c| c.is_ascii_graphic()) {
        return Err(format!("an endpoint: expected http://HOST:PORT, got {url:?}"));
    }
    Ok((authority, path))
}

/// The first address of an authority; port 80 where none is given.
pub(crate) fn lookup(authority: &str) -> std::io::Result<SocketAddr> {
    if let Ok(address) = authority.parse() {
        return Ok(address);
    }
    let with_port = match authority.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
        _ => format!("{authority}:80"),
    };
    with_port.to_socket_addrs()?.next().ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let check = |url: &str, expected: Option<(&str, &str, &str)>| {
            let got = Endpoint::resolve(url).ok();
            let got = got.map(|e| (e.authority, e.address.to_string(), e.base));
            assert_eq!(got, expected.map(|(a, s, b)| (a.into(), s.into(), b.into())), "{url}");
        };
        check("http://127.0.0.1:8080", Some(("127.0.0.1:8080", "127.0.0.1:8080", "")));
        check("http://127.0.0.1:8080/s3/", Some(("127.0.0.1:8080", "127.0.0.1:8080", "/s3")));
        check("http://127.0.0.1", Some(("127.0.0.1", "127.0.0.1:80", "")));
        check("http://[::1]:9", Some(("[::1]:9", "[::1]:9", "")));
        check("https://127.0.0.1", None);
        check("127.0.0.1:80", None);
        check("http://", None);
        check("http://a b", None);
    }
}
