//! Listings: ListObjectsV2 (S3 API reference, "ListObjectsV2") and ListBuckets.

use std::time::SystemTime;

use http::Method;
use percent_encoding::percent_decode_str;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weir_types::limits::S3_PAGE_MAX;
use weir_types::{Bucket, BucketName, ObjectName, Provider};

use super::answer::About;
use super::client::{Ask, Client};
use super::facts::plain_etag;
use super::xml::Element;
use crate::{ListEntry, ListPage, ListQuery, OriginBucket, OriginError, RemoteBucket};

impl Client {
    pub(crate) async fn list_page(
        &self,
        bucket: &RemoteBucket,
        query: &ListQuery,
    ) -> Result<ListPage, OriginError> {
        let endpoint = self.route(bucket).await?;
        let about = About::bucket(bucket);
        let mut continuation = query.continuation.clone();
        loop {
            let limit = query.limit.clamp(1, S3_PAGE_MAX).to_string();
            let mut pairs = vec![("list-type", "2"), ("encoding-type", "url"), ("max-keys", &limit)];
            pairs.extend((!query.prefix.is_empty()).then_some(("prefix", query.prefix.as_str())));
            pairs.extend(query.delimiter.as_deref().map(|d| ("delimiter", d)));
            match &continuation {
                Some(token) => pairs.push(("continuation-token", token)),
                None if !query.start_after.is_empty() => pairs.push(("start-after", &query.start_after)),
                None => {}
            }
            let ask = Ask {
                method: Method::GET,
                bucket: Some(&bucket.name),
                key: "",
                query: &pairs,
                headers: vec![],
            };
            let response = self.ask(&endpoint, &ask).await?;
            let response = self.note(bucket, self.accept(about, response).await)?;
            let body = self.body(about, response).await?;
            let mut page = page(about, &body)?;
            // S3 rolls the names after `dir/` up to `dir/` again: what the caller has seen is left out.
            page.common_prefixes.retain(|p| *p != query.start_after);
            let skipped = page.entries.is_empty() && page.common_prefixes.is_empty();
            if !(page.more && skipped) {
                return Ok(page);
            }
            if page.continuation == continuation {
                return Err(about.protocol("a page that advances", "an empty one with the same token"));
            }
            continuation = page.continuation;
        }
    }

