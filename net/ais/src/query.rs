use std::borrow::Cow;

use weir_http::query_pairs;
use weir_types::{Bucket, BucketName, Namespace, ObjectName, Provider};

use crate::op::{BucketScope, Presence};
use crate::{AisError, Marker};

/// A query string that decodes, with AIS's rules for its values. Values are found by walking the text: it is short,
/// and nothing is allocated unless a value holds escapes.
#[derive(Debug, Clone, Copy)]
pub struct Query<'q> {
    raw: &'q str,
}

impl<'q> Query<'q> {
    /// Checks that every pair decodes to UTF-8.
    pub fn parse(raw: &'q str) -> Result<Self, AisError> {
        for pair in query_pairs(raw) {
            pair?;
        }
        Ok(Self { raw })
    }

    /// All pairs, decoded, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (Cow<'q, str>, Cow<'q, str>)> {
        query_pairs(self.raw).filter_map(Result::ok)
    }

    /// The first value under `name`; present and empty is `Some("")`.
    pub fn get(&self, name: &str) -> Option<Cow<'q, str>> {
        self.pairs().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The first value under `name`, unless it is empty: clients send unused parameters empty.
    pub fn text(&self, name: &str) -> Option<Cow<'q, str>> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// A boolean: `true`, `y`, `yes`, `on`, `1`, `t` of any case are true, all else is false.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| is_true(&value))
    }

    /// Which objects count: `presence`, 0 when absent.
    pub fn presence(&self) -> Result<Presence, AisError> {
        match self.text("presence") {
            None => Ok(Presence::Exists),
            Some(value) => Presence::parse(&value)
                .ok_or_else(|| AisError::Bad(format!("invalid presence {value:?}: expected 0 to 5"))),
        }
    }

    /// Provider and namespace as a filter: absent or empty means any.
    pub fn scope(&self) -> Result<BucketScope, AisError> {
        let provider = self.text("provider").map(|p| provider(&p)).transpose()?;
        let namespace = self.text("namespace").map(|n| namespace(&n)).transpose()?;
        Ok(BucketScope { provider, namespace })
    }

    /// The bucket `name` with the provider and namespace given here; `ais` and global when absent.
    pub fn bucket(&self, name: &str) -> Result<Bucket, AisError> {
        let scope = self.scope()?;
        let name = BucketName::new(name)?;
        Ok(Bucket {
            provider: scope.provider.unwrap_or_default(),
            namespace: scope.namespace.unwrap_or_default(),
            name,
        })
    }

    /// The destination bucket: `bck_to`, a uname such as `ais/@#/dst/`.
    pub fn bucket_to(&self) -> Result<Option<Bucket>, AisError> {
        let Some(uname) = self.text("bck_to") else { return Ok(None) };
        let (bucket, object) = parse_uname(&uname)?;
        if !object.is_empty() {
            return Err(AisError::Bad(format!(
                "invalid bck_to {uname:?}: expected provider/@uuid#ns/bucket/"
            )));
        }
        Ok(Some(bucket))
    }

    /// The destination object: `object_to`, a uname such as `ais/@#/dst/name`.
    pub fn object_to(&self) -> Result<Option<(Bucket, ObjectName)>, AisError> {
        let Some(uname) = self.text("object_to") else { return Ok(None) };
        let (bucket, object) = parse_uname(&uname)?;
        Ok(Some((bucket, ObjectName::new(object)?)))
    }

    /// The mark of a request that a gateway has redirected: `pid` and `utm`, both or none.
    pub fn marker(&self) -> Option<Marker> {
        let gateway = self.text("pid")?.into_owned();
        let sent_ns = self.text("utm")?.parse().ok()?;
        let index = self.text("vpams").and_then(|index| index.parse().ok()).unwrap_or(0);
        Some(Marker { gateway, sent_ns, index })
    }
}

/// AIS's true.
pub(crate) fn is_true(value: &str) -> bool {
    ["true", "y", "yes", "on", "1", "t"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// A provider by name or scheme.
pub(crate) fn provider(text: &str) -> Result<Provider, AisError> {
    Provider::parse(text).ok_or_else(|| AisError::Provider { got: text.into() })
}

fn namespace(text: &str) -> Result<Namespace, AisError> {
    Namespace::parse(text)
        .ok_or_else(|| AisError::Bad(format!("invalid namespace {text:?}: expected @uuid#name")))
}

/// `provider/@uuid#ns/bucket/rest` to the bucket and the rest, which may be empty.
fn parse_uname(uname: &str) -> Result<(Bucket, &str), AisError> {
    let mut parts = uname.splitn(4, '/');
    let mut part = || parts.next().filter(|p| !p.is_empty());
    let (Some(p), Some(ns), Some(name)) = (part(), part(), part()) else {
        return Err(AisError::Bad(format!(
            "invalid uname {uname:?}: expected provider/@uuid#ns/bucket/object"
        )));
    };
    let bucket = Bucket { provider: provider(p)?, namespace: namespace(ns)?, name: BucketName::new(name)? };
    Ok((bucket, parts.next().unwrap_or("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets() {
        let check = |query: &str, expected: Result<&str, u16>| {
            let got = Query::parse(query).and_then(|q| q.bucket("b")).map(|b| b.uname(""));
            assert_eq!(got.as_deref().map_err(AisError::status), expected, "{query}");
        };
        check("", Ok("ais/@#/b/"));
        check("provider=", Ok("ais/@#/b/"));
        check("provider=s3", Ok("aws/@#/b/"));
        check("provider=azure&namespace=", Ok("azure/@#/b/"));
        check("provider=ais&namespace=%40uuid%23ns", Ok("ais/@uuid#ns/b/"));
        check("provider=nfs", Err(400));
        check("namespace=%40..%2fx", Err(400));
        check("provider=%zz", Err(400));
        check("provider=%ff", Err(400));
    }

    #[test]
    fn destinations() {
        let to = |query: &str| {
            let object = Query::parse(query).unwrap().object_to();
            object.map(|to| to.map(|(b, o)| b.uname(o.as_str()))).map_err(|e| e.status())
        };
        assert_eq!(to("object_to=ais%2F%40%23%2Fdst%2Fdir%2Fo"), Ok(Some("ais/@#/dst/dir/o".into())));
        assert_eq!(to("object_to="), Ok(None));
        for bad in ["object_to=dst", "object_to=ais/@#/dst/", "object_to=ais/@#//o", "object_to=x/@#/d/o"] {
            assert_eq!(to(&bad.replace('#', "%23")), Err(400), "{bad}");
        }
        let bucket = |query: &str| Query::parse(query).unwrap().bucket_to().map(|b| b.map(|b| b.to_string()));
        assert_eq!(bucket("bck_to=ais%2F%40%23%2FNEW%2F"), Ok(Some("ais://NEW".into())));
        assert_eq!(bucket("bck_to=aws%2F%40%23%2FNEW"), Ok(Some("s3://NEW".into())));
        assert!(bucket("bck_to=ais%2F%40%23%2FNEW%2Fobj").is_err());
    }

    #[test]
    fn flags_and_presence() {
        for (value, expected) in [
            ("True", true),
            ("y", true),
            ("on", true),
            ("1", true),
            ("", false),
            ("0", false),
            ("false", false),
            ("x", false),
        ] {
            let query = format!("f={value}");
            assert_eq!(Query::parse(&query).unwrap().flag("f"), expected, "{value}");
        }
        assert!(!Query::parse("").unwrap().flag("f"));
        let presence = |q: &str| Query::parse(q).unwrap().presence().map_err(|e| e.status());
        assert_eq!(presence("presence=2"), Ok(Presence::Present));
        assert_eq!(presence(""), Ok(Presence::Exists));
        assert_eq!(presence("presence=6"), Err(400));
        assert_eq!(
            Query::parse("pid=p1&utm=5").unwrap().marker(),
            Some(Marker { gateway: "p1".into(), sent_ns: 5, index: 0 })
        );
        assert_eq!(Query::parse("pid=p1").unwrap().marker(), None);
    }
}