    pub(crate) async fn list_buckets(&self, provider: Provider) -> Result<Vec<OriginBucket>, OriginError> {
        let endpoints: Vec<_> =
            self.core.endpoints.iter().filter(|e| e.provider == provider).cloned().collect();
        let (mut buckets, mut failure, mut answers) = (Vec::<OriginBucket>::new(), None, 0);
        for endpoint in &endpoints {
            match self.buckets_of(endpoint).await {
                Ok(found) => {
                    answers += 1;
                    // The same name further down the list of origins would never be asked.
                    buckets.extend(found);
                }
                Err(OriginError::Denied { .. }) => answers += 1,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            Some(error) if answers == 0 => Err(error),
            _ => {
                buckets.sort_by(|a, b| a.name.cmp(&b.name));
                buckets.dedup_by(|b, a| a.name == b.name);
                Ok(buckets)
            }
        }
    }

    async fn buckets_of(
        &self,
        endpoint: &crate::endpoint::Endpoint,
    ) -> Result<Vec<OriginBucket>, OriginError> {
        // Errors name a bucket; here it is all of them.
        let any = BucketName::new("all").map_err(|_| OriginError::Stopped)?;
        let any = RemoteBucket::of(&Bucket::global(endpoint.provider, any));
        let about = About::bucket(&any);
        let ask = Ask { method: Method::GET, bucket: None, key: "", query: &[], headers: vec![] };
        let response = self.accept(about, self.ask(endpoint, &ask).await?).await?;
        let body = self.body(about, response).await?;
        let root = Element::parse(&body).map_err(|e| about.protocol("a list of buckets", e))?;
        let bucket = |b: &Element| {
            Some(OriginBucket {
                provider: endpoint.provider,
                // A name that Weir cannot hold could not be asked for either.
                name: BucketName::new(b.text_of("Name")).ok()?,
                endpoint: endpoint.url.clone(),
                region: match b.text_of("BucketRegion") {
                    "" => endpoint.region.clone(),
                    region => region.to_owned(),
                },
                created: instant(b.text_of("CreationDate")),
            })
        };
        Ok(root
            .child("Buckets")
            .map(|list| list.all("Bucket").filter_map(bucket).collect())
            .unwrap_or_default())
    }
}

fn page(about: About<'_>, body: &[u8]) -> Result<ListPage, OriginError> {
    let root = Element::parse(body).map_err(|e| about.protocol("ListBucketResult", e))?;
    if root.name != "ListBucketResult" {
        return Err(about.protocol("ListBucketResult", root.name));
    }
    let contents: Vec<_> = root.all("Contents").map(|c| (c.text_of("Key"), c)).collect();
    let prefixes: Vec<_> = root.all("CommonPrefixes").map(|c| c.text_of("Prefix")).collect();
    // Some servers repeat the wish for encoded names without fulfilling it.
    let encoded = root.text_of("EncodingType") == "url"
        && contents.iter().map(|(k, _)| *k).chain(prefixes.iter().copied()).all(is_encoded);
    let name = |text: &str| if encoded { decode(text) } else { Some(text.to_owned()) };

    let mut page = ListPage { more: root.text_of("IsTruncated") == "true", ..ListPage::default() };
    page.continuation = root.child("NextContinuationToken").map(|t| t.text.clone()).filter(|_| page.more);
    if page.more && page.continuation.is_none() {
        return Err(about.protocol("NextContinuationToken in a truncated page", "none"));
    }
    for (key, entry) in contents {
        let size = entry.text_of("Size").parse();
        let size = size.map_err(|_| about.protocol("a Size in bytes", entry.text_of("Size")))?;
        match name(key).and_then(|key| ObjectName::new(key).ok()) {
            Some(name) => page.entries.push(ListEntry {
                name,
                size,
                etag: Some(plain_etag(entry.text_of("ETag"))).filter(|e| !e.is_empty()),
                last_modified: instant(entry.text_of("LastModified")),
            }),
            None => page.refused += 1,
        }
    }
    page.common_prefixes = prefixes.into_iter().filter_map(name).collect();
    Ok(page)
}

fn is_encoded(text: &str) -> bool {
    let bytes = text.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    bytes.iter().enumerate().all(|(at, b)| b.is_ascii_graphic() && (*b != b'%' || hex(at + 1) && hex(at + 2)))
}

/// `encoding-type=url` is form encoding: a plus is a space.
fn decode(text: &str) -> Option<String> {
    percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(|s| s.into_owned())
}

fn instant(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Result<(&[&str], &[&str], bool), ()>) {
        let bucket = RemoteBucket::of(&Bucket::global(Provider::Aws, BucketName::new("b").unwrap()));
        let xml = format!("<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\">{body}</ListBucketResult>");
        let got = page(About::bucket(&bucket), xml.as_bytes());
        match (&got, expected) {
            (Ok(page), Ok((names, prefixes, more))) => {
                assert_eq!(page.entries.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), names);
                assert_eq!(
                    (page.common_prefixes.as_slice(), page.more),
                    (&*prefixes.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>(), more)
                );
            }
            (Err(_), Err(())) => {}
            _ => panic!("{got:?} {xml}"),
        }
    }

    #[test]
    fn pages_are_read() {
        let entry =
            |k: &str| format!("<Contents><Key>{k}</Key><Size>3</Size><ETag>&quot;e&quot;</ETag></Contents>");
        let dir = |p: &str| format!("<CommonPrefixes><Prefix>{p}</Prefix></CommonPrefixes>");
        let encoded = |b: &str| format!("<EncodingType>url</EncodingType>{b}");
        check("", Ok((&[], &[], false)));
        check(&entry("a+b%2f"), Ok((&["a+b%2f"], &[], false)));
        check(&encoded(&entry("a+b%2F%2B%01")), Ok((&["a b/+\u{1}"], &[], false)));
        check(&encoded(&(entry("a b") + &entry("c+d"))), Ok((&["a b", "c+d"], &[], false)));
        check(
            &(entry(" a") + &dir("d/") + &entry("e") + &dir("f/")),
            Ok((&[" a", "e"], &["d/", "f/"], false)),
        );
        let token = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
        check(&format!("{token}{}", entry("a//../b")), Ok((&["a//../b"], &[], true)));
        check("<IsTruncated>true</IsTruncated>", Err(()));
        check("<Contents><Key>a</Key><Size>x</Size></Contents>", Err(()));
        check("<Contents>", Err(()));
    }

    #[test]
    fn names_that_cannot_be_held_are_counted() {
        let bucket = RemoteBucket::of(&Bucket::global(Provider::Aws, BucketName::new("b").unwrap()));
        let key = "k".repeat(1025);
        let xml = format!(
            "<ListBucketResult><Contents><Key>{key}</Key><Size>1</Size></Contents></ListBucketResult>"
        );
        let page = page(About::bucket(&bucket), xml.as_bytes()).unwrap();
        assert_eq!((page.entries.len(), page.refused), (0, 1));
    }
}
